//! The activation of feed-forward layers without a gate: GPT-2.

use super::vector::for_chunks;
use super::{Activation, grid256, op, shader};
use crate::device::{Access, Call, Kernel, Op, View};

/// `shaders/activate.wgsl`.
pub static KERNEL: Kernel = Kernel {
    name: "activate",
    source: shader!("activate", "index", "exponential", "activation"),
    bindings: &[Access::Read, Access::Write],
    run,
    ..Kernel::PLAIN
};

/// y = activation(x), `count` numbers.
pub fn activate(activation: Activation, x: View, y: View, count: usize) -> Op {
    let mut op = op(&KERNEL, vec![x, y], count as u32, grid256(count.div_ceil(4)), 7 * count);
    op.constants = vec![("ACTIVATION", activation.constant())];
    op
}

fn run(call: &mut Call<'_>) {
    let count = call.params::<u32>() as usize;
    let activation = Activation::from_constant(call.constant("ACTIVATION"));
    let (x, y) = (call.read(0), call.write(1));
    for_chunks(&mut y[..count], |start, y| {
        let x = &x[start..][..y.len()];
        for i in 0..y.len() {
            y[i] = x[i] * activation.passed(x[i]);
        }
    });
}
