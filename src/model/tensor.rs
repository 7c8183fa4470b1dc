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
    /// The file holds the transpose of what is read from here.
    pub(super) transposed: bool,
}

impl<'a> StoredTensor<'a> {
    /// The same seen as its transpose. This is the one place where matrices are turned on their way in.
    pub(super) fn transposed(mut self) -> Self {
        self.shape.reverse();
        Self { transposed: !self.transposed && self.shape.len() == 2, ..self }
    }

    /// The shape that it has in the file.
    pub fn stored_shape(&self) -> Vec<usize> {
        if self.transposed { self.shape.iter().rev().copied().collect() } else { self.shape.clone() }
    }

    /// Its bytes in the file.
    pub fn byte_len(&self) -> usize {
        self.range.len()
    }

    /// The tensor with its numbers. From a mapped file nothing is copied, unless it is transposed.
    ///
    /// # Errors
    /// In a browser, where the file is gone.
    pub fn read(&self) -> Result<TensorView<'a>> {
        let all = self.read_slice(0..self.shape.iter().product())?;
        Ok(TensorView { shape: self.shape.clone(), ..all })
    }

    /// The tensor as the file holds it.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_stored(&self) -> Result<TensorView<'a>> {
        let bytes = self.file.part(self.range.clone())?;
        Ok(TensorView { name: self.name, dtype: self.dtype, shape: self.stored_shape(), bytes })
    }

    /// Values in the order of [`Self::read`] put into the file's.
    pub fn in_stored_order(&self, values: Vec<f32>) -> Vec<f32> {
        if self.transposed { transpose(&values, self.shape[1], 0..self.shape[1]) } else { values }
    }

    /// Elements `range` of the tensor, as a flat one; the rest is not read.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_slice(&self, range: Range<usize>) -> Result<TensorView<'a>> {
        let size = self.dtype.size();
        let begin = self.range.start;
        let bytes = if self.transposed {
            let (rows, cols) = (self.shape[0], self.shape[1].max(1));
            let file = self.file.part(self.range.clone())?;
            let wanted = range.start / cols..range.end.div_ceil(cols);
            let skipped = (range.start - wanted.start * cols) * size;
            let mut bytes = match self.dtype {
                Dtype::F32 => transpose(file.as_chunks::<4>().0, rows, wanted).into_flattened(),
                Dtype::F16 | Dtype::BF16 => transpose(file.as_chunks::<2>().0, rows, wanted).into_flattened(),
            };
            bytes.drain(..skipped);
            bytes.truncate(range.len() * size);
            Cow::Owned(bytes)
        } else {
            self.file.part(begin + range.start * size..begin + range.end * size)?
        };
        Ok(TensorView { name: self.name, dtype: self.dtype, shape: vec![range.len()], bytes })
    }
}

/// Rows `rows` of the transpose of a matrix whose own rows have `width` elements.
pub fn transpose<T: Copy + Default>(matrix: &[T], width: usize, rows: Range<usize>) -> Vec<T> {
    // Columns that are written side by side: few enough for a processor to follow, enough to use what it loads.
    const TOGETHER: usize = 16;
    let height = matrix.len() / width.max(1);
    let mut out = vec![T::default(); rows.len() * height];
    for first in rows.clone().step_by(TOGETHER) {
        for (at, line) in matrix.chunks_exact(width).enumerate() {
            for column in first..(first + TOGETHER).min(rows.end) {
                out[(column - rows.start) * height + at] = line[column];
            }
        }
    }
    out
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
    fn a_transpose_in_parts() {
        // 3 rows of 40: wider than what is turned together.
        let matrix: Vec<u16> = (0..120).collect();
        let whole = transpose(&matrix, 40, 0..40);
        assert!((0..40).all(|row| (0..3).all(|column| whole[row * 3 + column] == matrix[column * 40 + row])));
        assert_eq!(transpose(&matrix, 40, 15..34), whole[45..102]);
        assert_eq!(transpose(&whole, 3, 0..3), matrix);
        assert!(transpose(&matrix, 40, 7..7).is_empty() && transpose::<u16>(&[], 0, 0..0).is_empty());

        let folder = tempfile::tempdir().expect("tempdir");
        let path = folder.path().join("m.safetensors");
        for dtype in [Dtype::F32, Dtype::BF16] {
            let spec = crate::model::TensorSpec::new("w", dtype, vec![3, 5]);
            let bytes: Vec<u8> = (0..15u8).flat_map(|i| [vec![0; dtype.size() - 1], vec![i + 64]].concat()).collect();
            crate::model::write_safetensors(&path, &[spec], &[], |_| Ok(Cow::Borrowed(&bytes))).expect("written");
            let file = SafetensorsFile::open(&path).expect("opens");
            let (plain, turned) = (file.stored("w").expect("w"), file.stored("w").expect("w").transposed());
            assert_eq!((turned.shape.as_slice(), turned.stored_shape()), ([5, 3].as_slice(), vec![3, 5]));
            let (stored, all) = (plain.read().expect("reads").to_f32(), turned.read().expect("reads").to_f32());
            assert_eq!(all, transpose(&stored, 5, 0..5));
            assert_eq!(turned.read_stored().expect("reads").to_f32(), stored);
            for (start, end) in [(0, 15), (1, 2), (4, 11), (14, 15), (6, 9), (5, 5)] {
                assert_eq!(turned.read_slice(start..end).expect("reads").to_f32(), all[start..end]);
            }
            assert_eq!(turned.in_stored_order(all.clone()), stored);
        }
    }

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
