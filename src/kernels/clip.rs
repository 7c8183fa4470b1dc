//! Global-norm clipping: the second half of the gradient's norm, and the factor that follows from it.

use super::{metrics, op, shader};
use crate::device::{Access, Call, Kernel, Op, View};

/// `shaders/clip.wgsl`.
pub static KERNEL: Kernel =
    Kernel { name: "clip", source: shader!("clip", "sum64"), bindings: &[Access::Read, Access::Write], run, ..Kernel::PLAIN };

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    partials: u32,
    max_norm: f32,
}

/// `metrics[GRAD_NORM]` = sqrt(sum of partials); `metrics[CLIP]` = min(1, max_norm / (norm + 1e-6)), 1 with `max_norm` 0, and -1
/// where norm or loss is no number.
pub fn clip(partials: View, count: usize, metrics: View, max_norm: f32) -> Op {
    op(&KERNEL, vec![partials, metrics], Params { partials: count as u32, max_norm }, [1; 3], count)
}

fn run(call: &mut Call<'_>) {
    let p: Params = call.params();
    let total: f64 = call.read(0)[..p.partials as usize].iter().map(|x| f64::from(*x)).sum();
    let out = call.write(1);
    let norm = total.sqrt() as f32;
    let scale = if p.max_norm > 0.0 { (p.max_norm / (norm + 1e-6)).min(1.0) } else { 1.0 };
    out[metrics::GRAD_NORM] = norm;
    out[metrics::CLIP] = if norm.is_finite() && out[metrics::LOSS].is_finite() { scale } else { -1.0 };
}
