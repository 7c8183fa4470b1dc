// metrics[0] += scale * sum of the losses of the first `rows` rows, rows from the step's inputs.
struct Params {
    capacity: u32,
}
@group(0) @binding(0) var<storage, read> inputs: array<u32>; // [0]: rows with a target; [1]: 1 / (targets of the step)
@group(0) @binding(1) var<storage, read> losses: array<f32>;
@group(0) @binding(2) var<storage, read_write> metrics: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) thread: u32) {
    var sum = 0.0;
    for (var i = thread; i < min(inputs[0], params.capacity); i += 64u) {
        sum += losses[i];
    }
    let total = sum_of_64(sum, thread);
    if thread == 0u {
        metrics[0] += total * bitcast<f32>(inputs[1]);
    }
}
