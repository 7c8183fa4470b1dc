// The factors of a product, word by word: for matrices of any size and place.
@group(0) @binding(0) var<storage, read> a: array<u32>;
@group(0) @binding(1) var<storage, read> b: array<u32>;

fn packed_number(word: u32, index: u32) -> f32 {
    let pair = unpack2x16float(word);
    return select(pair.x, pair.y, (index & 1u) == 1u);
}

fn number_of_a(index: u32) -> f32 {
    if PACKED == 1u {
        return packed_number(a[index >> 1u], index);
    }
    return bitcast<f32>(a[index]);
}

fn number_of_b(index: u32) -> f32 {
    if PACKED == 1u {
        return packed_number(b[index >> 1u], index);
    }
    return widen(b[weight_word(index)], b[scale_word(index)], index);
}
