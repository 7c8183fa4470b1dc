// dw[i] += sum over rows of dy[row, i] * (x[row, i] - mean[row]) * r[row].
struct Params {
    rows: u32,
    width: u32,
}
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> stats: array<f32>; // [rows, 2] mean and r
@group(0) @binding(3) var<storage, read_write> dw: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let i = id.x;
    if i >= params.width {
        return;
    }
    var sum = 0.0;
    for (var row = 0u; row < params.rows; row++) {
        let at = row * params.width + i;
        sum += dy[at] * (x[at] - stats[2u * row]) * stats[2u * row + 1u];
    }
    dw[i] += sum;
}
