// Causal attention without a T x T matrix: softmax statistics online over tiles of keys (Milakov and Gimelshein 2018; Dao et al.
// 2022). One workgroup serves 32 tokens of a head and 64 of its numbers. A token sees the keys of its span.
@group(0) @binding(3) var<storage, read> spans: array<vec2u>;     // [row][token]: first key, one past the last
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
@group(0) @binding(5) var<storage, read_write> stats: array<f32>; // [row][token][head][log-sum-exp, delta]
@group(0) @binding(6) var<uniform> params: Params;

var<workgroup> shares: array<vec4f, 256>;  // [key][four tokens]
var<workgroup> largests: array<vec4f, 64>; // [four keys][four tokens]

fn largest_of(scores: vec4f) -> f32 {
    return max(max(scores[0], scores[1]), max(scores[2], scores[3]));
}

fn exponentials(x: vec4f, valid: vec4<bool>) -> vec4f {
    return select(vec4f(), vec4f(exponential(x[0]), exponential(x[1]), exponential(x[2]), exponential(x[3])), valid);
}

fn store(row: u32, token: u32, head: u32, d: u32, sum: vec4f, total: f32, seen: bool) {
    if token >= params.queries {
        return;
    }
    let at = query_start(row, token, head) + d;
    for (var i = 0u; i < 4u && d + i < params.head_dim; i++) {
        y[at + i] = select(0.0, sum[i] / total, seen);
    }
}

fn store_statistic(row: u32, token: u32, head: u32, largest: f32, total: f32, seen: bool) {
    if token < params.queries {
        stats[((row * params.queries + token) * params.heads + head) * 2u] = select(0.0, largest + logarithm(total), seen);
    }
}

@compute @workgroup_size(8, 8)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(local_invocation_id) local: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    let head = workgroup.x % params.heads;
    let width0 = workgroup.x / params.heads * WIDTH;
    let token0 = workgroup.y * TILE;
    let row = workgroup.z;
    let kv_head = head / (params.heads / params.kv_heads);
    let query_stride = params.heads * params.head_dim;
    let key_stride = params.kv_heads * params.head_dim;
    let token = token0 + 4u * local.y;
    let span0 = span_of(row, token);
    let span1 = span_of(row, token + 1u);
    let span2 = span_of(row, token + 2u);
    let span3 = span_of(row, token + 3u);
    let seen = seen_by(row, token0);
    // In the order that rows lie in memory.
    let loaded = thread % DEPTH;
    var largest = vec4f(NOTHING);
    var total = vec4f();
    var sums = Sums();
    // Set to zero by a statement of its own: SwiftShader keeps a variable that is declared in a loop as the last turn left it.
    var scores = Scores();
    for (var key0 = seen.x; key0 < seen.y; key0 += TILE) {
        scores = Scores();
        for (var d0 = 0u; d0 < params.head_dim; d0 += DEPTH) {
            for (var quad = thread / DEPTH; quad < QUADS; quad += 4u) {
                let asking = token0 + 4u * quad;
                let asked = key0 + 4u * quad;
                stage[loaded * LINE + quad] =
                    from_q(down(query_start(row, asking, head), query_stride, asking, params.queries, d0 + loaded));
                stage[RIGHT + loaded * LINE + quad] = from_k(down(key_start(row, asked, kv_head), key_stride, asked, seen.y, d0 + loaded));
            }
            workgroupBarrier();
            scores = multiplied(scores, local);
            workgroupBarrier();
        }
        let key = key0 + 4u * local.x;
        let valid0 = sees(span0, key);
        let valid1 = sees(span1, key);
        let valid2 = sees(span2, key);
        let valid3 = sees(span3, key);
        let nothing = vec4f(NOTHING);
        let score0 = select(nothing, scores.row0 * params.scale, valid0);
        let score1 = select(nothing, scores.row1 * params.scale, valid1);
        let score2 = select(nothing, scores.row2 * params.scale, valid2);
        let score3 = select(nothing, scores.row3 * params.scale, valid3);
        largests[local.x * QUADS + local.y] = vec4f(largest_of(score0), largest_of(score1), largest_of(score2), largest_of(score3));
        workgroupBarrier();
        var tile_largest = largest;
        for (var i = 0u; i < QUADS; i++) {
            tile_largest = max(tile_largest, largests[i * QUADS + local.y]);
        }
        let share0 = exponentials(score0 - tile_largest[0], valid0);
        let share1 = exponentials(score1 - tile_largest[1], valid1);
        let share2 = exponentials(score2 - tile_largest[2], valid2);
        let share3 = exponentials(score3 - tile_largest[3], valid3);
        for (var i = 0u; i < 4u; i++) {
            shares[(4u * local.x + i) * QUADS + local.y] = factors(vec4f(share0[i], share1[i], share2[i], share3[i]));
        }
        let shrink = exponentials(largest - tile_largest, vec4<bool>(true));
        largest = tile_largest;
        total *= shrink;
        sums.left0 *= shrink[0];
        sums.left1 *= shrink[1];
        sums.left2 *= shrink[2];
        sums.left3 *= shrink[3];
        sums.right0 *= shrink[0];
        sums.right1 *= shrink[1];
        sums.right2 *= shrink[2];
        sums.right3 *= shrink[3];
        for (var part = 0u; part < TILE; part += PART) {
            for (var i = thread; i < PART * WIDTH_QUADS; i += 64u) {
                let at = key0 + part + i / WIDTH_QUADS;
                stage[i] = from_v(along(key_start(row, at, kv_head), at, seen.y, width0 + 4u * (i % WIDTH_QUADS)));
            }
            workgroupBarrier();
            for (var i = 0u; i < PART; i++) {
                let share = shares[(part + i) * QUADS + local.y];
                total += share;
                sums = added(sums, share, i, local);
            }
            workgroupBarrier();
        }
    }
    let d = width0 + 4u * local.x;
    let some0 = span0.x < span0.y;
    let some1 = span1.x < span1.y;
    let some2 = span2.x < span2.y;
    let some3 = span3.x < span3.y;
    store(row, token, head, d, sums.left0, total[0], some0);
    store(row, token + 1u, head, d, sums.left1, total[1], some1);
    store(row, token + 2u, head, d, sums.left2, total[2], some2);
    store(row, token + 3u, head, d, sums.left3, total[3], some3);
    store(row, token, head, d + 32u, sums.right0, total[0], some0);
    store(row, token + 1u, head, d + 32u, sums.right1, total[1], some1);
    store(row, token + 2u, head, d + 32u, sums.right2, total[2], some2);
    store(row, token + 3u, head, d + 32u, sums.right3, total[3], some3);
    if local.x == 0u && width0 == 0u {
        store_statistic(row, token, head, largest[0], total[0], some0);
        store_statistic(row, token + 1u, head, largest[1], total[1], some1);
        store_statistic(row, token + 2u, head, largest[2], total[2], some2);
        store_statistic(row, token + 3u, head, largest[3], total[3], some3);
    }
}
