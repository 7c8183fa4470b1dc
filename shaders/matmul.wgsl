// A product by tiles in workgroup memory. A workgroup of SIDE x SIDE threads computes TILE x TILE of C, a thread 8 x 8 of it: rows and
// columns 4 local .. + 3 of both halves of the tile.
const MIDDLE: u32 = TILE / 2u;

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
        copy_tiles(batch, row0, col0, k0, left_over, thread);
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
