// C[m, n] = alpha * sum_k A[m, k] * (B[k, n] + D) (+ C) (+ bias[n]) (+ R[m, n]), for each matrix of a batch.
// Strides are free, so one kernel serves x W^T, g W and g^T x. B may be 16-bit. D are DiaBlo's diagonal blocks, added as the
// tile is loaded: the adapter then costs no pass of its own.
struct Params {
    m: u32, n: u32, k: u32,
    flags: u32,
    a_offset: u32, a_row: u32, a_col: u32, a_batch: u32,
    b_offset: u32, b_row: u32, b_col: u32, b_batch: u32,
    c_offset: u32, c_row: u32, c_batch: u32,
    alpha: f32,
    // Over all matrices of the batch together: blocks at the edge may reach past the matrix (--pad-blocks).
    m_limit: u32, n_limit: u32, k_limit: u32,
    // D as [inputs, block_out]: row i holds input i's entries of its own block.
    block_in: u32, block_out: u32,
    // First output of the frozen weight that this piece of it holds.
    first_output: u32,
    bias_offset: u32,
    batch: u32, // the grid's z; the CPU twin reads it here
}
@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<u32>;
@group(0) @binding(2) var<storage, read> diagonal: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read> residual: array<f32>;
@group(0) @binding(5) var<storage, read_write> c: array<f32>;
@group(0) @binding(6) var<uniform> params: Params;

const ACCUMULATE: u32 = 1u;
const ADD_BIAS: u32 = 2u;
const ADD_RESIDUAL: u32 = 4u;
const DIAGONAL_N_IS_OUTPUT: u32 = 8u;  // B[k, n] is W[n, k]
const DIAGONAL_K_IS_OUTPUT: u32 = 16u; // B[k, n] is W[k, n]

const TILE: u32 = 64u;
const TILE_K: u32 = 16u;
var<workgroup> a_tile: array<f32, 1024>; // [TILE_K][TILE]
var<workgroup> b_tile: array<f32, 1024>;

fn load_a(batch: u32, row: u32, col: u32, m: u32, k: u32) -> f32 {
    if row >= m || col >= k {
        return 0.0;
    }
    return a[params.a_offset + batch * params.a_batch + row * params.a_row + col * params.a_col];
}

fn diagonal_entry(output: u32, input: u32) -> f32 {
    if output / params.block_out != input / params.block_in {
        return 0.0;
    }
    return diagonal[input * params.block_out + output % params.block_out];
}

fn load_b(batch: u32, row: u32, col: u32, k: u32, n: u32) -> f32 {
    if row >= k || col >= n {
        return 0.0;
    }
    let index = params.b_offset + batch * params.b_batch + row * params.b_row + col * params.b_col;
    var value = widen(b[weight_word(index)], index);
    if (params.flags & DIAGONAL_N_IS_OUTPUT) != 0u {
        value += diagonal_entry(params.first_output + col, row);
    } else if (params.flags & DIAGONAL_K_IS_OUTPUT) != 0u {
        value += diagonal_entry(params.first_output + row, col);
    }
    return value;
}

@compute @workgroup_size(16, 16)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(local_invocation_id) local: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    let batch = workgroup.z;
    // What is left of the matrix in this block of the batch.
    let m = min(params.m, params.m_limit - min(params.m_limit, batch * params.m));
    let n = min(params.n, params.n_limit - min(params.n_limit, batch * params.n));
    let k = min(params.k, params.k_limit - min(params.k_limit, batch * params.k));
    let row0 = workgroup.y * TILE;
    let col0 = workgroup.x * TILE;
    var sum: array<vec4f, 4>;
    for (var k0 = 0u; k0 < params.k; k0 += TILE_K) {
        for (var i = thread; i < TILE * TILE_K; i += 256u) {
            // Neighbouring threads read neighbouring words, whichever way the matrix lies.
            let along_k = vec2u(i / TILE_K, i % TILE_K);
            let across_k = vec2u(i % TILE, i / TILE);
            let at_a = select(across_k, along_k, params.a_col == 1u);
            let at_b = select(across_k, along_k, params.b_row == 1u);
            a_tile[at_a.y * TILE + at_a.x] = load_a(batch, row0 + at_a.x, k0 + at_a.y, m, k);
            b_tile[at_b.y * TILE + at_b.x] = load_b(batch, k0 + at_b.y, col0 + at_b.x, k, n);
        }
        workgroupBarrier();
        for (var kk = 0u; kk < TILE_K; kk++) {
            let at_a = kk * TILE + local.y * 4u;
            let at_b = kk * TILE + local.x * 4u;
            let right = vec4f(b_tile[at_b], b_tile[at_b + 1u], b_tile[at_b + 2u], b_tile[at_b + 3u]);
            sum[0] += a_tile[at_a] * right;
            sum[1] += a_tile[at_a + 1u] * right;
            sum[2] += a_tile[at_a + 2u] * right;
            sum[3] += a_tile[at_a + 3u] * right;
        }
        workgroupBarrier();
    }
    for (var i = 0u; i < 4u; i++) {
        let row = row0 + local.y * 4u + i;
        for (var j = 0u; j < 4u; j++) {
            let col = col0 + local.x * 4u + j;
            if row < m && col < n {
                let at = params.c_offset + batch * params.c_batch + row * params.c_row + col;
                var value = params.alpha * sum[i][j];
                if (params.flags & ADD_BIAS) != 0u {
                    value += bias[params.bias_offset + col];
                }
                if (params.flags & ADD_RESIDUAL) != 0u {
                    value += residual[at];
                }
                if (params.flags & ACCUMULATE) != 0u {
                    value += c[at];
                }
                c[at] = value;
            }
        }
    }
}
