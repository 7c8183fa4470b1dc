// x[i] = value.
struct Params {
    count: u32,
    value: f32,
}
@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<uniform> params: Params;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    // Eight numbers a thread, 256 apart: a thread costs a processor more than the store does.
    let begin = flat_index(workgroup, workgroups, 0u) * 8u + thread;
    for (var i = begin; i < min(begin + 2048u, params.count); i += 256u) {
        x[i] = params.value;
    }
}
