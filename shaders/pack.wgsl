// A factor of products as matrix units are fed with it: rounded to f16, in tiles of 128 lines (rows of A, columns of B) and 32 numbers of
// k. Tile follows tile along k, then along the lines. In a tile the lines' numbers stand side by side for each number of k; past the
// edges are zeros. A workgroup packs half a tile, 64 of its lines. DiaBlo's blocks are added on the way.
struct Params {
    lines: u32, k: u32,
    offset: u32, line_stride: u32, k_stride: u32,
    // D, where block_in is not zero: [inputs, block_out], row i holds input i's entries of its own block.
    block_in: u32, block_out: u32,
    // First output of the weight that this piece of it holds.
    first_output: u32,
    lines_are_outputs: u32, // 1: and numbers of k inputs; 0: the other way round
}
@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read> diagonal: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>; // two numbers a word, the first in the lower half
@group(0) @binding(3) var<uniform> params: Params;

const PACKED_LINES: u32 = 128u;
const LINES: u32 = 64u;
const NUMBERS: u32 = 32u;
const ROW: u32 = LINES + 1u; // one more, so that threads meet different banks
const THREADS: u32 = 256u;
var<workgroup> tile: array<f32, NUMBERS * ROW>; // [k][line]

// Whether a block reaches into the workgroup's part: into most none does.
fn meets_diagonal(line0: u32, k0: u32) -> bool {
    if params.block_in == 0u {
        return false;
    }
    let lines_are_outputs = params.lines_are_outputs == 1u;
    let outputs = params.first_output + select(k0, line0, lines_are_outputs);
    let inputs = select(line0, k0, lines_are_outputs);
    let last_output = outputs + select(NUMBERS, LINES, lines_are_outputs) - 1u;
    let last_input = inputs + select(LINES, NUMBERS, lines_are_outputs) - 1u;
    return outputs / params.block_out <= last_input / params.block_in && inputs / params.block_in <= last_output / params.block_out;
}

fn added(line: u32, k: u32) -> f32 {
    let lines_are_outputs = params.lines_are_outputs == 1u;
    let output = params.first_output + select(k, line, lines_are_outputs);
    let input = select(line, k, lines_are_outputs);
    if output / params.block_out != input / params.block_in {
        return 0.0;
    }
    return diagonal[input * params.block_out + output % params.block_out];
}

// The line and the number of k in the workgroup's part that a thread's turn is about: neighbouring threads read neighbouring numbers,
// whichever way the matrix lies.
fn own(turn: u32) -> vec2u {
    return select(vec2u(turn % LINES, turn / LINES), vec2u(turn / NUMBERS, turn % NUMBERS), params.k_stride == 1u);
}

// Where it lies; past the edges the last one.
fn index_of(at: vec2u) -> u32 {
    return params.offset + min(at.x, params.lines - 1u) * params.line_stride + min(at.y, params.k - 1u) * params.k_stride;
}

// Its word, and the one of its scale.
fn words_of(line0: u32, k0: u32, turn: u32) -> vec2u {
    let index = index_of(vec2u(line0, k0) + own(turn));
    return vec2u(x[weight_word(index)], x[scale_word(index)]);
}

fn put(line0: u32, k0: u32, turn: u32, words: vec2u, with_diagonal: bool) {
    let own = own(turn);
    let at = vec2u(line0, k0) + own;
    var value = widen(words.x, words.y, index_of(at));
    if with_diagonal {
        value += added(min(at.x, params.lines - 1u), min(at.y, params.k - 1u));
    }
    tile[own.y * ROW + own.x] = select(0.0, half_of(value), at.x < params.lines && at.y < params.k);
}

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    let line0 = workgroup.y * LINES;
    let k0 = workgroup.x * NUMBERS;
    let with_diagonal = meets_diagonal(line0, k0);
    // All are read before the first is waited for.
    let x0 = words_of(line0, k0, thread);
    let x1 = words_of(line0, k0, thread + THREADS);
    let x2 = words_of(line0, k0, thread + 2u * THREADS);
    let x3 = words_of(line0, k0, thread + 3u * THREADS);
    let x4 = words_of(line0, k0, thread + 4u * THREADS);
    let x5 = words_of(line0, k0, thread + 5u * THREADS);
    let x6 = words_of(line0, k0, thread + 6u * THREADS);
    let x7 = words_of(line0, k0, thread + 7u * THREADS);
    put(line0, k0, thread, x0, with_diagonal);
    put(line0, k0, thread + THREADS, x1, with_diagonal);
    put(line0, k0, thread + 2u * THREADS, x2, with_diagonal);
    put(line0, k0, thread + 3u * THREADS, x3, with_diagonal);
    put(line0, k0, thread + 4u * THREADS, x4, with_diagonal);
    put(line0, k0, thread + 5u * THREADS, x5, with_diagonal);
    put(line0, k0, thread + 6u * THREADS, x6, with_diagonal);
    put(line0, k0, thread + 7u * THREADS, x7, with_diagonal);
    workgroupBarrier();
    let tile_at = (line0 / PACKED_LINES * grid.x + workgroup.x) * NUMBERS * PACKED_LINES + line0 % PACKED_LINES;
    for (var i = thread; i < LINES / 2u * NUMBERS; i += THREADS) {
        let pair = 2u * (i % (LINES / 2u));
        let k = i / (LINES / 2u);
        let two = vec2f(tile[k * ROW + pair], tile[k * ROW + pair + 1u]);
        y[(tile_at + k * PACKED_LINES + pair) / 2u] = pack2x16float(two);
    }
}
