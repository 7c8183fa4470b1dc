// dq = scale * sum_j ds_j k_j, with p_j recomputed from the log-sum-exp and ds_j = p_j (dy . v_j - delta).
@group(0) @binding(0) var<storage, read> q: array<f32>;
@group(0) @binding(1) var<storage, read> k: array<f32>;
@group(0) @binding(2) var<storage, read> v: array<f32>;
@group(0) @binding(3) var<storage, read> dy: array<f32>;
@group(0) @binding(4) var<storage, read> stats: array<f32>;
@group(0) @binding(5) var<storage, read> spans: array<vec2u>;
@group(0) @binding(6) var<storage, read_write> dq: array<f32>;
@group(0) @binding(7) var<uniform> params: Params;

var<workgroup> query: array<f32, MAX_DIM>;
var<workgroup> upstream: array<f32, MAX_DIM>;
var<workgroup> slopes: array<f32, THREADS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) thread: u32) {
    let head = workgroup.x;
    let token = workgroup.y;
    let row = workgroup.z;
    let kv_head = head / (params.heads / params.kv_heads);
    let start = query_start(row, token, head);
    for (var d = thread; d < params.head_dim; d += THREADS) {
        query[d] = q[start + d] * params.scale;
        upstream[d] = dy[start + d];
    }
    workgroupBarrier();
    let at_stats = ((row * params.queries + token) * params.heads + head) * 2u;
    let log_sum = stats[at_stats];
    let delta = stats[at_stats + 1u];
    let span = spans[row * params.queries + token];
    var sum: vec4f;
    for (var first = span.x; first < span.y; first += THREADS) {
        let count = min(THREADS, span.y - first);
        if thread < count {
            let at = key_start(row, first + thread, kv_head);
            var score = 0.0;
            var along = 0.0;
            for (var d = 0u; d < params.head_dim; d++) {
                score += query[d] * k[at + d];
                along += upstream[d] * v[at + d];
            }
            slopes[thread] = exponential(score - log_sum) * (along - delta);
        }
        workgroupBarrier();
        for (var j = 0u; j < count; j++) {
            let at = key_start(row, first + j, kv_head);
            for (var c = 0u; c < 4u; c++) {
                let d = thread + c * THREADS;
                if d < params.head_dim {
                    sum[c] += slopes[j] * k[at + d];
                }
            }
        }
        workgroupBarrier();
    }
    for (var c = 0u; c < 4u; c++) {
        let d = thread + c * THREADS;
        if d < params.head_dim {
            dq[start + d] = sum[c] * params.scale;
        }
    }
}
