// y (+)= x * keep / (1 - p), keep drawn per element from a hash of (the micro-batch's seed, salt, index): the backward pass draws
// the same again, and so does a resumed run.
struct Params {
    count: u32,
    salt: u32,
    threshold: u32, // p * 2^32
    scale: f32,     // 1 / (1 - p)
    accumulate: u32,
}
@group(0) @binding(0) var<storage, read> inputs: array<u32>; // [5]: the micro-batch's seed
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

// PCG-RXS-M-XS (O'Neill 2014) as a hash (Jarzynski and Olano 2020).
fn hash(x: u32) -> u32 {
    let state = x * 747796405u + 2891336453u;
    let word = ((state >> ((state >> 28u) + 4u)) ^ state) * 277803737u;
    return (word >> 22u) ^ word;
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    let i = flat_index(workgroup, workgroups, thread);
    if i >= params.count {
        return;
    }
    let keep = hash(i ^ hash(inputs[5] ^ hash(params.salt))) >= params.threshold;
    let value = select(0.0, x[i] * params.scale, keep);
    y[i] = select(0.0, y[i], params.accumulate != 0u) + value;
}
