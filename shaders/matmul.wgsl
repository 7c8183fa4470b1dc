// A product by tiles in workgroup memory. A workgroup of SIDE x SIDE threads computes TILE x TILE of C, a thread 8 x 8 of it: rows and
// columns 4 local .. + 3 of both halves of the tile. SIDE and TILE_K stand before this text.
const THREADS: u32 = SIDE * SIDE;
const QUADS: u32 = 2u * SIDE;       // of four in a tile's side
const TILE: u32 = 4u * QUADS;
const MIDDLE: u32 = TILE / 2u;
const LINE: u32 = QUADS + 1u;       // from a number of k to the next: one more, so that threads meet different banks
const COPIES: u32 = QUADS * TILE_K / THREADS; // quads of each tile that a thread copies
var<workgroup> a_tile: array<vec4f, TILE_K * LINE>; // [TILE_K][LINE]: four rows of A each
var<workgroup> b_tile: array<vec4f, TILE_K * LINE>; // [TILE_K][LINE]: four columns of B each

@compute @workgroup_size(SIDE, SIDE)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(local_invocation_id) local: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    let batch = workgroup.z;
    let left_over = extent(batch);
    let m = left_over.x;
    let n = left_over.y;
    let k = left_over.z;
    let row0 = workgroup.y * TILE;
    let col0 = workgroup.x * TILE;
    if row0 >= m || col0 >= n {
        return;
    }
    // Neighbouring threads read neighbouring numbers, whichever way the matrix lies.
    let along_a = params.a_col == 1u;
    let a_quad = select(thread % QUADS, thread / TILE_K, along_a);
    let a_k = select(thread / QUADS, thread % TILE_K, along_a);
    let a_step = select(vec2u(0u, THREADS / QUADS), vec2u(THREADS / TILE_K, 0u), along_a);
    let along_b = params.b_row == 1u;
    let b_quad = select(thread % QUADS, thread / TILE_K, along_b);
    let b_k = select(thread / QUADS, thread % TILE_K, along_b);
    let b_step = select(vec2u(0u, THREADS / QUADS), vec2u(THREADS / TILE_K, 0u), along_b);
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
    for (var k0 = 0u; k0 < k; k0 += TILE_K) {
        let with_diagonal = meets_diagonal(k0, col0, TILE_K, TILE);
        for (var i = 0u; i < COPIES; i++) {
            let at_a = vec2u(a_quad, a_k) + i * a_step;
            let row = row0 + at_a.x * 4u;
            let from_a = min(k0 + at_a.y, k - 1u) * params.a_col;
            let four = vec4f(
                a[row_at(batch, row, m) + from_a],
                a[row_at(batch, row + 1u, m) + from_a],
                a[row_at(batch, row + 2u, m) + from_a],
                a[row_at(batch, row + 3u, m) + from_a],
            );
            // Past the end of k one of the factors has to be zero.
            a_tile[at_a.y * LINE + at_a.x] = select(vec4f(), factors(four), k0 + at_a.y < k);
            let at_b = vec2u(b_quad, b_k) + i * b_step;
            let col = col0 + at_b.x * 4u;
            let from_b = min(k0 + at_b.y, k - 1u);
            var weights = vec4f(
                number_of_b(column_at(batch, col, n) + from_b * params.b_row),
                number_of_b(column_at(batch, col + 1u, n) + from_b * params.b_row),
                number_of_b(column_at(batch, col + 2u, n) + from_b * params.b_row),
                number_of_b(column_at(batch, col + 3u, n) + from_b * params.b_row),
            );
            if with_diagonal {
                for (var j = 0u; j < 4u; j++) {
                    weights[j] += added_to_b(from_b, min(col + j, n - 1u));
                }
            }
            b_tile[at_b.y * LINE + at_b.x] = factors(weights);
        }
        workgroupBarrier();
        for (var kk = 0u; kk < TILE_K; kk++) {
            let above = a_tile[kk * LINE + local.y];
            let below = a_tile[kk * LINE + SIDE + local.y];
            let left = b_tile[kk * LINE + local.x];
            let right = b_tile[kk * LINE + SIDE + local.x];
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
