// The factors of a product, word by word: for matrices of any size and place.
@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<u32>;

fn number_of_b(index: u32) -> f32 {
    return widen(b[weight_word(index)], b[scale_word(index)], index);
}
