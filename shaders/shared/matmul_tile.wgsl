// Tiles of both factors in workgroup memory, for the products that go by them. SIDE x SIDE threads copy QUADS quads a side and TILE_K
// numbers of k; SIDE, QUADS and TILE_K stand before this text.
const THREADS: u32 = SIDE * SIDE;
const TILE: u32 = 4u * QUADS;
const LINE: u32 = QUADS + 1u;       // from a number of k to the next: one more, so that threads meet different banks
const COPIES: u32 = QUADS * TILE_K / THREADS; // quads of each tile that a thread copies
var<workgroup> a_tile: array<vec4f, TILE_K * LINE>; // [TILE_K][LINE]: four rows of A each
var<workgroup> b_tile: array<vec4f, TILE_K * LINE>; // [TILE_K][LINE]: four columns of B each

// How far from its line's beginning a number of k stands.
fn along(k: u32, stride: u32) -> u32 {
    if PACKED == 1u {
        return packed_k(k);
    }
    return k * stride;
}

// Copies what stands at (row0, k0) of A and (k0, col0) of B. `left_over`: m, n, k.
fn copy_tiles(batch: u32, row0: u32, col0: u32, k0: u32, left_over: vec3u, thread: u32) {
    let m = left_over.x;
    let n = left_over.y;
    let k = left_over.z;
    // Neighbouring threads read neighbouring numbers, whichever way the matrix lies.
    let along_a = PACKED == 0u && params.a_col == 1u;
    let a_quad = select(thread % QUADS, thread / TILE_K, along_a);
    let a_k = select(thread / QUADS, thread % TILE_K, along_a);
    let a_step = select(vec2u(0u, THREADS / QUADS), vec2u(THREADS / TILE_K, 0u), along_a);
    let along_b = PACKED == 0u && params.b_row == 1u;
    let b_quad = select(thread % QUADS, thread / TILE_K, along_b);
    let b_k = select(thread / QUADS, thread % TILE_K, along_b);
    let b_step = select(vec2u(0u, THREADS / QUADS), vec2u(THREADS / TILE_K, 0u), along_b);
    let with_diagonal = meets_diagonal(k0, col0, TILE_K, TILE);
    for (var i = 0u; i < COPIES; i++) {
        let at_a = vec2u(a_quad, a_k) + i * a_step;
        let row = row0 + at_a.x * 4u;
        let from_a = along(min(k0 + at_a.y, k - 1u), params.a_col);
        let four = vec4f(
            number_of_a(row_at(batch, row, m) + from_a),
            number_of_a(row_at(batch, row + 1u, m) + from_a),
            number_of_a(row_at(batch, row + 2u, m) + from_a),
            number_of_a(row_at(batch, row + 3u, m) + from_a),
        );
        // Past the end of k one of the factors has to be zero.
        a_tile[at_a.y * LINE + at_a.x] = select(vec4f(), factors(four), k0 + at_a.y < k);
        let at_b = vec2u(b_quad, b_k) + i * b_step;
        let col = col0 + at_b.x * 4u;
        let k_of_b = min(k0 + at_b.y, k - 1u);
        let from_b = along(k_of_b, params.b_row);
        var weights = vec4f(
            number_of_b(column_at(batch, col, n) + from_b),
            number_of_b(column_at(batch, col + 1u, n) + from_b),
            number_of_b(column_at(batch, col + 2u, n) + from_b),
            number_of_b(column_at(batch, col + 3u, n) + from_b),
        );
        // Component by component: FXC takes no vector that is written at an index.
        if with_diagonal {
            weights += vec4f(
                added_to_b(k_of_b, min(col, n - 1u)),
                added_to_b(k_of_b, min(col + 1u, n - 1u)),
                added_to_b(k_of_b, min(col + 2u, n - 1u)),
                added_to_b(k_of_b, min(col + 3u, n - 1u)),
            );
        }
        b_tile[at_b.y * LINE + at_b.x] = factors(weights);
    }
}
