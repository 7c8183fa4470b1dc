// y[t, :] (+)= scale * table[ids[t], :] for the rows of the table that this piece of it holds; other tokens are left alone.
struct Params {
    tokens: u32,
    hidden: u32,
    first_row: u32,
    rows: u32,
    scale: f32,
    add: u32,
}
@group(0) @binding(0) var<storage, read> ids: array<u32>;
@group(0) @binding(1) var<storage, read> table: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    let i = flat_index(workgroup, workgroups, thread);
    if i >= params.tokens * params.hidden {
        return;
    }
    let id = ids[i / params.hidden];
    if id < params.first_row || id - params.first_row >= params.rows {
        return;
    }
    let at = (id - params.first_row) * params.hidden + i % params.hidden;
    y[i] = select(0.0, y[i], params.add != 0u) + params.scale * widen(table[weight_word(at)], table[scale_word(at)], at);
}
