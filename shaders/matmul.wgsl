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

// A workgroup computes TILE x TILE of C, a thread 8 x 8 of it: rows and columns 4 local .. + 3 of both halves of the tile.
const TILE: u32 = 64u;
const HALF: u32 = 8u;   // quads of four in half a tile's side
const QUADS: u32 = 16u; // and in the whole
const TILE_K: u32 = 16u;
var<workgroup> a_tile: array<vec4f, 256>; // [TILE_K][QUADS]: four rows of A each
var<workgroup> b_tile: array<vec4f, 256>; // [TILE_K][QUADS]: four columns of B each

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

// Whether a block of D reaches into the part of B at (row, col) that is loaded together: of most parts none does.
fn meets_diagonal(row: u32, col: u32) -> bool {
    if (params.flags & (DIAGONAL_N_IS_OUTPUT | DIAGONAL_K_IS_OUTPUT)) == 0u {
        return false;
    }
    let n_is_output = (params.flags & DIAGONAL_N_IS_OUTPUT) != 0u;
    let output = params.first_output + select(row, col, n_is_output);
    let input = select(col, row, n_is_output);
    let last_output = output + select(TILE_K, TILE, n_is_output) - 1u;
    let last_input = input + select(TILE, TILE_K, n_is_output) - 1u;
    return output / params.block_out <= last_input / params.block_in && input / params.block_in <= last_output / params.block_out;
}

fn load_b(batch: u32, row: u32, col: u32, k: u32, n: u32, with_diagonal: bool) -> f32 {
    if row >= k || col >= n {
        return 0.0;
    }
    let index = params.b_offset + batch * params.b_batch + row * params.b_row + col * params.b_col;
    var value = widen(b[weight_word(index)], b[scale_word(index)], index);
    if with_diagonal {
        if (params.flags & DIAGONAL_N_IS_OUTPUT) != 0u {
            value += diagonal_entry(params.first_output + col, row);
        } else {
            value += diagonal_entry(params.first_output + row, col);
        }
    }
    return value;
}

fn store(batch: u32, row: u32, col: u32, sum: vec4f, m: u32, n: u32) {
    if row >= m {
        return;
    }
    for (var j = 0u; j < 4u && col + j < n; j++) {
        let at = params.c_offset + batch * params.c_batch + row * params.c_row + col + j;
        var value = params.alpha * sum[j];
        if (params.flags & ADD_BIAS) != 0u {
            value += bias[params.bias_offset + col + j];
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

@compute @workgroup_size(8, 8)
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
    // A thread copies four quads of each tile. Neighbouring threads read neighbouring numbers, whichever way the matrix lies.
    let along_a = params.a_col == 1u;
    let a_quad = select(thread % QUADS, thread / TILE_K, along_a);
    let a_k = select(thread / QUADS, thread % TILE_K, along_a);
    let a_step = select(vec2u(0u, 4u), vec2u(4u, 0u), along_a);
    let along_b = params.b_row == 1u;
    let b_quad = select(thread % QUADS, thread / TILE_K, along_b);
    let b_k = select(thread / QUADS, thread % TILE_K, along_b);
    let b_step = select(vec2u(0u, 4u), vec2u(4u, 0u), along_b);
    // One variable each: an array that a loop indexes would live in memory.
    var above_left0 = vec4f();
    var above_left1 = vec4f();
    var above_left2 = vec4f();
    var above_left3 = vec4f();
    var above_right0 = vec4f();
    var above_right1 = vec4f();
    var above_right2 = vec4f();
    var above_right3 = vec4f();
    var below_left0 = vec4f();
    var below_left1 = vec4f();
    var below_left2 = vec4f();
    var below_left3 = vec4f();
    var below_right0 = vec4f();
    var below_right1 = vec4f();
    var below_right2 = vec4f();
    var below_right3 = vec4f();
    for (var k0 = 0u; k0 < params.k; k0 += TILE_K) {
        let with_diagonal = meets_diagonal(k0, col0);
        for (var i = 0u; i < 4u; i++) {
            let at_a = vec2u(a_quad, a_k) + i * a_step;
            let row = row0 + at_a.x * 4u;
            let from_a = k0 + at_a.y;
            a_tile[at_a.y * QUADS + at_a.x] = vec4f(
                load_a(batch, row, from_a, m, k),
                load_a(batch, row + 1u, from_a, m, k),
                load_a(batch, row + 2u, from_a, m, k),
                load_a(batch, row + 3u, from_a, m, k),
            );
            let at_b = vec2u(b_quad, b_k) + i * b_step;
            let col = col0 + at_b.x * 4u;
            let from_b = k0 + at_b.y;
            b_tile[at_b.y * QUADS + at_b.x] = vec4f(
                load_b(batch, from_b, col, k, n, with_diagonal),
                load_b(batch, from_b, col + 1u, k, n, with_diagonal),
                load_b(batch, from_b, col + 2u, k, n, with_diagonal),
                load_b(batch, from_b, col + 3u, k, n, with_diagonal),
            );
        }
        workgroupBarrier();
        for (var kk = 0u; kk < TILE_K; kk++) {
            let above = a_tile[kk * QUADS + local.y];
            let below = a_tile[kk * QUADS + HALF + local.y];
            let left = b_tile[kk * QUADS + local.x];
            let right = b_tile[kk * QUADS + HALF + local.x];
            above_left0 += above[0] * left;
            above_left1 += above[1] * left;
            above_left2 += above[2] * left;
            above_left3 += above[3] * left;
            above_right0 += above[0] * right;
            above_right1 += above[1] * right;
            above_right2 += above[2] * right;
            above_right3 += above[3] * right;
            below_left0 += below[0] * left;
            below_left1 += below[1] * left;
            below_left2 += below[2] * left;
            below_left3 += below[3] * left;
            below_right0 += below[0] * right;
            below_right1 += below[1] * right;
            below_right2 += below[2] * right;
            below_right3 += below[3] * right;
        }
        workgroupBarrier();
    }
    let row = row0 + local.y * 4u;
    let col = col0 + local.x * 4u;
    store(batch, row, col, above_left0, m, n);
    store(batch, row + 1u, col, above_left1, m, n);
    store(batch, row + 2u, col, above_left2, m, n);
    store(batch, row + 3u, col, above_left3, m, n);
    store(batch, row, col + 32u, above_right0, m, n);
    store(batch, row + 1u, col + 32u, above_right1, m, n);
    store(batch, row + 2u, col + 32u, above_right2, m, n);
    store(batch, row + 3u, col + 32u, above_right3, m, n);
    store(batch, row + 32u, col, below_left0, m, n);
    store(batch, row + 33u, col, below_left1, m, n);
    store(batch, row + 34u, col, below_left2, m, n);
    store(batch, row + 35u, col, below_left3, m, n);
    store(batch, row + 32u, col + 32u, below_right0, m, n);
    store(batch, row + 33u, col + 32u, below_right1, m, n);
    store(batch, row + 34u, col + 32u, below_right2, m, n);
    store(batch, row + 35u, col + 32u, below_right3, m, n);
}
