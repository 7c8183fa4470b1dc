// With r = 1/sqrt(mean(x^2) + eps) and g = dy * (offset + w):  dx (+)= r * (g - x * r^2 * mean(g * x)). Keeps r for the weight's gradient.
struct Params {
    rows: u32,
    width: u32,
    eps: f32,
    offset: f32,
    accumulate: u32,
}
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> w: array<f32>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;
@group(0) @binding(4) var<storage, read_write> inverse_rms: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;

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
    var squares = 0.0;
    var products = 0.0;
    for (var i = thread; i < params.width; i += 64u) {
        squares += x[start + i] * x[start + i];
        products += x[start + i] * dy[start + i] * (params.offset + w[i]);
    }
    let width = f32(params.width);
    let r = inverseSqrt(sum_of_64(squares, thread) / width + params.eps);
    let along = sum_of_64(products, thread) / width * r * r;
    for (var i = thread; i < params.width; i += 64u) {
        let value = r * (dy[start + i] * (params.offset + w[i]) - x[start + i] * along);
        dx[start + i] = select(0.0, dx[start + i], params.accumulate != 0u) + value;
    }
    if thread == 0u {
        inverse_rms[row] = r;
    }
}
