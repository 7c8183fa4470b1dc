// The factors of a product, four words at a time: for matrices whose sizes and places are multiples of eight numbers.
@group(0) @binding(0) var<storage, read> a: array<vec4f>;
@group(0) @binding(1) var<storage, read> b: array<vec4u>;

override A_ALONG_K: u32 = 1u; // 1: the numbers of a row of A lie side by side; 0: those of a column
override B_ALONG_K: u32 = 1u; // 1: the numbers of a column of B lie side by side; 0: those of a row

// Where SPAN numbers of A lie that begin at a row and a number of k. Past the edges stand the last ones again. SPAN, four or eight,
// stands before this text.
fn place_in_a(batch: u32, line: u32, k: u32) -> u32 {
    let first = params.a_offset + batch * params.a_batch;
    if A_ALONG_K == 1u {
        return first + min(line, params.m - 1u) * params.a_row + min(k, params.k - SPAN);
    }
    return first + min(line, params.m - SPAN) + min(k, params.k - 1u) * params.a_col;
}

fn place_in_b(batch: u32, line: u32, k: u32) -> u32 {
    let first = params.b_offset + batch * params.b_batch;
    if B_ALONG_K == 1u {
        return first + min(line, params.n - 1u) * params.b_col + min(k, params.k - SPAN);
    }
    return first + min(line, params.n - SPAN) + min(k, params.k - 1u) * params.b_row;
}

// Four numbers of a weight as they lie, with their scale where they have one.
fn words_of_b(index: u32) -> vec4u {
    let word = weight_word(index);
    if FORMAT == 0u {
        return b[word >> 2u];
    }
    if FORMAT <= 2u {
        let four = b[word >> 2u];
        return vec4u(select(four.xy, four.zw, (word & 2u) != 0u), 0u, 0u);
    }
    let scale = scale_word(index);
    let numbers = b[word >> 2u][word & 3u];
    // Four of the eight numbers of a word of nf4.
    return vec4u(select(numbers, numbers >> ((index & 4u) * 4u), FORMAT == 4u), b[scale >> 2u][scale & 3u], 0u, 0u);
}

fn widened(words: vec4u) -> vec4f {
    if FORMAT == 0u {
        return bitcast<vec4f>(words);
    }
    if FORMAT <= 2u {
        return vec4f(widen(words.x, 0u, 0u), widen(words.x, 0u, 1u), widen(words.y, 0u, 0u), widen(words.y, 0u, 1u));
    }
    return vec4f(widen(words.x, words.y, 0u), widen(words.x, words.y, 1u), widen(words.x, words.y, 2u), widen(words.x, words.y, 3u));
}

// D's entries beside B's at a line and a number of k: those of four inputs and one output.
fn four_added(line: u32, k: u32) -> vec4f {
    let n_is_output = (params.flags & DIAGONAL_N_IS_OUTPUT) != 0u;
    let output = params.first_output + select(min(k, params.k - 1u), min(line, params.n - 1u), n_is_output);
    let input = select(min(line, params.n - 4u), min(k, params.k - 4u), n_is_output);
    let block = output / params.block_out;
    let entry = input * params.block_out + output - block * params.block_out;
    let inside = input - block * params.block_in;
    let four = vec4u(0u, 1u, 2u, 3u);
    let added = vec4f(
        diagonal[entry],
        diagonal[entry + params.block_out],
        diagonal[entry + 2u * params.block_out],
        diagonal[entry + 3u * params.block_out],
    );
    return select(vec4f(), added, vec4u(inside) + four < vec4u(params.block_in));
}
