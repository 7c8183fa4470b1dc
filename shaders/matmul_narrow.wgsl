// A product by small tiles in workgroup memory: a thread computes 4 x 4 of C, so that a matrix of few columns or rows keeps four times as
// many workgroups busy as `matmul`'s. It adds up in the same order.
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
    var sum0 = vec4f();
    var sum1 = vec4f();
    var sum2 = vec4f();
    var sum3 = vec4f();
    for (var k0 = 0u; k0 < k; k0 += TILE_K) {
        copy_tiles(batch, row0, col0, k0, left_over, thread);
        workgroupBarrier();
        for (var kk = 0u; kk < TILE_K; kk++) {
            let rows = a_tile[kk * LINE + local.y];
            let cols = b_tile[kk * LINE + local.x];
            sum0 += rows[0] * cols;
            sum1 += rows[1] * cols;
            sum2 += rows[2] * cols;
            sum3 += rows[3] * cols;
        }
        workgroupBarrier();
    }
    let row = row0 + local.y * 4u;
    let col = col0 + local.x * 4u;
    store(batch, row, col, sum0, m, n);
    store(batch, row + 1u, col, sum1, m, n);
    store(batch, row + 2u, col, sum2, m, n);
    store(batch, row + 3u, col, sum3, m, n);
}
