// A product with few rows of A on a weight whose rows lie along k, as decoding has it: a workgroup computes four columns, with 16
// threads each that share the numbers of k.
var<workgroup> parts: array<vec4f, 64>; // [column][thread]: four rows of A

fn row_of_a(row: u32, k: u32, m: u32) -> f32 {
    if row >= m {
        return 0.0;
    }
    return number_of_a(params.a_offset + row * params.a_row + k * params.a_col);
}

fn four_rows(k: u32, m: u32) -> vec4f {
    return vec4f(row_of_a(0u, k, m), row_of_a(1u, k, m), row_of_a(2u, k, m), row_of_a(3u, k, m));
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    let m = params.m;
    let lane = thread % 16u;
    let col = (workgroup.y * workgroups.x + workgroup.x) * 4u + thread / 16u;
    var sum = vec4f();
    if col < params.n {
        let first = params.b_offset + col * params.b_col;
        for (var k0 = 4u * lane; k0 < params.k; k0 += 64u) {
            for (var k = k0; k < min(k0 + 4u, params.k); k++) {
                let index = first + k;
                sum += widen(b[weight_word(index)], b[scale_word(index)], index) * four_rows(k, m);
            }
        }
        if (params.flags & DIAGONAL_N_IS_OUTPUT) != 0u {
            let output = params.first_output + col;
            let begin = output / params.block_out * params.block_in;
            for (var k = begin + lane; k < min(begin + params.block_in, params.k); k += 16u) {
                sum += diagonal[k * params.block_out + output % params.block_out] * four_rows(k, m);
            }
        }
    }
    parts[thread] = sum;
    workgroupBarrier();
    if lane == 0u && col < params.n {
        for (var i = 1u; i < 16u; i++) {
            sum += parts[thread + i];
        }
        for (var row = 0u; row < m; row++) {
            store_one(0u, row, col, sum[row]);
        }
    }
}
