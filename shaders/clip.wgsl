// metrics[1] = sqrt(sum of partials) * unscale, the gradient's norm; metrics[2] = min(1, max_norm / (norm + 1e-6)) * unscale, what gradients
// are multiplied with, or -1 where norm or loss is no number: then nothing is updated.
struct Params {
    partials: u32,
    max_norm: f32,   // 0: no clipping
    loss_scale: f32, // 0: none; otherwise gradients are sums over targets times this
}
@group(0) @binding(0) var<storage, read> partials: array<f32>;
@group(0) @binding(1) var<storage, read> inputs: array<f32>; // the step's; [1] is 1 / (targets of the step)
@group(0) @binding(2) var<storage, read_write> metrics: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

// By its bits, since a compiler may assume that floats are finite.
fn finite(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u;
}

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) thread: u32) {
    var sum = 0.0;
    for (var i = thread; i < params.partials; i += 64u) {
        sum += partials[i];
    }
    let total = sum_of_64(sum, thread);
    if thread == 0u {
        var unscale = 1.0;
        if params.loss_scale > 0.0 {
            unscale = inputs[1] / params.loss_scale;
        }
        let norm = sqrt(total) * unscale;
        metrics[1] = norm;
        var scale = 1.0;
        if params.max_norm > 0.0 {
            scale = min(1.0, params.max_norm / (norm + 1e-6));
        }
        metrics[2] = select(-1.0, scale * unscale, finite(total) && finite(metrics[0]));
    }
}
