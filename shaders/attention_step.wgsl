// Causal attention without a T x T matrix: softmax statistics online over tiles of 64 keys (Milakov and Gimelshein 2018;
// Dao et al. 2022). One workgroup serves one token and head, and a thread of it up to four of at most 256 numbers. A token sees the keys of its span.
const THREADS: u32 = 64u;
const MAX_DIM: u32 = 256u;

@group(0) @binding(0) var<storage, read> q: array<f32>;
@group(0) @binding(1) var<storage, read> k: array<f32>;
@group(0) @binding(2) var<storage, read> v: array<f32>;
@group(0) @binding(3) var<storage, read> spans: array<vec2u>;     // [row][token]: first key, one past the last
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
@group(0) @binding(5) var<storage, read_write> stats: array<f32>; // [row][token][head][log-sum-exp, delta]
@group(0) @binding(6) var<uniform> params: Params;

var<workgroup> query: array<f32, MAX_DIM>;
var<workgroup> scores: array<f32, THREADS>;

// A number of V; zero beyond the head.
fn value(at: u32, d: u32) -> f32 {
    if d < params.head_dim {
        return v[at + d];
    }
    return 0.0;
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) thread: u32) {
    let head = workgroup.x;
    let token = workgroup.y;
    let row = workgroup.z;
    let kv_head = head / (params.heads / params.kv_heads);
    let start = query_start(row, token, head);
    for (var d = thread; d < params.head_dim; d += THREADS) {
        query[d] = q[start + d] * params.scale;
    }
    workgroupBarrier();
    let span = spans[row * params.queries + token];
    var largest = -3.0e38;
    var total = 0.0;
    var sum: vec4f;
    for (var first = span.x; first < span.y; first += THREADS) {
        let count = min(THREADS, span.y - first);
        if thread < count {
            let at = key_start(row, first + thread, kv_head);
            var score = 0.0;
            for (var d = 0u; d < params.head_dim; d++) {
                score += query[d] * k[at + d];
            }
            scores[thread] = score;
        }
        workgroupBarrier();
        var tile_largest = largest;
        for (var j = 0u; j < count; j++) {
            tile_largest = max(tile_largest, scores[j]);
        }
        workgroupBarrier();
        if thread < count {
            scores[thread] = exponential(scores[thread] - tile_largest);
        }
        workgroupBarrier();
        let shrink = exponential(largest - tile_largest);
        largest = tile_largest;
        total *= shrink;
        sum *= shrink;
        for (var j = 0u; j < count; j++) {
            let p = scores[j];
            total += p;
            let at = key_start(row, first + j, kv_head);
            // Component by component: FXC takes no vector that is written at an index.
            sum += p * vec4f(
                value(at, thread),
                value(at, thread + THREADS),
                value(at, thread + 2u * THREADS),
                value(at, thread + 3u * THREADS),
            );
        }
        workgroupBarrier();
    }
    let seen = total > 0.0;
    for (var c = 0u; c < 4u; c++) {
        let d = thread + c * THREADS;
        if d < params.head_dim {
            y[start + d] = select(0.0, sum[c] / total, seen);
        }
    }
    if thread == 0u {
        stats[((row * params.queries + token) * params.heads + head) * 2u] = select(0.0, largest + logarithm(total), seen);
    }
}
