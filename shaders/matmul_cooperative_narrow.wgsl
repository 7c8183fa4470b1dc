// A product by matrix units for few rows and columns and many numbers of k, such as the gradients of blocks: factors in f16, sums in f32.
// A workgroup of 512 threads computes 64 x 64 of C. Each of its sixteen subgroups multiplies 16 numbers of a tile's k for 32 x 32 of it,
// as 2 x 2 matrices of 16 x 16; what the four of a part made is added up at the end.
const OWN_ROWS: u32 = 32u;
const OWN_COLS: u32 = 32u;
const PER_ROW: u32 = 2u; // subgroups side by side
const PARTS: u32 = 4u;   // of a tile, each for a subgroup and for 16 numbers of k

// Adds up what the subgroups made of a matrix of each part, and stores it.
fn store_sums(batch: u32, row0: u32, col0: u32, thread: u32) {
    for (var i = thread; i < PARTS * SIDE * SIDE; i += THREADS) {
        let part = i / (SIDE * SIDE);
        let at = vec2u(row0 + part / PER_ROW * OWN_ROWS + i / SIDE % SIDE, col0 + part % PER_ROW * OWN_COLS + i % SIDE);
        if at.x < params.m && at.y < params.n {
            var sum = 0.0;
            for (var j = i; j < (THREADS / LANES) * SIDE * SIDE; j += PARTS * SIDE * SIDE) {
                sum += c_part[j];
            }
            store_one(batch, at.x, at.y, sum);
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
    let own_row = (subgroup % PARTS) / PER_ROW * OWN_ROWS;
    let own_col = (subgroup % PER_ROW) * OWN_COLS;
    let own_k = subgroup / PARTS * SIDE;
    var c00 = coop_mat16x16<f32, C>();
    var c01 = coop_mat16x16<f32, C>();
    var c10 = coop_mat16x16<f32, C>();
    var c11 = coop_mat16x16<f32, C>();
    var a_unit0 = unit_of_a(batch, row0, 0u, thread);
    var b_unit0 = unit_of_b(batch, col0, 0u, thread);
    let beside = diagonal_beside(col0, TILE);
    for (var k0 = 0u; k0 < params.k; k0 += TILE_K) {
        let with_diagonal = k0 < beside.y && k0 + TILE_K > beside.x;
        put_a(thread, a_unit0, k0);
        put_b(thread, b_unit0, k0, col0, with_diagonal);
        workgroupBarrier();
        // What comes next is read while the matrix units multiply.
        a_unit0 = unit_of_a(batch, row0, k0 + TILE_K, thread);
        b_unit0 = unit_of_b(batch, col0, k0 + TILE_K, thread);
        var b0 = coop_mat16x16<f16, B>();
        var b1 = coop_mat16x16<f16, B>();
        if B_ALONG_K == 1u {
            b0 = coopLoad<coop_mat16x16<f16, B>>(&b_tile[own_col * LINE_K + own_k / 4u], LINE_K);
            b1 = coopLoad<coop_mat16x16<f16, B>>(&b_tile[(own_col + 16u) * LINE_K + own_k / 4u], LINE_K);
        } else {
            b0 = coopLoadT<coop_mat16x16<f16, B>>(&b_tile[own_k * LINE_M + own_col / 4u], LINE_M);
            b1 = coopLoadT<coop_mat16x16<f16, B>>(&b_tile[own_k * LINE_M + (own_col + 16u) / 4u], LINE_M);
        }
        var a0 = coop_mat16x16<f16, A>();
        var a1 = coop_mat16x16<f16, A>();
        if A_ALONG_K == 1u {
            a0 = coopLoadT<coop_mat16x16<f16, A>>(&a_tile[own_row * LINE_K + own_k / 4u], LINE_K);
            a1 = coopLoadT<coop_mat16x16<f16, A>>(&a_tile[(own_row + 16u) * LINE_K + own_k / 4u], LINE_K);
        } else {
            a0 = coopLoad<coop_mat16x16<f16, A>>(&a_tile[own_k * LINE_M + own_row / 4u], LINE_M);
            a1 = coopLoad<coop_mat16x16<f16, A>>(&a_tile[own_k * LINE_M + (own_row + 16u) / 4u], LINE_M);
        }
        c00 = coopMultiplyAdd(a0, b0, c00);
        c01 = coopMultiplyAdd(a0, b1, c01);
        c10 = coopMultiplyAdd(a1, b0, c10);
        c11 = coopMultiplyAdd(a1, b1, c11);
        workgroupBarrier();
    }
    let part = subgroup * SIDE * SIDE;
    coopStoreT(c00, &c_part[part], SIDE);
    workgroupBarrier();
    store_sums(batch, row0 + 0u, col0 + 0u, thread);
    workgroupBarrier();
    coopStoreT(c01, &c_part[part], SIDE);
    workgroupBarrier();
    store_sums(batch, row0 + 0u, col0 + 16u, thread);
    workgroupBarrier();
    coopStoreT(c10, &c_part[part], SIDE);
    workgroupBarrier();
    store_sums(batch, row0 + 16u, col0 + 0u, thread);
    workgroupBarrier();
    coopStoreT(c11, &c_part[part], SIDE);
    workgroupBarrier();
    store_sums(batch, row0 + 16u, col0 + 16u, thread);
}
