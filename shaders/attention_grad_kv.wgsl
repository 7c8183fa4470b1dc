// dk_j = scale * sum_i ds_ij q_i and dv_j = sum_i p_ij dy_i, over the tokens i >= j whose span holds j and the query heads that
// share this key's head. One workgroup owns one key and head, so nothing is added by two.
@group(0) @binding(0) var<storage, read> q: array<f32>;
@group(0) @binding(1) var<storage, read> k: array<f32>;
@group(0) @binding(2) var<storage, read> v: array<f32>;
@group(0) @binding(3) var<storage, read> dy: array<f32>;
@group(0) @binding(4) var<storage, read> stats: array<f32>;
@group(0) @binding(5) var<storage, read> spans: array<vec2u>;
@group(0) @binding(6) var<storage, read_write> dk: array<f32>;
@group(0) @binding(7) var<storage, read_write> dv: array<f32>;
@group(0) @binding(8) var<uniform> params: Params;

var<workgroup> key: array<f32, MAX_DIM>;
var<workgroup> value: array<f32, MAX_DIM>;
var<workgroup> shares: array<f32, THREADS>;
var<workgroup> slopes: array<f32, THREADS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) thread: u32) {
    let kv_head = workgroup.x;
    let token = workgroup.y;
    let row = workgroup.z;
    let group = params.heads / params.kv_heads;
    let start = key_start(row, token, kv_head);
    for (var d = thread; d < params.head_dim; d += THREADS) {
        key[d] = k[start + d] * params.scale;
        value[d] = v[start + d];
    }
    workgroupBarrier();
    var sum_k: vec4f;
    var sum_v: vec4f;
    for (var head = kv_head * group; head < (kv_head + 1u) * group; head++) {
        for (var first = token; first < params.queries; first += THREADS) {
            let count = min(THREADS, params.queries - first);
            if thread < count {
                let other = row * params.queries + first + thread;
                let span = spans[other];
                var share = 0.0;
                var slope = 0.0;
                if span.x <= token && token < span.y {
                    let at = query_start(row, first + thread, head);
                    var score = 0.0;
                    var along = 0.0;
                    for (var d = 0u; d < params.head_dim; d++) {
                        score += key[d] * q[at + d];
                        along += value[d] * dy[at + d];
                    }
                    let at_stats = (other * params.heads + head) * 2u;
                    share = exponential(score - stats[at_stats]);
                    slope = share * (along - stats[at_stats + 1u]);
                }
                shares[thread] = share;
                slopes[thread] = slope;
            }
            workgroupBarrier();
            for (var i = 0u; i < count; i++) {
                let at = query_start(row, first + i, head);
                for (var c = 0u; c < 4u; c++) {
                    let d = thread + c * THREADS;
                    if d < params.head_dim {
                        sum_k[c] += slopes[i] * q[at + d];
                        sum_v[c] += shares[i] * dy[at + d];
                    }
                }
            }
            workgroupBarrier();
        }
    }
    for (var c = 0u; c < 4u; c++) {
        let d = thread + c * THREADS;
        if d < params.head_dim {
            dk[start + d] = sum_k[c] * params.scale;
            dv[start + d] = sum_v[c];
        }
    }
}
