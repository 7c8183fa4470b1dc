// y = (residual +) x / sqrt(mean(x^2) + eps) * (offset + w), row by row (Zhang and Sennrich 2019, eq. 4; Gemma's offset is 1).
struct Params {
    rows: u32,
    width: u32,
    eps: f32,
    offset: f32,
    add_residual: u32,
}
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> w: array<f32>;
@group(0) @binding(2) var<storage, read> residual: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    let row = workgroup.y * workgroups.x + workgroup.x;
    if row >= params.rows {
        return;
    }
    let start = row * params.width;
    var sum = 0.0;
    for (var i = thread; i < params.width; i += 64u) {
        sum += x[start + i] * x[start + i];
    }
    let scale = inverseSqrt(sum_of_64(sum, thread) / f32(params.width) + params.eps);
    for (var i = thread; i < params.width; i += 64u) {
        let base = select(0.0, residual[start + i], params.add_residual != 0u);
        y[start + i] = base + x[start + i] * scale * (params.offset + w[i]);
    }
}
