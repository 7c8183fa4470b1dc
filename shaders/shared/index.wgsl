// The flat index of an invocation in a grid of workgroups of 256 that is folded into two dimensions, since one dimension
// holds at most 65,535 workgroups.
fn flat_index(workgroup: vec3u, workgroups: vec3u, local: u32) -> u32 {
    return (workgroup.y * workgroups.x + workgroup.x) * 256u + local;
}
