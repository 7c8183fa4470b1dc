// In place: gate becomes dy * up * activation'(gate), up becomes dy * activation(gate).
struct Params {
    count: u32,
}
@group(0) @binding(0) var<storage, read> dy: array<f32>;
@group(0) @binding(1) var<storage, read_write> gate: array<f32>;
@group(0) @binding(2) var<storage, read_write> up: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    let begin = first_of_four(workgroup, workgroups, thread);
    for (var i = begin; i < min(begin + 1024u, params.count); i += 256u) {
        let g = gate[i];
        let s = passed(g);
        gate[i] = dy[i] * up[i] * s * slope(g, s);
        up[i] = dy[i] * g * s;
    }
}
