//! LoRA: y = W x + s B A x (Hu et al. 2021), s = alpha / r, or alpha / sqrt(r) for rsLoRA.

use super::spec::{Kind, Spec};
use super::{Dropout, dora};
use crate::device::{Layout, PlanBuilder, Session, View};
use crate::error::{Error, Result};
use crate::kernels::matmul::{MatMul, Matrix};
use crate::model::Arena;
use crate::model::arena::Trained;
use crate::model::linear::{self, Into, Saved};
use crate::model::weights::{Linear, Site};
use crate::random::Random;

/// A [r, d_in] and B [d_out, r] of one layer.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) a: Trained,
    pub(super) b: Trained,
    /// DoRA's lengths \[d_out\].
    pub(super) magnitude: Option<Trained>,
    pub(super) rank: usize,
    pub(super) scale: f32,
}

/// The names of a layer's A and B in files, as peft writes them.
pub fn tensor_names(site: Site) -> [String; 2] {
    ["A", "B"].map(|which| format!("base_model.model.{}.lora_{which}.weight", site.path()))
}

impl Part {
    pub fn declare(spec: &Spec, site: Site, d_out: usize, d_in: usize, layout: &mut Layout, arena: &mut Arena) -> Result<Self> {
        let Kind::Lora { rank, dora, b_rate, .. } = spec.kind else { unreachable!("called for LoRA only") };
        let [a_name, b_name] = tensor_names(site);
        let mut one = |name: &str, shape: &[usize], rate: f32| -> Result<Trained> {
            match arena.add_at(layout, name, shape, rate).as_slice() {
                [piece] => Ok(piece.clone()),
                _ => Err(Error::usage(
                    format!("{}: LoRA of rank {rank} is larger than the device can bind", site.path()),
                    "use a smaller --rank",
                )),
            }
        };
        let (a, b) = (one(&a_name, &[rank, d_in], 1.0)?, one(&b_name, &[d_out, rank], b_rate)?);
        // peft's LoRA+ counts the lengths to B's group (`peft.optimizers.loraplus`: every vector).
        let magnitude = if dora { Some(one(&dora::tensor_name(site), &[d_out], b_rate)?) } else { None };
        Ok(Self { a, b, magnitude, rank, scale: spec.lora_scale() })
    }

    pub fn initialise(&self, session: &mut Session, seed: u64, site: Site) -> Result<()> {
        let bound = 1.0 / (self.a.shape[1] as f32).sqrt();
        let mut random = Random::new(seed).stream(&site.path());
        let values: Vec<f32> = (0..self.a.len).map(|_| (2.0 * random.uniform() as f32 - 1.0) * bound).collect();
        session.write_f32(self.a.value, &values)
    }

    /// Writes both factors.
    pub fn write(&self, session: &mut Session, a: &[f32], b: &[f32]) -> Result<()> {
        session.write_f32(self.a.value, a)?;
        session.write_f32(self.b.value, b)
    }

    /// Keeps u = A x for the backward pass.
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
        if let Some(magnitude) = &self.magnitude {
            return dora::forward(self, magnitude, plan, l, x, y, residual, tokens);
        }
        linear::forward(plan, l, None, x, y, residual, tokens);
        vec![self.add_product(plan, l, dropout, x, y, tokens)]
    }

    /// y += s B A x; A x, for the backward pass.
    pub fn add_product(&self, plan: &mut PlanBuilder, l: &Linear, dropout: Option<Dropout>, x: View, y: View, tokens: usize) -> View {
        let (d_in, d_out, r) = (l.weight.cols, l.weight.rows, self.rank);
        let seen = dropout.map_or(x, |d| d.apply(plan, x, tokens * d_in));
        let u = plan.activation("A x", tokens * r);
        let a = Matrix::rows(self.a.value, d_in).transposed();
        plan.push(MatMul::new(tokens, r, d_in, Matrix::rows(seen, d_in), a, Matrix::rows(u, r)).op());
        let b = Matrix::rows(self.b.value, r).transposed();
        let product = MatMul::new(tokens, d_out, r, Matrix::rows(u, r), b, Matrix::rows(y, d_out));
        plan.push(MatMul { alpha: self.scale, accumulate: true, ..product }.op());
        u
    }

    pub fn backward(
        &self,
        plan: &mut PlanBuilder,
        l: &Linear,
        dropout: Option<Dropout>,
        saved: &[View],
        x: View,
        dy: View,
        dx: Option<Into>,
        tokens: usize,
    ) {
        let (d_in, d_out, r) = (l.weight.cols, l.weight.rows, self.rank);
        let &[u, ref more @ ..] = saved else { unreachable!("LoRA's forward pass keeps A x") };
        let dy = match &self.magnitude {
            Some(magnitude) => dora::backward(magnitude, plan, more, dy, tokens, d_out),
            None => dy,
        };
        // dB [d_out, r] += s dy^T u
        let (g, c) = (Matrix::rows(dy, d_out), Matrix::rows(self.b.grad, r));
        let product = MatMul::new(d_out, r, tokens, g.transposed(), Matrix::rows(u, r), c);
        plan.push(MatMul { alpha: self.scale, accumulate: true, ..product }.op());
        // du = s dy B
        let du = plan.workspace("d A x", tokens * r);
        let product = MatMul::new(tokens, r, d_out, g, Matrix::rows(self.b.value, r), Matrix::rows(du, r));
        plan.push(MatMul { alpha: self.scale, ..product }.op());
        // dA [r, d_in] += du^T x
        let seen = dropout.map_or(x, |d| d.apply(plan, x, tokens * d_in));
        let c = Matrix::rows(self.a.grad, d_in);
        let product = MatMul::new(r, d_in, tokens, Matrix::rows(du, r).transposed(), Matrix::rows(seen, d_in), c);
        plan.push(MatMul { accumulate: true, ..product }.op());
        // dx += du A
        let Some(dx) = dx else { return };
        linear::input_grad(plan, l, None, dy, dx, tokens);
        let (a, du) = (Matrix::rows(self.a.value, d_in), Matrix::rows(du, r));
        match dropout {
            None => plan.push(MatMul { accumulate: true, ..MatMul::new(tokens, d_in, r, du, a, Matrix::rows(dx.view, d_in)) }.op()),
            Some(dropout) => {
                let dseen = plan.workspace("d dropped", tokens * d_in);
                plan.push(MatMul::new(tokens, d_in, r, du, a, Matrix::rows(dseen, d_in)).op());
                dropout.undo(plan, dseen, dx.view, tokens * d_in);
            }
        }
    }
}
