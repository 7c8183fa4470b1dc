// A product by matrix units of factors that pack.wgsl left: f16, in the order in which they are copied. Sums are in f32. A workgroup of 128
// threads computes 128 x 128 of C, each of its four subgroups 64 x 64 of it as 4 x 4 matrices of 16 x 16.
struct Unit { low: vec4<f16>, high: vec4<f16> }
@group(0) @binding(0) var<storage, read> a: array<Unit>;
@group(0) @binding(1) var<storage, read> b: array<Unit>;

const TILE: u32 = 128u;
const TILE_K: u32 = 32u;
const THREADS: u32 = 128u;
const SIDE: u32 = 16u;
const LANES: u32 = 32u;
const OWN: u32 = 64u;
const UNITS: u32 = TILE * TILE_K / 8u; // of a tile
// Quads from a number of k to the next, two more than there are: so that loads meet different banks.
const LINE: u32 = TILE / 4u + 2u;
var<workgroup> a_tile: array<vec4<f16>, TILE_K * LINE>; // [k][row]
var<workgroup> b_tile: array<vec4<f16>, TILE_K * LINE>; // [k][column]
var<workgroup> c_part: array<f32, (THREADS / LANES) * SIDE * SIDE>; // of each subgroup: [row][column]

// Workgroups that run at the same time are to share rows and columns: so many rows of tiles are computed together, column by column.
const TOGETHER: u32 = 8u;

// Where a thread's units lie in a tile: quads from the first one.
fn quad_of(unit: u32) -> u32 {
    return unit / (TILE / 8u) * LINE + unit % (TILE / 8u) * 2u;
}

// A part of C goes through workgroup memory: what a thread holds of it is the driver's business.
fn store_part(row: u32, col: u32, part: u32, lane: u32) {
    for (var i = lane; i < SIDE * SIDE; i += LANES) {
        let at = vec2u(row + i / SIDE, col + i % SIDE);
        if at.x < params.m && at.y < params.n {
            store_one(0u, at.x, at.y, c_part[part + i]);
        }
    }
}

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    // Subgroups as in matmul_cooperative.wgsl.
    let subgroup = thread / LANES;
    let lane = thread % LANES;
    let id = workgroup.y * grid.x + workgroup.x;
    let first_row = id / (TOGETHER * grid.x) * TOGETHER;
    let rows = min(grid.y - first_row, TOGETHER);
    let within = id % (TOGETHER * grid.x);
    let row_tile = first_row + within % rows;
    let col_tile = within / rows;
    let own_row = subgroup / 2u * OWN;
    let own_col = subgroup % 2u * OWN;
    let tiles = (params.k + TILE_K - 1u) / TILE_K;
    var a_at = row_tile * tiles * UNITS + thread;
    var b_at = col_tile * tiles * UNITS + thread;
    let quad0 = quad_of(thread);
    let quad1 = quad_of(thread + THREADS);
    let quad2 = quad_of(thread + 2u * THREADS);
    let quad3 = quad_of(thread + 3u * THREADS);
    var c00 = coop_mat16x16<f32, C>();
    var c01 = coop_mat16x16<f32, C>();
    var c02 = coop_mat16x16<f32, C>();
    var c03 = coop_mat16x16<f32, C>();
    var c10 = coop_mat16x16<f32, C>();
    var c11 = coop_mat16x16<f32, C>();
    var c12 = coop_mat16x16<f32, C>();
    var c13 = coop_mat16x16<f32, C>();
    var c20 = coop_mat16x16<f32, C>();
    var c21 = coop_mat16x16<f32, C>();
    var c22 = coop_mat16x16<f32, C>();
    var c23 = coop_mat16x16<f32, C>();
    var c30 = coop_mat16x16<f32, C>();
    var c31 = coop_mat16x16<f32, C>();
    var c32 = coop_mat16x16<f32, C>();
    var c33 = coop_mat16x16<f32, C>();
    var a_unit0 = a[a_at];
    var a_unit1 = a[a_at + THREADS];
    var a_unit2 = a[a_at + 2u * THREADS];
    var a_unit3 = a[a_at + 3u * THREADS];
    var b_unit0 = b[b_at];
    var b_unit1 = b[b_at + THREADS];
    var b_unit2 = b[b_at + 2u * THREADS];
    var b_unit3 = b[b_at + 3u * THREADS];
    for (var tile = 0u; tile < tiles; tile++) {
        a_tile[quad0] = a_unit0.low;
        a_tile[quad0 + 1u] = a_unit0.high;
        a_tile[quad1] = a_unit1.low;
        a_tile[quad1 + 1u] = a_unit1.high;
        a_tile[quad2] = a_unit2.low;
        a_tile[quad2 + 1u] = a_unit2.high;
        a_tile[quad3] = a_unit3.low;
        a_tile[quad3 + 1u] = a_unit3.high;
        b_tile[quad0] = b_unit0.low;
        b_tile[quad0 + 1u] = b_unit0.high;
        b_tile[quad1] = b_unit1.low;
        b_tile[quad1 + 1u] = b_unit1.high;
        b_tile[quad2] = b_unit2.low;
        b_tile[quad2 + 1u] = b_unit2.high;
        b_tile[quad3] = b_unit3.low;
        b_tile[quad3 + 1u] = b_unit3.high;
        workgroupBarrier();
        // What comes next is read while the matrix units multiply; after the last tile, that one again.
        if tile + 1u < tiles {
            a_at += UNITS;
            b_at += UNITS;
        }
        a_unit0 = a[a_at];
        a_unit1 = a[a_at + THREADS];
        a_unit2 = a[a_at + 2u * THREADS];
        a_unit3 = a[a_at + 3u * THREADS];
        b_unit0 = b[b_at];
        b_unit1 = b[b_at + THREADS];
        b_unit2 = b[b_at + 2u * THREADS];
        b_unit3 = b[b_at + 3u * THREADS];
        for (var k = 0u; k < TILE_K; k += SIDE) {
            let b0 = coopLoadT<coop_mat16x16<f16, B>>(&b_tile[k * LINE + own_col / 4u], LINE);
            let b1 = coopLoadT<coop_mat16x16<f16, B>>(&b_tile[k * LINE + own_col / 4u + 4u], LINE);
            let b2 = coopLoadT<coop_mat16x16<f16, B>>(&b_tile[k * LINE + own_col / 4u + 8u], LINE);
            let b3 = coopLoadT<coop_mat16x16<f16, B>>(&b_tile[k * LINE + own_col / 4u + 12u], LINE);
            let a0 = coopLoad<coop_mat16x16<f16, A>>(&a_tile[k * LINE + own_row / 4u], LINE);
            c00 = coopMultiplyAdd(a0, b0, c00);
            c01 = coopMultiplyAdd(a0, b1, c01);
            c02 = coopMultiplyAdd(a0, b2, c02);
            c03 = coopMultiplyAdd(a0, b3, c03);
            let a1 = coopLoad<coop_mat16x16<f16, A>>(&a_tile[k * LINE + own_row / 4u + 4u], LINE);
            c10 = coopMultiplyAdd(a1, b0, c10);
            c11 = coopMultiplyAdd(a1, b1, c11);
            c12 = coopMultiplyAdd(a1, b2, c12);
            c13 = coopMultiplyAdd(a1, b3, c13);
            let a2 = coopLoad<coop_mat16x16<f16, A>>(&a_tile[k * LINE + own_row / 4u + 8u], LINE);
            c20 = coopMultiplyAdd(a2, b0, c20);
            c21 = coopMultiplyAdd(a2, b1, c21);
            c22 = coopMultiplyAdd(a2, b2, c22);
            c23 = coopMultiplyAdd(a2, b3, c23);
            let a3 = coopLoad<coop_mat16x16<f16, A>>(&a_tile[k * LINE + own_row / 4u + 12u], LINE);
            c30 = coopMultiplyAdd(a3, b0, c30);
            c31 = coopMultiplyAdd(a3, b1, c31);
            c32 = coopMultiplyAdd(a3, b2, c32);
            c33 = coopMultiplyAdd(a3, b3, c33);
        }
        workgroupBarrier();
    }
    let row = row_tile * TILE + own_row;
    let col = col_tile * TILE + own_col;
    // A whole part that nothing is added to but numbers that lie as it does, at multiples of four numbers: matrices of f32 have to.
    let placed = ((params.c_offset | params.c_row) & 3u) == 0u;
    if (row_tile * TILE + TILE <= params.m) & (col_tile * TILE + TILE <= params.n) & ((params.flags & ADD_BIAS) == 0u) & placed {
        // By names, since naga 30 forgets to compute what a store of a matrix is told in place.
        let stride = params.c_row;
        let line = SIDE * stride;
        let at00 = params.c_offset + row * stride + col;
        let at01 = at00 + 16u;
        let at02 = at00 + 32u;
        let at03 = at00 + 48u;
        let at10 = at00 + line;
        let at11 = at00 + line + 16u;
        let at12 = at00 + line + 32u;
        let at13 = at00 + line + 48u;
        let at20 = at00 + 2u * line;
        let at21 = at00 + 2u * line + 16u;
        let at22 = at00 + 2u * line + 32u;
        let at23 = at00 + 2u * line + 48u;
        let at30 = at00 + 3u * line;
        let at31 = at00 + 3u * line + 16u;
        let at32 = at00 + 3u * line + 32u;
        let at33 = at00 + 3u * line + 48u;
        if params.alpha != 1.0 {
            c00 = params.alpha * c00;
            c01 = params.alpha * c01;
            c02 = params.alpha * c02;
            c03 = params.alpha * c03;
            c10 = params.alpha * c10;
            c11 = params.alpha * c11;
            c12 = params.alpha * c12;
            c13 = params.alpha * c13;
            c20 = params.alpha * c20;
            c21 = params.alpha * c21;
            c22 = params.alpha * c22;
            c23 = params.alpha * c23;
            c30 = params.alpha * c30;
            c31 = params.alpha * c31;
            c32 = params.alpha * c32;
            c33 = params.alpha * c33;
        }
        if (params.flags & ADD_RESIDUAL) != 0u {
            c00 = c00 + coopLoadT<coop_mat16x16<f32, C>>(&residual[at00], stride);
            c01 = c01 + coopLoadT<coop_mat16x16<f32, C>>(&residual[at01], stride);
            c02 = c02 + coopLoadT<coop_mat16x16<f32, C>>(&residual[at02], stride);
            c03 = c03 + coopLoadT<coop_mat16x16<f32, C>>(&residual[at03], stride);
            c10 = c10 + coopLoadT<coop_mat16x16<f32, C>>(&residual[at10], stride);
            c11 = c11 + coopLoadT<coop_mat16x16<f32, C>>(&residual[at11], stride);
            c12 = c12 + coopLoadT<coop_mat16x16<f32, C>>(&residual[at12], stride);
            c13 = c13 + coopLoadT<coop_mat16x16<f32, C>>(&residual[at13], stride);
            c20 = c20 + coopLoadT<coop_mat16x16<f32, C>>(&residual[at20], stride);
            c21 = c21 + coopLoadT<coop_mat16x16<f32, C>>(&residual[at21], stride);
            c22 = c22 + coopLoadT<coop_mat16x16<f32, C>>(&residual[at22], stride);
            c23 = c23 + coopLoadT<coop_mat16x16<f32, C>>(&residual[at23], stride);
            c30 = c30 + coopLoadT<coop_mat16x16<f32, C>>(&residual[at30], stride);
            c31 = c31 + coopLoadT<coop_mat16x16<f32, C>>(&residual[at31], stride);
            c32 = c32 + coopLoadT<coop_mat16x16<f32, C>>(&residual[at32], stride);
            c33 = c33 + coopLoadT<coop_mat16x16<f32, C>>(&residual[at33], stride);
        }
        if (params.flags & ACCUMULATE) != 0u {
            c00 = c00 + coopLoadT<coop_mat16x16<f32, C>>(&c[at00], stride);
            c01 = c01 + coopLoadT<coop_mat16x16<f32, C>>(&c[at01], stride);
            c02 = c02 + coopLoadT<coop_mat16x16<f32, C>>(&c[at02], stride);
            c03 = c03 + coopLoadT<coop_mat16x16<f32, C>>(&c[at03], stride);
            c10 = c10 + coopLoadT<coop_mat16x16<f32, C>>(&c[at10], stride);
            c11 = c11 + coopLoadT<coop_mat16x16<f32, C>>(&c[at11], stride);
            c12 = c12 + coopLoadT<coop_mat16x16<f32, C>>(&c[at12], stride);
            c13 = c13 + coopLoadT<coop_mat16x16<f32, C>>(&c[at13], stride);
            c20 = c20 + coopLoadT<coop_mat16x16<f32, C>>(&c[at20], stride);
            c21 = c21 + coopLoadT<coop_mat16x16<f32, C>>(&c[at21], stride);
            c22 = c22 + coopLoadT<coop_mat16x16<f32, C>>(&c[at22], stride);
            c23 = c23 + coopLoadT<coop_mat16x16<f32, C>>(&c[at23], stride);
            c30 = c30 + coopLoadT<coop_mat16x16<f32, C>>(&c[at30], stride);
            c31 = c31 + coopLoadT<coop_mat16x16<f32, C>>(&c[at31], stride);
            c32 = c32 + coopLoadT<coop_mat16x16<f32, C>>(&c[at32], stride);
            c33 = c33 + coopLoadT<coop_mat16x16<f32, C>>(&c[at33], stride);
        }
        coopStoreT(c00, &c[at00], stride);
        coopStoreT(c01, &c[at01], stride);
        coopStoreT(c02, &c[at02], stride);
        coopStoreT(c03, &c[at03], stride);
        coopStoreT(c10, &c[at10], stride);
        coopStoreT(c11, &c[at11], stride);
        coopStoreT(c12, &c[at12], stride);
        coopStoreT(c13, &c[at13], stride);
        coopStoreT(c20, &c[at20], stride);
        coopStoreT(c21, &c[at21], stride);
        coopStoreT(c22, &c[at22], stride);
        coopStoreT(c23, &c[at23], stride);
        coopStoreT(c30, &c[at30], stride);
        coopStoreT(c31, &c[at31], stride);
        coopStoreT(c32, &c[at32], stride);
        coopStoreT(c33, &c[at33], stride);
        return;
    }
    let part = subgroup * SIDE * SIDE;
    coopStoreT(c00, &c_part[part], SIDE);
    workgroupBarrier();
    store_part(row, col, part, lane);
    workgroupBarrier();
    coopStoreT(c01, &c_part[part], SIDE);
    workgroupBarrier();
    store_part(row, col + 16u, part, lane);
    workgroupBarrier();
    coopStoreT(c02, &c_part[part], SIDE);
    workgroupBarrier();
    store_part(row, col + 32u, part, lane);
    workgroupBarrier();
    coopStoreT(c03, &c_part[part], SIDE);
    workgroupBarrier();
    store_part(row, col + 48u, part, lane);
    workgroupBarrier();
    coopStoreT(c10, &c_part[part], SIDE);
    workgroupBarrier();
    store_part(row + 16u, col, part, lane);
    workgroupBarrier();
    coopStoreT(c11, &c_part[part], SIDE);
    workgroupBarrier();
    store_part(row + 16u, col + 16u, part, lane);
    workgroupBarrier();
    coopStoreT(c12, &c_part[part], SIDE);
    workgroupBarrier();
    store_part(row + 16u, col + 32u, part, lane);
    workgroupBarrier();
    coopStoreT(c13, &c_part[part], SIDE);
    workgroupBarrier();
    store_part(row + 16u, col + 48u, part, lane);
    workgroupBarrier();
    coopStoreT(c20, &c_part[part], SIDE);
    workgroupBarrier();
    store_part(row + 32u, col, part, lane);
    workgroupBarrier();
    coopStoreT(c21, &c_part[part], SIDE);
    workgroupBarrier();
    store_part(row + 32u, col + 16u, part, lane);
    workgroupBarrier();
    coopStoreT(c22, &c_part[part], SIDE);
    workgroupBarrier();
    store_part(row + 32u, col + 32u, part, lane);
    workgroupBarrier();
    coopStoreT(c23, &c_part[part], SIDE);
    workgroupBarrier();
    store_part(row + 32u, col + 48u, part, lane);
    workgroupBarrier();
    coopStoreT(c30, &c_part[part], SIDE);
    workgroupBarrier();
    store_part(row + 48u, col, part, lane);
    workgroupBarrier();
    coopStoreT(c31, &c_part[part], SIDE);
    workgroupBarrier();
    store_part(row + 48u, col + 16u, part, lane);
    workgroupBarrier();
    coopStoreT(c32, &c_part[part], SIDE);
    workgroupBarrier();
    store_part(row + 48u, col + 32u, part, lane);
    workgroupBarrier();
    coopStoreT(c33, &c_part[part], SIDE);
    workgroupBarrier();
    store_part(row + 48u, col + 48u, part, lane);
}
