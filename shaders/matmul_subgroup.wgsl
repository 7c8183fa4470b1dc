// A product without workgroup memory or barriers, for processors: a subgroup of eight threads computes 16 x 16 of C, a thread all rows of
// two columns. Each loads two numbers of A and hands them to the others. A workgroup has four subgroups, one below the other.
fn store_pair(batch: u32, row: u32, col: u32, left: f32, right: f32, m: u32, n: u32) {
    if row < m && col < n {
        store_one(batch, row, col, left);
    }
    if row < m && col + 8u < n {
        store_one(batch, row, col + 8u, right);
    }
}

@compute @workgroup_size(32)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(subgroup_invocation_id) lane: u32,
    @builtin(subgroup_id) subgroup: u32,
) {
    let batch = workgroup.z;
    let left_over = extent(batch);
    let m = left_over.x;
    let n = left_over.y;
    let k = left_over.z;
    let row0 = (workgroup.y * 4u + subgroup) * 16u;
    let col0 = workgroup.x * 16u;
    if row0 >= m || col0 >= n {
        return;
    }
    let upper_at = row_at(batch, row0 + lane, m);
    let lower_at = row_at(batch, row0 + 8u + lane, m);
    let left_at = column_at(batch, col0 + lane, n);
    let right_at = column_at(batch, col0 + 8u + lane, n);
    // One variable each: an array that a loop indexes would live in memory.
    var left0 = 0.0;
    var right0 = 0.0;
    var left1 = 0.0;
    var right1 = 0.0;
    var left2 = 0.0;
    var right2 = 0.0;
    var left3 = 0.0;
    var right3 = 0.0;
    var left4 = 0.0;
    var right4 = 0.0;
    var left5 = 0.0;
    var right5 = 0.0;
    var left6 = 0.0;
    var right6 = 0.0;
    var left7 = 0.0;
    var right7 = 0.0;
    var left8 = 0.0;
    var right8 = 0.0;
    var left9 = 0.0;
    var right9 = 0.0;
    var left10 = 0.0;
    var right10 = 0.0;
    var left11 = 0.0;
    var right11 = 0.0;
    var left12 = 0.0;
    var right12 = 0.0;
    var left13 = 0.0;
    var right13 = 0.0;
    var left14 = 0.0;
    var right14 = 0.0;
    var left15 = 0.0;
    var right15 = 0.0;
    for (var k0 = 0u; k0 < k; k0 += 16u) {
        let with_diagonal = meets_diagonal(k0, col0, 16u, 16u);
        for (var i = k0; i < min(k0 + 16u, k); i++) {
            let upper = factor(a[upper_at + i * params.a_col]);
            let lower = factor(a[lower_at + i * params.a_col]);
            var left = number_of_b(left_at + i * params.b_row);
            var right = number_of_b(right_at + i * params.b_row);
            if with_diagonal {
                left += added_to_b(i, min(col0 + lane, n - 1u));
                right += added_to_b(i, min(col0 + 8u + lane, n - 1u));
            }
            left = factor(left);
            right = factor(right);
            let a0 = subgroupBroadcast(upper, 0u);
            left0 += a0 * left;
            right0 += a0 * right;
            let a1 = subgroupBroadcast(upper, 1u);
            left1 += a1 * left;
            right1 += a1 * right;
            let a2 = subgroupBroadcast(upper, 2u);
            left2 += a2 * left;
            right2 += a2 * right;
            let a3 = subgroupBroadcast(upper, 3u);
            left3 += a3 * left;
            right3 += a3 * right;
            let a4 = subgroupBroadcast(upper, 4u);
            left4 += a4 * left;
            right4 += a4 * right;
            let a5 = subgroupBroadcast(upper, 5u);
            left5 += a5 * left;
            right5 += a5 * right;
            let a6 = subgroupBroadcast(upper, 6u);
            left6 += a6 * left;
            right6 += a6 * right;
            let a7 = subgroupBroadcast(upper, 7u);
            left7 += a7 * left;
            right7 += a7 * right;
            let a8 = subgroupBroadcast(lower, 0u);
            left8 += a8 * left;
            right8 += a8 * right;
            let a9 = subgroupBroadcast(lower, 1u);
            left9 += a9 * left;
            right9 += a9 * right;
            let a10 = subgroupBroadcast(lower, 2u);
            left10 += a10 * left;
            right10 += a10 * right;
            let a11 = subgroupBroadcast(lower, 3u);
            left11 += a11 * left;
            right11 += a11 * right;
            let a12 = subgroupBroadcast(lower, 4u);
            left12 += a12 * left;
            right12 += a12 * right;
            let a13 = subgroupBroadcast(lower, 5u);
            left13 += a13 * left;
            right13 += a13 * right;
            let a14 = subgroupBroadcast(lower, 6u);
            left14 += a14 * left;
            right14 += a14 * right;
            let a15 = subgroupBroadcast(lower, 7u);
            left15 += a15 * left;
            right15 += a15 * right;
        }
    }
    store_pair(batch, row0 + 0u, col0 + lane, left0, right0, m, n);
    store_pair(batch, row0 + 1u, col0 + lane, left1, right1, m, n);
    store_pair(batch, row0 + 2u, col0 + lane, left2, right2, m, n);
    store_pair(batch, row0 + 3u, col0 + lane, left3, right3, m, n);
    store_pair(batch, row0 + 4u, col0 + lane, left4, right4, m, n);
    store_pair(batch, row0 + 5u, col0 + lane, left5, right5, m, n);
    store_pair(batch, row0 + 6u, col0 + lane, left6, right6, m, n);
    store_pair(batch, row0 + 7u, col0 + lane, left7, right7, m, n);
    store_pair(batch, row0 + 8u, col0 + lane, left8, right8, m, n);
    store_pair(batch, row0 + 9u, col0 + lane, left9, right9, m, n);
    store_pair(batch, row0 + 10u, col0 + lane, left10, right10, m, n);
    store_pair(batch, row0 + 11u, col0 + lane, left11, right11, m, n);
    store_pair(batch, row0 + 12u, col0 + lane, left12, right12, m, n);
    store_pair(batch, row0 + 13u, col0 + lane, left13, right13, m, n);
    store_pair(batch, row0 + 14u, col0 + lane, left14, right14, m, n);
    store_pair(batch, row0 + 15u, col0 + lane, left15, right15, m, n);
}
