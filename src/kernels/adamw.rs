//! AdamW over the arena.

use super::vector::{CHUNK, vectorised};
use super::{grid256, inputs, metrics, op, shader};
use crate::device::{Access, Call, Kernel, Op, View};
use rayon::prelude::*;

/// `shaders/adamw.wgsl`.
pub static KERNEL: Kernel = Kernel {
    name: "adamw",
    source: shader!("adamw", "index"),
    bindings: &[Access::Read, Access::Read, Access::Read, Access::Write, Access::Write, Access::Write],
    run,
    ..Kernel::PLAIN
};

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    count: u32,
    beta1: f32,
    beta2: f32,
    eps: f32,
    weight_decay: f32,
    rate: f32,
}

/// What AdamW is run with.
#[derive(Clone, Copy, Debug)]
pub struct AdamW {
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the denominator.
    pub eps: f32,
    /// Decoupled weight decay.
    pub weight_decay: f32,
    /// Factor of the step's learning rate: LoRA+ has another one for B (Hayou et al. 2024).
    pub rate: f32,
}

/// x -= lr wd x; m = b1 m + (1-b1) g; v = b2 v + (1-b2) g^2; x -= lr/c1 m / (sqrt(v)/sqrt(c2) + eps), g the clipped gradient
/// (Loshchilov and Hutter 2019, algorithm 2, as PyTorch computes it). Nothing changes where `metrics[CLIP]` is negative.
pub fn adamw(step: View, metrics: View, gradients: View, values: View, first: View, second: View, count: usize, by: AdamW) -> Op {
    let params =
        Params { count: count as u32, beta1: by.beta1, beta2: by.beta2, eps: by.eps, weight_decay: by.weight_decay, rate: by.rate };
    op(&KERNEL, vec![step, metrics, gradients, values, first, second], params, grid256(count.div_ceil(4)), 14 * count)
}

fn run(call: &mut Call<'_>) {
    let p: Params = call.params();
    let (step, scale, gradients) = (call.read(0), call.read(1)[metrics::CLIP], call.read(2));
    let (values, first, second) = (call.write(3), call.write(4), call.write(5));
    if scale < 0.0 {
        return;
    }
    let n = p.count as usize;
    let (lr, c1, c2) = (p.rate * step[inputs::LEARNING_RATE], step[inputs::CORRECTION1], step[inputs::CORRECTION2]);
    let chunks = values[..n].par_chunks_mut(CHUNK).zip(first[..n].par_chunks_mut(CHUNK)).zip(second[..n].par_chunks_mut(CHUNK));
    chunks.zip(gradients[..n].par_chunks(CHUNK)).for_each(|(((x, m), v), g)| {
        vectorised(|| {
            for i in 0..g.len() {
                let g = g[i] * scale;
                m[i] = p.beta1 * m[i] + (1.0 - p.beta1) * g;
                v[i] = p.beta2 * v[i] + (1.0 - p.beta2) * g * g;
                x[i] = x[i] * (1.0 - lr * p.weight_decay) - lr / c1 * m[i] / (v[i].sqrt() / c2 + p.eps);
            }
        });
    });
}
