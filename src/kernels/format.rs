//! How a weight's numbers lie in memory.

use half::slice::HalfFloatSliceExt;

/// The format of a frozen weight on the device: as the checkpoint has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// 32-bit floats.
    F32,
    /// IEEE 16-bit floats, two to a word.
    F16,
    /// The upper halves of 32-bit floats, two to a word.
    Bf16,
}

impl Format {
    /// The shader's `FORMAT` constant.
    pub fn constant(self) -> u32 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Bf16 => 2,
        }
    }

    /// The format with this constant.
    pub fn from_constant(constant: u32) -> Self {
        match constant {
            1 => Self::F16,
            2 => Self::Bf16,
            _ => Self::F32,
        }
    }

    /// 32-bit words that `count` numbers take.
    pub fn words(self, count: usize) -> usize {
        match self {
            Self::F32 => count,
            Self::F16 | Self::Bf16 => count.div_ceil(2),
        }
    }

    /// Widens `out.len()` numbers that begin at number `start`.
    pub fn widen(self, words: &[u32], start: usize, out: &mut [f32]) {
        match self {
            Self::F32 => out.copy_from_slice(&bytemuck::cast_slice(words)[start..start + out.len()]),
            Self::F16 => {
                let halves: &[half::f16] = bytemuck::cast_slice(words);
                halves[start..start + out.len()].convert_to_f32_slice(out);
            }
            Self::Bf16 => {
                let halves: &[u16] = bytemuck::cast_slice(words);
                for (o, h) in out.iter_mut().zip(&halves[start..]) {
                    *o = f32::from_bits(u32::from(*h) << 16);
                }
            }
        }
    }
}
