// partials[first + workgroup] = sum of x^2 over the workgroup's run of the array.
struct Params {
    count: u32,
    run: u32,
    first: u32,
}
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> partials: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) thread: u32) {
    let begin = workgroup.x * params.run;
    let end = min(begin + params.run, params.count);
    var sum = 0.0;
    for (var i = begin + thread; i < end; i += 64u) {
        sum += x[i] * x[i];
    }
    let total = sum_of_64(sum, thread);
    if thread == 0u {
        partials[params.first + workgroup.x] = total;
    }
}
