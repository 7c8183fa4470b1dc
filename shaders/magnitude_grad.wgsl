// dm[o] += sum over t of dy[t, o] x[t, o] / norms[o]: the gradient of DoRA's lengths.
struct Params {
    rows: u32,
    width: u32,
}
@group(0) @binding(0) var<storage, read> dy: array<f32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> norms: array<f32>;
@group(0) @binding(3) var<storage, read_write> dm: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let o = id.x;
    if o >= params.width {
        return;
    }
    var sum = 0.0;
    for (var t = 0u; t < params.rows; t++) {
        sum += dy[t * params.width + o] * x[t * params.width + o];
    }
    dm[o] += sum / norms[o];
}
