//! DoRA: y = m / |V| (V x) + b with V = W + s B A, |V| \[d_out\] the lengths of V's rows (Liu et al. 2024, "DoRA", arXiv 2402.09353,
//! eq. 5; its weight is the transpose, so there they are columns). The lengths count as constants in the backward pass (section 4.3),
//! as peft has it (`peft.tuners.lora.dora`).

use super::lora::Part;
use crate::device::{PlanBuilder, View};
use crate::kernels::magnitude_grad::magnitude_grad;
use crate::kernels::scale_columns::scale_columns;
use crate::kernels::weight_norm::{WeightNorm, weight_norm};
use crate::model::arena::Trained;
use crate::model::linear::{self, Saved};
use crate::model::weights::{Linear, Site};

/// The name of a layer's lengths m in files, as peft writes it.
pub fn tensor_name(site: Site) -> String {
    format!("base_model.model.{}.lora_magnitude_vector", site.path())
}

/// The lengths of a matrix's rows of `width` numbers: where m starts.
pub fn lengths(matrix: &[f32], width: usize) -> Vec<f32> {
    matrix.chunks(width.max(1)).map(|row| row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt() as f32).collect()
}

/// Keeps A x, V x [tokens, d_out] and |V| \[d_out\].
pub(super) fn forward(
    part: &Part,
    magnitude: &Trained,
    plan: &mut PlanBuilder,
    l: &Linear,
    x: View,
    y: View,
    residual: Option<View>,
    tokens: usize,
) -> Saved {
    let (d_in, d_out) = (l.weight.cols, l.weight.rows);
    let norms = plan.activation("lengths of V", d_out);
    for piece in &l.weight.pieces {
        let of = WeightNorm { rows: piece.rows, width: d_in, rank: part.rank, first_row: piece.first_row, scale: part.scale };
        plan.push(weight_norm(piece.value, l.weight.format, part.a.value, part.b.value, norms, of));
    }
    let product = plan.activation("V x", tokens * d_out);
    linear::forward(plan, &Linear { bias: None, ..l.clone() }, None, x, product, None, tokens);
    let u = part.add_product(plan, l, None, x, product, tokens);
    let bias = l.bias.as_ref().map(|b| b.value);
    plan.push(scale_columns(product, magnitude.value, norms, bias, residual, y, tokens, d_out));
    vec![u, product, norms]
}

/// dm += the columns' sums of dy (V x) / |V|; the gradient of V x, dy m / |V|.
pub(super) fn backward(magnitude: &Trained, plan: &mut PlanBuilder, saved: &[View], dy: View, tokens: usize, d_out: usize) -> View {
    let &[product, norms] = saved else { unreachable!("DoRA's forward pass keeps V x and the lengths") };
    plan.push(magnitude_grad(dy, product, norms, magnitude.grad, tokens, d_out));
    let dproduct = plan.workspace("d V x", tokens * d_out);
    plan.push(scale_columns(dy, magnitude.value, norms, None, None, dproduct, tokens, d_out));
    dproduct
}
