// The flat index of an invocation in a grid of workgroups of 256 that is folded into two dimensions, since one dimension
// holds at most 65,535 workgroups.
fn flat_index(workgroup: vec3u, workgroups: vec3u, local: u32) -> u32 {
    return (workgroup.y * workgroups.x + workgroup.x) * 256u + local;
}

// The first of the numbers of an invocation that takes four, 256 apart, of 1024 of its workgroup: several reads are on their way at the same
// time, and a thread costs a processor as much as a number does.
fn first_of_four(workgroup: vec3u, workgroups: vec3u, local: u32) -> u32 {
    return flat_index(workgroup, workgroups, 0u) * 4u + local;
}
