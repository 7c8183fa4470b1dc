// metrics[1] = sqrt(sum of partials), the gradient's norm; metrics[2] = min(1, max_norm / (norm + 1e-6)), what gradients are
// multiplied with, or -1 where norm or loss is no number: then nothing is updated.
struct Params {
    partials: u32,
    max_norm: f32, // 0: no clipping
}
@group(0) @binding(0) var<storage, read> partials: array<f32>;
@group(0) @binding(1) var<storage, read_write> metrics: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

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
        let norm = sqrt(total);
        metrics[1] = norm;
        var scale = 1.0;
        if params.max_norm > 0.0 {
            scale = min(1.0, params.max_norm / (norm + 1e-6));
        }
        metrics[2] = select(-1.0, scale, finite(total) && finite(metrics[0]));
    }
}
