// With c = x - mean(x), r = 1/sqrt(mean(c^2) + eps) and g = dy * w:  dx (+)= r * (g - mean(g) - c * r^2 * mean(g * c)).
// Keeps mean and r for the weight's gradient.
struct Params {
    rows: u32,
    width: u32,
    eps: f32,
    accumulate: u32,
}
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> w: array<f32>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;
@group(0) @binding(4) var<storage, read_write> stats: array<f32>; // [rows, 2]
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
    let width = f32(params.width);
    var sum = 0.0;
    var slopes = 0.0;
    for (var i = thread; i < params.width; i += 64u) {
        sum += x[start + i];
        slopes += dy[start + i] * w[i];
    }
    let mean = sum_of_64(sum, thread) / width;
    let slope = sum_of_64(slopes, thread) / width;
    var squares = 0.0;
    var products = 0.0;
    for (var i = thread; i < params.width; i += 64u) {
        let centred = x[start + i] - mean;
        squares += centred * centred;
        products += dy[start + i] * w[i] * centred;
    }
    let r = inverseSqrt(sum_of_64(squares, thread) / width + params.eps);
    let along = sum_of_64(products, thread) / width * r * r;
    for (var i = thread; i < params.width; i += 64u) {
        let value = r * (dy[start + i] * w[i] - slope - (x[start + i] - mean) * along);
        dx[start + i] = select(0.0, dx[start + i], params.accumulate != 0u) + value;
    }
    if thread == 0u {
        stats[2u * row] = mean;
        stats[2u * row + 1u] = r;
    }
}
