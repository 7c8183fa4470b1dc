// dq = scale * sum_j ds_j k_j by matrix units, with p_j recomputed from the log-sum-exp and ds_j = p_j (dy . v_j - delta). A workgroup serves
// 64 tokens of a head.
@group(0) @binding(0) var<storage, read> q: array<vec4f>;
@group(0) @binding(1) var<storage, read> k: array<vec4f>;
@group(0) @binding(2) var<storage, read> v: array<vec4f>;
@group(0) @binding(3) var<storage, read> dy: array<vec4f>;
@group(0) @binding(4) var<storage, read> stats: array<vec2f>;
@group(0) @binding(5) var<storage, read> spans: array<vec2u>;
@group(0) @binding(6) var<storage, read_write> dq: array<vec4f>;
@group(0) @binding(7) var<uniform> params: Params;

const TILE: u32 = 32u; // keys at a time
// Quads from a line to the next: one, and two, more than there are.
const SCORE_LINE: u32 = 9u;
const SHARE_LINE: u32 = 10u;
var<workgroup> scores: array<vec4f, 2u * LINES * SCORE_LINE>;    // [token][key]: q . k, and after all of them dy . v
var<workgroup> slopes: array<vec4<f16>, LINES * SHARE_LINE>;     // [token][key]

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) thread: u32) {
    // Subgroups as in matmul_cooperative.wgsl.
    let subgroup = thread / LANES;
    let lane = thread % LANES;
    let line = lane / 2u;
    let side = lane % 2u;
    let head = workgroup.x;
    let token0 = workgroup.y * LINES;
    let row = workgroup.z;
    let kv_head = head / (params.heads / params.kv_heads);
    let own = subgroup * SIDE;
    let token = token0 + own + line;
    var span = vec2u();
    var statistic = vec2f();
    if token < params.queries {
        span = spans[row * params.queries + token];
        statistic = stats[(row * params.queries + token) * params.heads + head];
    }
    // First and one past the last key that some token sees.
    var first = params.keys;
    var end = 0u;
    for (var token = token0; token < min(token0 + LINES, params.queries); token++) {
        let span = spans[row * params.queries + token];
        if span.x < span.y {
            first = min(first, span.x);
            end = max(end, span.y);
        }
    }
    for (var turn = thread; turn < LINES * (DIM / 4u); turn += THREADS) {
        let at = copied(turn);
        stage[at.x * STAGE_LINE + at.y] = halves(q[query_quad(row, token0 + at.x, head, at.y)]);
    }
    workgroupBarrier();
    var q0 = coop_mat16x16<f16, A>();
    var g0 = coop_mat16x16<f16, A>();
    var d0 = coop_mat16x16<f32, C>();
    var q1 = coop_mat16x16<f16, A>();
    var g1 = coop_mat16x16<f16, A>();
    var d1 = coop_mat16x16<f32, C>();
    var q2 = coop_mat16x16<f16, A>();
    var g2 = coop_mat16x16<f16, A>();
    var d2 = coop_mat16x16<f32, C>();
    var q3 = coop_mat16x16<f16, A>();
    var g3 = coop_mat16x16<f16, A>();
    var d3 = coop_mat16x16<f32, C>();
    var q4 = coop_mat16x16<f16, A>();
    var g4 = coop_mat16x16<f16, A>();
    var d4 = coop_mat16x16<f32, C>();
    var q5 = coop_mat16x16<f16, A>();
    var g5 = coop_mat16x16<f16, A>();
    var d5 = coop_mat16x16<f32, C>();
    var q6 = coop_mat16x16<f16, A>();
    var g6 = coop_mat16x16<f16, A>();
    var d6 = coop_mat16x16<f32, C>();
    var q7 = coop_mat16x16<f16, A>();
    var g7 = coop_mat16x16<f16, A>();
    var d7 = coop_mat16x16<f32, C>();
    q0 = coopLoadT<coop_mat16x16<f16, A>>(&stage[own * STAGE_LINE], STAGE_LINE);
    q1 = coopLoadT<coop_mat16x16<f16, A>>(&stage[own * STAGE_LINE + 4u], STAGE_LINE);
    q2 = coopLoadT<coop_mat16x16<f16, A>>(&stage[own * STAGE_LINE + 8u], STAGE_LINE);
    q3 = coopLoadT<coop_mat16x16<f16, A>>(&stage[own * STAGE_LINE + 12u], STAGE_LINE);
    if DIM > 64u {
        q4 = coopLoadT<coop_mat16x16<f16, A>>(&stage[own * STAGE_LINE + 16u], STAGE_LINE);
        q5 = coopLoadT<coop_mat16x16<f16, A>>(&stage[own * STAGE_LINE + 20u], STAGE_LINE);
        q6 = coopLoadT<coop_mat16x16<f16, A>>(&stage[own * STAGE_LINE + 24u], STAGE_LINE);
        q7 = coopLoadT<coop_mat16x16<f16, A>>(&stage[own * STAGE_LINE + 28u], STAGE_LINE);
    }
    workgroupBarrier();
    for (var turn = thread; turn < LINES * (DIM / 4u); turn += THREADS) {
        let at = copied(turn);
        stage[at.x * STAGE_LINE + at.y] = halves(dy[query_quad(row, token0 + at.x, head, at.y)]);
    }
    workgroupBarrier();
    g0 = coopLoadT<coop_mat16x16<f16, A>>(&stage[own * STAGE_LINE], STAGE_LINE);
    g1 = coopLoadT<coop_mat16x16<f16, A>>(&stage[own * STAGE_LINE + 4u], STAGE_LINE);
    g2 = coopLoadT<coop_mat16x16<f16, A>>(&stage[own * STAGE_LINE + 8u], STAGE_LINE);
    g3 = coopLoadT<coop_mat16x16<f16, A>>(&stage[own * STAGE_LINE + 12u], STAGE_LINE);
    if DIM > 64u {
        g4 = coopLoadT<coop_mat16x16<f16, A>>(&stage[own * STAGE_LINE + 16u], STAGE_LINE);
        g5 = coopLoadT<coop_mat16x16<f16, A>>(&stage[own * STAGE_LINE + 20u], STAGE_LINE);
        g6 = coopLoadT<coop_mat16x16<f16, A>>(&stage[own * STAGE_LINE + 24u], STAGE_LINE);
        g7 = coopLoadT<coop_mat16x16<f16, A>>(&stage[own * STAGE_LINE + 28u], STAGE_LINE);
    }
    workgroupBarrier();
    let score_at = (own + line) * SCORE_LINE;
    for (var key0 = first / TILE * TILE; key0 < end; key0 += TILE) {
        for (var turn = thread; turn < TILE * (DIM / 4u); turn += THREADS) {
            let at = copied(turn);
            stage[at.x * STAGE_LINE + at.y] = halves(k[key_quad(row, key0 + at.x, kv_head, at.y)]);
        }
        for (var turn = thread; turn < TILE * (DIM / 4u); turn += THREADS) {
            let at = copied(turn);
            stage[(TILE + at.x) * STAGE_LINE + at.y] = halves(v[key_quad(row, key0 + at.x, kv_head, at.y)]);
        }
        workgroupBarrier();
        var s0 = coop_mat16x16<f32, C>();
        var s1 = coop_mat16x16<f32, C>();
        s0 = coopMultiplyAdd(q0, coopLoad<coop_mat16x16<f16, B>>(&stage[0u], STAGE_LINE), s0);
        s1 = coopMultiplyAdd(q0, coopLoad<coop_mat16x16<f16, B>>(&stage[16u * STAGE_LINE], STAGE_LINE), s1);
        s0 = coopMultiplyAdd(q1, coopLoad<coop_mat16x16<f16, B>>(&stage[4u], STAGE_LINE), s0);
        s1 = coopMultiplyAdd(q1, coopLoad<coop_mat16x16<f16, B>>(&stage[16u * STAGE_LINE + 4u], STAGE_LINE), s1);
        s0 = coopMultiplyAdd(q2, coopLoad<coop_mat16x16<f16, B>>(&stage[8u], STAGE_LINE), s0);
        s1 = coopMultiplyAdd(q2, coopLoad<coop_mat16x16<f16, B>>(&stage[16u * STAGE_LINE + 8u], STAGE_LINE), s1);
        s0 = coopMultiplyAdd(q3, coopLoad<coop_mat16x16<f16, B>>(&stage[12u], STAGE_LINE), s0);
        s1 = coopMultiplyAdd(q3, coopLoad<coop_mat16x16<f16, B>>(&stage[16u * STAGE_LINE + 12u], STAGE_LINE), s1);
        if DIM > 64u {
            s0 = coopMultiplyAdd(q4, coopLoad<coop_mat16x16<f16, B>>(&stage[16u], STAGE_LINE), s0);
            s1 = coopMultiplyAdd(q4, coopLoad<coop_mat16x16<f16, B>>(&stage[16u * STAGE_LINE + 16u], STAGE_LINE), s1);
            s0 = coopMultiplyAdd(q5, coopLoad<coop_mat16x16<f16, B>>(&stage[20u], STAGE_LINE), s0);
            s1 = coopMultiplyAdd(q5, coopLoad<coop_mat16x16<f16, B>>(&stage[16u * STAGE_LINE + 20u], STAGE_LINE), s1);
            s0 = coopMultiplyAdd(q6, coopLoad<coop_mat16x16<f16, B>>(&stage[24u], STAGE_LINE), s0);
            s1 = coopMultiplyAdd(q6, coopLoad<coop_mat16x16<f16, B>>(&stage[16u * STAGE_LINE + 24u], STAGE_LINE), s1);
            s0 = coopMultiplyAdd(q7, coopLoad<coop_mat16x16<f16, B>>(&stage[28u], STAGE_LINE), s0);
            s1 = coopMultiplyAdd(q7, coopLoad<coop_mat16x16<f16, B>>(&stage[16u * STAGE_LINE + 28u], STAGE_LINE), s1);
        }
        var u0 = coop_mat16x16<f32, C>();
        var u1 = coop_mat16x16<f32, C>();
        u0 = coopMultiplyAdd(g0, coopLoad<coop_mat16x16<f16, B>>(&stage[TILE * STAGE_LINE], STAGE_LINE), u0);
        u1 = coopMultiplyAdd(g0, coopLoad<coop_mat16x16<f16, B>>(&stage[TILE * STAGE_LINE + 16u * STAGE_LINE], STAGE_LINE), u1);
        u0 = coopMultiplyAdd(g1, coopLoad<coop_mat16x16<f16, B>>(&stage[TILE * STAGE_LINE + 4u], STAGE_LINE), u0);
        u1 = coopMultiplyAdd(g1, coopLoad<coop_mat16x16<f16, B>>(&stage[TILE * STAGE_LINE + 16u * STAGE_LINE + 4u], STAGE_LINE), u1);
        u0 = coopMultiplyAdd(g2, coopLoad<coop_mat16x16<f16, B>>(&stage[TILE * STAGE_LINE + 8u], STAGE_LINE), u0);
        u1 = coopMultiplyAdd(g2, coopLoad<coop_mat16x16<f16, B>>(&stage[TILE * STAGE_LINE + 16u * STAGE_LINE + 8u], STAGE_LINE), u1);
        u0 = coopMultiplyAdd(g3, coopLoad<coop_mat16x16<f16, B>>(&stage[TILE * STAGE_LINE + 12u], STAGE_LINE), u0);
        u1 = coopMultiplyAdd(g3, coopLoad<coop_mat16x16<f16, B>>(&stage[TILE * STAGE_LINE + 16u * STAGE_LINE + 12u], STAGE_LINE), u1);
        if DIM > 64u {
            u0 = coopMultiplyAdd(g4, coopLoad<coop_mat16x16<f16, B>>(&stage[TILE * STAGE_LINE + 16u], STAGE_LINE), u0);
            u1 = coopMultiplyAdd(g4, coopLoad<coop_mat16x16<f16, B>>(&stage[TILE * STAGE_LINE + 16u * STAGE_LINE + 16u], STAGE_LINE), u1);
            u0 = coopMultiplyAdd(g5, coopLoad<coop_mat16x16<f16, B>>(&stage[TILE * STAGE_LINE + 20u], STAGE_LINE), u0);
            u1 = coopMultiplyAdd(g5, coopLoad<coop_mat16x16<f16, B>>(&stage[TILE * STAGE_LINE + 16u * STAGE_LINE + 20u], STAGE_LINE), u1);
            u0 = coopMultiplyAdd(g6, coopLoad<coop_mat16x16<f16, B>>(&stage[TILE * STAGE_LINE + 24u], STAGE_LINE), u0);
            u1 = coopMultiplyAdd(g6, coopLoad<coop_mat16x16<f16, B>>(&stage[TILE * STAGE_LINE + 16u * STAGE_LINE + 24u], STAGE_LINE), u1);
            u0 = coopMultiplyAdd(g7, coopLoad<coop_mat16x16<f16, B>>(&stage[TILE * STAGE_LINE + 28u], STAGE_LINE), u0);
            u1 = coopMultiplyAdd(g7, coopLoad<coop_mat16x16<f16, B>>(&stage[TILE * STAGE_LINE + 16u * STAGE_LINE + 28u], STAGE_LINE), u1);
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
            let share = exp(scores[score_at + i] * params.scale - statistic.x);
            let slope = share * (scores[LINES * SCORE_LINE + score_at + i] - statistic.y);
            slopes[(own + line) * SHARE_LINE + i] = halves(select(vec4f(), slope, sees(span, key0 + 4u * i)));
        }
        workgroupBarrier();
        for (var i = 0u; i < TILE; i += SIDE) {
            let s = coopLoadT<coop_mat16x16<f16, A>>(&slopes[own * SHARE_LINE + i / 4u], SHARE_LINE);
            d0 = coopMultiplyAdd(s, coopLoadT<coop_mat16x16<f16, B>>(&stage[i * STAGE_LINE], STAGE_LINE), d0);
            d1 = coopMultiplyAdd(s, coopLoadT<coop_mat16x16<f16, B>>(&stage[i * STAGE_LINE + 4u], STAGE_LINE), d1);
            d2 = coopMultiplyAdd(s, coopLoadT<coop_mat16x16<f16, B>>(&stage[i * STAGE_LINE + 8u], STAGE_LINE), d2);
            d3 = coopMultiplyAdd(s, coopLoadT<coop_mat16x16<f16, B>>(&stage[i * STAGE_LINE + 12u], STAGE_LINE), d3);
            if DIM > 64u {
                d4 = coopMultiplyAdd(s, coopLoadT<coop_mat16x16<f16, B>>(&stage[i * STAGE_LINE + 16u], STAGE_LINE), d4);
                d5 = coopMultiplyAdd(s, coopLoadT<coop_mat16x16<f16, B>>(&stage[i * STAGE_LINE + 20u], STAGE_LINE), d5);
                d6 = coopMultiplyAdd(s, coopLoadT<coop_mat16x16<f16, B>>(&stage[i * STAGE_LINE + 24u], STAGE_LINE), d6);
                d7 = coopMultiplyAdd(s, coopLoadT<coop_mat16x16<f16, B>>(&stage[i * STAGE_LINE + 28u], STAGE_LINE), d7);
            }
        }
        workgroupBarrier();
    }
    let d_at0 = own * SCORE_LINE;
    coopStoreT(d0, &scores[d_at0], SCORE_LINE);
    let d_at1 = own * SCORE_LINE + 4u;
    coopStoreT(d1, &scores[d_at1], SCORE_LINE);
    workgroupBarrier();
    if token < params.queries {
        for (var i = side; i < 8u; i += 2u) {
            dq[query_quad(row, token, head, i)] = scores[score_at + i] * params.scale;
        }
    }
    workgroupBarrier();
    let d_at2 = own * SCORE_LINE;
    coopStoreT(d2, &scores[d_at2], SCORE_LINE);
    let d_at3 = own * SCORE_LINE + 4u;
    coopStoreT(d3, &scores[d_at3], SCORE_LINE);
    workgroupBarrier();
    if token < params.queries {
        for (var i = side; i < 8u; i += 2u) {
            dq[query_quad(row, token, head, i + 8u)] = scores[score_at + i] * params.scale;
        }
    }
    if DIM > 64u {
        workgroupBarrier();
        let d_at4 = own * SCORE_LINE;
        coopStoreT(d4, &scores[d_at4], SCORE_LINE);
        let d_at5 = own * SCORE_LINE + 4u;
        coopStoreT(d5, &scores[d_at5], SCORE_LINE);
        workgroupBarrier();
        if token < params.queries {
            for (var i = side; i < 8u; i += 2u) {
                dq[query_quad(row, token, head, i + 16u)] = scores[score_at + i] * params.scale;
            }
        }
        workgroupBarrier();
        let d_at6 = own * SCORE_LINE;
        coopStoreT(d6, &scores[d_at6], SCORE_LINE);
        let d_at7 = own * SCORE_LINE + 4u;
        coopStoreT(d7, &scores[d_at7], SCORE_LINE);
        workgroupBarrier();
        if token < params.queries {
            for (var i = side; i < 8u; i += 2u) {
                dq[query_quad(row, token, head, i + 24u)] = scores[score_at + i] * params.scale;
            }
        }
    }
}
