//! DiaBlo: y = (W + blockdiag(D_1..D_N)) x ("Diagonal Blocks Are Sufficient For Finetuning", arXiv 2506.03230, section 3).
//!
//! Block i reads inputs i d_in/N.. and adds to outputs i d_out/N... Blocks are stored [N, d_in/N, d_out/N] as the authors do, start
//! at zero and have no scale. Their gradient is the full gradient's blocks: dD_i = X_i^T G_i.

use super::Dropout;
use super::choose::check_blocks;
use super::spec::{Kind, Spec};
use crate::device::{Layout, PlanBuilder, View};
use crate::error::{Error, Result};
use crate::kernels::matmul::{MatMul, Matrix, NO_LIMIT};
use crate::model::Arena;
use crate::model::linear::{self, Blocks, Into, Saved};
use crate::model::weights::{Linear, Site};

/// The blocks of one layer.
#[derive(Clone, Debug)]
pub(super) struct Part {
    blocks: Blocks,
    grad: View,
    n: usize,
}

/// The name of a layer's blocks in files.
pub fn tensor_name(site: Site) -> String {
    format!("base_model.model.{}.diablo_block", site.path())
}

impl Part {
    pub fn declare(spec: &Spec, site: Site, d_out: usize, d_in: usize, layout: &mut Layout, arena: &mut Arena) -> Result<Self> {
        let Kind::Diablo { blocks, pad } = &spec.kind else { unreachable!("called for DiaBlo only") };
        let n = blocks.get(site.module).copied().unwrap_or(1);
        check_blocks(&site.path(), d_out, d_in, n, *pad)?;
        let (block_in, block_out) = (d_in.div_ceil(n), d_out.div_ceil(n));
        let pieces = arena.add(layout, &tensor_name(site), &[n, block_in, block_out]);
        let [piece] = pieces.as_slice() else {
            return Err(Error::usage(
                format!("{}: {n} diagonal blocks of [{block_in}, {block_out}] are larger than the device can bind", site.path()),
                "use more blocks (--blocks)",
            ));
        };
        Ok(Self { blocks: Blocks { view: piece.value, block_in, block_out }, grad: piece.grad, n })
    }

    /// Without dropout the blocks ride in the product with W; with it they see another input and need a product of their own.
    pub fn forward(
        &self,
        plan: &mut PlanBuilder,
        l: &Linear,
        dropout: Option<Dropout>,
        x: View,
        y: View,
        residual: Option<View>,
        tokens: usize,
    ) -> Saved {
        let Some(dropout) = dropout else {
            linear::forward(plan, l, Some(self.blocks), x, y, residual, tokens);
            return Saved::new();
        };
        linear::forward(plan, l, None, x, y, residual, tokens);
        let (d_in, d_out, b) = (l.weight.cols, l.weight.rows, self.blocks);
        let dropped = dropout.apply(plan, x, tokens * d_in);
        let a = Matrix::rows(dropped, d_in).every(b.block_in);
        let d = Matrix::rows(b.view, b.block_out).every(b.block_in * b.block_out);
        let c = Matrix::rows(y, d_out).every(b.block_out);
        let limits = Some([NO_LIMIT, d_out, d_in]);
        plan.push(MatMul { batch: self.n, accumulate: true, limits, ..MatMul::new(tokens, b.block_out, b.block_in, a, d, c) }.op());
        Saved::new()
    }

    pub fn backward(
        &self,
        plan: &mut PlanBuilder,
        l: &Linear,
        dropout: Option<Dropout>,
        x: View,
        dy: View,
        dx: Option<Into>,
        tokens: usize,
    ) {
        let (d_in, d_out, b) = (l.weight.cols, l.weight.rows, self.blocks);
        let seen = dropout.map_or(x, |d| d.apply(plan, x, tokens * d_in));
        // dD_i [block_in, block_out] += X_i^T G_i
        let a = Matrix::rows(seen, d_in).transposed().every(b.block_in);
        let g = Matrix::rows(dy, d_out).every(b.block_out);
        let c = Matrix::rows(self.grad, b.block_out).every(b.block_in * b.block_out);
        let limits = Some([d_in, d_out, NO_LIMIT]);
        plan.push(MatMul { batch: self.n, accumulate: true, limits, ..MatMul::new(b.block_in, b.block_out, tokens, a, g, c) }.op());
        let Some(dx) = dx else { return };
        let Some(dropout) = dropout else {
            return linear::input_grad(plan, l, Some(b), dy, dx, tokens);
        };
        linear::input_grad(plan, l, None, dy, dx, tokens);
        let dseen = plan.workspace("d dropped", tokens * d_in);
        let d = Matrix::rows(b.view, b.block_out).transposed().every(b.block_in * b.block_out);
        let c = Matrix::rows(dseen, d_in).every(b.block_in);
        let limits = Some([NO_LIMIT, d_in, d_out]);
        plan.push(MatMul { batch: self.n, limits, ..MatMul::new(tokens, b.block_in, b.block_out, g, d, c) }.op());
        dropout.undo(plan, dseen, dx.view, tokens * d_in);
    }
}
