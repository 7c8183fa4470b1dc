//! The micro-batch's share of the step's loss.

use super::{inputs, metrics, op, shader};
use crate::device::{Access, Call, Kernel, Op, View};

/// `shaders/loss_sum.wgsl`.
pub static KERNEL: Kernel = Kernel {
    name: "loss_sum",
    source: shader!("loss_sum", "sum64"),
    bindings: &[Access::Read, Access::Read, Access::Write],
    run,
    ..Kernel::PLAIN
};

/// `metrics[LOSS]` += sum of the active rows' losses / targets of the step.
pub fn loss_sum(step: View, losses: View, metrics: View, capacity: usize) -> Op {
    op(&KERNEL, vec![step, losses, metrics], capacity as u32, [1; 3], capacity)
}

fn run(call: &mut Call<'_>) {
    let capacity: u32 = call.params();
    let rows = call.words(0)[inputs::ACTIVE_ROWS].min(capacity) as usize;
    let scale = call.read(0)[inputs::INVERSE_TARGETS];
    let total: f64 = call.read(1)[..rows].iter().map(|x| f64::from(*x)).sum();
    call.write(2)[metrics::LOSS] += total as f32 * scale;
}
