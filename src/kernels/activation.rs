//! The activations of feed-forward layers, as `shaders/shared/activation.wgsl` has them.

use super::vector::sigmoid;

/// An activation of the form x sigmoid(z(x)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// z = x.
    Silu,
    /// z = 2 sqrt(2/pi) (x + 0.044715 x^3): gelu by its tanh approximation (Hendrycks and Gimpel 2016), since
    /// 1 + tanh(u) = 2 sigmoid(2 u).
    GeluTanh,
}

/// 2 sqrt(2/pi).
const GELU_SLOPE: f32 = 1.595_769_2;
const GELU_CUBE: f32 = 0.044_715;

impl Activation {
    /// Every activation.
    pub const ALL: [Self; 2] = [Self::Silu, Self::GeluTanh];

    /// The shader's `ACTIVATION`.
    pub(super) fn constant(self) -> u32 {
        match self {
            Self::Silu => 0,
            Self::GeluTanh => 1,
        }
    }

    /// The one with this constant.
    pub(super) fn from_constant(constant: u32) -> Self {
        if constant == 0 { Self::Silu } else { Self::GeluTanh }
    }

    /// sigmoid(z(x)): the share of x that passes.
    #[inline(always)]
    pub(super) fn passed(self, x: f32) -> f32 {
        match self {
            Self::Silu => sigmoid(x),
            Self::GeluTanh => sigmoid(GELU_SLOPE * (x + GELU_CUBE * x * x * x)),
        }
    }

    /// The derivative of x sigmoid(z(x)) is s (1 + x (1 - s) z'(x)); this is what s = sigmoid(z(x)) is multiplied with.
    #[inline(always)]
    pub(super) fn slope(self, x: f32, s: f32) -> f32 {
        match self {
            Self::Silu => 1.0 + x * (1.0 - s),
            Self::GeluTanh => 1.0 + x * (1.0 - s) * GELU_SLOPE * (1.0 + 3.0 * GELU_CUBE * x * x),
        }
    }
}
