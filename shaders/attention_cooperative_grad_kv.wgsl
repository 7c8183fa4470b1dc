// dk_j = scale * sum_i ds_ij q_i and dv_j = sum_i p_ij dy_i by matrix units, over the tokens i >= j whose span holds j and the query heads that
// share this key's head. A workgroup owns 64 keys of a head, so nothing is added by two.
@group(0) @binding(0) var<storage, read> q: array<vec4f>;
@group(0) @binding(1) var<storage, read> k: array<vec4f>;
@group(0) @binding(2) var<storage, read> v: array<vec4f>;
@group(0) @binding(3) var<storage, read> dy: array<vec4f>;
@group(0) @binding(4) var<storage, read> stats: array<vec2f>;
@group(0) @binding(5) var<storage, read> spans: array<vec2u>;
@group(0) @binding(6) var<storage, read_write> dk: array<vec4f>;
@group(0) @binding(7) var<storage, read_write> dv: array<vec4f>;
@group(0) @binding(8) var<uniform> params: Params;

const TILE: u32 = 32u; // tokens at a time
// Quads from a line to the next: one, and two, more than there are.
const SCORE_LINE: u32 = 9u;
const SHARE_LINE: u32 = 10u;
var<workgroup> scores: array<vec4f, 2u * LINES * SCORE_LINE>; // [key][token]: k . q, and after all of them v . dy
var<workgroup> shares: array<vec4<f16>, LINES * SHARE_LINE>;  // [key][token]
var<workgroup> slopes: array<vec4<f16>, LINES * SHARE_LINE>;
// Of the tile's tokens; past the edge the span is empty.
var<workgroup> statistics: array<vec2f, TILE>;
var<workgroup> tile_spans: array<vec2u, TILE>;

fn holds(span: vec2u, key: u32) -> bool {
    return key >= span.x && key < span.y;
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) thread: u32) {
    // Subgroups as in matmul_cooperative.wgsl.
    let subgroup = thread / LANES;
    let lane = thread % LANES;
    let line = lane / 2u;
    let side = lane % 2u;
    let kv_head = workgroup.x;
    let key0 = workgroup.y * LINES;
    let row = workgroup.z;
    let group = params.heads / params.kv_heads;
    let own = subgroup * SIDE;
    let key = key0 + own + line;
    for (var turn = thread; turn < LINES * (DIM / 4u); turn += THREADS) {
        let at = copied(turn);
        stage[at.x * STAGE_LINE + at.y] = halves(k[key_quad(row, key0 + at.x, kv_head, at.y)]);
    }
    workgroupBarrier();
    var k0 = coop_mat16x16<f16, A>();
    var v0 = coop_mat16x16<f16, A>();
    var dk0 = coop_mat16x16<f32, C>();
    var dv0 = coop_mat16x16<f32, C>();
    var k1 = coop_mat16x16<f16, A>();
    var v1 = coop_mat16x16<f16, A>();
    var dk1 = coop_mat16x16<f32, C>();
    var dv1 = coop_mat16x16<f32, C>();
    var k2 = coop_mat16x16<f16, A>();
    var v2 = coop_mat16x16<f16, A>();
    var dk2 = coop_mat16x16<f32, C>();
    var dv2 = coop_mat16x16<f32, C>();
    var k3 = coop_mat16x16<f16, A>();
    var v3 = coop_mat16x16<f16, A>();
    var dk3 = coop_mat16x16<f32, C>();
    var dv3 = coop_mat16x16<f32, C>();
    var k4 = coop_mat16x16<f16, A>();
    var v4 = coop_mat16x16<f16, A>();
    var dk4 = coop_mat16x16<f32, C>();
    var dv4 = coop_mat16x16<f32, C>();
    var k5 = coop_mat16x16<f16, A>();
    var v5 = coop_mat16x16<f16, A>();
    var dk5 = coop_mat16x16<f32, C>();
    var dv5 = coop_mat16x16<f32, C>();
    var k6 = coop_mat16x16<f16, A>();
    var v6 = coop_mat16x16<f16, A>();
    var dk6 = coop_mat16x16<f32, C>();
    var dv6 = coop_mat16x16<f32, C>();
    var k7 = coop_mat16x16<f16, A>();
    var v7 = coop_mat16x16<f16, A>();
    var dk7 = coop_mat16x16<f32, C>();
    var dv7 = coop_mat16x16<f32, C>();
    k0 = coopLoadT<coop_mat16x16<f16, A>>(&stage[own * STAGE_LINE], STAGE_LINE);
    k1 = coopLoadT<coop_mat16x16<f16, A>>(&stage[own * STAGE_LINE + 4u], STAGE_LINE);
    k2 = coopLoadT<coop_mat16x16<f16, A>>(&stage[own * STAGE_LINE + 8u], STAGE_LINE);
    k3 = coopLoadT<coop_mat16x16<f16, A>>(&stage[own * STAGE_LINE + 12u], STAGE_LINE);
    if DIM > 64u {
        k4 = coopLoadT<coop_mat16x16<f16, A>>(&stage[own * STAGE_LINE + 16u], STAGE_LINE);
        k5 = coopLoadT<coop_mat16x16<f16, A>>(&stage[own * STAGE_LINE + 20u], STAGE_LINE);
        k6 = coopLoadT<coop_mat16x16<f16, A>>(&stage[own * STAGE_LINE + 24u], STAGE_LINE);
        k7 = coopLoadT<coop_mat16x16<f16, A>>(&stage[own * STAGE_LINE + 28u], STAGE_LINE);
    }
    workgroupBarrier();
    for (var turn = thread; turn < LINES * (DIM / 4u); turn += THREADS) {
        let at = copied(turn);
        stage[at.x * STAGE_LINE + at.y] = halves(v[key_quad(row, key0 + at.x, kv_head, at.y)]);
    }
    workgroupBarrier();
    v0 = coopLoadT<coop_mat16x16<f16, A>>(&stage[own * STAGE_LINE], STAGE_LINE);
    v1 = coopLoadT<coop_mat16x16<f16, A>>(&stage[own * STAGE_LINE + 4u], STAGE_LINE);
    v2 = coopLoadT<coop_mat16x16<f16, A>>(&stage[own * STAGE_LINE + 8u], STAGE_LINE);
    v3 = coopLoadT<coop_mat16x16<f16, A>>(&stage[own * STAGE_LINE + 12u], STAGE_LINE);
    if DIM > 64u {
        v4 = coopLoadT<coop_mat16x16<f16, A>>(&stage[own * STAGE_LINE + 16u], STAGE_LINE);
        v5 = coopLoadT<coop_mat16x16<f16, A>>(&stage[own * STAGE_LINE + 20u], STAGE_LINE);
        v6 = coopLoadT<coop_mat16x16<f16, A>>(&stage[own * STAGE_LINE + 24u], STAGE_LINE);
        v7 = coopLoadT<coop_mat16x16<f16, A>>(&stage[own * STAGE_LINE + 28u], STAGE_LINE);
    }
    workgroupBarrier();
    let score_at = (own + line) * SCORE_LINE;
    for (var token0 = key0; token0 < params.queries; token0 += TILE) {
        // First and one past the last key that some token sees.
        var first = params.keys;
        var end = 0u;
        for (var token = token0; token < min(token0 + TILE, params.queries); token++) {
            let span = spans[row * params.queries + token];
            if span.x < span.y {
                first = min(first, span.x);
                end = max(end, span.y);
            }
        }
        if (first >= key0 + LINES) | (end <= key0) {
            continue;
        }
        for (var head = kv_head * group; head < (kv_head + 1u) * group; head++) {
            for (var turn = thread; turn < TILE * (DIM / 4u); turn += THREADS) {
                let at = copied(turn);
                stage[at.x * STAGE_LINE + at.y] = halves(q[query_quad(row, token0 + at.x, head, at.y)]);
            }
            for (var turn = thread; turn < TILE * (DIM / 4u); turn += THREADS) {
                let at = copied(turn);
                stage[(TILE + at.x) * STAGE_LINE + at.y] = halves(dy[query_quad(row, token0 + at.x, head, at.y)]);
            }
            if thread < TILE {
                let token = token0 + thread;
                let there = token < params.queries;
                let at = row * params.queries + min(token, params.queries - 1u);
                statistics[thread] = stats[at * params.heads + head];
                tile_spans[thread] = select(vec2u(), spans[at], there);
            }
            workgroupBarrier();
            var s0 = coop_mat16x16<f32, C>();
            var s1 = coop_mat16x16<f32, C>();
            s0 = coopMultiplyAdd(k0, coopLoad<coop_mat16x16<f16, B>>(&stage[0u], STAGE_LINE), s0);
            s1 = coopMultiplyAdd(k0, coopLoad<coop_mat16x16<f16, B>>(&stage[16u * STAGE_LINE], STAGE_LINE), s1);
            s0 = coopMultiplyAdd(k1, coopLoad<coop_mat16x16<f16, B>>(&stage[4u], STAGE_LINE), s0);
            s1 = coopMultiplyAdd(k1, coopLoad<coop_mat16x16<f16, B>>(&stage[16u * STAGE_LINE + 4u], STAGE_LINE), s1);
            s0 = coopMultiplyAdd(k2, coopLoad<coop_mat16x16<f16, B>>(&stage[8u], STAGE_LINE), s0);
            s1 = coopMultiplyAdd(k2, coopLoad<coop_mat16x16<f16, B>>(&stage[16u * STAGE_LINE + 8u], STAGE_LINE), s1);
            s0 = coopMultiplyAdd(k3, coopLoad<coop_mat16x16<f16, B>>(&stage[12u], STAGE_LINE), s0);
            s1 = coopMultiplyAdd(k3, coopLoad<coop_mat16x16<f16, B>>(&stage[16u * STAGE_LINE + 12u], STAGE_LINE), s1);
            if DIM > 64u {
                s0 = coopMultiplyAdd(k4, coopLoad<coop_mat16x16<f16, B>>(&stage[16u], STAGE_LINE), s0);
                s1 = coopMultiplyAdd(k4, coopLoad<coop_mat16x16<f16, B>>(&stage[16u * STAGE_LINE + 16u], STAGE_LINE), s1);
                s0 = coopMultiplyAdd(k5, coopLoad<coop_mat16x16<f16, B>>(&stage[20u], STAGE_LINE), s0);
                s1 = coopMultiplyAdd(k5, coopLoad<coop_mat16x16<f16, B>>(&stage[16u * STAGE_LINE + 20u], STAGE_LINE), s1);
                s0 = coopMultiplyAdd(k6, coopLoad<coop_mat16x16<f16, B>>(&stage[24u], STAGE_LINE), s0);
                s1 = coopMultiplyAdd(k6, coopLoad<coop_mat16x16<f16, B>>(&stage[16u * STAGE_LINE + 24u], STAGE_LINE), s1);
                s0 = coopMultiplyAdd(k7, coopLoad<coop_mat16x16<f16, B>>(&stage[28u], STAGE_LINE), s0);
                s1 = coopMultiplyAdd(k7, coopLoad<coop_mat16x16<f16, B>>(&stage[16u * STAGE_LINE + 28u], STAGE_LINE), s1);
            }
            var u0 = coop_mat16x16<f32, C>();
            var u1 = coop_mat16x16<f32, C>();
            u0 = coopMultiplyAdd(v0, coopLoad<coop_mat16x16<f16, B>>(&stage[TILE * STAGE_LINE], STAGE_LINE), u0);
            u1 = coopMultiplyAdd(v0, coopLoad<coop_mat16x16<f16, B>>(&stage[TILE * STAGE_LINE + 16u * STAGE_LINE], STAGE_LINE), u1);
            u0 = coopMultiplyAdd(v1, coopLoad<coop_mat16x16<f16, B>>(&stage[TILE * STAGE_LINE + 4u], STAGE_LINE), u0);
            u1 = coopMultiplyAdd(v1, coopLoad<coop_mat16x16<f16, B>>(&stage[TILE * STAGE_LINE + 16u * STAGE_LINE + 4u], STAGE_LINE), u1);
            u0 = coopMultiplyAdd(v2, coopLoad<coop_mat16x16<f16, B>>(&stage[TILE * STAGE_LINE + 8u], STAGE_LINE), u0);
            u1 = coopMultiplyAdd(v2, coopLoad<coop_mat16x16<f16, B>>(&stage[TILE * STAGE_LINE + 16u * STAGE_LINE + 8u], STAGE_LINE), u1);
            u0 = coopMultiplyAdd(v3, coopLoad<coop_mat16x16<f16, B>>(&stage[TILE * STAGE_LINE + 12u], STAGE_LINE), u0);
            u1 = coopMultiplyAdd(v3, coopLoad<coop_mat16x16<f16, B>>(&stage[TILE * STAGE_LINE + 16u * STAGE_LINE + 12u], STAGE_LINE), u1);
            if DIM > 64u {
                u0 = coopMultiplyAdd(v4, coopLoad<coop_mat16x16<f16, B>>(&stage[TILE * STAGE_LINE + 16u], STAGE_LINE), u0);
                u1 = coopMultiplyAdd(v4, coopLoad<coop_mat16x16<f16, B>>(&stage[TILE * STAGE_LINE + 16u * STAGE_LINE + 16u], STAGE_LINE), u1);
                u0 = coopMultiplyAdd(v5, coopLoad<coop_mat16x16<f16, B>>(&stage[TILE * STAGE_LINE + 20u], STAGE_LINE), u0);
                u1 = coopMultiplyAdd(v5, coopLoad<coop_mat16x16<f16, B>>(&stage[TILE * STAGE_LINE + 16u * STAGE_LINE + 20u], STAGE_LINE), u1);
                u0 = coopMultiplyAdd(v6, coopLoad<coop_mat16x16<f16, B>>(&stage[TILE * STAGE_LINE + 24u], STAGE_LINE), u0);
                u1 = coopMultiplyAdd(v6, coopLoad<coop_mat16x16<f16, B>>(&stage[TILE * STAGE_LINE + 16u * STAGE_LINE + 24u], STAGE_LINE), u1);
                u0 = coopMultiplyAdd(v7, coopLoad<coop_mat16x16<f16, B>>(&stage[TILE * STAGE_LINE + 28u], STAGE_LINE), u0);
                u1 = coopMultiplyAdd(v7, coopLoad<coop_mat16x16<f16, B>>(&stage[TILE * STAGE_LINE + 16u * STAGE_LINE + 28u], STAGE_LINE), u1);
            }
            let s_at0 = own * SCORE_LINE;
            let s_at1 = own * SCORE_LINE + 4u;
            coopStoreT(s0, &scores[s_at0], SCORE_LINE);
            coopStoreT(s1, &scores[s_at1], SCORE_LINE);
            let u_at0 = (LINES + own) * SCORE_LINE;
            let u_at1 = (LINES + own) * SCORE_LINE + 4u;
            coopStoreT(u0, &scores[u_at0], SCORE_LINE);
            coopStoreT(u1, &scores[u_at1], SCORE_LINE);
            workgroupBarrier();
            for (var i = side; i < TILE / 4u; i += 2u) {
                let one = statistics[4u * i];
                let two = statistics[4u * i + 1u];
                let three = statistics[4u * i + 2u];
                let four = statistics[4u * i + 3u];
                let seen = vec4<bool>(
                    holds(tile_spans[4u * i], key),
                    holds(tile_spans[4u * i + 1u], key),
                    holds(tile_spans[4u * i + 2u], key),
                    holds(tile_spans[4u * i + 3u], key),
                );
                let share = exp(scores[score_at + i] * params.scale - vec4f(one.x, two.x, three.x, four.x));
                let slope = share * (scores[LINES * SCORE_LINE + score_at + i] - vec4f(one.y, two.y, three.y, four.y));
                shares[(own + line) * SHARE_LINE + i] = vec4<f16>(select(vec4f(), share, seen));
                slopes[(own + line) * SHARE_LINE + i] = halves(select(vec4f(), slope, seen));
            }
            workgroupBarrier();
            for (var i = 0u; i < TILE; i += SIDE) {
                let s = coopLoadT<coop_mat16x16<f16, A>>(&slopes[own * SHARE_LINE + i / 4u], SHARE_LINE);
                let p = coopLoadT<coop_mat16x16<f16, A>>(&shares[own * SHARE_LINE + i / 4u], SHARE_LINE);
                dk0 = coopMultiplyAdd(s, coopLoadT<coop_mat16x16<f16, B>>(&stage[i * STAGE_LINE], STAGE_LINE), dk0);
                dv0 = coopMultiplyAdd(p, coopLoadT<coop_mat16x16<f16, B>>(&stage[(TILE + i) * STAGE_LINE], STAGE_LINE), dv0);
                dk1 = coopMultiplyAdd(s, coopLoadT<coop_mat16x16<f16, B>>(&stage[i * STAGE_LINE + 4u], STAGE_LINE), dk1);
                dv1 = coopMultiplyAdd(p, coopLoadT<coop_mat16x16<f16, B>>(&stage[(TILE + i) * STAGE_LINE + 4u], STAGE_LINE), dv1);
                dk2 = coopMultiplyAdd(s, coopLoadT<coop_mat16x16<f16, B>>(&stage[i * STAGE_LINE + 8u], STAGE_LINE), dk2);
                dv2 = coopMultiplyAdd(p, coopLoadT<coop_mat16x16<f16, B>>(&stage[(TILE + i) * STAGE_LINE + 8u], STAGE_LINE), dv2);
                dk3 = coopMultiplyAdd(s, coopLoadT<coop_mat16x16<f16, B>>(&stage[i * STAGE_LINE + 12u], STAGE_LINE), dk3);
                dv3 = coopMultiplyAdd(p, coopLoadT<coop_mat16x16<f16, B>>(&stage[(TILE + i) * STAGE_LINE + 12u], STAGE_LINE), dv3);
                if DIM > 64u {
                    dk4 = coopMultiplyAdd(s, coopLoadT<coop_mat16x16<f16, B>>(&stage[i * STAGE_LINE + 16u], STAGE_LINE), dk4);
                    dv4 = coopMultiplyAdd(p, coopLoadT<coop_mat16x16<f16, B>>(&stage[(TILE + i) * STAGE_LINE + 16u], STAGE_LINE), dv4);
                    dk5 = coopMultiplyAdd(s, coopLoadT<coop_mat16x16<f16, B>>(&stage[i * STAGE_LINE + 20u], STAGE_LINE), dk5);
                    dv5 = coopMultiplyAdd(p, coopLoadT<coop_mat16x16<f16, B>>(&stage[(TILE + i) * STAGE_LINE + 20u], STAGE_LINE), dv5);
                    dk6 = coopMultiplyAdd(s, coopLoadT<coop_mat16x16<f16, B>>(&stage[i * STAGE_LINE + 24u], STAGE_LINE), dk6);
                    dv6 = coopMultiplyAdd(p, coopLoadT<coop_mat16x16<f16, B>>(&stage[(TILE + i) * STAGE_LINE + 24u], STAGE_LINE), dv6);
                    dk7 = coopMultiplyAdd(s, coopLoadT<coop_mat16x16<f16, B>>(&stage[i * STAGE_LINE + 28u], STAGE_LINE), dk7);
                    dv7 = coopMultiplyAdd(p, coopLoadT<coop_mat16x16<f16, B>>(&stage[(TILE + i) * STAGE_LINE + 28u], STAGE_LINE), dv7);
                }
            }
            workgroupBarrier();
        }
    }
    let dk_at0 = own * SCORE_LINE;
    coopStoreT(dk0, &scores[dk_at0], SCORE_LINE);
    let dk_at1 = own * SCORE_LINE + 4u;
    coopStoreT(dk1, &scores[dk_at1], SCORE_LINE);
    workgroupBarrier();
    if key < params.keys {
        for (var i = side; i < 8u; i += 2u) {
            dk[key_quad(row, key, kv_head, i)] = scores[score_at + i] * params.scale;
        }
    }
    workgroupBarrier();
    let dk_at2 = own * SCORE_LINE;
    coopStoreT(dk2, &scores[dk_at2], SCORE_LINE);
    let dk_at3 = own * SCORE_LINE + 4u;
    coopStoreT(dk3, &scores[dk_at3], SCORE_LINE);
    workgroupBarrier();
    if key < params.keys {
        for (var i = side; i < 8u; i += 2u) {
            dk[key_quad(row, key, kv_head, i + 8u)] = scores[score_at + i] * params.scale;
        }
    }
    if DIM > 64u {
        workgroupBarrier();
        let dk_at4 = own * SCORE_LINE;
        coopStoreT(dk4, &scores[dk_at4], SCORE_LINE);
        let dk_at5 = own * SCORE_LINE + 4u;
        coopStoreT(dk5, &scores[dk_at5], SCORE_LINE);
        workgroupBarrier();
        if key < params.keys {
            for (var i = side; i < 8u; i += 2u) {
                dk[key_quad(row, key, kv_head, i + 16u)] = scores[score_at + i] * params.scale;
            }
        }
        workgroupBarrier();
        let dk_at6 = own * SCORE_LINE;
        coopStoreT(dk6, &scores[dk_at6], SCORE_LINE);
        let dk_at7 = own * SCORE_LINE + 4u;
        coopStoreT(dk7, &scores[dk_at7], SCORE_LINE);
        workgroupBarrier();
        if key < params.keys {
            for (var i = side; i < 8u; i += 2u) {
                dk[key_quad(row, key, kv_head, i + 24u)] = scores[score_at + i] * params.scale;
            }
        }
    }
    workgroupBarrier();
    let dv_at0 = own * SCORE_LINE;
    coopStoreT(dv0, &scores[dv_at0], SCORE_LINE);
    let dv_at1 = own * SCORE_LINE + 4u;
    coopStoreT(dv1, &scores[dv_at1], SCORE_LINE);
    workgroupBarrier();
    if key < params.keys {
        for (var i = side; i < 8u; i += 2u) {
            dv[key_quad(row, key, kv_head, i)] = scores[score_at + i];
        }
    }
    workgroupBarrier();
    let dv_at2 = own * SCORE_LINE;
    coopStoreT(dv2, &scores[dv_at2], SCORE_LINE);
    let dv_at3 = own * SCORE_LINE + 4u;
    coopStoreT(dv3, &scores[dv_at3], SCORE_LINE);
    workgroupBarrier();
    if key < params.keys {
        for (var i = side; i < 8u; i += 2u) {
            dv[key_quad(row, key, kv_head, i + 8u)] = scores[score_at + i];
        }
    }
    if DIM > 64u {
        workgroupBarrier();
        let dv_at4 = own * SCORE_LINE;
        coopStoreT(dv4, &scores[dv_at4], SCORE_LINE);
        let dv_at5 = own * SCORE_LINE + 4u;
        coopStoreT(dv5, &scores[dv_at5], SCORE_LINE);
        workgroupBarrier();
        if key < params.keys {
            for (var i = side; i < 8u; i += 2u) {
                dv[key_quad(row, key, kv_head, i + 16u)] = scores[score_at + i];
            }
        }
        workgroupBarrier();
        let dv_at6 = own * SCORE_LINE;
        coopStoreT(dv6, &scores[dv_at6], SCORE_LINE);
        let dv_at7 = own * SCORE_LINE + 4u;
        coopStoreT(dv7, &scores[dv_at7], SCORE_LINE);
        workgroupBarrier();
        if key < params.keys {
            for (var i = side; i < 8u; i += 2u) {
                dv[key_quad(row, key, kv_head, i + 24u)] = scores[score_at + i];
            }
        }
    }
}
