//! How a weight's numbers lie in memory.

use half::slice::HalfFloatSliceExt;
use rayon::prelude::*;

/// Numbers that share a scale.
pub const BLOCK: usize = 64;

/// The values of 4-bit NormalFloat: quantiles of a normal distribution, scaled to -1..1 (Dettmers et al. 2023, "QLoRA", appendix E).
pub const NF4: [f32; 16] = [
    -1.0,
    -0.696_192_8,
    -0.525_073_05,
    -0.394_917_5,
    -0.284_441_38,
    -0.184_773_43,
    -0.091_050_036,
    0.0,
    0.079_580_3,
    0.160_930_2,
    0.246_112_3,
    0.337_915_24,
    0.440_709_83,
    0.562_617,
    0.722_956_84,
    1.0,
];

/// The format of a frozen weight on the device.
///
/// The quantised ones hold blocks of [`BLOCK`] numbers in the order in which they lie, whatever the rows: a word with the block's scale
/// as a 32-bit float, then its numbers, the first in the lowest bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// 32-bit floats.
    F32,
    /// IEEE 16-bit floats, two to a word.
    F16,
    /// The upper halves of 32-bit floats, two to a word.
    Bf16,
    /// Whole numbers of -127..=127, four to a word; the scale is the block's largest magnitude / 127.
    Int8,
    /// Places in [`NF4`], eight to a word; the scale is the block's largest magnitude.
    Nf4,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 5] = [Self::F32, Self::F16, Self::Bf16, Self::Int8, Self::Nf4];

    /// The shader's `FORMAT` constant.
    pub fn constant(self) -> u32 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Bf16 => 2,
            Self::Int8 => 3,
            Self::Nf4 => 4,
        }
    }

    /// The format with this constant.
    pub fn from_constant(constant: u32) -> Self {
        match constant {
            1 => Self::F16,
            2 => Self::Bf16,
            3 => Self::Int8,
            4 => Self::Nf4,
            _ => Self::F32,
        }
    }

    /// 32-bit words that `count` numbers take.
    pub fn words(self, count: usize) -> usize {
        match self {
            Self::F32 => count,
            Self::F16 | Self::Bf16 => count.div_ceil(2),
            Self::Int8 | Self::Nf4 => count.div_ceil(BLOCK) * self.block_words(),
        }
    }

    /// Words of a block with its scale; only of quantised formats.
    fn block_words(self) -> usize {
        1 + BLOCK / if self == Self::Int8 { 4 } else { 8 }
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
            Self::Int8 => self.widen_blocks(words, start, out, |numbers, first, scale, out| {
                let numbers: &[i8] = bytemuck::cast_slice(numbers);
                for (o, q) in out.iter_mut().zip(&numbers[first..]) {
                    *o = f32::from(*q) * scale;
                }
            }),
            Self::Nf4 => self.widen_blocks(words, start, out, |numbers, first, scale, out| {
                let pairs: &[u8] = bytemuck::cast_slice(numbers);
                for (i, o) in (first..).zip(out) {
                    *o = NF4[usize::from(pairs[i / 2] >> (i % 2 * 4) & 15)] * scale;
                }
            }),
        }
    }

    /// Gives `block` the words of each block met, the first number wanted of it, its scale, and where its numbers go.
    fn widen_blocks(self, words: &[u32], start: usize, mut out: &mut [f32], block: impl Fn(&[u32], usize, f32, &mut [f32])) {
        let mut at = start;
        while !out.is_empty() {
            let (here, rest) = out.split_at_mut(out.len().min(BLOCK - at % BLOCK));
            let [scale, numbers @ ..] = &words[at / BLOCK * self.block_words()..][..self.block_words()] else { return };
            block(numbers, at % BLOCK, f32::from_bits(*scale), here);
            at += here.len();
            out = rest;
        }
    }

    /// Numbers in this format, each as near as it has one.
    pub fn encode(self, values: &[f32]) -> Vec<u32> {
        let halves = |f: fn(f32) -> u16| {
            let half = |i: &[f32], at: usize| i.get(at).map_or(0, |x| u32::from(f(*x)));
            values.par_chunks(2).map(|pair| half(pair, 0) | half(pair, 1) << 16).collect()
        };
        match self {
            Self::F32 => bytemuck::cast_slice(values).to_vec(),
            Self::F16 => halves(|x| half::f16::from_f32(x).to_bits()),
            Self::Bf16 => halves(|x| half::bf16::from_f32(x).to_bits()),
            Self::Int8 | Self::Nf4 => {
                let mut words = vec![0; self.words(values.len())];
                let blocks = words.par_chunks_mut(self.block_words()).zip(values.par_chunks(BLOCK));
                blocks.with_min_len(256).for_each(|(words, values)| self.encode_block(words, values));
                words
            }
        }
    }

    fn encode_block(self, words: &mut [u32], values: &[f32]) {
        let largest = values.iter().fold(0.0f32, |most, x| if x.is_nan() { f32::NAN } else { most.max(x.abs()) });
        let scale = if self == Self::Int8 { largest / 127.0 } else { largest };
        words[0] = scale.to_bits();
        let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
        for (i, x) in values.iter().enumerate() {
            let x = x * inverse;
            let (number, bits) = if self == Self::Int8 {
                (u32::from((x.round().clamp(-127.0, 127.0) as i8).cast_unsigned()), 8)
            } else {
                // How many of the middles between two neighbours lie below.
                (NF4.windows(2).map(|pair| u32::from(x > 0.5 * (pair[0] + pair[1]))).sum(), 4)
            };
            words[1 + i * bits / 32] |= number << (i * bits % 32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn back(format: Format, values: &[f32]) -> Vec<f32> {
        let words = format.encode(values);
        assert_eq!(words.len(), format.words(values.len()));
        let mut out = vec![0.0; values.len()];
        format.widen(&words, 0, &mut out);
        out
    }

    #[test]
    fn every_number_becomes_the_nearest_one() {
        let mut random = Random::new(3);
        for count in [1, 63, 64, 65, 1000] {
            let values: Vec<f32> = (0..count).map(|_| (random.normal() * 0.02) as f32).collect();
            for (block, (int8, nf4)) in
                values.chunks(BLOCK).zip(back(Format::Int8, &values).chunks(BLOCK).zip(back(Format::Nf4, &values).chunks(BLOCK)))
            {
                let most = block.iter().fold(0.0f32, |m, x| m.max(x.abs()));
                for i in 0..block.len() {
                    let x = block[i];
                    assert!((int8[i] - x).abs() <= most / 127.0 * 0.501, "{x} became {}", int8[i]);
                    let nearest = NF4.iter().map(|v| (v * most - x).abs()).fold(f32::MAX, f32::min);
                    assert!((nf4[i] - x).abs() <= nearest * 1.0001 + 1e-9, "{x} became {}, {nearest} is nearer", nf4[i]);
                }
                // The largest one of a block is kept.
                let at = block.iter().position(|x| x.abs() == most).expect("there is one");
                assert!((nf4[at] - block[at]).abs() <= 1e-9 && (int8[at] - block[at]).abs() <= most * 1e-6);
            }
        }
        for format in Format::ALL {
            assert_eq!(back(format, &[0.0; 70]), [0.0; 70]);
            assert_eq!(back(format, &[1.0, -1.0, 0.0]), [1.0, -1.0, 0.0]);
        }
        for format in [Format::Int8, Format::Nf4] {
            assert!(back(format, &[1.0, f32::NAN])[0].is_nan(), "what is no number is not hidden");
        }
    }

    #[test]
    fn parts_are_those_of_the_whole() {
        let mut random = Random::new(4);
        let values: Vec<f32> = (0..300).map(|_| random.normal() as f32).collect();
        for format in Format::ALL {
            let (words, whole) = (format.encode(&values), back(format, &values));
            for (start, len) in [(0, 300), (1, 63), (63, 2), (64, 64), (130, 170), (299, 1), (5, 0)] {
                let mut out = vec![0.0; len];
                format.widen(&words, start, &mut out);
                assert_eq!(out, whole[start..start + len], "{format:?} from {start}");
            }
        }
    }
}
