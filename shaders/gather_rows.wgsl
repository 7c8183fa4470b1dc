// y[i, :] = x[index[i], :]; zeros where there is no such row (index 0xffffffff).
struct Params {
    rows: u32,
    width: u32,
    first_index: u32,
    source_rows: u32,
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
    let source = index[params.first_index + i / params.width];
    var value = 0.0;
    if source < params.source_rows {
        value = x[source * params.width + i % params.width];
    }
    y[i] = value;
}
