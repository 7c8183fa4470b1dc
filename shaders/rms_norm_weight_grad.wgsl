// dw[i] += sum over rows of dy[row, i] * x[row, i] * r[row].
struct Params {
    rows: u32,
    width: u32,
}
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> inverse_rms: array<f32>;
@group(0) @binding(3) var<storage, read_write> dw: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) thread: u32) {
    let i = workgroup.x * COLUMNS + thread % COLUMNS;
    var sum = 0.0;
    if i < params.width {
        for (var row = thread / COLUMNS; row < params.rows; row += LANES) {
            sum += dy[row * params.width + i] * x[row * params.width + i] * inverse_rms[row];
        }
    }
    let column = sum_of_lanes(sum, thread);
    if thread < COLUMNS && i < params.width {
        dw[i] += column;
    }
}
