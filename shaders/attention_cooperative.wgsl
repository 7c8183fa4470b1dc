// Causal attention by matrix units. The keys are gone through twice: for each token's largest score, and then for its shares, so that sums
// never have to be scaled. A workgroup serves 64 tokens of a head; a token sees the keys of its span.
@group(0) @binding(0) var<storage, read> q: array<vec4f>;
@group(0) @binding(1) var<storage, read> k: array<vec4f>;
@group(0) @binding(2) var<storage, read> v: array<vec4f>;
@group(0) @binding(3) var<storage, read> spans: array<vec2u>;     // [row][token]: first key, one past the last
@group(0) @binding(4) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> stats: array<f32>; // [row][token][head][log-sum-exp, delta]
@group(0) @binding(6) var<uniform> params: Params;

const KEYS: u32 = 64u;
const NOTHING: f32 = -3.0e38; // a score that no key has
// Quads from a line to the next: one, and two, more than there are.
const SCORE_LINE: u32 = 17u;
const SHARE_LINE: u32 = 18u;
var<workgroup> scores: array<vec4f, LINES * SCORE_LINE>;      // [token][key]
var<workgroup> shares: array<vec4<f16>, LINES * SHARE_LINE>;  // [token][key]
var<workgroup> parts: array<f32, THREADS>;                    // of each thread

fn largest_of(x: vec4f) -> f32 {
    return max(max(x.x, x.y), max(x.z, x.w));
}

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
    if token < params.queries {
        span = spans[row * params.queries + token];
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
    var q1 = coop_mat16x16<f16, A>();
    var q2 = coop_mat16x16<f16, A>();
    var q3 = coop_mat16x16<f16, A>();
    var q4 = coop_mat16x16<f16, A>();
    var q5 = coop_mat16x16<f16, A>();
    var q6 = coop_mat16x16<f16, A>();
    var q7 = coop_mat16x16<f16, A>();
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
    let score_at = (own + line) * SCORE_LINE;
    var largest = NOTHING;
    var total = 0.0;
    var y0 = coop_mat16x16<f32, C>();
    var y1 = coop_mat16x16<f32, C>();
    var y2 = coop_mat16x16<f32, C>();
    var y3 = coop_mat16x16<f32, C>();
    var y4 = coop_mat16x16<f32, C>();
    var y5 = coop_mat16x16<f32, C>();
    var y6 = coop_mat16x16<f32, C>();
    var y7 = coop_mat16x16<f32, C>();
    for (var round = 0u; round < 2u; round++) {
        for (var key0 = first / KEYS * KEYS; key0 < end; key0 += KEYS) {
            for (var turn = thread; turn < KEYS * (DIM / 4u); turn += THREADS) {
                let at = copied(turn);
                stage[at.x * STAGE_LINE + at.y] = halves(k[key_quad(row, key0 + at.x, kv_head, at.y)]);
            }
            workgroupBarrier();
            var s0 = coop_mat16x16<f32, C>();
            var s1 = coop_mat16x16<f32, C>();
            var s2 = coop_mat16x16<f32, C>();
            var s3 = coop_mat16x16<f32, C>();
            s0 = coopMultiplyAdd(q0, coopLoad<coop_mat16x16<f16, B>>(&stage[0u], STAGE_LINE), s0);
            s1 = coopMultiplyAdd(q0, coopLoad<coop_mat16x16<f16, B>>(&stage[16u * STAGE_LINE], STAGE_LINE), s1);
            s2 = coopMultiplyAdd(q0, coopLoad<coop_mat16x16<f16, B>>(&stage[32u * STAGE_LINE], STAGE_LINE), s2);
            s3 = coopMultiplyAdd(q0, coopLoad<coop_mat16x16<f16, B>>(&stage[48u * STAGE_LINE], STAGE_LINE), s3);
            s0 = coopMultiplyAdd(q1, coopLoad<coop_mat16x16<f16, B>>(&stage[4u], STAGE_LINE), s0);
            s1 = coopMultiplyAdd(q1, coopLoad<coop_mat16x16<f16, B>>(&stage[16u * STAGE_LINE + 4u], STAGE_LINE), s1);
            s2 = coopMultiplyAdd(q1, coopLoad<coop_mat16x16<f16, B>>(&stage[32u * STAGE_LINE + 4u], STAGE_LINE), s2);
            s3 = coopMultiplyAdd(q1, coopLoad<coop_mat16x16<f16, B>>(&stage[48u * STAGE_LINE + 4u], STAGE_LINE), s3);
            s0 = coopMultiplyAdd(q2, coopLoad<coop_mat16x16<f16, B>>(&stage[8u], STAGE_LINE), s0);
            s1 = coopMultiplyAdd(q2, coopLoad<coop_mat16x16<f16, B>>(&stage[16u * STAGE_LINE + 8u], STAGE_LINE), s1);
            s2 = coopMultiplyAdd(q2, coopLoad<coop_mat16x16<f16, B>>(&stage[32u * STAGE_LINE + 8u], STAGE_LINE), s2);
            s3 = coopMultiplyAdd(q2, coopLoad<coop_mat16x16<f16, B>>(&stage[48u * STAGE_LINE + 8u], STAGE_LINE), s3);
            s0 = coopMultiplyAdd(q3, coopLoad<coop_mat16x16<f16, B>>(&stage[12u], STAGE_LINE), s0);
            s1 = coopMultiplyAdd(q3, coopLoad<coop_mat16x16<f16, B>>(&stage[16u * STAGE_LINE + 12u], STAGE_LINE), s1);
            s2 = coopMultiplyAdd(q3, coopLoad<coop_mat16x16<f16, B>>(&stage[32u * STAGE_LINE + 12u], STAGE_LINE), s2);
            s3 = coopMultiplyAdd(q3, coopLoad<coop_mat16x16<f16, B>>(&stage[48u * STAGE_LINE + 12u], STAGE_LINE), s3);
            if DIM > 64u {
                s0 = coopMultiplyAdd(q4, coopLoad<coop_mat16x16<f16, B>>(&stage[16u], STAGE_LINE), s0);
                s1 = coopMultiplyAdd(q4, coopLoad<coop_mat16x16<f16, B>>(&stage[16u * STAGE_LINE + 16u], STAGE_LINE), s1);
                s2 = coopMultiplyAdd(q4, coopLoad<coop_mat16x16<f16, B>>(&stage[32u * STAGE_LINE + 16u], STAGE_LINE), s2);
                s3 = coopMultiplyAdd(q4, coopLoad<coop_mat16x16<f16, B>>(&stage[48u * STAGE_LINE + 16u], STAGE_LINE), s3);
                s0 = coopMultiplyAdd(q5, coopLoad<coop_mat16x16<f16, B>>(&stage[20u], STAGE_LINE), s0);
                s1 = coopMultiplyAdd(q5, coopLoad<coop_mat16x16<f16, B>>(&stage[16u * STAGE_LINE + 20u], STAGE_LINE), s1);
                s2 = coopMultiplyAdd(q5, coopLoad<coop_mat16x16<f16, B>>(&stage[32u * STAGE_LINE + 20u], STAGE_LINE), s2);
                s3 = coopMultiplyAdd(q5, coopLoad<coop_mat16x16<f16, B>>(&stage[48u * STAGE_LINE + 20u], STAGE_LINE), s3);
                s0 = coopMultiplyAdd(q6, coopLoad<coop_mat16x16<f16, B>>(&stage[24u], STAGE_LINE), s0);
                s1 = coopMultiplyAdd(q6, coopLoad<coop_mat16x16<f16, B>>(&stage[16u * STAGE_LINE + 24u], STAGE_LINE), s1);
                s2 = coopMultiplyAdd(q6, coopLoad<coop_mat16x16<f16, B>>(&stage[32u * STAGE_LINE + 24u], STAGE_LINE), s2);
                s3 = coopMultiplyAdd(q6, coopLoad<coop_mat16x16<f16, B>>(&stage[48u * STAGE_LINE + 24u], STAGE_LINE), s3);
                s0 = coopMultiplyAdd(q7, coopLoad<coop_mat16x16<f16, B>>(&stage[28u], STAGE_LINE), s0);
                s1 = coopMultiplyAdd(q7, coopLoad<coop_mat16x16<f16, B>>(&stage[16u * STAGE_LINE + 28u], STAGE_LINE), s1);
                s2 = coopMultiplyAdd(q7, coopLoad<coop_mat16x16<f16, B>>(&stage[32u * STAGE_LINE + 28u], STAGE_LINE), s2);
                s3 = coopMultiplyAdd(q7, coopLoad<coop_mat16x16<f16, B>>(&stage[48u * STAGE_LINE + 28u], STAGE_LINE), s3);
            }
            let s_at0 = own * SCORE_LINE;
            let s_at1 = own * SCORE_LINE + 4u;
            let s_at2 = own * SCORE_LINE + 8u;
            let s_at3 = own * SCORE_LINE + 12u;
            coopStoreT(s0, &scores[s_at0], SCORE_LINE);
            coopStoreT(s1, &scores[s_at1], SCORE_LINE);
            coopStoreT(s2, &scores[s_at2], SCORE_LINE);
            coopStoreT(s3, &scores[s_at3], SCORE_LINE);
            workgroupBarrier();
            if round == 0u {
                for (var i = side; i < KEYS / 4u; i += 2u) {
                    let seen = sees(span, key0 + 4u * i);
                    largest = max(largest, largest_of(select(vec4f(NOTHING), scores[score_at + i] * params.scale, seen)));
                }
                continue;
            }
            for (var turn = thread; turn < KEYS * (DIM / 4u); turn += THREADS) {
                let at = copied(turn);
                stage[at.x * STAGE_LINE + at.y] = halves(v[key_quad(row, key0 + at.x, kv_head, at.y)]);
            }
            for (var i = side; i < KEYS / 4u; i += 2u) {
                let seen = sees(span, key0 + 4u * i);
                let share = vec4<f16>(select(vec4f(), exp(scores[score_at + i] * params.scale - largest), seen));
                total += dot(vec4f(share), vec4f(1.0));
                shares[(own + line) * SHARE_LINE + i] = share;
            }
            workgroupBarrier();
            for (var i = 0u; i < KEYS; i += SIDE) {
                let p = coopLoadT<coop_mat16x16<f16, A>>(&shares[own * SHARE_LINE + i / 4u], SHARE_LINE);
                y0 = coopMultiplyAdd(p, coopLoadT<coop_mat16x16<f16, B>>(&stage[i * STAGE_LINE], STAGE_LINE), y0);
                y1 = coopMultiplyAdd(p, coopLoadT<coop_mat16x16<f16, B>>(&stage[i * STAGE_LINE + 4u], STAGE_LINE), y1);
                y2 = coopMultiplyAdd(p, coopLoadT<coop_mat16x16<f16, B>>(&stage[i * STAGE_LINE + 8u], STAGE_LINE), y2);
                y3 = coopMultiplyAdd(p, coopLoadT<coop_mat16x16<f16, B>>(&stage[i * STAGE_LINE + 12u], STAGE_LINE), y3);
                if DIM > 64u {
                    y4 = coopMultiplyAdd(p, coopLoadT<coop_mat16x16<f16, B>>(&stage[i * STAGE_LINE + 16u], STAGE_LINE), y4);
                    y5 = coopMultiplyAdd(p, coopLoadT<coop_mat16x16<f16, B>>(&stage[i * STAGE_LINE + 20u], STAGE_LINE), y5);
                    y6 = coopMultiplyAdd(p, coopLoadT<coop_mat16x16<f16, B>>(&stage[i * STAGE_LINE + 24u], STAGE_LINE), y6);
                    y7 = coopMultiplyAdd(p, coopLoadT<coop_mat16x16<f16, B>>(&stage[i * STAGE_LINE + 28u], STAGE_LINE), y7);
                }
            }
            workgroupBarrier();
        }
        // Two threads have a line.
        parts[thread] = select(total, largest, round == 0u);
        workgroupBarrier();
        let other = parts[thread ^ 1u];
        largest = select(largest, max(largest, other), round == 0u);
        total += select(other, 0.0, round == 0u);
        workgroupBarrier();
    }
    let some = span.x < span.y;
    let y_at0 = own * SCORE_LINE;
    coopStoreT(y0, &scores[y_at0], SCORE_LINE);
    let y_at1 = own * SCORE_LINE + 4u;
    coopStoreT(y1, &scores[y_at1], SCORE_LINE);
    let y_at2 = own * SCORE_LINE + 8u;
    coopStoreT(y2, &scores[y_at2], SCORE_LINE);
    let y_at3 = own * SCORE_LINE + 12u;
    coopStoreT(y3, &scores[y_at3], SCORE_LINE);
    workgroupBarrier();
    if token < params.queries {
        for (var i = side; i < 16u; i += 2u) {
            y[query_quad(row, token, head, i)] = select(vec4f(), scores[score_at + i] / total, some);
        }
    }
    if DIM > 64u {
        workgroupBarrier();
        let y_at4 = own * SCORE_LINE;
        coopStoreT(y4, &scores[y_at4], SCORE_LINE);
        let y_at5 = own * SCORE_LINE + 4u;
        coopStoreT(y5, &scores[y_at5], SCORE_LINE);
        let y_at6 = own * SCORE_LINE + 8u;
        coopStoreT(y6, &scores[y_at6], SCORE_LINE);
        let y_at7 = own * SCORE_LINE + 12u;
        coopStoreT(y7, &scores[y_at7], SCORE_LINE);
        workgroupBarrier();
        if token < params.queries {
            for (var i = side; i < 16u; i += 2u) {
                y[query_quad(row, token, head, i + 16u)] = select(vec4f(), scores[score_at + i] / total, some);
            }
        }
    }
    if token < params.queries && side == 0u {
        stats[((row * params.queries + token) * params.heads + head) * 2u] = select(0.0, largest + log(total), some);
    }
}
