// A product by matrix units: factors in f16, sums in f32. A workgroup of 256 threads computes 128 x 128 of C, each of its eight subgroups
// 64 x 32 of it as 4 x 2 matrices of 16 x 16.
const OWN_ROWS: u32 = 64u;
const OWN_COLS: u32 = 32u;
const PER_ROW: u32 = 4u; // subgroups side by side

// A part of C goes through workgroup memory: what a thread holds of it is the driver's business.
fn store_part(batch: u32, row: u32, col: u32, part: u32, lane: u32) {
    for (var i = lane; i < SIDE * SIDE; i += LANES) {
        let at = vec2u(row + i / SIDE, col + i % SIDE);
        if at.x < params.m && at.y < params.n {
            store_one(batch, at.x, at.y, c_part[part + i]);
        }
    }
}

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    // Not by the built-in values: a driver was seen to crash on a shader with matrix units that asks for anything else of subgroups
    // (NVIDIA 595.58, github.com/kvark/blade/issues/333). Where subgroups lie otherwise the check of the results finds out.
    let subgroup = thread / LANES;
    let batch = workgroup.z;
    // Matrix units want control flow that is seen to be the same for all, and what a function gives is not: so all of this stands here.
    let id = workgroup.y * grid.x + workgroup.x;
    let first_row = id / (TOGETHER * grid.x) * TOGETHER;
    let rows = min(grid.y - first_row, TOGETHER);
    let within = id % (TOGETHER * grid.x);
    let row0 = (first_row + within % rows) * TILE;
    let col0 = within / rows * TILE;
    let lane = thread % LANES;
    let own_row = subgroup / PER_ROW * OWN_ROWS;
    let own_col = (subgroup % PER_ROW) * OWN_COLS;
    var c00 = coop_mat16x16<f32, C>();
    var c01 = coop_mat16x16<f32, C>();
    var c10 = coop_mat16x16<f32, C>();
    var c11 = coop_mat16x16<f32, C>();
    var c20 = coop_mat16x16<f32, C>();
    var c21 = coop_mat16x16<f32, C>();
    var c30 = coop_mat16x16<f32, C>();
    var c31 = coop_mat16x16<f32, C>();
    var a_unit0 = unit_of_a(batch, row0, 0u, thread);
    var b_unit0 = unit_of_b(batch, col0, 0u, thread);
    var a_unit1 = unit_of_a(batch, row0, 0u, thread + THREADS);
    var b_unit1 = unit_of_b(batch, col0, 0u, thread + THREADS);
    var a_unit2 = unit_of_a(batch, row0, 0u, thread + 2u * THREADS);
    var b_unit2 = unit_of_b(batch, col0, 0u, thread + 2u * THREADS);
    var a_unit3 = unit_of_a(batch, row0, 0u, thread + 3u * THREADS);
    var b_unit3 = unit_of_b(batch, col0, 0u, thread + 3u * THREADS);
    let beside = diagonal_beside(col0, TILE);
    for (var k0 = 0u; k0 < params.k; k0 += TILE_K) {
        let with_diagonal = k0 < beside.y && k0 + TILE_K > beside.x;
        put_a(thread, a_unit0, k0);
        put_b(thread, b_unit0, k0, col0, with_diagonal);
        put_a(thread + THREADS, a_unit1, k0);
        put_b(thread + THREADS, b_unit1, k0, col0, with_diagonal);
        put_a(thread + 2u * THREADS, a_unit2, k0);
        put_b(thread + 2u * THREADS, b_unit2, k0, col0, with_diagonal);
        put_a(thread + 3u * THREADS, a_unit3, k0);
        put_b(thread + 3u * THREADS, b_unit3, k0, col0, with_diagonal);
        workgroupBarrier();
        // What comes next is read while the matrix units multiply.
        a_unit0 = unit_of_a(batch, row0, k0 + TILE_K, thread);
        b_unit0 = unit_of_b(batch, col0, k0 + TILE_K, thread);
        a_unit1 = unit_of_a(batch, row0, k0 + TILE_K, thread + THREADS);
        b_unit1 = unit_of_b(batch, col0, k0 + TILE_K, thread + THREADS);
        a_unit2 = unit_of_a(batch, row0, k0 + TILE_K, thread + 2u * THREADS);
        b_unit2 = unit_of_b(batch, col0, k0 + TILE_K, thread + 2u * THREADS);
        a_unit3 = unit_of_a(batch, row0, k0 + TILE_K, thread + 3u * THREADS);
        b_unit3 = unit_of_b(batch, col0, k0 + TILE_K, thread + 3u * THREADS);
        for (var kk = 0u; kk < TILE_K; kk += SIDE) {
            var b0 = coop_mat16x16<f16, B>();
            var b1 = coop_mat16x16<f16, B>();
            if B_ALONG_K == 1u {
                b0 = coopLoad<coop_mat16x16<f16, B>>(&b_tile[own_col * LINE_K + kk / 4u], LINE_K);
                b1 = coopLoad<coop_mat16x16<f16, B>>(&b_tile[(own_col + 16u) * LINE_K + kk / 4u], LINE_K);
            } else {
                b0 = coopLoadT<coop_mat16x16<f16, B>>(&b_tile[kk * LINE_M + own_col / 4u], LINE_M);
                b1 = coopLoadT<coop_mat16x16<f16, B>>(&b_tile[kk * LINE_M + (own_col + 16u) / 4u], LINE_M);
            }
            var a0 = coop_mat16x16<f16, A>();
            var a1 = coop_mat16x16<f16, A>();
            var a2 = coop_mat16x16<f16, A>();
            var a3 = coop_mat16x16<f16, A>();
            if A_ALONG_K == 1u {
                a0 = coopLoadT<coop_mat16x16<f16, A>>(&a_tile[own_row * LINE_K + kk / 4u], LINE_K);
                a1 = coopLoadT<coop_mat16x16<f16, A>>(&a_tile[(own_row + 16u) * LINE_K + kk / 4u], LINE_K);
                a2 = coopLoadT<coop_mat16x16<f16, A>>(&a_tile[(own_row + 32u) * LINE_K + kk / 4u], LINE_K);
                a3 = coopLoadT<coop_mat16x16<f16, A>>(&a_tile[(own_row + 48u) * LINE_K + kk / 4u], LINE_K);
            } else {
                a0 = coopLoad<coop_mat16x16<f16, A>>(&a_tile[kk * LINE_M + own_row / 4u], LINE_M);
                a1 = coopLoad<coop_mat16x16<f16, A>>(&a_tile[kk * LINE_M + (own_row + 16u) / 4u], LINE_M);
                a2 = coopLoad<coop_mat16x16<f16, A>>(&a_tile[kk * LINE_M + (own_row + 32u) / 4u], LINE_M);
                a3 = coopLoad<coop_mat16x16<f16, A>>(&a_tile[kk * LINE_M + (own_row + 48u) / 4u], LINE_M);
            }
            c00 = coopMultiplyAdd(a0, b0, c00);
            c01 = coopMultiplyAdd(a0, b1, c01);
            c10 = coopMultiplyAdd(a1, b0, c10);
            c11 = coopMultiplyAdd(a1, b1, c11);
            c20 = coopMultiplyAdd(a2, b0, c20);
            c21 = coopMultiplyAdd(a2, b1, c21);
            c30 = coopMultiplyAdd(a3, b0, c30);
            c31 = coopMultiplyAdd(a3, b1, c31);
        }
        workgroupBarrier();
    }
    let row = row0 + own_row;
    let col = col0 + own_col;
    // A whole tile that nothing is added to but numbers that lie as it does, at multiples of four numbers: matrices of f32 have to.
    let placed = ((params.c_offset | params.c_row | params.c_batch) & 3u) == 0u;
    if (row0 + TILE <= params.m) & (col0 + TILE <= params.n) & ((params.flags & ADD_BIAS) == 0u) & placed {
        // By names, since naga 30 forgets to compute what a store of a matrix is told in place.
        let first = params.c_offset + batch * params.c_batch + row * params.c_row + col;
        let stride = params.c_row;
        let line = SIDE * stride;
        if params.alpha != 1.0 {
            c00 = params.alpha * c00;
            c01 = params.alpha * c01;
            c10 = params.alpha * c10;
            c11 = params.alpha * c11;
            c20 = params.alpha * c20;
            c21 = params.alpha * c21;
            c30 = params.alpha * c30;
            c31 = params.alpha * c31;
        }
        if (params.flags & ADD_RESIDUAL) != 0u {
            c00 = c00 + coopLoadT<coop_mat16x16<f32, C>>(&residual[first], stride);
            c01 = c01 + coopLoadT<coop_mat16x16<f32, C>>(&residual[first + 16u], stride);
            c10 = c10 + coopLoadT<coop_mat16x16<f32, C>>(&residual[first + line], stride);
            c11 = c11 + coopLoadT<coop_mat16x16<f32, C>>(&residual[first + line + 16u], stride);
            c20 = c20 + coopLoadT<coop_mat16x16<f32, C>>(&residual[first + 2u * line], stride);
            c21 = c21 + coopLoadT<coop_mat16x16<f32, C>>(&residual[first + 2u * line + 16u], stride);
            c30 = c30 + coopLoadT<coop_mat16x16<f32, C>>(&residual[first + 3u * line], stride);
            c31 = c31 + coopLoadT<coop_mat16x16<f32, C>>(&residual[first + 3u * line + 16u], stride);
        }
        if (params.flags & ACCUMULATE) != 0u {
            c00 = c00 + coopLoadT<coop_mat16x16<f32, C>>(&c[first], stride);
            c01 = c01 + coopLoadT<coop_mat16x16<f32, C>>(&c[first + 16u], stride);
            c10 = c10 + coopLoadT<coop_mat16x16<f32, C>>(&c[first + line], stride);
            c11 = c11 + coopLoadT<coop_mat16x16<f32, C>>(&c[first + line + 16u], stride);
            c20 = c20 + coopLoadT<coop_mat16x16<f32, C>>(&c[first + 2u * line], stride);
            c21 = c21 + coopLoadT<coop_mat16x16<f32, C>>(&c[first + 2u * line + 16u], stride);
            c30 = c30 + coopLoadT<coop_mat16x16<f32, C>>(&c[first + 3u * line], stride);
            c31 = c31 + coopLoadT<coop_mat16x16<f32, C>>(&c[first + 3u * line + 16u], stride);
        }
        let at00 = first;
        let at01 = first + 16u;
        let at10 = first + line;
        let at11 = first + line + 16u;
        let at20 = first + 2u * line;
        let at21 = first + 2u * line + 16u;
        let at30 = first + 3u * line;
        let at31 = first + 3u * line + 16u;
        coopStoreT(c00, &c[at00], stride);
        coopStoreT(c01, &c[at01], stride);
        coopStoreT(c10, &c[at10], stride);
        coopStoreT(c11, &c[at11], stride);
        coopStoreT(c20, &c[at20], stride);
        coopStoreT(c21, &c[at21], stride);
        coopStoreT(c30, &c[at30], stride);
        coopStoreT(c31, &c[at31], stride);
        return;
    }
    let part = subgroup * SIDE * SIDE;
    coopStoreT(c00, &c_part[part], SIDE);
    workgroupBarrier();
    store_part(batch, row, col, part, lane);
    workgroupBarrier();
    coopStoreT(c01, &c_part[part], SIDE);
    workgroupBarrier();
    store_part(batch, row, col + 16u, part, lane);
    workgroupBarrier();
    coopStoreT(c10, &c_part[part], SIDE);
    workgroupBarrier();
    store_part(batch, row + 16u, col, part, lane);
    workgroupBarrier();
    coopStoreT(c11, &c_part[part], SIDE);
    workgroupBarrier();
    store_part(batch, row + 16u, col + 16u, part, lane);
    workgroupBarrier();
    coopStoreT(c20, &c_part[part], SIDE);
    workgroupBarrier();
    store_part(batch, row + 32u, col, part, lane);
    workgroupBarrier();
    coopStoreT(c21, &c_part[part], SIDE);
    workgroupBarrier();
    store_part(batch, row + 32u, col + 16u, part, lane);
    workgroupBarrier();
    coopStoreT(c30, &c_part[part], SIDE);
    workgroupBarrier();
    store_part(batch, row + 48u, col, part, lane);
    workgroupBarrier();
    coopStoreT(c31, &c_part[part], SIDE);
    workgroupBarrier();
    store_part(batch, row + 48u, col + 16u, part, lane);
}
