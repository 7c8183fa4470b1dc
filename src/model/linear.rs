//! Linear layers in a plan, and the seam where adapters attach.

use super::weights::Linear;
use crate::device::{PlanBuilder, View};
use crate::kernels::column_sum::column_sum;
use crate::kernels::matmul::{Diagonal, MatMul, Matrix};

/// Where a gradient goes.
#[derive(Clone, Copy, Debug)]
pub struct Into {
    /// The buffer.
    pub view: View,
    /// Whether it is added to what is there.
    pub add: bool,
}

/// Views of the forward pass that an adapter's backward pass reads.
pub type Saved = Vec<View>;

/// How the linear layers of a model are applied. [`Plain`] applies the weights alone; adapters add their own.
pub trait Adapter {
    /// Lays out y = (W + adapter) x + b (+ residual). x: [tokens, d_in], y and residual: [tokens, d_out].
    /// What it returns is kept for [`Adapter::backward`].
    fn forward(&self, plan: &mut PlanBuilder, linear: &Linear, x: View, y: View, residual: Option<View>, tokens: usize) -> Saved;

    /// Lays out the gradients of everything that trains here, and of x where `dx` is given.
    fn backward(&self, plan: &mut PlanBuilder, linear: &Linear, saved: &[View], x: View, dy: View, dx: Option<Into>, tokens: usize);
}

/// The weights alone: frozen, or trained in full where they have gradients.
#[derive(Clone, Copy, Debug)]
pub struct Plain;

impl Adapter for Plain {
    fn forward(&self, plan: &mut PlanBuilder, linear: &Linear, x: View, y: View, residual: Option<View>, tokens: usize) -> Saved {
        forward(plan, linear, None, x, y, residual, tokens);
        Saved::new()
    }

    fn backward(&self, plan: &mut PlanBuilder, linear: &Linear, _: &[View], x: View, dy: View, dx: Option<Into>, tokens: usize) {
        weight_grad(plan, linear, x, dy, tokens);
        if let Some(dx) = dx {
            input_grad(plan, linear, None, dy, dx, tokens);
        }
    }
}

/// DiaBlo's blocks of a layer, as the product's diagonal.
#[derive(Clone, Copy, Debug)]
pub struct Blocks {
    /// [N, block_in, block_out].
    pub view: View,
    /// Inputs of a block.
    pub block_in: usize,
    /// Outputs of a block.
    pub block_out: usize,
}

impl Blocks {
    fn diagonal(self, first_output: usize, columns_are_outputs: bool) -> Diagonal {
        Diagonal { view: self.view, block_in: self.block_in, block_out: self.block_out, first_output, columns_are_outputs }
    }
}

/// y = x (W + D)^T + b (+ residual).
pub fn forward(plan: &mut PlanBuilder, linear: &Linear, blocks: Option<Blocks>, x: View, y: View, residual: Option<View>, tokens: usize) {
    let w = &linear.weight;
    for piece in &w.pieces {
        let a = Matrix::rows(x, w.cols);
        let b = Matrix::rows(piece.value, w.cols).transposed();
        let c = Matrix::rows(y, w.rows).at(piece.first_row);
        plan.push(
            MatMul {
                format: w.format,
                diagonal: blocks.map(|d| d.diagonal(piece.first_row, true)),
                bias: linear.bias.as_ref().map(|b| (b.value, piece.first_row)),
                residual,
                ..MatMul::new(tokens, piece.rows, w.cols, a, b, c)
            }
            .op(),
        );
    }
}

/// dx (+)= dy (W + D).
pub fn input_grad(plan: &mut PlanBuilder, linear: &Linear, blocks: Option<Blocks>, dy: View, dx: Into, tokens: usize) {
    let w = &linear.weight;
    for (i, piece) in w.pieces.iter().enumerate() {
        let a = Matrix::rows(dy, w.rows).at(piece.first_row);
        let b = Matrix::rows(piece.value, w.cols);
        let c = Matrix::rows(dx.view, w.cols);
        plan.push(
            MatMul {
                format: w.format,
                diagonal: blocks.map(|d| d.diagonal(piece.first_row, false)),
                accumulate: dx.add || i > 0,
                ..MatMul::new(tokens, w.cols, piece.rows, a, b, c)
            }
            .op(),
        );
    }
}

/// dW += dy^T x and db += column sums of dy, where they train.
pub fn weight_grad(plan: &mut PlanBuilder, linear: &Linear, x: View, dy: View, tokens: usize) {
    let w = &linear.weight;
    for piece in &w.pieces {
        let Some(grad) = piece.grad else { continue };
        let a = Matrix::rows(dy, w.rows).at(piece.first_row).transposed();
        let b = Matrix::rows(x, w.cols);
        let c = Matrix::rows(grad, w.cols);
        plan.push(MatMul { accumulate: true, ..MatMul::new(piece.rows, w.cols, tokens, a, b, c) }.op());
    }
    if let Some((bias, grad)) = linear.bias.as_ref().and_then(|b| b.grad.map(|g| (b, g))) {
        plan.push(column_sum(dy, grad, tokens, bias.len));
    }
}
