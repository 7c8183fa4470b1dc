//! The gated activation of feed-forward layers: SwiGLU of Llama and Qwen, GEGLU of Gemma.

use super::vector::for_chunks;
use super::{Activation, grid256, op, shader};
use crate::device::{Access, Call, Kernel, Op, View};

/// `shaders/glu.wgsl`.
pub static KERNEL: Kernel = Kernel {
    name: "glu",
    source: shader!("glu", "index", "exponential", "activation"),
    bindings: &[Access::Read, Access::Read, Access::Write],
    run,
    ..Kernel::PLAIN
};

/// y = activation(gate) * up, `count` numbers (Shazeer 2020).
pub fn glu(activation: Activation, gate: View, up: View, y: View, count: usize) -> Op {
    let mut op = op(&KERNEL, vec![gate, up, y], count as u32, grid256(count.div_ceil(4)), 8 * count);
    op.constants = vec![("ACTIVATION", activation.constant())];
    op
}

fn run(call: &mut Call<'_>) {
    let count = call.params::<u32>() as usize;
    let activation = Activation::from_constant(call.constant("ACTIVATION"));
    let (gate, up, y) = (call.read(0), call.read(1), call.write(2));
    for_chunks(&mut y[..count], |start, y| {
        let (gate, up) = (&gate[start..][..y.len()], &up[start..][..y.len()]);
        for i in 0..y.len() {
            y[i] = gate[i] * activation.passed(gate[i]) * up[i];
        }
    });
}
