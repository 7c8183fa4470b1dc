// What attention by matrix units shares. A workgroup of 128 threads serves 64 lines, tokens or keys of a head, each of its four subgroups 16
// of them. Factors are in f16, sums in f32. Scores go through workgroup memory, since what a thread holds of a matrix is the driver's
// business; there two threads share a line, and have every other four numbers of it.
override DIM: u32 = 64u; // head_dim: 64 or 128

const THREADS: u32 = 128u;
const LANES: u32 = 32u;
const SIDE: u32 = 16u;
const LINES: u32 = 64u;
// Quads from a line to the next, two more than there may be: so that loads meet different banks.
const STAGE_LINE: u32 = 34u;
var<workgroup> stage: array<vec4<f16>, LINES * STAGE_LINE>; // [token or key][number of the head]

fn halves(x: vec4f) -> vec4<f16> {
    return vec4<f16>(saturated(x));
}

// Where quad `quad` of a token's head lies, and of a key's. Past the edge stands the last one again: it is not seen.
fn query_quad(row: u32, token: u32, head: u32, quad: u32) -> u32 {
    return ((row * params.queries + min(token, params.queries - 1u)) * params.heads + head) * (DIM / 4u) + quad;
}

fn key_quad(row: u32, key: u32, kv_head: u32, quad: u32) -> u32 {
    return ((row * params.keys + min(key, params.keys - 1u)) * params.kv_heads + kv_head) * (DIM / 4u) + quad;
}

// A thread's turn at copying lines: which line, and which quad of it.
fn copied(turn: u32) -> vec2u {
    return vec2u(turn / (DIM / 4u), turn % (DIM / 4u));
}

fn sees(span: vec2u, key: u32) -> vec4<bool> {
    let keys = vec4u(key) + vec4u(0u, 1u, 2u, 3u);
    return (keys >= vec4u(span.x)) & (keys < vec4u(span.y));
}
