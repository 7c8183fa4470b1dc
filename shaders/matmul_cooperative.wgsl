// A product by matrix units: factors in f16, sums in f32. A workgroup of 256 threads computes 128 x 128 of C, each of its eight subgroups
// 64 x 32 of it as 4 x 2 matrices of 16 x 16.
const TILE: u32 = 128u;
const TILE_K: u32 = 32u;
const LINE: u32 = TILE_K + 8u;  // from a row of A, or a column of B, to the next: more, so that loads meet different banks
const THREADS: u32 = 256u;
const COPIES: u32 = TILE * TILE_K / THREADS;
const SIDE: u32 = 16u;
var<workgroup> a_tile: array<f16, TILE * LINE>;                // [row][k]
var<workgroup> b_tile: array<f16, TILE * LINE>;                // [column][k]
var<workgroup> c_part: array<f32, (THREADS / 32u) * SIDE * SIDE>; // of each subgroup: [row][column]

// A part of C goes through workgroup memory: what a thread holds of it is the driver's business.
fn store_part(batch: u32, row: u32, col: u32, part: u32, lane: u32, m: u32, n: u32) {
    for (var i = lane; i < SIDE * SIDE; i += 32u) {
        let at = vec2u(row + i / SIDE, col + i % SIDE);
        if at.x < m && at.y < n {
            store_one(batch, at.x, at.y, c_part[part + i]);
        }
    }
}

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    // Not by the built-in values: a driver was seen to crash on a shader with matrix units that asks for anything else of subgroups
    // (NVIDIA 595.58, github.com/kvark/blade/issues/333). Where subgroups lie otherwise the check of the results finds out.
    let subgroup = thread / 32u;
    let lane = thread % 32u;
    let batch = workgroup.z;
    // As `extent`: matrix units want control flow that is seen to be the same for all, and what a function gives is not.
    let whole = vec3u(params.m, params.n, params.k);
    let limit = vec3u(params.m_limit, params.n_limit, params.k_limit);
    let left_over = min(whole, limit - min(limit, batch * whole));
    let m = left_over.x;
    let n = left_over.y;
    let k = left_over.z;
    let row0 = workgroup.y * TILE;
    let col0 = workgroup.x * TILE;
    if (row0 >= m) | (col0 >= n) {
        return;
    }
    // Neighbouring threads read neighbouring numbers, whichever way the matrix lies.
    let along_a = params.a_col == 1u;
    let a_line = select(thread % TILE, thread / TILE_K, along_a);
    let a_k = select(thread / TILE, thread % TILE_K, along_a);
    let a_step = select(vec2u(0u, THREADS / TILE), vec2u(THREADS / TILE_K, 0u), along_a);
    let along_b = params.b_row == 1u;
    let b_line = select(thread % TILE, thread / TILE_K, along_b);
    let b_k = select(thread / TILE, thread % TILE_K, along_b);
    let b_step = select(vec2u(0u, THREADS / TILE), vec2u(THREADS / TILE_K, 0u), along_b);
    let own_row = (subgroup / 4u) * 64u;
    let own_col = (subgroup % 4u) * 32u;
    var c00 = coop_mat16x16<f32, C>();
    var c01 = coop_mat16x16<f32, C>();
    var c10 = coop_mat16x16<f32, C>();
    var c11 = coop_mat16x16<f32, C>();
    var c20 = coop_mat16x16<f32, C>();
    var c21 = coop_mat16x16<f32, C>();
    var c30 = coop_mat16x16<f32, C>();
    var c31 = coop_mat16x16<f32, C>();
    for (var k0 = 0u; k0 < k; k0 += TILE_K) {
        let with_diagonal = meets_diagonal(k0, col0, TILE_K, TILE);
        for (var i = 0u; i < COPIES; i++) {
            let at_a = vec2u(a_line, a_k) + i * a_step;
            let from_a = min(k0 + at_a.y, k - 1u) * params.a_col;
            // Past the end of k one of the factors has to be zero.
            let left = select(0.0, half_of(a[row_at(batch, row0 + at_a.x, m) + from_a]), k0 + at_a.y < k);
            a_tile[at_a.x * LINE + at_a.y] = f16(left);
            let at_b = vec2u(b_line, b_k) + i * b_step;
            let from_b = min(k0 + at_b.y, k - 1u);
            let col = min(col0 + at_b.x, n - 1u);
            var weight = number_of_b(column_at(batch, col, n) + from_b * params.b_row);
            if with_diagonal {
                weight += added_to_b(from_b, col);
            }
            b_tile[at_b.x * LINE + at_b.y] = f16(half_of(weight));
        }
        workgroupBarrier();
        for (var kk = 0u; kk < TILE_K; kk += SIDE) {
            let b0 = coopLoad<coop_mat16x16<f16, B>>(&b_tile[own_col * LINE + kk], LINE);
            let b1 = coopLoad<coop_mat16x16<f16, B>>(&b_tile[(own_col + SIDE) * LINE + kk], LINE);
            let a0 = coopLoadT<coop_mat16x16<f16, A>>(&a_tile[own_row * LINE + kk], LINE);
            c00 = coopMultiplyAdd(a0, b0, c00);
            c01 = coopMultiplyAdd(a0, b1, c01);
            let a1 = coopLoadT<coop_mat16x16<f16, A>>(&a_tile[(own_row + SIDE) * LINE + kk], LINE);
            c10 = coopMultiplyAdd(a1, b0, c10);
            c11 = coopMultiplyAdd(a1, b1, c11);
            let a2 = coopLoadT<coop_mat16x16<f16, A>>(&a_tile[(own_row + 2u * SIDE) * LINE + kk], LINE);
            c20 = coopMultiplyAdd(a2, b0, c20);
            c21 = coopMultiplyAdd(a2, b1, c21);
            let a3 = coopLoadT<coop_mat16x16<f16, A>>(&a_tile[(own_row + 3u * SIDE) * LINE + kk], LINE);
            c30 = coopMultiplyAdd(a3, b0, c30);
            c31 = coopMultiplyAdd(a3, b1, c31);
        }
        workgroupBarrier();
    }
    let part = subgroup * SIDE * SIDE;
    let row = row0 + own_row;
    let col = col0 + own_col;
    coopStoreT(c00, &c_part[part], SIDE);
    workgroupBarrier();
    store_part(batch, row, col, part, lane, m, n);
    workgroupBarrier();
    coopStoreT(c01, &c_part[part], SIDE);
    workgroupBarrier();
    store_part(batch, row, col + SIDE, part, lane, m, n);
    workgroupBarrier();
    coopStoreT(c10, &c_part[part], SIDE);
    workgroupBarrier();
    store_part(batch, row + SIDE, col, part, lane, m, n);
    workgroupBarrier();
    coopStoreT(c11, &c_part[part], SIDE);
    workgroupBarrier();
    store_part(batch, row + SIDE, col + SIDE, part, lane, m, n);
    workgroupBarrier();
    coopStoreT(c20, &c_part[part], SIDE);
    workgroupBarrier();
    store_part(batch, row + 2u * SIDE, col, part, lane, m, n);
    workgroupBarrier();
    coopStoreT(c21, &c_part[part], SIDE);
    workgroupBarrier();
    store_part(batch, row + 2u * SIDE, col + SIDE, part, lane, m, n);
    workgroupBarrier();
    coopStoreT(c30, &c_part[part], SIDE);
    workgroupBarrier();
    store_part(batch, row + 3u * SIDE, col, part, lane, m, n);
    workgroupBarrier();
    coopStoreT(c31, &c_part[part], SIDE);
    workgroupBarrier();
    store_part(batch, row + 3u * SIDE, col + SIDE, part, lane, m, n);
}
