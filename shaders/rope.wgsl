// Rotary position embedding in place (Su et al. 2021; pairs i and i + rotary_dim/2, as Hugging Face's checkpoints have them).
// With `inverse` the rotation is undone, which is also its gradient.
struct Params {
    tokens: u32,
    heads: u32,
    head_dim: u32,
    rotary_dim: u32, // numbers of a head that are rotated; the rest stays
    inverse: u32,
}
@group(0) @binding(0) var<storage, read> positions: array<u32>; // [tokens]
@group(0) @binding(1) var<storage, read> table: array<f32>;     // [position][rotary_dim / 2][cos, sin]
@group(0) @binding(2) var<storage, read_write> x: array<f32>;   // [tokens][heads][head_dim]
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    let i = flat_index(workgroup, workgroups, thread);
    let half = params.rotary_dim / 2u;
    if i >= params.tokens * params.heads * half {
        return;
    }
    let pair = i % half;
    let head = i / half;
    let angle = (positions[head / params.heads] * half + pair) * 2u;
    let cosine = table[angle];
    let sine = select(table[angle + 1u], -table[angle + 1u], params.inverse != 0u);
    let at = head * params.head_dim + pair;
    let first = x[at];
    let second = x[at + half];
    x[at] = first * cosine - second * sine;
    x[at + half] = second * cosine + first * sine;
}
