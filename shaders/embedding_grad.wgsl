// dtable[id, :] += scale * sum of dy over the positions that hold id. The host sorts positions by token, so that every row of the table
// has one owner and a fixed order of addition: no atomics.
struct Params {
    hidden: u32,
    first_row: u32,
    rows: u32,
    groups: u32,
    scale: f32,
}
@group(0) @binding(0) var<storage, read> ids: array<u32>;    // [groups] distinct tokens
@group(0) @binding(1) var<storage, read> starts: array<u32>; // [groups + 1] into `order`; an unused group is empty
@group(0) @binding(2) var<storage, read> order: array<u32>;  // positions, grouped by token
@group(0) @binding(3) var<storage, read> dy: array<f32>;
@group(0) @binding(4) var<storage, read_write> dtable: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    let group = workgroup.y * workgroups.x + workgroup.x;
    if group >= params.groups {
        return;
    }
    let begin = starts[group];
    let end = starts[group + 1u];
    let id = ids[group];
    if begin >= end || id < params.first_row || id - params.first_row >= params.rows {
        return;
    }
    for (var column = thread; column < params.hidden; column += 64u) {
        var sum = 0.0;
        for (var i = begin; i < end; i++) {
            sum += dy[order[i] * params.hidden + column];
        }
        dtable[(id - params.first_row) * params.hidden + column] += params.scale * sum;
    }
}
