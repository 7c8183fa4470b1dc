// y[index[i], :] = x[i, :]; rows with index 0xffffffff go nowhere. No two rows have the same index.
struct Params {
    rows: u32,
    width: u32,
    first_index: u32,
    target_rows: u32,
}
@group(0) @binding(0) var<storage, read> index: array<u32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

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
    let row = index[params.first_index + i / params.width];
    if row < params.target_rows {
        y[row * params.width + i % params.width] = x[i];
    }
}
