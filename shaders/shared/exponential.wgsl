// e^x within 2 ulp, whatever the driver's own is (WGSL allows exp an error of 3 + 2 |x| ulp, and drivers use it): range reduction by
// ln 2 in two parts, then a polynomial (Cephes' expf). The CPU twins compute the same. NaN stays NaN, so that a run that diverged
// is noticed: it is told by its bits, since a compiler may assume that floats are numbers, and clamp may drop it.
fn exponential(x: f32) -> f32 {
    if (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u {
        return x;
    }
    let clamped = clamp(x, -87.3, 88.3);
    let n = round(clamped * 1.44269504);
    let r = (clamped - n * 0.693359375) + n * 2.12194440e-4;
    var p = 1.9875691500e-4;
    p = p * r + 1.3981999507e-3;
    p = p * r + 8.3334519073e-3;
    p = p * r + 4.1665795894e-2;
    p = p * r + 1.6666665459e-1;
    p = p * r + 0.5;
    return (p * r * r + r + 1.0) * bitcast<f32>((i32(n) + 127) << 23u);
}
