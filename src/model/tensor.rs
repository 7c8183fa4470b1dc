//! A tensor as it lies in a checkpoint.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use half::{bf16, f16};

use crate::error::Result;

use super::container::SafetensorsFile;

/// Element types that weights may have. Little-endian, as safetensors says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Dtype {
    /// IEEE single precision.
    F32,
    /// IEEE half precision.
    F16,
    /// The upper half of an f32.
    BF16,
}

impl Dtype {
    /// Bytes of one element.
    pub const fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
        }
    }

    /// safetensors' name: `F32`, `F16` or `BF16`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
        }
    }

    /// The type for a dtype of safetensors; `None` for one that weights here cannot have.
    pub fn from_safetensors(dtype: safetensors::Dtype) -> Option<Self> {
        match dtype {
            safetensors::Dtype::F32 => Some(Self::F32),
            safetensors::Dtype::F16 => Some(Self::F16),
            safetensors::Dtype::BF16 => Some(Self::BF16),
            _ => None,
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where a tensor of an open checkpoint lies.
#[derive(Debug, Clone)]
pub struct StoredTensor<'a> {
    pub(super) file: &'a SafetensorsFile,
    /// The name it is stored under.
    pub name: &'a str,
    /// The type of its elements.
    pub dtype: Dtype,
    /// Row-major; empty for a scalar.
    pub shape: Vec<usize>,
    /// Within the file.
    pub(super) range: Range<usize>,
}

impl<'a> StoredTensor<'a> {
    /// Its bytes in the file.
    pub fn byte_len(&self) -> usize {
        self.range.len()
    }

    /// The tensor with its numbers. From a mapped file nothing is copied.
    ///
    /// # Errors
    /// In a browser, where the file is gone.
    pub fn read(&self) -> Result<TensorView<'a>> {
        Ok(TensorView { name: self.name, dtype: self.dtype, shape: self.shape.clone(), bytes: self.file.part(self.range.clone())? })
    }

    /// Elements `range` of the tensor, as a flat one; the rest is not read.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_slice(&self, range: Range<usize>) -> Result<TensorView<'a>> {
        let size = self.dtype.size();
        let begin = self.range.start;
        let bytes = self.file.part(begin + range.start * size..begin + range.end * size)?;
        Ok(TensorView { name: self.name, dtype: self.dtype, shape: vec![range.len()], bytes })
    }
}

/// A tensor of an open checkpoint with its numbers; from a mapped file nothing is copied.
#[derive(Debug, Clone)]
pub struct TensorView<'a> {
    /// The name it is stored under.
    pub name: &'a str,
    /// The type of its elements.
    pub dtype: Dtype,
    /// Row-major; empty for a scalar.
    pub shape: Vec<usize>,
    /// `product(shape) * dtype.size()` bytes, little-endian. May start at any address, even an odd one.
    pub bytes: Cow<'a, [u8]>,
}

impl TensorView<'_> {
    /// Elements `range` of the tensor, as a flat one.
    pub fn slice(&self, range: Range<usize>) -> TensorView<'_> {
        let size = self.dtype.size();
        let bytes = Cow::Borrowed(&self.bytes[range.start * size..range.end * size]);
        TensorView { name: self.name, dtype: self.dtype, shape: vec![range.len()], bytes }
    }

    /// All elements widened to f32, exactly.
    pub fn to_f32(&self) -> Vec<f32> {
        match self.dtype {
            Dtype::F32 => self.bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect(),
            Dtype::F16 => self.bytes.as_chunks().0.iter().map(|&bytes| f16::from_le_bytes(bytes).to_f32()).collect(),
            Dtype::BF16 => self.bytes.as_chunks().0.iter().map(|&bytes| bf16::from_le_bytes(bytes).to_f32()).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widening_at_every_alignment() {
        let values = [0.0f32, -1.5, 65504.0, 0.000061035156];
        for dtype in [Dtype::F32, Dtype::F16, Dtype::BF16] {
            let values = if dtype == Dtype::BF16 { [0.0, -1.5, 65536.0, 0.0078125] } else { values };
            let encoded: Vec<u8> = values
                .iter()
                .flat_map(|&value| match dtype {
                    Dtype::F32 => value.to_le_bytes().to_vec(),
                    Dtype::F16 => f16::from_f32(value).to_le_bytes().to_vec(),
                    Dtype::BF16 => bf16::from_f32(value).to_le_bytes().to_vec(),
                })
                .collect();
            for offset in 0..8 {
                let mut bytes = vec![0xee; offset];
                bytes.extend_from_slice(&encoded);
                let view = TensorView { name: "t", dtype, shape: vec![4], bytes: Cow::Borrowed(&bytes[offset..]) };
                assert_eq!(view.to_f32(), values);
            }
        }
    }
}
