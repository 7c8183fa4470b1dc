override HALF: u32 = 0u; // 1: a product's factors are rounded to f16 as they are loaded

// The nearest number of f16, to even in the middle; the largest one where x lies beyond it. What is not finite stays what it is. By whole
// numbers, since drivers round as they like in `pack2x16float`.
fn half_of(x: f32) -> f32 {
    let bits = bitcast<u32>(x);
    let size = bits & 0x7fffffffu;
    // Below 2^-14 f16 has steps of 2^-24.
    let small = round(x * 16777216.0) / 16777216.0;
    let rounded = (bits + 0xfffu + ((bits >> 13u) & 1u)) & 0xffffe000u;
    let large = clamp(bitcast<f32>(rounded), -65504.0, 65504.0);
    return select(select(large, small, size < 0x38800000u), x, size >= 0x7f800000u);
}

fn factor(x: f32) -> f32 {
    if HALF == 0u {
        return x;
    }
    return half_of(x);
}

fn factors(x: vec4f) -> vec4f {
    if HALF == 0u {
        return x;
    }
    return vec4f(half_of(x.x), half_of(x.y), half_of(x.z), half_of(x.w));
}

// Numbers that a conversion to f16 makes no infinities of; what is not finite stays what it is.
fn saturated(x: vec4f) -> vec4f {
    return select(x, clamp(x, vec4f(-65504.0), vec4f(65504.0)), abs(x) <= vec4f(3.4028234e38));
}
