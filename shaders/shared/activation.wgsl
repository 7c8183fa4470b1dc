// Activations of the form x sigmoid(z(x)): with z = x it is silu; with z = 2 sqrt(2/pi) (x + 0.044715 x^3) it is gelu with its tanh
// approximation (Hendrycks and Gimpel 2016), since 1 + tanh(u) = 2 sigmoid(2 u).
override ACTIVATION: u32 = 0u; // 0: silu, 1: gelu by tanh

const GELU_SLOPE: f32 = 1.5957692; // 2 sqrt(2/pi)
const GELU_CUBE: f32 = 0.044715;

// sigmoid(z(x)): the share of x that passes.
fn passed(x: f32) -> f32 {
    if ACTIVATION == 0u {
        return 1.0 / (1.0 + exponential(-x));
    }
    return 1.0 / (1.0 + exponential(-GELU_SLOPE * (x + GELU_CUBE * x * x * x)));
}

// The derivative of x sigmoid(z(x)) is s (1 + x (1 - s) z'(x)); this is what s = sigmoid(z(x)) is multiplied with.
fn slope(x: f32, s: f32) -> f32 {
    if ACTIVATION == 0u {
        return 1.0 + x * (1.0 - s);
    }
    return 1.0 + x * (1.0 - s) * GELU_SLOPE * (1.0 + 3.0 * GELU_CUBE * x * x);
}
