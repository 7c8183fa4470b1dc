// y[t, o] = x[t, o] m[o] / norms[o] (+ bias[o]) (+ residual[t, o]): DoRA's lengths (Liu et al. 2024, eq. 5).
struct Params {
    count: u32,
    width: u32,
    flags: u32, // 1: bias, 2: residual
}
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> m: array<f32>;
@group(0) @binding(2) var<storage, read> norms: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read> residual: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;
@group(0) @binding(6) var<uniform> params: Params;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    let i = flat_index(workgroup, workgroups, thread);
    if i >= params.count {
        return;
    }
    let o = i % params.width;
    var value = x[i] * (m[o] / norms[o]);
    if (params.flags & 1u) != 0u {
        value += bias[o];
    }
    if (params.flags & 2u) != 0u {
        value += residual[i];
    }
    y[i] = value;
}
