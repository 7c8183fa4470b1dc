// Weights stay as the checkpoint has them; 16-bit ones lie two to a word, the lower half first.
override FORMAT: u32 = 0u; // 0: f32, 1: f16, 2: bf16

// The word that holds weight `index`.
fn weight_word(index: u32) -> u32 {
    return select(index >> 1u, index, FORMAT == 0u);
}

// Weight `index`, given its word.
fn widen(word: u32, index: u32) -> f32 {
    if FORMAT == 0u {
        return bitcast<f32>(word);
    }
    let odd = (index & 1u) == 1u;
    if FORMAT == 1u {
        let pair = unpack2x16float(word);
        return select(pair.x, pair.y, odd);
    }
    return bitcast<f32>(select(word << 16u, word & 0xffff0000u, odd));
}
