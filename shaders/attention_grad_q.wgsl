// dq = scale * sum_j ds_j k_j, with p_j recomputed from the log-sum-exp and ds_j = p_j (dy . v_j - delta). One workgroup serves 32
// tokens of a head and 64 of its numbers.
@group(0) @binding(3) var<storage, read> dy: array<f32>;
@group(0) @binding(4) var<storage, read> stats: array<f32>;
@group(0) @binding(5) var<storage, read> spans: array<vec2u>;
@group(0) @binding(6) var<storage, read_write> dq: array<f32>;
@group(0) @binding(7) var<uniform> params: Params;

var<workgroup> slopes: array<vec4f, 256>; // [key][four tokens]

fn dy_at(place: u32) -> f32 {
    if place == NOWHERE {
        return 0.0;
    }
    return dy[place];
}

fn from_dy(places: vec4u) -> vec4f {
    return factors(vec4f(dy_at(places[0]), dy_at(places[1]), dy_at(places[2]), dy_at(places[3])));
}

// Log-sum-exp and delta.
fn statistics(row: u32, token: u32, head: u32) -> vec2f {
    if token >= params.queries {
        return vec2f();
    }
    let at = ((row * params.queries + token) * params.heads + head) * 2u;
    return vec2f(stats[at], stats[at + 1u]);
}

fn slopes_of(scores: vec4f, upstream: vec4f, statistic: vec2f, valid: vec4<bool>) -> vec4f {
    let s = scores * params.scale - statistic.x;
    let shares = vec4f(exponential(s[0]), exponential(s[1]), exponential(s[2]), exponential(s[3]));
    return select(vec4f(), shares * (upstream - statistic.y), valid);
}

fn store(row: u32, token: u32, head: u32, d: u32, sum: vec4f) {
    if token >= params.queries {
        return;
    }
    let at = query_start(row, token, head) + d;
    for (var i = 0u; i < 4u && d + i < params.head_dim; i++) {
        dq[at + i] = sum[i] * params.scale;
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
    let statistic0 = statistics(row, token, head);
    let statistic1 = statistics(row, token + 1u, head);
    let statistic2 = statistics(row, token + 2u, head);
    let statistic3 = statistics(row, token + 3u, head);
    let seen = seen_by(row, token0);
    let loaded = thread % DEPTH;
    var sums = Sums();
    var scores = Scores();
    var upstream = Scores();
    for (var key0 = seen.x; key0 < seen.y; key0 += TILE) {
        // As in attention.wgsl.
        scores = Scores();
        upstream = Scores();
        for (var d0 = 0u; d0 < params.head_dim; d0 += DEPTH) {
            let d = d0 + loaded;
            for (var quad = thread / DEPTH; quad < QUADS; quad += 4u) {
                let asking = token0 + 4u * quad;
                let asked = key0 + 4u * quad;
                stage[loaded * LINE + quad] = from_q(down(query_start(row, asking, head), query_stride, asking, params.queries, d));
                stage[RIGHT + loaded * LINE + quad] = from_k(down(key_start(row, asked, kv_head), key_stride, asked, seen.y, d));
            }
            workgroupBarrier();
            scores = multiplied(scores, local);
            workgroupBarrier();
            for (var quad = thread / DEPTH; quad < QUADS; quad += 4u) {
                let asking = token0 + 4u * quad;
                let asked = key0 + 4u * quad;
                stage[loaded * LINE + quad] = from_dy(down(query_start(row, asking, head), query_stride, asking, params.queries, d));
                stage[RIGHT + loaded * LINE + quad] = from_v(down(key_start(row, asked, kv_head), key_stride, asked, seen.y, d));
            }
            workgroupBarrier();
            upstream = multiplied(upstream, local);
            workgroupBarrier();
        }
        let key = key0 + 4u * local.x;
        let slope0 = slopes_of(scores.row0, upstream.row0, statistic0, sees(span_of(row, token), key));
        let slope1 = slopes_of(scores.row1, upstream.row1, statistic1, sees(span_of(row, token + 1u), key));
        let slope2 = slopes_of(scores.row2, upstream.row2, statistic2, sees(span_of(row, token + 2u), key));
        let slope3 = slopes_of(scores.row3, upstream.row3, statistic3, sees(span_of(row, token + 3u), key));
        for (var i = 0u; i < 4u; i++) {
            slopes[(4u * local.x + i) * QUADS + local.y] = factors(vec4f(slope0[i], slope1[i], slope2[i], slope3[i]));
        }
        for (var part = 0u; part < TILE; part += PART) {
            for (var i = thread; i < PART * WIDTH_QUADS; i += 64u) {
                let at = key0 + part + i / WIDTH_QUADS;
                stage[i] = from_k(along(key_start(row, at, kv_head), at, seen.y, width0 + 4u * (i % WIDTH_QUADS)));
            }
            workgroupBarrier();
            for (var i = 0u; i < PART; i++) {
                sums = added(sums, slopes[(part + i) * QUADS + local.y], i, local);
            }
            workgroupBarrier();
        }
    }
    let d = width0 + 4u * local.x;
    store(row, token, head, d, sums.left0);
    store(row, token + 1u, head, d, sums.left1);
    store(row, token + 2u, head, d, sums.left2);
    store(row, token + 3u, head, d, sums.left3);
    store(row, token, head, d + 32u, sums.right0);
    store(row, token + 1u, head, d + 32u, sums.right1);
    store(row, token + 2u, head, d + 32u, sums.right2);
    store(row, token + 3u, head, d + 32u, sums.right3);
}
