// delta[token, head] = dy . y: the part of the softmax's gradient that all keys share (Dao et al. 2022, appendix B.4).
struct Params {
    heads: u32, // tokens x heads
    head_dim: u32,
}
@group(0) @binding(0) var<storage, read> y: array<f32>;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read_write> stats: array<f32>; // [head][log-sum-exp, delta]
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    let head = flat_index(workgroup, workgroups, thread);
    if head >= params.heads {
        return;
    }
    var sum = 0.0;
    for (var d = 0u; d < params.head_dim; d++) {
        sum += y[head * params.head_dim + d] * dy[head * params.head_dim + d];
    }
    stats[head * 2u + 1u] = sum;
}
