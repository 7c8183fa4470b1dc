// Tiles of f16 in workgroup memory, for the products by matrix units. TILE (rows of A and columns of B), TILE_K and THREADS stand before
// this text.
const SIDE: u32 = 16u;
const LANES: u32 = 32u;
const UNITS_K: u32 = TILE_K / 8u;
const UNITS_M: u32 = TILE / 8u;
// Quads from a line of a tile to the next, two more than it has: so that loads meet different banks.
const LINE_K: u32 = TILE_K / 4u + 2u; // [row or column][k]
const LINE_M: u32 = TILE / 4u + 2u;   // [k][row or column]
const ROOM: u32 = max(TILE * LINE_K, TILE_K * LINE_M);
var<workgroup> a_tile: array<vec4<f16>, ROOM>;
var<workgroup> b_tile: array<vec4<f16>, ROOM>;
var<workgroup> c_part: array<f32, (THREADS / LANES) * SIDE * SIDE>; // of each subgroup: [row][column]

// Workgroups that run at the same time are to share rows and columns: so many rows of tiles are computed together, column by column.
const TOGETHER: u32 = 16u;

// Eight numbers of a factor, as they lie.
struct Unit { low: vec4u, high: vec4u }

// Where a unit lies in a tile: its line (a row or a column), and its number of k.
fn line_of(unit: u32, along_k: u32) -> u32 {
    return select((unit % UNITS_M) * 8u, unit / UNITS_K, along_k == 1u);
}

fn k_of(unit: u32, along_k: u32) -> u32 {
    return select(unit / UNITS_M, (unit % UNITS_K) * 8u, along_k == 1u);
}

fn quad_of(unit: u32, along_k: u32) -> u32 {
    let line = line_of(unit, along_k);
    let k = k_of(unit, along_k);
    return select(k * LINE_M + line / 4u, line * LINE_K + k / 4u, along_k == 1u);
}

fn unit_of_a(batch: u32, row0: u32, k0: u32, unit: u32) -> Unit {
    let at = place_in_a(batch, row0 + line_of(unit, A_ALONG_K), k0 + k_of(unit, A_ALONG_K)) >> 2u;
    return Unit(bitcast<vec4u>(a[at]), bitcast<vec4u>(a[at + 1u]));
}

fn unit_of_b(batch: u32, col0: u32, k0: u32, unit: u32) -> Unit {
    let at = place_in_b(batch, col0 + line_of(unit, B_ALONG_K), k0 + k_of(unit, B_ALONG_K));
    if FORMAT == 1u || FORMAT == 2u {
        let eight = b[at >> 3u];
        return Unit(vec4u(eight.xy, 0u, 0u), vec4u(eight.zw, 0u, 0u));
    }
    return Unit(words_of_b(at), words_of_b(at + 4u));
}

fn largest_of(x: vec4f) -> f32 {
    let size = abs(x);
    return max(max(size.x, size.y), max(size.z, size.w));
}

fn put_a(unit: u32, x: Unit, k0: u32) {
    let at = quad_of(unit, A_ALONG_K);
    var low = bitcast<vec4f>(x.low);
    var high = bitcast<vec4f>(x.high);
    // Past the end of k one of the factors has to be zero.
    if k0 + TILE_K > params.k && k0 + k_of(unit, A_ALONG_K) >= params.k {
        low = vec4f();
        high = vec4f();
    }
    if max(largest_of(low), largest_of(high)) > 65504.0 {
        low = saturated(low);
        high = saturated(high);
    }
    a_tile[at] = vec4<f16>(low);
    a_tile[at + 1u] = vec4<f16>(high);
}

fn put_b(unit: u32, x: Unit, k0: u32, col0: u32, with_diagonal: bool) {
    let at = quad_of(unit, B_ALONG_K);
    var low = widened(x.low);
    var high = widened(x.high);
    if with_diagonal {
        let col = col0 + line_of(unit, B_ALONG_K);
        let k = k0 + k_of(unit, B_ALONG_K);
        let right = select(4u, 0u, B_ALONG_K == 1u);
        low += four_added(col, k);
        high += four_added(col + right, k + 4u - right);
    }
    if max(largest_of(low), largest_of(high)) > 65504.0 {
        low = saturated(low);
        high = saturated(high);
    }
    b_tile[at] = vec4<f16>(low);
    b_tile[at + 1u] = vec4<f16>(high);
}
