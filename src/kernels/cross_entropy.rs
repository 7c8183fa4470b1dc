//! Cross entropy of rows of logits, with its gradient in place.

use super::vector::{Shared, exp, sum, vectorised};
use super::{inputs, op, shader};
use crate::device::{Access, Call, Kernel, Op, View};
use rayon::prelude::*;

/// `shaders/cross_entropy.wgsl`.
pub static KERNEL: Kernel = Kernel {
    name: "cross_entropy",
    source: shader!("cross_entropy", "exponential"),
    bindings: &[Access::Read, Access::Read, Access::Write, Access::Write],
    run,
    ..Kernel::PLAIN
};

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    vocabulary: u32,
    first_row: u32,
    gradient: u32,
    rows: u32,
    loss_scale: f32,
}

/// Whose gradient the logits become.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Gradient {
    /// They stay what they are.
    None,
    /// That of the mean over the step's targets.
    OfMean,
    /// That of the sum over them, times this: large enough for f16. The update divides; see [`super::clip`].
    OfSum(f32),
}

/// `losses[first_row + i] = logsumexp(logits[i]) - logits[i, target]`; with `gradient`, logits become
/// (softmax(logits) - onehot(target)) times [`Gradient`]'s factor. logits: [rows, vocabulary]; targets and losses by `first_row + i`.
pub fn cross_entropy(
    targets: View,
    step: View,
    logits: View,
    losses: View,
    first_row: usize,
    rows: usize,
    vocabulary: usize,
    gradient: Gradient,
) -> Op {
    let (gradient, loss_scale) = match gradient {
        Gradient::None => (false, 0.0),
        Gradient::OfMean => (true, 0.0),
        Gradient::OfSum(scale) => (true, scale),
    };
    let params =
        Params { vocabulary: vocabulary as u32, first_row: first_row as u32, gradient: gradient.into(), rows: rows as u32, loss_scale };
    op(&KERNEL, vec![targets, step, logits, losses], params, [rows as u32, 1, 1], 10 * rows * vocabulary)
}

fn run(call: &mut Call<'_>) {
    let p: Params = call.params();
    let (targets, step) = (call.words(0), call.read(1));
    let (logits, losses) = (call.write(2), call.write(3));
    let (width, first) = (p.vocabulary as usize, p.first_row as usize);
    let scale = if p.loss_scale == 0.0 { step[inputs::INVERSE_TARGETS] } else { p.loss_scale };
    let losses = Shared(losses[first..first + p.rows as usize].as_mut_ptr());
    logits[..p.rows as usize * width].par_chunks_mut(width).enumerate().for_each(|(i, row)| {
        let target = targets.get(first + i).copied().filter(|t| *t < p.vocabulary);
        let loss = vectorised(|| row_loss(row, target, (p.gradient != 0).then_some(scale)));
        // SAFETY: one task a row.
        unsafe { losses.slice(i, 1)[0] = loss };
    });
}

#[inline(always)]
fn row_loss(row: &mut [f32], target: Option<u32>, gradient: Option<f32>) -> f32 {
    let Some(target) = target else {
        if gradient.is_some() {
            row.fill(0.0);
        }
        return 0.0;
    };
    let target = target as usize;
    let mut lanes = [f32::MIN; 8];
    for chunk in row.chunks(8) {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane = if *x > *lane { *x } else { *lane };
        }
    }
    let largest = lanes.into_iter().fold(f32::MIN, f32::max);
    let goal = row[target];
    match gradient {
        None => {
            let total = sum(row.len(), |i| exp(row[i] - largest));
            largest + total.ln() - goal
        }
        Some(scale) => {
            for x in row.iter_mut() {
                *x = exp(*x - largest);
            }
            let total = sum(row.len(), |i| row[i]);
            let share = scale / total;
            for x in row.iter_mut() {
                *x *= share;
            }
            row[target] -= scale;
            largest + total.ln() - goal
        }
    }
}
