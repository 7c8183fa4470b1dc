// ln x for a positive x, closer than WGSL asks of a driver's own (an absolute error of 2^-21 around 1): a step of Newton's method on
// e^y = x with this program's exponential.
fn logarithm(x: f32) -> f32 {
    let y = log(x);
    return y + (x * exponential(-y) - 1.0);
}
