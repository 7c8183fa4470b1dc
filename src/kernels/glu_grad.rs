//! Gradient of the gated activation, in place.

use super::vector::{CHUNK, vectorised};
use super::{Activation, grid256, op, shader};
use crate::device::{Access, Call, Kernel, Op, View};
use rayon::prelude::*;

/// `shaders/glu_grad.wgsl`.
pub static KERNEL: Kernel = Kernel {
    name: "glu_grad",
    source: shader!("glu_grad", "index", "exponential", "activation"),
    bindings: &[Access::Read, Access::Write, Access::Write],
    run,
    ..Kernel::PLAIN
};

/// gate becomes dy * up * activation'(gate), up becomes dy * activation(gate).
pub fn glu_grad(activation: Activation, dy: View, gate: View, up: View, count: usize) -> Op {
    let mut op = op(&KERNEL, vec![dy, gate, up], count as u32, grid256(count.div_ceil(4)), 12 * count);
    op.constants = vec![("ACTIVATION", activation.constant())];
    op
}

fn run(call: &mut Call<'_>) {
    let count = call.params::<u32>() as usize;
    let activation = Activation::from_constant(call.constant("ACTIVATION"));
    let dy = call.read(0);
    let (gate, up) = (call.write(1), call.write(2));
    let chunks = gate[..count].par_chunks_mut(CHUNK).zip(up[..count].par_chunks_mut(CHUNK)).zip(dy[..count].par_chunks(CHUNK));
    chunks.for_each(|((gate, up), dy)| {
        vectorised(|| {
            for i in 0..dy.len() {
                let (g, s) = (gate[i], activation.passed(gate[i]));
                gate[i] = dy[i] * up[i] * s * activation.slope(g, s);
                up[i] = dy[i] * g * s;
            }
        });
    });
}
