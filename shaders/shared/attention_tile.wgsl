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
const PART: u32 = 16u;         // rows of a tile that are summed at a time
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

const NOWHERE: u32 = 0xffffffffu;
const FOUR = vec4u(0u, 1u, 2u, 3u);

// Where number d of four tokens lies, whose heads are `stride` apart and of which there are some before `end`.
fn down(start: u32, stride: u32, first: u32, end: u32, d: u32) -> vec4u {
    let there = (vec4u(first) + FOUR < vec4u(end)) & vec4<bool>(d < params.head_dim);
    return select(vec4u(NOWHERE), vec4u(start + d) + stride * FOUR, there);
}

// Where the numbers d .. d + 3 of one token's head lie.
fn along(start: u32, token: u32, end: u32, d: u32) -> vec4u {
    let there = (vec4u(d) + FOUR < vec4u(params.head_dim)) & vec4<bool>(token < end);
    return select(vec4u(NOWHERE), vec4u(start + d) + FOUR, there);
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

// What lies at some places; nothing is zero.
fn q_at(place: u32) -> f32 {
    if place == NOWHERE {
        return 0.0;
    }
    return q[place];
}

fn from_q(places: vec4u) -> vec4f {
    return factors(vec4f(q_at(places[0]), q_at(places[1]), q_at(places[2]), q_at(places[3])));
}

fn k_at(place: u32) -> f32 {
    if place == NOWHERE {
        return 0.0;
    }
    return k[place];
}

fn from_k(places: vec4u) -> vec4f {
    return factors(vec4f(k_at(places[0]), k_at(places[1]), k_at(places[2]), k_at(places[3])));
}

fn v_at(place: u32) -> f32 {
    if place == NOWHERE {
        return 0.0;
    }
    return v[place];
}

fn from_v(places: vec4u) -> vec4f {
    return factors(vec4f(v_at(places[0]), v_at(places[1]), v_at(places[2]), v_at(places[3])));
}
