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
    let i = flat_index(workgroup, workgroups, thread);
    if i < params.count {
        x[i] = params.value;
    }
}
