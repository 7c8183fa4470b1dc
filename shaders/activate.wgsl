// y = activation(x).
struct Params {
    count: u32,
}
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    let begin = first_of_four(workgroup, workgroups, thread);
    for (var i = begin; i < min(begin + 1024u, params.count); i += 256u) {
        y[i] = x[i] * passed(x[i]);
    }
}
