// norms[first + o] = |W[o] + s B[first + o] A|: the length of each row of a weight and LoRA's product together (Liu et al. 2024, eq. 5).
// W in any format; A [rank, width], B [outputs, rank].
struct Params {
    rows: u32,      // of this piece of the weight
    width: u32,
    rank: u32,
    first_row: u32, // the output that the piece's first row stands for
    scale: f32,
}
@group(0) @binding(0) var<storage, read> w: array<u32>;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> norms: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    let row = workgroup.y * workgroups.x + workgroup.x;
    if row >= params.rows {
        return;
    }
    let output = params.first_row + row;
    var sum = 0.0;
    for (var i = thread; i < params.width; i += 64u) {
        var product = 0.0;
        for (var r = 0u; r < params.rank; r++) {
            product += b[output * params.rank + r] * a[r * params.width + i];
        }
        let index = row * params.width + i;
        let x = widen(w[weight_word(index)], w[scale_word(index)], index) + params.scale * product;
        sum += x * x;
    }
    let total = sum_of_64(sum, thread);
    if thread == 0u {
        norms[output] = sqrt(total);
    }
}
