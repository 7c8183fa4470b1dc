//! What the app's walk shows: matrices small enough to be seen whole, and what was measured with the demo.
//!
//! The arithmetic is written out plainly; it is read as the definition of what is told beside it.

use super::Files;
use crate::error::{Error, Result};
use crate::model::SafetensorsFile;
use crate::random::Random;

/// Rows and columns of the walk's weight. It has many divisors.
pub const SIDE: usize = 24;
/// Tokens of the walk's batch.
pub const TOKENS: usize = 8;
/// The weight that the walk shows a corner of.
pub const WEIGHT: &str = "model.layers.0.self_attn.q_proj.weight";

/// Held-out losses of the demo by the number of blocks: blocks, learning rate, loss after 200 steps.
///
/// `diablo train` with the demo's options, seed 1, `--device cpu`, `--blocks N --lr RATE`. The rate is the best of those from 5e-4 to
/// 1.28e-1, each twice the one before, and for every N the rates beside it did worse. One seed: the third digit is luck.
pub const MEASURED: [(usize, f64, f64); 7] =
    [(1, 1e-3, 0.264), (2, 2e-3, 0.266), (4, 4e-3, 0.269), (8, 8e-3, 0.272), (16, 1.6e-2, 0.289), (32, 3.2e-2, 0.323), (64, 6.4e-2, 0.330)];

/// A small matrix, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub cols: usize,
    /// Row after row.
    pub values: Vec<f32>,
}

impl Matrix {
    /// A matrix made element by element.
    pub fn new(rows: usize, cols: usize, mut value: impl FnMut(usize, usize) -> f32) -> Self {
        Self { rows, cols, values: (0..rows * cols).map(|i| value(i / cols, i % cols)).collect() }
    }

    /// Normal numbers that follow from a name.
    pub fn random(rows: usize, cols: usize, name: &str) -> Self {
        let mut random = Random::new(2506).stream(name);
        Self::new(rows, cols, |_, _| random.normal() as f32)
    }

    /// An element.
    pub fn at(&self, row: usize, col: usize) -> f32 {
        self.values[row * self.cols + col]
    }

    /// The largest magnitude.
    pub fn largest(&self) -> f32 {
        self.values.iter().fold(0.0, |most, v| most.max(v.abs()))
    }

    /// C = A B.
    pub fn times(&self, other: &Self) -> Self {
        Self::new(self.rows, other.cols, |r, c| (0..self.cols).map(|k| self.at(r, k) * other.at(k, c)).sum())
    }

    /// Columns `from` up to, but not including, `to`.
    pub fn columns(&self, from: usize, to: usize) -> Self {
        Self::new(self.rows, to - from, |r, c| self.at(r, from + c))
    }

    /// The `i`-th of `n` blocks on the diagonal.
    pub fn block(&self, i: usize, n: usize) -> Self {
        let (height, width) = (self.rows / n, self.cols / n);
        Self::new(height, width, |r, c| self.at(i * height + r, i * width + c))
    }

    /// The same with zeros outside of its `n` diagonal blocks.
    pub fn only_blocks(&self, n: usize) -> Self {
        Self::new(self.rows, self.cols, |r, c| if r / (self.rows / n) == c / (self.cols / n) { self.at(r, c) } else { 0.0 })
    }

    /// Element by element.
    pub fn plus(&self, other: &Self) -> Self {
        Self::new(self.rows, self.cols, |r, c| self.at(r, c) + other.at(r, c))
    }
}

/// The gradient of a weight [outputs, inputs] from the inputs x [tokens, inputs] and the gradient of its outputs g [tokens,
/// outputs]: dW[o, i] = sum over tokens of g[t, o] x[t, i].
///
/// Each element takes one column of x and one of g. That is the whole reason why a diagonal block can be trained alone.
pub fn gradient(x: &Matrix, g: &Matrix) -> Matrix {
    Matrix::new(g.cols, x.cols, |o, i| (0..x.rows).map(|t| g.at(t, o) * x.at(t, i)).sum())
}

/// The gradient of the `i`-th of `n` blocks, from the columns of x and g that belong to it, and from nothing else.
pub fn block_gradient(x: &Matrix, g: &Matrix, i: usize, n: usize) -> Matrix {
    let (inputs, outputs) = (x.cols / n, g.cols / n);
    gradient(&x.columns(i * inputs, (i + 1) * inputs), &g.columns(i * outputs, (i + 1) * outputs))
}

/// A corner of one of the demo's weights.
///
/// # Errors
/// Where the demo's model cannot be read or is another.
pub fn weight(files: &Files) -> Result<Matrix> {
    let path = files.model().join("model.safetensors");
    let missing = || Error::input(path.display().to_string(), "is not the demo's model", "remove the file: it is written anew");
    let file = SafetensorsFile::open(&path)?;
    let tensor = file.tensor(WEIGHT)?;
    let (cols, values) = (tensor.shape.last().copied().unwrap_or(1), tensor.to_f32());
    if values.len() < SIDE * cols || cols < SIDE {
        return Err(missing());
    }
    Ok(Matrix::new(SIDE, SIDE, |r, c| values[r * cols + c]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blocks_gradient_is_the_full_gradients_block() {
        let (x, g) = (Matrix::random(TOKENS, SIDE, "x"), Matrix::random(TOKENS, SIDE, "g"));
        let full = gradient(&x, &g);
        for n in (1..=SIDE).filter(|n| SIDE.is_multiple_of(*n)) {
            for i in 0..n {
                assert_eq!(block_gradient(&x, &g, i, n), full.block(i, n), "block {i} of {n}");
            }
        }
    }

    #[test]
    fn small_products_by_hand() {
        let a = Matrix { rows: 2, cols: 2, values: vec![1.0, 2.0, 3.0, 4.0] };
        let b = Matrix { rows: 2, cols: 1, values: vec![5.0, 6.0] };
        assert_eq!(a.times(&b).values, [17.0, 39.0]);
        assert_eq!(a.only_blocks(2).values, [1.0, 0.0, 0.0, 4.0]);
        assert_eq!((a.largest(), a.plus(&a).at(1, 0)), (4.0, 6.0));
    }

    #[test]
    fn the_bundled_weight_is_there() {
        let weight = weight(&Files { folder: "assets/demo".into() }).expect("bundled");
        assert!(weight.values.len() == SIDE * SIDE && weight.largest() > 0.0);
    }
}
