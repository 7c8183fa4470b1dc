// A product by tiles in workgroup memory, for large matrices. A workgroup of 16 x 16 threads computes 128 x 128 of C, a thread 8 x 8 of it:
// rows and columns 4 local .. + 3 of both halves of the tile. What comes next is read while the threads multiply.
const SIDE: u32 = 16u;
const TILE: u32 = 128u;
const TILE_K: u32 = 16u;
const QUADS: u32 = TILE / 4u;
const TOGETHER: u32 = 16u;
const MIDDLE: u32 = TILE / 2u;
var<workgroup> a_tile: array<vec4f, TILE_K * QUADS>; // [TILE_K][QUADS]: four rows of A each
var<workgroup> b_tile: array<vec4f, TILE_K * QUADS>; // [TILE_K][QUADS]: four columns of B each

// 4 x 4 numbers of a factor, as they lie: half of the threads copy A, the other half B.
struct Piece { line0: vec4u, line1: vec4u, line2: vec4u, line3: vec4u }

// Where quads of a number of k lie in a tile: so that threads meet different banks, whichever way they copy.
fn at(k: u32, quad: u32) -> u32 {
    return k * QUADS + (quad ^ ((k >> 1u) & 6u));
}

// Four lines of four numbers: lines of rows where k lies side by side, and of numbers of k otherwise.
fn piece_of_a(batch: u32, row: u32, k: u32) -> Piece {
    if A_ALONG_K == 1u {
        return Piece(
            bitcast<vec4u>(a[place_in_a(batch, row, k) >> 2u]),
            bitcast<vec4u>(a[place_in_a(batch, row + 1u, k) >> 2u]),
            bitcast<vec4u>(a[place_in_a(batch, row + 2u, k) >> 2u]),
            bitcast<vec4u>(a[place_in_a(batch, row + 3u, k) >> 2u]),
        );
    }
    return Piece(
        bitcast<vec4u>(a[place_in_a(batch, row, k) >> 2u]),
        bitcast<vec4u>(a[place_in_a(batch, row, k + 1u) >> 2u]),
        bitcast<vec4u>(a[place_in_a(batch, row, k + 2u) >> 2u]),
        bitcast<vec4u>(a[place_in_a(batch, row, k + 3u) >> 2u]),
    );
}

fn piece_of_b(batch: u32, col: u32, k: u32) -> Piece {
    if B_ALONG_K == 1u {
        return Piece(
            words_of_b(place_in_b(batch, col, k)),
            words_of_b(place_in_b(batch, col + 1u, k)),
            words_of_b(place_in_b(batch, col + 2u, k)),
            words_of_b(place_in_b(batch, col + 3u, k)),
        );
    }
    return Piece(
        words_of_b(place_in_b(batch, col, k)),
        words_of_b(place_in_b(batch, col, k + 1u)),
        words_of_b(place_in_b(batch, col, k + 2u)),
        words_of_b(place_in_b(batch, col, k + 3u)),
    );
}

// Four numbers of k, each with four rows or columns.
struct Lines { k0: vec4f, k1: vec4f, k2: vec4f, k3: vec4f }

fn turned(x: Lines, along_k: bool) -> Lines {
    if !along_k {
        return x;
    }
    return Lines(
        vec4f(x.k0.x, x.k1.x, x.k2.x, x.k3.x),
        vec4f(x.k0.y, x.k1.y, x.k2.y, x.k3.y),
        vec4f(x.k0.z, x.k1.z, x.k2.z, x.k3.z),
        vec4f(x.k0.w, x.k1.w, x.k2.w, x.k3.w),
    );
}

fn put_a(p: Piece, k: u32, quad: u32, k0: u32) {
    let lines = Lines(bitcast<vec4f>(p.line0), bitcast<vec4f>(p.line1), bitcast<vec4f>(p.line2), bitcast<vec4f>(p.line3));
    var x = turned(lines, A_ALONG_K == 1u);
    // Past the end of k one of the factors has to be zero.
    if k0 + TILE_K > params.k {
        let there = vec4u(k0 + k) + vec4u(0u, 1u, 2u, 3u) < vec4u(params.k);
        x.k0 = select(vec4f(), x.k0, there.x);
        x.k1 = select(vec4f(), x.k1, there.y);
        x.k2 = select(vec4f(), x.k2, there.z);
        x.k3 = select(vec4f(), x.k3, there.w);
    }
    a_tile[at(k, quad)] = factors(x.k0);
    a_tile[at(k + 1u, quad)] = factors(x.k1);
    a_tile[at(k + 2u, quad)] = factors(x.k2);
    a_tile[at(k + 3u, quad)] = factors(x.k3);
}

fn put_b(p: Piece, k: u32, quad: u32, k0: u32, col: u32, with_diagonal: bool) {
    var lines = Lines(widened(p.line0), widened(p.line1), widened(p.line2), widened(p.line3));
    if with_diagonal {
        let down = select(0u, 1u, B_ALONG_K == 1u);
        let right = 1u - down;
        lines.k0 += four_added(col, k0 + k);
        lines.k1 += four_added(col + down, k0 + k + right);
        lines.k2 += four_added(col + 2u * down, k0 + k + 2u * right);
        lines.k3 += four_added(col + 3u * down, k0 + k + 3u * right);
    }
    let x = turned(lines, B_ALONG_K == 1u);
    b_tile[at(k, quad)] = factors(x.k0);
    b_tile[at(k + 1u, quad)] = factors(x.k1);
    b_tile[at(k + 2u, quad)] = factors(x.k2);
    b_tile[at(k + 3u, quad)] = factors(x.k3);
}

@compute @workgroup_size(SIDE, SIDE)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_id) local: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    let batch = workgroup.z;
    let m = params.m;
    let n = params.n;
    let k = params.k;
    // Workgroups that run at the same time are to share rows and columns: so many rows of tiles are computed together, column by column.
    let id = workgroup.y * grid.x + workgroup.x;
    let first_row = id / (TOGETHER * grid.x) * TOGETHER;
    let rows = min(grid.y - first_row, TOGETHER);
    let within = id % (TOGETHER * grid.x);
    let row0 = (first_row + within % rows) * TILE;
    let col0 = within / rows * TILE;
    let copies_a = thread < 128u;
    let copied = thread % 128u;
    // Neighbouring threads read neighbouring numbers, whichever way the matrix lies.
    let along_k = select(B_ALONG_K, A_ALONG_K, copies_a) == 1u;
    let quad = select(copied % QUADS, copied / 4u, along_k);
    let copied_k = select(copied / QUADS, copied % 4u, along_k) * 4u;
    let line = select(col0, row0, copies_a) + quad * 4u;
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
    var piece = Piece();
    if copies_a {
        piece = piece_of_a(batch, line, copied_k);
    } else {
        piece = piece_of_b(batch, line, copied_k);
    }
    let beside = diagonal_beside(col0, TILE);
    for (var k0 = 0u; k0 < k; k0 += TILE_K) {
        let with_diagonal = k0 < beside.y && k0 + TILE_K > beside.x;
        if copies_a {
            put_a(piece, copied_k, quad, k0);
        } else {
            put_b(piece, copied_k, quad, k0, line, with_diagonal);
        }
        workgroupBarrier();
        if copies_a {
            piece = piece_of_a(batch, line, k0 + TILE_K + copied_k);
        } else {
            piece = piece_of_b(batch, line, k0 + TILE_K + copied_k);
        }
        for (var kk = 0u; kk < TILE_K; kk++) {
            let above = a_tile[at(kk, local.y)];
            let below = a_tile[at(kk, SIDE + local.y)];
            let left = b_tile[at(kk, local.x)];
            let right = b_tile[at(kk, SIDE + local.x)];
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
    store(batch, row, col + MIDDLE, above_right0, m, n);
    store(batch, row + 1u, col + MIDDLE, above_right1, m, n);
    store(batch, row + 2u, col + MIDDLE, above_right2, m, n);
    store(batch, row + 3u, col + MIDDLE, above_right3, m, n);
    store(batch, row + MIDDLE, col, below_left0, m, n);
    store(batch, row + MIDDLE + 1u, col, below_left1, m, n);
    store(batch, row + MIDDLE + 2u, col, below_left2, m, n);
    store(batch, row + MIDDLE + 3u, col, below_left3, m, n);
    store(batch, row + MIDDLE, col + MIDDLE, below_right0, m, n);
    store(batch, row + MIDDLE + 1u, col + MIDDLE, below_right1, m, n);
    store(batch, row + MIDDLE + 2u, col + MIDDLE, below_right2, m, n);
    store(batch, row + MIDDLE + 3u, col + MIDDLE, below_right3, m, n);
}
