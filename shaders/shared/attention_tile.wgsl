// Attention by tiles of 32 tokens and 32 keys (Dao et al. 2022), in workgroups of 8 x 8 threads. Of a product of tokens and keys a
// thread has 4 x 4 scores: rows 4 y .. + 3, columns 4 x .. + 3. Of the sums that follow, which a workgroup makes for 64 of a head's
// numbers, it has the same rows, and the numbers 4 x .. + 3 of both halves.
const TILE: u32 = 32u;
const QUADS: u32 = 8u;         // of four in a tile's side
const DEPTH: u32 = 16u;        // numbers of a head that are multiplied at a time
const LINE: u32 = 9u;          // quads from a number of the stage to the next: eight, and one so that threads meet different banks
const RIGHT: u32 = 144u;       // where the second of two tiles lies in the stage
const WIDTH: u32 = 64u;        // numbers of a head that a workgroup sums
const WIDTH_QUADS: u32 = 16u;
const HALF: u32 = 16u;         // rows of a tile that are summed at a time
const NOTHING: f32 = -3.0e38;  // a score that no key has

// Two tiles, [number of the head][four tokens]; or half a tile of what is summed, [token][four numbers of the head].
var<workgroup> stage: array<vec4f, 288>;

@group(0) @binding(0) var<storage, read> q: array<f32>;
@group(0) @binding(1) var<storage, read> k: array<f32>;
@group(0) @binding(2) var<storage, read> v: array<f32>;

struct Scores { row0: vec4f, row1: vec4f, row2: vec4f, row3: vec4f }

// Adds the product of the staged tiles.
fn multiplied(scores: Scores, local: vec3u) -> Scores {
    var s = scores;
    for (var i = 0u; i < DEPTH; i++) {
        let left = stage[i * LINE + local.y];
        let right = stage[RIGHT + i * LINE + local.x];
        s.row0 += left[0] * right;
        s.row1 += left[1] * right;
        s.row2 += left[2] * right;
        s.row3 += left[3] * right;
    }
    return s;
}

struct Sums {
    left0: vec4f, left1: vec4f, left2: vec4f, left3: vec4f,
    right0: vec4f, right1: vec4f, right2: vec4f, right3: vec4f,
}

// Adds one token's (or key's) numbers, each row with its own share.
fn added(sums: Sums, share: vec4f, at: u32, local: vec3u) -> Sums {
    var s = sums;
    let left = stage[at * WIDTH_QUADS + local.x];
    let right = stage[at * WIDTH_QUADS + QUADS + local.x];
    s.left0 += share[0] * left;
    s.left1 += share[1] * left;
    s.left2 += share[2] * left;
    s.left3 += share[3] * left;
    s.right0 += share[0] * right;
    s.right1 += share[1] * right;
    s.right2 += share[2] * right;
    s.right3 += share[3] * right;
    return s;
}

const FOUR = vec4u(0u, 1u, 2u, 3u);

// Of four numbers of a head those that it has.
fn in_head(d: u32) -> vec4<bool> {
    return vec4u(d) + FOUR < vec4u(params.head_dim);
}

// Where they lie in a head that begins at `start`; the last one where it has no more.
fn places(start: u32, d: u32) -> vec4u {
    return vec4u(start) + min(vec4u(d) + FOUR, vec4u(params.head_dim - 1u));
}

// Numbers d .. d + 3 of a head; those it does not have are zero.
fn four_of_q(start: u32, d: u32) -> vec4f {
    let at = start + d;
    if d + 4u <= params.head_dim {
        return vec4f(q[at], q[at + 1u], q[at + 2u], q[at + 3u]);
    }
    let last = places(start, d);
    return select(vec4f(), vec4f(q[last.x], q[last.y], q[last.z], q[last.w]), in_head(d));
}

fn four_of_k(start: u32, d: u32) -> vec4f {
    let at = start + d;
    if d + 4u <= params.head_dim {
        return vec4f(k[at], k[at + 1u], k[at + 2u], k[at + 3u]);
    }
    let last = places(start, d);
    return select(vec4f(), vec4f(k[last.x], k[last.y], k[last.z], k[last.w]), in_head(d));
}

fn four_of_v(start: u32, d: u32) -> vec4f {
    let at = start + d;
    if d + 4u <= params.head_dim {
        return vec4f(v[at], v[at + 1u], v[at + 2u], v[at + 3u]);
    }
    let last = places(start, d);
    return select(vec4f(), vec4f(v[last.x], v[last.y], v[last.z], v[last.w]), in_head(d));
}

// Where a token's head begins; past the last token, that of the last one: what comes of it has no share.
fn query_near(row: u32, token: u32, head: u32) -> u32 {
    return query_start(row, min(token, params.queries - 1u), head);
}

fn key_near(row: u32, token: u32, kv_head: u32) -> u32 {
    return key_start(row, min(token, params.keys - 1u), kv_head);
}

// Four numbers of four tokens, as a thread copies them into a tile: a line of the stage holds one number of all tokens.
fn stage_turned(to: u32, quad: u32, token0: vec4f, token1: vec4f, token2: vec4f, token3: vec4f) {
    stage[to + quad] = vec4f(token0.x, token1.x, token2.x, token3.x);
    stage[to + LINE + quad] = vec4f(token0.y, token1.y, token2.y, token3.y);
    stage[to + 2u * LINE + quad] = vec4f(token0.z, token1.z, token2.z, token3.z);
    stage[to + 3u * LINE + quad] = vec4f(token0.w, token1.w, token2.w, token3.w);
}

// Half of the threads copy one tile, half the other: each four tokens from 4 `quad` on, and of the DEPTH numbers of a head four from
// 4 `deep` on.
fn stage_q(to: u32, row: u32, token0: u32, head: u32, d0: u32, copied: u32) {
    let quad = copied / 4u;
    let deep = copied % 4u;
    let token = token0 + 4u * quad;
    let d = d0 + 4u * deep;
    stage_turned(
        to + 4u * deep * LINE,
        quad,
        four_of_q(query_near(row, token, head), d),
        four_of_q(query_near(row, token + 1u, head), d),
        four_of_q(query_near(row, token + 2u, head), d),
        four_of_q(query_near(row, token + 3u, head), d),
    );
}

fn stage_k(to: u32, row: u32, key0: u32, kv_head: u32, d0: u32, copied: u32) {
    let quad = copied / 4u;
    let deep = copied % 4u;
    let key = key0 + 4u * quad;
    let d = d0 + 4u * deep;
    stage_turned(
        to + 4u * deep * LINE,
        quad,
        four_of_k(key_near(row, key, kv_head), d),
        four_of_k(key_near(row, key + 1u, kv_head), d),
        four_of_k(key_near(row, key + 2u, kv_head), d),
        four_of_k(key_near(row, key + 3u, kv_head), d),
    );
}

fn stage_v(to: u32, row: u32, key0: u32, kv_head: u32, d0: u32, copied: u32) {
    let quad = copied / 4u;
    let deep = copied % 4u;
    let key = key0 + 4u * quad;
    let d = d0 + 4u * deep;
    stage_turned(
        to + 4u * deep * LINE,
        quad,
        four_of_v(key_near(row, key, kv_head), d),
        four_of_v(key_near(row, key + 1u, kv_head), d),
        four_of_v(key_near(row, key + 2u, kv_head), d),
        four_of_v(key_near(row, key + 3u, kv_head), d),
    );
}

// Those keys of four that a token sees.
fn sees(span: vec2u, key: u32) -> vec4<bool> {
    let keys = vec4u(key) + FOUR;
    return (keys >= vec4u(span.x)) & (keys < vec4u(span.y));
}

// First and one past the last key that some token of a tile sees.
fn seen_by(row: u32, first: u32) -> vec2u {
    var seen = vec2u(params.keys, 0u);
    for (var token = first; token < min(first + TILE, params.queries); token++) {
        let span = spans[row * params.queries + token];
        if span.x < span.y {
            seen = vec2u(min(seen.x, span.x), max(seen.y, span.y));
        }
    }
    return seen;
}

fn span_of(row: u32, token: u32) -> vec2u {
    if token >= params.queries {
        return vec2u();
    }
    return spans[row * params.queries + token];
}
