// dk_j = scale * sum_i ds_ij q_i and dv_j = sum_i p_ij dy_i, over the tokens i >= j whose span holds j and the query heads that
// share this key's head. One workgroup owns 32 keys of a head and 64 of its numbers, so nothing is added by two.
@group(0) @binding(3) var<storage, read> dy: array<f32>;
@group(0) @binding(4) var<storage, read> stats: array<f32>;
@group(0) @binding(5) var<storage, read> spans: array<vec2u>;
@group(0) @binding(6) var<storage, read_write> dk: array<f32>;
@group(0) @binding(7) var<storage, read_write> dv: array<f32>;
@group(0) @binding(8) var<uniform> params: Params;

var<workgroup> shares: array<vec4f, 256>; // [token][four keys]
var<workgroup> slopes: array<vec4f, 256>;

fn dy_at(place: u32) -> f32 {
    if place == NOWHERE {
        return 0.0;
    }
    return dy[place];
}

fn from_dy(places: vec4u) -> vec4f {
    return factors(vec4f(dy_at(places[0]), dy_at(places[1]), dy_at(places[2]), dy_at(places[3])));
}

// Shares and slopes of four keys at one token.
struct Column { shares: vec4f, slopes: vec4f }

fn column(row: u32, token: u32, head: u32, key: u32, scores: vec4f, upstream: vec4f) -> Column {
    if token >= params.queries {
        return Column();
    }
    let at = ((row * params.queries + token) * params.heads + head) * 2u;
    let valid = sees(spans[row * params.queries + token], key);
    let s = scores * params.scale - stats[at];
    let shares = vec4f(exponential(s[0]), exponential(s[1]), exponential(s[2]), exponential(s[3]));
    return Column(select(vec4f(), shares, valid), select(vec4f(), shares * (upstream - stats[at + 1u]), valid));
}

fn store(row: u32, token: u32, kv_head: u32, d: u32, sum_k: vec4f, sum_v: vec4f) {
    if token >= params.keys {
        return;
    }
    let at = key_start(row, token, kv_head) + d;
    for (var i = 0u; i < 4u && d + i < params.head_dim; i++) {
        dk[at + i] = sum_k[i] * params.scale;
        dv[at + i] = sum_v[i];
    }
}

@compute @workgroup_size(8, 8)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(local_invocation_id) local: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    let kv_head = workgroup.x % params.kv_heads;
    let width0 = workgroup.x / params.kv_heads * WIDTH;
    let key0 = workgroup.y * TILE;
    let row = workgroup.z;
    let group = params.heads / params.kv_heads;
    let query_stride = params.heads * params.head_dim;
    let key_stride = params.kv_heads * params.head_dim;
    let key = key0 + 4u * local.y;
    let loaded = thread % DEPTH;
    var sums_k = Sums();
    var sums_v = Sums();
    var scores = Scores();
    var upstream = Scores();
    for (var token0 = key0 / TILE * TILE; token0 < params.queries; token0 += TILE) {
        let seen = seen_by(row, token0);
        if seen.x >= key0 + TILE || seen.y <= key0 {
            continue;
        }
        for (var head = kv_head * group; head < (kv_head + 1u) * group; head++) {
            // As in attention.wgsl.
            scores = Scores();
            upstream = Scores();
            for (var d0 = 0u; d0 < params.head_dim; d0 += DEPTH) {
                let d = d0 + loaded;
                for (var quad = thread / DEPTH; quad < QUADS; quad += 4u) {
                    let asked = key0 + 4u * quad;
                    let asking = token0 + 4u * quad;
                    stage[loaded * LINE + quad] = from_k(down(key_start(row, asked, kv_head), key_stride, asked, params.keys, d));
                    stage[RIGHT + loaded * LINE + quad] =
                        from_q(down(query_start(row, asking, head), query_stride, asking, params.queries, d));
                }
                workgroupBarrier();
                scores = multiplied(scores, local);
                workgroupBarrier();
                for (var quad = thread / DEPTH; quad < QUADS; quad += 4u) {
                    let asked = key0 + 4u * quad;
                    let asking = token0 + 4u * quad;
                    stage[loaded * LINE + quad] = from_v(down(key_start(row, asked, kv_head), key_stride, asked, params.keys, d));
                    stage[RIGHT + loaded * LINE + quad] =
                        from_dy(down(query_start(row, asking, head), query_stride, asking, params.queries, d));
                }
                workgroupBarrier();
                upstream = multiplied(upstream, local);
                workgroupBarrier();
            }
            for (var i = 0u; i < 4u; i++) {
                let token = 4u * local.x + i;
                let scored = vec4f(scores.row0[i], scores.row1[i], scores.row2[i], scores.row3[i]);
                let along_dy = vec4f(upstream.row0[i], upstream.row1[i], upstream.row2[i], upstream.row3[i]);
                let made = column(row, token0 + token, head, key, scored, along_dy);
                shares[token * QUADS + local.y] = factors(made.shares);
                slopes[token * QUADS + local.y] = factors(made.slopes);
            }
            for (var part = 0u; part < TILE; part += PART) {
                for (var i = thread; i < PART * WIDTH_QUADS; i += 64u) {
                    let at = token0 + part + i / WIDTH_QUADS;
                    stage[i] = from_q(along(query_start(row, at, head), at, params.queries, width0 + 4u * (i % WIDTH_QUADS)));
                }
                workgroupBarrier();
                for (var i = 0u; i < PART; i++) {
                    sums_k = added(sums_k, slopes[(part + i) * QUADS + local.y], i, local);
                }
                workgroupBarrier();
                for (var i = thread; i < PART * WIDTH_QUADS; i += 64u) {
                    let at = token0 + part + i / WIDTH_QUADS;
                    stage[i] = from_dy(along(query_start(row, at, head), at, params.queries, width0 + 4u * (i % WIDTH_QUADS)));
                }
                workgroupBarrier();
                for (var i = 0u; i < PART; i++) {
                    sums_v = added(sums_v, shares[(part + i) * QUADS + local.y], i, local);
                }
                workgroupBarrier();
            }
        }
    }
    let d = width0 + 4u * local.x;
    store(row, key, kv_head, d, sums_k.left0, sums_v.left0);
    store(row, key + 1u, kv_head, d, sums_k.left1, sums_v.left1);
    store(row, key + 2u, kv_head, d, sums_k.left2, sums_v.left2);
    store(row, key + 3u, kv_head, d, sums_k.left3, sums_v.left3);
    store(row, key, kv_head, d + 32u, sums_k.right0, sums_v.right0);
    store(row, key + 1u, kv_head, d + 32u, sums_k.right1, sums_v.right1);
    store(row, key + 2u, kv_head, d + 32u, sums_k.right2, sums_v.right2);
    store(row, key + 3u, kv_head, d + 32u, sums_k.right3, sums_v.right3);
}
