//! Gradient of the gated activation, in place.

use super::vector::{CHUNK, sigmoid, vectorised};
use super::{grid256, op, shader};
use crate::device::{Access, Call, Kernel, Op, View};
use rayon::prelude::*;

/// `shaders/swiglu_grad.wgsl`.
pub static KERNEL: Kernel = Kernel {
    name: "swiglu_grad",
    source: shader!("swiglu_grad", "index", "exponential"),
    bindings: &[Access::Read, Access::Write, Access::Write],
    run,
};

/// gate becomes dy * up * silu'(gate), up becomes dy * silu(gate); silu' = s (1 + gate (1 - s)), s = sigmoid(gate).
pub fn swiglu_grad(dy: View, gate: View, up: View, count: usize) -> Op {
    op(&KERNEL, vec![dy, gate, up], count as u32, grid256(count), 12 * count)
}

fn run(call: &mut Call<'_>) {
    let count = call.params::<u32>() as usize;
    let dy = call.read(0);
    let (gate, up) = (call.write(1), call.write(2));
    let chunks = gate[..count].par_chunks_mut(CHUNK).zip(up[..count].par_chunks_mut(CHUNK)).zip(dy[..count].par_chunks(CHUNK));
    chunks.for_each(|((gate, up), dy)| {
        vectorised(|| {
            for i in 0..dy.len() {
                let (g, s) = (gate[i], sigmoid(gate[i]));
                gate[i] = dy[i] * up[i] * s * (1.0 + g * (1.0 - s));
                up[i] = dy[i] * g * s;
            }
        });
    });
}
