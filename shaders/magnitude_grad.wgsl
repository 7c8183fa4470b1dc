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

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) thread: u32) {
    let o = workgroup.x * COLUMNS + thread % COLUMNS;
    var sum = 0.0;
    if o < params.width {
        for (var t = thread / COLUMNS; t < params.rows; t += LANES) {
            sum += dy[t * params.width + o] * x[t * params.width + o];
        }
    }
    let column = sum_of_lanes(sum, thread);
    if thread < COLUMNS && o < params.width {
        dm[o] += column / norms[o];
    }
}
