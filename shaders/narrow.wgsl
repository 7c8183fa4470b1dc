// Numbers rounded to bf16, to the nearest and to even in the middle, two to a word, the first in the lower half.
struct Params {
    count: u32,
}
@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;

fn upper_half(bits: u32) -> u32 {
    // What is not a number stays none: rounding could carry it into an infinity.
    if (bits & 0x7fffffffu) > 0x7f800000u {
        return (bits >> 16u) | 0x40u;
    }
    return (bits + 0x7fffu + ((bits >> 16u) & 1u)) >> 16u;
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    let begin = first_of_four(workgroup, workgroups, thread);
    for (var i = begin; i < min(begin + 1024u, (params.count + 1u) / 2u); i += 256u) {
        let first = upper_half(x[2u * i]);
        var second = 0u;
        if 2u * i + 1u < params.count {
            second = upper_half(x[2u * i + 1u]);
        }
        y[i] = first | (second << 16u);
    }
}
