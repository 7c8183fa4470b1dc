// AdamW (Loshchilov and Hutter 2019), decoupled weight decay, as PyTorch computes it:
//   x -= lr * decay * x;  m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;  x -= lr / c1 * m / (sqrt(v) / sqrt(c2) + eps)
struct Params {
    count: u32,
    beta1: f32,
    beta2: f32,
    eps: f32,
    weight_decay: f32,
    rate: f32, // factor of the learning rate
}
@group(0) @binding(0) var<storage, read> inputs: array<f32>;  // the step's: [2] lr, [3] c1 = 1 - b1^t, [4] sqrt(c2) = sqrt(1 - b2^t)
@group(0) @binding(1) var<storage, read> metrics: array<f32>; // [2] what gradients are multiplied with; negative: no update
@group(0) @binding(2) var<storage, read> gradients: array<f32>;
@group(0) @binding(3) var<storage, read_write> values: array<f32>;
@group(0) @binding(4) var<storage, read_write> first: array<f32>;
@group(0) @binding(5) var<storage, read_write> second: array<f32>;
@group(0) @binding(6) var<uniform> params: Params;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    let scale = metrics[2];
    if scale < 0.0 {
        return;
    }
    let lr = params.rate * inputs[2];
    let keep = 1.0 - lr * params.weight_decay;
    let rate = lr / inputs[3];
    let c2 = inputs[4];
    let begin = first_of_four(workgroup, workgroups, thread);
    for (var i = begin; i < min(begin + 1024u, params.count); i += 256u) {
        let g = gradients[i] * scale;
        let m = params.beta1 * first[i] + (1.0 - params.beta1) * g;
        let v = params.beta2 * second[i] + (1.0 - params.beta2) * g * g;
        first[i] = m;
        second[i] = v;
        values[i] = values[i] * keep - rate * m / (sqrt(v) / c2 + params.eps);
    }
}
