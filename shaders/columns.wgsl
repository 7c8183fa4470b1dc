// y[r, y_first + j] = x[r, x_first + j]: columns of one matrix copied to columns of another.
struct Params {
    rows: u32,
    width: u32,
    x_width: u32,
    x_first: u32,
    y_width: u32,
    y_first: u32,
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
    let i = flat_index(workgroup, workgroups, thread);
    if i >= params.rows * params.width {
        return;
    }
    let row = i / params.width;
    let column = i % params.width;
    y[row * params.y_width + params.y_first + column] = x[row * params.x_width + params.x_first + column];
}
