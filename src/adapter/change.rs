//! How far training has moved a linear layer, cell by cell of its weight's square: the picture of a method.
//!
//! A weight [d_out, d_in] is cut into `grid` x `grid` cells of ceil(d_out / grid) x ceil(d_in / grid) numbers, as DiaBlo cuts it
//! into blocks. A cell's change is the Frobenius norm of what is added to it.

use std::ops::Range;

/// A weight cut into cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cells {
    /// Outputs.
    pub d_out: usize,
    /// Inputs.
    pub d_in: usize,
    /// Cells along each side.
    pub grid: usize,
}

impl Cells {
    /// The outputs of a row of cells.
    pub fn outputs(&self, row: usize) -> Range<usize> {
        part(self.d_out, self.grid, row)
    }

    /// The inputs of a column of cells.
    pub fn inputs(&self, column: usize) -> Range<usize> {
        part(self.d_in, self.grid, column)
    }

    /// Norms of the cells, row by row, of a matrix \[d_out, d_in\].
    pub fn norms(&self, matrix: &[f32]) -> Vec<f32> {
        self.each(|outputs, inputs| {
            outputs.map(|o| matrix[o * self.d_in..][inputs.clone()].iter().map(|x| f64::from(*x).powi(2)).sum::<f64>()).sum()
        })
    }

    /// Norms of the cells of DiaBlo's blocks [grid, block_in, block_out]: zero off the diagonal.
    pub fn block_norms(&self, blocks: &[f32]) -> Vec<f32> {
        let size = blocks.len() / self.grid.max(1);
        let mut norms = vec![0.0; self.grid * self.grid];
        for (i, block) in blocks.chunks(size.max(1)).take(self.grid).enumerate() {
            norms[i * self.grid + i] = block.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt() as f32;
        }
        norms
    }

    /// Norms of the cells of scale B A, without making the product: |B_i A_j|^2 is the sum over the entries of
    /// (B_i^T B_i) * (A_j A_j^T), which are [rank, rank]. a: \[rank, d_in\], b: \[d_out, rank\].
    pub fn low_rank_norms(&self, a: &[f32], b: &[f32], rank: usize, scale: f32) -> Vec<f32> {
        let gram = |range: Range<usize>, at: &dyn Fn(usize, usize) -> f32| {
            let mut g = vec![0.0f64; rank * rank];
            for i in range {
                for r in 0..rank {
                    for s in 0..rank {
                        g[r * rank + s] += f64::from(at(i, r)) * f64::from(at(i, s));
                    }
                }
            }
            g
        };
        let left: Vec<_> = (0..self.grid).map(|i| gram(self.outputs(i), &|o, r| b[o * rank + r])).collect();
        let right: Vec<_> = (0..self.grid).map(|j| gram(self.inputs(j), &|i, r| a[r * self.d_in + i])).collect();
        let both = |l: &[f64], r: &[f64]| l.iter().zip(r).map(|(x, y)| x * y).sum::<f64>().max(0.0).sqrt() as f32 * scale;
        left.iter().flat_map(|l| right.iter().map(move |r| both(l, r))).collect()
    }

    /// One cell of scale B A, [outputs, inputs] of the cell.
    pub fn low_rank_cell(&self, a: &[f32], b: &[f32], rank: usize, scale: f32, row: usize, column: usize) -> Vec<f32> {
        let entry = |o: usize, i: usize| scale * (0..rank).map(|r| b[o * rank + r] * a[r * self.d_in + i]).sum::<f32>();
        self.outputs(row).flat_map(|o| self.inputs(column).map(move |i| entry(o, i))).collect()
    }

    /// One cell of a matrix \[d_out, d_in\].
    pub fn cell(&self, matrix: &[f32], row: usize, column: usize) -> Vec<f32> {
        self.outputs(row).flat_map(|o| matrix[o * self.d_in..][self.inputs(column)].iter().copied()).collect()
    }

    /// One of DiaBlo's blocks as [outputs, inputs]: stored they are [inputs, outputs], and padded where a side does not divide.
    pub fn block_cell(&self, blocks: &[f32], index: usize) -> Vec<f32> {
        let (block_in, block_out) = (self.d_in.div_ceil(self.grid), self.d_out.div_ceil(self.grid));
        let block = &blocks[index * block_in * block_out..][..block_in * block_out];
        let (outputs, inputs) = (self.outputs(index).len(), self.inputs(index).len());
        (0..outputs).flat_map(|o| (0..inputs).map(move |i| block[i * block_out + o])).collect()
    }

    fn each(&self, sum: impl Fn(Range<usize>, Range<usize>) -> f64) -> Vec<f32> {
        let cells = (0..self.grid).flat_map(|i| (0..self.grid).map(move |j| (i, j)));
        cells.map(|(i, j)| sum(self.outputs(i), self.inputs(j)).sqrt() as f32).collect()
    }
}

/// The `index`-th of `parts` runs of ceil(side / parts) numbers; the last ones may be short or empty.
fn part(side: usize, parts: usize, index: usize) -> Range<usize> {
    let size = side.div_ceil(parts.max(1));
    (index * size).min(side)..((index + 1) * size).min(side)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn numbers(n: usize, seed: u64) -> Vec<f32> {
        let mut random = Random::new(seed);
        (0..n).map(|_| random.normal() as f32).collect()
    }

    fn close(a: &[f32], b: &[f32]) {
        assert_eq!(a.len(), b.len());
        for (x, y) in a.iter().zip(b) {
            assert!((x - y).abs() <= 1e-4 * y.abs().max(1.0), "{x} {y}");
        }
    }

    #[test]
    fn the_product_s_norms_are_those_of_the_product() {
        // 10 outputs and 7 inputs in 3 x 3 cells: neither side divides.
        let (cells, rank, scale) = (Cells { d_out: 10, d_in: 7, grid: 3 }, 2, 1.5);
        let (a, b) = (numbers(rank * 7, 1), numbers(10 * rank, 2));
        let product: Vec<f32> = (0..70).map(|k| scale * (0..rank).map(|r| b[k / 7 * rank + r] * a[r * 7 + k % 7]).sum::<f32>()).collect();
        close(&cells.low_rank_norms(&a, &b, rank, scale), &cells.norms(&product));
        for (row, column) in [(0, 0), (1, 2), (2, 1)] {
            close(&cells.low_rank_cell(&a, &b, rank, scale, row, column), &cells.cell(&product, row, column));
        }
    }

    #[test]
    fn blocks_lie_on_the_diagonal() {
        let cells = Cells { d_out: 6, d_in: 4, grid: 2 };
        let blocks = numbers(2 * 2 * 3, 3);
        let mut whole = vec![0.0; 24];
        for (n, block) in blocks.chunks(6).enumerate() {
            for i in 0..2 {
                for o in 0..3 {
                    whole[(3 * n + o) * 4 + 2 * n + i] = block[i * 3 + o];
                }
            }
        }
        close(&cells.block_norms(&blocks), &cells.norms(&whole));
        close(&cells.block_cell(&blocks, 1), &cells.cell(&whole, 1, 1));
    }
}
