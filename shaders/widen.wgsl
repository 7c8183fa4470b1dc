// Numbers from bf16, two to a word, the first in the lower half.
struct Params {
    count: u32,
}
@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    let i = flat_index(workgroup, workgroups, thread);
    if i < params.count {
        let word = x[i / 2u];
        y[i] = select(word << 16u, word & 0xffff0000u, (i & 1u) == 1u);
    }
}
