//! The last norm, the output layer and the loss, without ever holding all logits.
//!
//! Only rows that have a target are computed: they are gathered first, a chunk of rows at a time. A chunk's logits become their own
//! gradient in place, and the gradient of the hidden state follows at once (as in Liger Kernel's fused linear cross entropy).

use super::layers::Graph;
use super::linear::Into;
use crate::device::{Category, Layout, PlanBuilder, View};
use crate::kernels::cross_entropy::{Gradient, cross_entropy};
use crate::kernels::fill::fill;
use crate::kernels::gather_rows::gather_rows;
use crate::kernels::loss_sum::loss_sum;
use crate::kernels::matmul::{MatMul, Matrix};
use crate::kernels::scatter_rows::scatter_rows;

/// Rows of a chunk are a multiple of this; of many rows, of the products' largest tiles.
const CHUNK_ROWS: usize = 64;
const TILE_ROWS: usize = 128;
/// Most rows of a chunk, for each 64 MiB that it may have: more would leave a processor's caches.
const MOST_ROWS: usize = 512;

/// Rows of the loss head that are computed together, where so many logits may be held. Few make a product's panels again and again on
/// the CPU, and keep few of a GPU's units busy.
fn chunk_rows(piece: usize, vocab_size: usize) -> usize {
    let most = MOST_ROWS * (piece / (16 << 20)).max(1);
    let rows = (piece / vocab_size).clamp(CHUNK_ROWS, most);
    let multiple = if rows < MOST_ROWS { CHUNK_ROWS } else { TILE_ROWS };
    rows / multiple * multiple
}

impl Graph<'_> {
    /// Lays out loss and, with `gradient`, its gradient in `x` [tokens, hidden], the last layer's output; returns that.
    pub fn loss(&self, plan: &mut PlanBuilder, x: View, gradient: bool) -> Option<View> {
        let tokens = self.rows * self.seq;
        let (hidden, head, inputs) = (self.config.hidden_size, self.weights.head(), &self.inputs);
        let norm = &self.weights.norm;
        let h = plan.workspace("last normed", tokens * hidden);
        plan.push(self.normed(norm, x, None, h, tokens));
        let losses = inputs.losses.unwrap_or_else(|| plan.workspace("losses", tokens));
        let dh = gradient.then(|| plan.workspace("d last normed", tokens * hidden));
        if let Some(dh) = dh {
            plan.push(fill(dh, tokens * hidden, 0.0));
        }
        let wanted = match self.training.loss_scale {
            _ if !gradient => Gradient::None,
            None => Gradient::OfMean,
            Some(scale) => Gradient::OfSum(scale),
        };
        let rows = chunk_rows(self.piece, self.weights.head().rows).min(tokens);
        for first in (0..tokens).step_by(rows) {
            let here = rows.min(tokens - first);
            plan.only_above(Some(first as u32));
            let gathered = plan.workspace("gathered", rows * hidden);
            plan.push(gather_rows(inputs.target_rows, first, h, tokens, gathered, here, hidden));
            let logits = plan.workspace("logits", rows * head.rows);
            self.logits(plan, gathered, logits, here);
            plan.push(cross_entropy(inputs.targets, inputs.step, logits, losses, first, here, head.rows, wanted));
            if let Some(dh) = dh {
                let scattered = plan.workspace("d gathered", rows * hidden);
                self.logits_grad(plan, gathered, logits, scattered, here);
                plan.push(scatter_rows(inputs.target_rows, first, scattered, dh, tokens, here, hidden));
            }
        }
        plan.only_above(None);
        plan.push(loss_sum(inputs.step, losses, inputs.metrics, tokens));
        let dh = dh?;
        let dx = plan.workspace("dx", tokens * hidden);
        self.norm_grad(plan, norm, x, dh, Into { view: dx, add: false }, tokens);
        Some(dx)
    }

    /// logits [rows, vocabulary] = h W^T.
    fn logits(&self, plan: &mut PlanBuilder, h: View, logits: View, rows: usize) {
        let head = self.weights.head();
        for piece in &head.pieces {
            let b = Matrix::rows(piece.value, head.cols).transposed();
            let c = Matrix::rows(logits, head.rows).at(piece.first_row);
            plan.push(MatMul { format: head.format, ..MatMul::new(rows, piece.rows, head.cols, Matrix::rows(h, head.cols), b, c) }.op());
        }
    }

    fn logits_grad(&self, plan: &mut PlanBuilder, h: View, dlogits: View, dh: View, rows: usize) {
        let head = self.weights.head();
        for (i, piece) in head.pieces.iter().enumerate() {
            let a = Matrix::rows(dlogits, head.rows).at(piece.first_row);
            let b = Matrix::rows(piece.value, head.cols);
            let c = Matrix::rows(dh, head.cols);
            let product = MatMul { format: head.format, accumulate: i > 0, ..MatMul::new(rows, head.cols, piece.rows, a, b, c) };
            plan.push(product.op());
            if let Some(grad) = piece.grad {
                let (b, c) = (Matrix::rows(h, head.cols), Matrix::rows(grad, head.cols));
                plan.push(MatMul { accumulate: true, ..MatMul::new(piece.rows, head.cols, rows, a.transposed(), b, c) }.op());
            }
        }
    }

    /// Declares a buffer for the logits of `rows` tokens that the host reads.
    pub fn declare_logits(layout: &mut Layout, vocabulary: usize, rows: usize) -> View {
        layout.buffer("logits", rows * vocabulary, Category::Workspace)
    }

    /// Lays out the logits of the tokens at `inputs.target_rows[..rows]` into a buffer that the host reads.
    pub fn logits_of(&self, plan: &mut PlanBuilder, x: View, logits: View, rows: usize) {
        let (tokens, hidden) = (self.rows * self.seq, self.config.hidden_size);
        let gathered = plan.workspace("gathered", rows * hidden);
        plan.push(gather_rows(self.inputs.target_rows, 0, x, tokens, gathered, rows, hidden));
        let h = plan.workspace("last normed", rows * hidden);
        plan.push(self.normed(&self.weights.norm, gathered, None, h, rows));
        self.logits(plan, h, logits, rows);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_fit_what_they_may_take() {
        let mib = |n: usize| n << 18;
        for (piece, vocab_size, rows) in [
            (64, 2048, 512),
            (64, 49_152, 320),
            (64, 128_256, 128),
            (64, 1 << 20, 64),
            (512, 2048, 4096),
            (512, 128_256, 1024),
            (128, 49_152, 640),
        ] {
            assert_eq!(chunk_rows(mib(piece), vocab_size), rows, "{piece} MiB, {vocab_size}");
        }
    }
}
