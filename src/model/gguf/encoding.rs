//! Types of GGUF tensors, and numbers in them.
//!
//! Blocks are quantised as ggml's reference does it (`quantize_row_q8_0_ref`, `quantize_row_q4_0_ref` in ggml-quants.c), to the bit.

use crate::choice::choice;
use crate::model::Dtype;
use half::{bf16, f16};

choice! {
    /// How the matrices of a GGUF file are stored.
    Encoding {
        /// 32 bits.
        F32 = "f32",
        /// 16 bits with f32's range.
        Bf16 = "bf16",
        /// 16 bits, IEEE.
        F16 = "f16",
        /// Blocks of 32 numbers in 8 bits each, behind a scale in 16: 8.5 bits a number.
        Q8 = "q8_0",
        /// Blocks of 32 numbers in 4 bits each, behind a scale in 16: 4.5 bits a number.
        Q4 = "q4_0",
    }
}

impl From<Dtype> for Encoding {
    fn from(dtype: Dtype) -> Self {
        match dtype {
            Dtype::F32 => Self::F32,
            Dtype::F16 => Self::F16,
            Dtype::BF16 => Self::Bf16,
        }
    }
}

/// Numbers in a block of q8_0 and q4_0.
pub const BLOCK: usize = 32;
/// The first number that rounds to infinity in 16 bits.
const F16_END: f32 = 65_520.0;

impl Encoding {
    /// ggml's number of the type (`enum ggml_type`).
    pub fn ggml_type(self) -> u32 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Q4 => 2,
            Self::Q8 => 8,
            Self::Bf16 => 30,
        }
    }

    /// llama.cpp's number of a file whose matrices are mostly of this type (`enum llama_ftype`).
    pub fn file_type(self) -> u32 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Q4 => 2,
            Self::Q8 => 7,
            Self::Bf16 => 32,
        }
    }

    /// The same type outside GGUF; none for blocks.
    pub fn dtype(self) -> Option<Dtype> {
        match self {
            Self::F32 => Some(Dtype::F32),
            Self::F16 => Some(Dtype::F16),
            Self::Bf16 => Some(Dtype::BF16),
            Self::Q8 | Self::Q4 => None,
        }
    }

    /// Whether numbers stand in blocks.
    pub fn in_blocks(self) -> bool {
        matches!(self, Self::Q8 | Self::Q4)
    }

    /// Bytes of `numbers` numbers; of whole blocks where there are blocks.
    pub fn bytes(self, numbers: usize) -> usize {
        match self {
            Self::F32 => numbers * 4,
            Self::F16 | Self::Bf16 => numbers * 2,
            Self::Q8 => numbers / BLOCK * 34,
            Self::Q4 => numbers / BLOCK * 18,
        }
    }

    /// The largest number that the type can hold.
    pub fn end(self) -> f32 {
        match self {
            Self::F32 | Self::Bf16 => f32::INFINITY,
            Self::F16 => F16_END,
            // The scale is a number in 16 bits.
            Self::Q8 => F16_END * 127.0,
            Self::Q4 => F16_END * 8.0,
        }
    }

    /// Appends a row of numbers, of whole blocks where there are blocks.
    pub fn encode(self, row: &[f32], out: &mut Vec<u8>) {
        match self {
            Self::F32 => out.extend(row.iter().flat_map(|v| v.to_le_bytes())),
            Self::F16 => out.extend(row.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes())),
            Self::Bf16 => out.extend(row.iter().flat_map(|v| bf16::from_f32(*v).to_le_bytes())),
            Self::Q8 => row.as_chunks().0.iter().for_each(|block| q8_0(block, out)),
            Self::Q4 => row.as_chunks().0.iter().for_each(|block| q4_0(block, out)),
        }
    }
}

/// x = d q with d = max |x| / 127; q rounded to nearest, halves away from zero.
fn q8_0(block: &[f32; BLOCK], out: &mut Vec<u8>) {
    let d = block.iter().fold(0f32, |m, x| m.max(x.abs())) / 127.0;
    let inverse = if d == 0.0 { 0.0 } else { 1.0 / d };
    out.extend(f16::from_f32(d).to_le_bytes());
    out.extend(block.iter().map(|x| (x * inverse).round() as i8 as u8));
}

/// x = d (q - 8) with d = m / -8, m the number of largest size: it becomes 0 exactly, so its own side reaches one step further.
fn q4_0(block: &[f32; BLOCK], out: &mut Vec<u8>) {
    // The first of several that are equally large.
    let largest = block.iter().fold(0f32, |m, x| if x.abs() > m.abs() { *x } else { m });
    let d = largest / -8.0;
    let inverse = if d == 0.0 { 0.0 } else { 1.0 / d };
    out.extend(f16::from_f32(d).to_le_bytes());
    // Half a step more, then cut off.
    let level = |x: f32| ((x * inverse + 8.5) as u8).min(15);
    out.extend((0..BLOCK / 2).map(|i| level(block[i]) | level(block[i + BLOCK / 2]) << 4));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(encoding: Encoding, row: &[f32]) -> Vec<u8> {
        let mut out = Vec::new();
        encoding.encode(row, &mut out);
        assert_eq!(out.len(), encoding.bytes(row.len()));
        out
    }

    #[test]
    fn eight_bits_round_halves_away_from_zero() {
        let mut block = [0f32; BLOCK];
        // d is 1, so the numbers are their own levels.
        (block[0], block[1], block[2], block[3], block[31]) = (127.0, 2.5, -2.5, 0.49, -127.0);
        let out = encoded(Encoding::Q8, &block);
        assert_eq!(out[..2], f16::ONE.to_le_bytes());
        assert_eq!([out[2], out[3], out[4], out[5], out[33]].map(|b| b as i8), [127, 3, -3, 0, -127]);
        assert!(encoded(Encoding::Q8, &[0.0; BLOCK]).iter().all(|b| *b == 0));
    }

    #[test]
    fn four_bits_reach_further_on_the_side_of_the_largest() {
        let mut block = [0f32; BLOCK];
        // d is 1 for a largest of -8: levels 0 to 15 are -8 to 7.
        (block[0], block[16], block[1], block[17]) = (-8.0, 7.4, 8.0, -0.5);
        let out = encoded(Encoding::Q4, &block);
        assert_eq!(out[..2], f16::ONE.to_le_bytes());
        // 8 has no level of its own and takes 7's; -0.5 + 8.5 is 8; zeros are 8.
        assert_eq!((out[2], out[3], out[4]), (15 << 4, 8 << 4 | 15, 8 << 4 | 8));
        // The first of two of the same size decides the sign.
        (block[0], block[1]) = (8.0, -8.0);
        assert_eq!(encoded(Encoding::Q4, &block)[..2], f16::from_f32(-1.0).to_le_bytes());
        let zero = encoded(Encoding::Q4, &[0.0; BLOCK]);
        assert!(zero[2..].iter().all(|b| *b == 0x88), "{zero:?}");
    }

    #[test]
    fn floats_as_they_are() {
        assert_eq!(encoded(Encoding::F32, &[1.5, -2.0]), [1.5f32.to_le_bytes(), (-2f32).to_le_bytes()].concat());
        assert_eq!(encoded(Encoding::F16, &[1.5]), f16::from_f32(1.5).to_le_bytes());
        assert_eq!(encoded(Encoding::Bf16, &[1.5]), bf16::from_f32(1.5).to_le_bytes());
        assert!(f16::from_f32(F16_END).is_infinite() && f16::from_f32(65_519.0).is_finite());
        for dtype in [Dtype::F32, Dtype::F16, Dtype::BF16] {
            assert_eq!(Encoding::from(dtype).dtype(), Some(dtype));
        }
    }
}
