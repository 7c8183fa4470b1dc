//! Gradient of the activation without a gate, in place.

use super::vector::for_chunks;
use super::{Activation, grid256, op, shader};
use crate::device::{Access, Call, Kernel, Op, View};

/// `shaders/activate_grad.wgsl`.
pub static KERNEL: Kernel = Kernel {
    name: "activate_grad",
    source: shader!("activate_grad", "index", "exponential", "activation"),
    bindings: &[Access::Read, Access::Write],
    run,
    ..Kernel::PLAIN
};

/// x becomes dy * activation'(x).
pub fn activate_grad(activation: Activation, dy: View, x: View, count: usize) -> Op {
    let mut op = op(&KERNEL, vec![dy, x], count as u32, grid256(count.div_ceil(4)), 10 * count);
    op.constants = vec![("ACTIVATION", activation.constant())];
    op
}

fn run(call: &mut Call<'_>) {
    let count = call.params::<u32>() as usize;
    let activation = Activation::from_constant(call.constant("ACTIVATION"));
    let (dy, x) = (call.read(0), call.write(1));
    for_chunks(&mut x[..count], |start, x| {
        let dy = &dy[start..][..x.len()];
        for i in 0..x.len() {
            let s = activation.passed(x[i]);
            x[i] = dy[i] * s * activation.slope(x[i], s);
        }
    });
}
