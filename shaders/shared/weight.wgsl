// How a frozen weight's numbers lie: 16-bit ones two to a word, the lower half first; quantised ones in blocks of 64 that begin with a
// word for their scale (src/kernels/format.rs).
override FORMAT: u32 = 0u; // 0: f32, 1: f16, 2: bf16, 3: int8, 4: nf4

const INT8_BLOCK: u32 = 17u; // words: the scale and 64 / 4
const NF4_BLOCK: u32 = 9u;   // words: the scale and 64 / 8

// The values of 4-bit NormalFloat (Dettmers et al. 2023, appendix E).
const NF4 = array<f32, 16>(
    -1.0, -0.6961928, -0.52507305, -0.3949175, -0.28444138, -0.18477343, -0.091050036, 0.0,
    0.0795803, 0.1609302, 0.2461123, 0.33791524, 0.44070983, 0.562617, 0.72295684, 1.0,
);

// The word that holds weight `index`.
fn weight_word(index: u32) -> u32 {
    if FORMAT == 0u {
        return index;
    }
    if FORMAT <= 2u {
        return index >> 1u;
    }
    if FORMAT == 3u {
        return (index >> 6u) * INT8_BLOCK + 1u + ((index & 63u) >> 2u);
    }
    return (index >> 6u) * NF4_BLOCK + 1u + ((index & 63u) >> 3u);
}

// The word that holds the scale of weight `index`; its own where the format has none.
fn scale_word(index: u32) -> u32 {
    if FORMAT <= 2u {
        return weight_word(index);
    }
    return (index >> 6u) * select(NF4_BLOCK, INT8_BLOCK, FORMAT == 3u);
}

// Weight `index`, given its word and its scale's.
fn widen(word: u32, scale: u32, index: u32) -> f32 {
    if FORMAT == 0u {
        return bitcast<f32>(word);
    }
    if FORMAT == 3u {
        return f32(extractBits(bitcast<i32>(word), (index & 3u) * 8u, 8u)) * bitcast<f32>(scale);
    }
    if FORMAT == 4u {
        return NF4[extractBits(word, (index & 7u) * 4u, 4u)] * bitcast<f32>(scale);
    }
    let odd = (index & 1u) == 1u;
    if FORMAT == 1u {
        let pair = unpack2x16float(word);
        return select(pair.x, pair.y, odd);
    }
    return bitcast<f32>(select(word << 16u, word & 0xffff0000u, odd));
}
