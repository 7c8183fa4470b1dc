// A product without workgroup memory or barriers, for processors: a subgroup of eight threads computes 32 x 32 of C, a thread all rows of
// four columns, eight apart. Each loads four numbers of A and hands them to the others. A workgroup has two subgroups, one below the other.
// A load costs such a driver about as much as 16 multiplications, so that tiles are larger than its registers.
fn store_row(batch: u32, row: u32, col: u32, sum: vec4f, m: u32, n: u32) {
    if row >= m {
        return;
    }
    for (var j = 0u; j < 4u && col + 8u * j < n; j++) {
        store_one(batch, row, col + 8u * j, sum[j]);
    }
}

// Where the numbers of four rows of A begin, or of four columns of B, eight apart.
fn rows_at(batch: u32, row: u32, m: u32) -> vec4u {
    return vec4u(row_at(batch, row, m), row_at(batch, row + 8u, m), row_at(batch, row + 16u, m), row_at(batch, row + 24u, m));
}

fn columns_at(batch: u32, col: u32, n: u32) -> vec4u {
    return vec4u(column_at(batch, col, n), column_at(batch, col + 8u, n), column_at(batch, col + 16u, n), column_at(batch, col + 24u, n));
}

// D's entries beside B[k, col] and the columns eight apart; past the edge, what is not stored.
fn four_added_to_b(k: u32, col: u32, n: u32) -> vec4f {
    let last = n - 1u;
    return vec4f(
        added_to_b(k, min(col, last)),
        added_to_b(k, min(col + 8u, last)),
        added_to_b(k, min(col + 16u, last)),
        added_to_b(k, min(col + 24u, last)),
    );
}

@compute @workgroup_size(16)
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
    let row0 = (workgroup.y * 2u + subgroup) * 32u;
    let col0 = workgroup.x * 32u;
    if row0 >= m || col0 >= n {
        return;
    }
    let col = col0 + lane;
    let a_at = rows_at(batch, row0 + lane, m);
    let b_at = columns_at(batch, col, n);
    // One variable a row: an array that a loop indexes would live in memory.
    var sum0 = vec4f();
    var sum1 = vec4f();
    var sum2 = vec4f();
    var sum3 = vec4f();
    var sum4 = vec4f();
    var sum5 = vec4f();
    var sum6 = vec4f();
    var sum7 = vec4f();
    var sum8 = vec4f();
    var sum9 = vec4f();
    var sum10 = vec4f();
    var sum11 = vec4f();
    var sum12 = vec4f();
    var sum13 = vec4f();
    var sum14 = vec4f();
    var sum15 = vec4f();
    var sum16 = vec4f();
    var sum17 = vec4f();
    var sum18 = vec4f();
    var sum19 = vec4f();
    var sum20 = vec4f();
    var sum21 = vec4f();
    var sum22 = vec4f();
    var sum23 = vec4f();
    var sum24 = vec4f();
    var sum25 = vec4f();
    var sum26 = vec4f();
    var sum27 = vec4f();
    var sum28 = vec4f();
    var sum29 = vec4f();
    var sum30 = vec4f();
    var sum31 = vec4f();
    for (var k0 = 0u; k0 < k; k0 += 16u) {
        let with_diagonal = meets_diagonal(k0, col0, 16u, 32u);
        for (var i = k0; i < min(k0 + 16u, k); i++) {
            let at = a_at + i * params.a_col;
            let rows = factors(vec4f(number_of_a(at.x), number_of_a(at.y), number_of_a(at.z), number_of_a(at.w)));
            let b_from = b_at + i * params.b_row;
            var b_row = vec4f(number_of_b(b_from.x), number_of_b(b_from.y), number_of_b(b_from.z), number_of_b(b_from.w));
            if with_diagonal {
                b_row += four_added_to_b(i, col, n);
            }
            b_row = factors(b_row);
            let a0 = subgroupBroadcast(rows, 0u);
            sum0 += a0.x * b_row;
            sum8 += a0.y * b_row;
            sum16 += a0.z * b_row;
            sum24 += a0.w * b_row;
            let a1 = subgroupBroadcast(rows, 1u);
            sum1 += a1.x * b_row;
            sum9 += a1.y * b_row;
            sum17 += a1.z * b_row;
            sum25 += a1.w * b_row;
            let a2 = subgroupBroadcast(rows, 2u);
            sum2 += a2.x * b_row;
            sum10 += a2.y * b_row;
            sum18 += a2.z * b_row;
            sum26 += a2.w * b_row;
            let a3 = subgroupBroadcast(rows, 3u);
            sum3 += a3.x * b_row;
            sum11 += a3.y * b_row;
            sum19 += a3.z * b_row;
            sum27 += a3.w * b_row;
            let a4 = subgroupBroadcast(rows, 4u);
            sum4 += a4.x * b_row;
            sum12 += a4.y * b_row;
            sum20 += a4.z * b_row;
            sum28 += a4.w * b_row;
            let a5 = subgroupBroadcast(rows, 5u);
            sum5 += a5.x * b_row;
            sum13 += a5.y * b_row;
            sum21 += a5.z * b_row;
            sum29 += a5.w * b_row;
            let a6 = subgroupBroadcast(rows, 6u);
            sum6 += a6.x * b_row;
            sum14 += a6.y * b_row;
            sum22 += a6.z * b_row;
            sum30 += a6.w * b_row;
            let a7 = subgroupBroadcast(rows, 7u);
            sum7 += a7.x * b_row;
            sum15 += a7.y * b_row;
            sum23 += a7.z * b_row;
            sum31 += a7.w * b_row;
        }
    }
    store_row(batch, row0 + 0u, col, sum0, m, n);
    store_row(batch, row0 + 1u, col, sum1, m, n);
    store_row(batch, row0 + 2u, col, sum2, m, n);
    store_row(batch, row0 + 3u, col, sum3, m, n);
    store_row(batch, row0 + 4u, col, sum4, m, n);
    store_row(batch, row0 + 5u, col, sum5, m, n);
    store_row(batch, row0 + 6u, col, sum6, m, n);
    store_row(batch, row0 + 7u, col, sum7, m, n);
    store_row(batch, row0 + 8u, col, sum8, m, n);
    store_row(batch, row0 + 9u, col, sum9, m, n);
    store_row(batch, row0 + 10u, col, sum10, m, n);
    store_row(batch, row0 + 11u, col, sum11, m, n);
    store_row(batch, row0 + 12u, col, sum12, m, n);
    store_row(batch, row0 + 13u, col, sum13, m, n);
    store_row(batch, row0 + 14u, col, sum14, m, n);
    store_row(batch, row0 + 15u, col, sum15, m, n);
    store_row(batch, row0 + 16u, col, sum16, m, n);
    store_row(batch, row0 + 17u, col, sum17, m, n);
    store_row(batch, row0 + 18u, col, sum18, m, n);
    store_row(batch, row0 + 19u, col, sum19, m, n);
    store_row(batch, row0 + 20u, col, sum20, m, n);
    store_row(batch, row0 + 21u, col, sum21, m, n);
    store_row(batch, row0 + 22u, col, sum22, m, n);
    store_row(batch, row0 + 23u, col, sum23, m, n);
    store_row(batch, row0 + 24u, col, sum24, m, n);
    store_row(batch, row0 + 25u, col, sum25, m, n);
    store_row(batch, row0 + 26u, col, sum26, m, n);
    store_row(batch, row0 + 27u, col, sum27, m, n);
    store_row(batch, row0 + 28u, col, sum28, m, n);
    store_row(batch, row0 + 29u, col, sum29, m, n);
    store_row(batch, row0 + 30u, col, sum30, m, n);
    store_row(batch, row0 + 31u, col, sum31, m, n);
}
