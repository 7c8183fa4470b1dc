// y = (x - mean(x)) / sqrt(mean((x - mean(x))^2) + eps) * w + b, row by row (Ba, Kiros and Hinton 2016, eq. 4).
struct Params {
    rows: u32,
    width: u32,
    eps: f32,
}
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> w: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
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
        sum += x[start + i];
    }
    let mean = sum_of_64(sum, thread) / f32(params.width);
    var squares = 0.0;
    for (var i = thread; i < params.width; i += 64u) {
        let centred = x[start + i] - mean;
        squares += centred * centred;
    }
    let scale = inverseSqrt(sum_of_64(squares, thread) / f32(params.width) + params.eps);
    for (var i = thread; i < params.width; i += 64u) {
        y[start + i] = (x[start + i] - mean) * scale * w[i] + b[i];
    }
}
