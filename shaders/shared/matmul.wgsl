// What the matrix products share. C[m, n] = alpha * sum_k A[m, k] * (B[k, n] + D) (+ C) (+ bias[n]) (+ R[m, n]), for each matrix of a batch.
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

// 1: both factors lie in f16 as pack.wgsl leaves them.
override PACKED: u32 = 0u;
const PACKED_LINES: u32 = 128u;
const PACKED_K: u32 = 32u;

// Where a packed row of A or column of B begins, and how far from it a number of k stands.
fn packed_line(line: u32) -> u32 {
    let tiles = (params.k + PACKED_K - 1u) / PACKED_K;
    return line / PACKED_LINES * tiles * (PACKED_LINES * PACKED_K) + line % PACKED_LINES;
}

fn packed_k(k: u32) -> u32 {
    return k / PACKED_K * (PACKED_LINES * PACKED_K) + k % PACKED_K * PACKED_LINES;
}

// Where the numbers of a row of A begin, and those of a column of B. Past the edge stands the last one again: what comes of it is not
// stored, and loads need no branch.
fn row_at(batch: u32, row: u32, m: u32) -> u32 {
    if PACKED == 1u {
        return packed_line(min(row, m - 1u));
    }
    return params.a_offset + batch * params.a_batch + min(row, m - 1u) * params.a_row;
}

fn column_at(batch: u32, col: u32, n: u32) -> u32 {
    if PACKED == 1u {
        return packed_line(min(col, n - 1u));
    }
    return params.b_offset + batch * params.b_batch + min(col, n - 1u) * params.b_col;
}

fn diagonal_entry(output: u32, input: u32) -> f32 {
    if output / params.block_out != input / params.block_in {
        return 0.0;
    }
    return diagonal[input * params.block_out + output % params.block_out];
}

// Whether a block of D reaches into the `rows` x `cols` of B at (row, col): of most parts none does.
fn meets_diagonal(row: u32, col: u32, rows: u32, cols: u32) -> bool {
    if (params.flags & (DIAGONAL_N_IS_OUTPUT | DIAGONAL_K_IS_OUTPUT)) == 0u {
        return false;
    }
    let n_is_output = (params.flags & DIAGONAL_N_IS_OUTPUT) != 0u;
    let output = params.first_output + select(row, col, n_is_output);
    let input = select(col, row, n_is_output);
    let last_output = output + select(rows, cols, n_is_output) - 1u;
    let last_input = input + select(cols, rows, n_is_output) - 1u;
    return output / params.block_out <= last_input / params.block_in && input / params.block_in <= last_output / params.block_out;
}

// The numbers of k, first and one past the last, beside which D has blocks in so many columns of B.
fn diagonal_beside(col0: u32, cols: u32) -> vec2u {
    if (params.flags & DIAGONAL_N_IS_OUTPUT) != 0u {
        let output = params.first_output + col0;
        return vec2u(output / params.block_out, (output + cols - 1u) / params.block_out + 1u) * params.block_in;
    }
    if (params.flags & DIAGONAL_K_IS_OUTPUT) != 0u {
        let outputs = vec2u(col0 / params.block_in, (col0 + cols - 1u) / params.block_in + 1u) * params.block_out;
        return outputs - min(outputs, vec2u(params.first_output));
    }
    return vec2u();
}

// D's entry beside B[k, col].
fn added_to_b(k: u32, col: u32) -> f32 {
    if (params.flags & DIAGONAL_N_IS_OUTPUT) != 0u {
        return diagonal_entry(params.first_output + col, k);
    }
    return diagonal_entry(params.first_output + k, col);
}

fn store_one(batch: u32, row: u32, col: u32, sum: f32) {
    let at = params.c_offset + batch * params.c_batch + row * params.c_row + col;
    var value = params.alpha * sum;
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

// Four columns of a row.
fn store(batch: u32, row: u32, col: u32, sum: vec4f, m: u32, n: u32) {
    if row >= m {
        return;
    }
    for (var j = 0u; j < 4u && col + j < n; j++) {
        store_one(batch, row, col + j, sum[j]);
    }
}

// What is left of the matrix in a block of the batch: m, n, k.
fn extent(batch: u32) -> vec3u {
    let whole = vec3u(params.m, params.n, params.k);
    let limit = vec3u(params.m_limit, params.n_limit, params.k_limit);
    return min(whole, limit - min(limit, batch * whole));
}
