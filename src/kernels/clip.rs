//! Global-norm clipping: the second half of the gradient's norm, and the factor that follows from it.

use super::{inputs, metrics, op, shader};
use crate::device::{Access, Call, Kernel, Op, View};

/// `shaders/clip.wgsl`.
pub static KERNEL: Kernel =
    Kernel { name: "clip", source: shader!("clip", "sum64"), bindings: &[Access::Read, Access::Read, Access::Write], run, ..Kernel::PLAIN };

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    partials: u32,
    max_norm: f32,
    loss_scale: f32,
}

/// `metrics[GRAD_NORM]` = norm = sqrt(sum of partials) u; `metrics[CLIP]` = min(1, max_norm / (norm + 1e-6)) u, u with `max_norm` 0, and
/// -1 where norm or loss is no number. u, what the gradients are too large by, is 1 without a `loss_scale`, and otherwise
/// 1 / (targets of the step) / `loss_scale`; see [`super::cross_entropy`].
pub fn clip(partials: View, count: usize, step: View, metrics: View, max_norm: f32, loss_scale: Option<f32>) -> Op {
    let params = Params { partials: count as u32, max_norm, loss_scale: loss_scale.unwrap_or(0.0) };
    op(&KERNEL, vec![partials, step, metrics], params, [1; 3], count)
}

fn run(call: &mut Call<'_>) {
    let p: Params = call.params();
    let total: f64 = call.read(0)[..p.partials as usize].iter().map(|x| f64::from(*x)).sum();
    let unscale = if p.loss_scale == 0.0 { 1.0 } else { call.read(1)[inputs::INVERSE_TARGETS] / p.loss_scale };
    let out = call.write(2);
    let norm = total.sqrt() as f32 * unscale;
    let scale = if p.max_norm > 0.0 { (p.max_norm / (norm + 1e-6)).min(1.0) } else { 1.0 };
    out[metrics::GRAD_NORM] = norm;
    out[metrics::CLIP] = if norm.is_finite() && out[metrics::LOSS].is_finite() { scale * unscale } else { -1.0 };
}
