// What the attention kernels share. A token's heads lie side by side; a row is a sequence of the batch.
struct Params {
    queries: u32,   // tokens in a row of q
    keys: u32,      // tokens in a row of k and v
    heads: u32,
    kv_heads: u32,
    head_dim: u32,  // at most 256
    scale: f32,
    rows: u32,      // the grid's z; the CPU twins read it here
}

fn query_start(row: u32, token: u32, head: u32) -> u32 {
    return ((row * params.queries + token) * params.heads + head) * params.head_dim;
}

fn key_start(row: u32, token: u32, kv_head: u32) -> u32 {
    return ((row * params.keys + token) * params.kv_heads + kv_head) * params.head_dim;
}
