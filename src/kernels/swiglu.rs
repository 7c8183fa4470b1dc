//! The gated activation of Llama's and Qwen's feed-forward layers.

use super::vector::{for_chunks, sigmoid};
use super::{grid256, op, shader};
use crate::device::{Access, Call, Kernel, Op, View};

/// `shaders/swiglu.wgsl`.
pub static KERNEL: Kernel = Kernel {
    name: "swiglu",
    source: shader!("swiglu", "index", "exponential"),
    bindings: &[Access::Read, Access::Read, Access::Write],
    run,
};

/// y = silu(gate) * up, `count` numbers (Shazeer 2020).
pub fn swiglu(gate: View, up: View, y: View, count: usize) -> Op {
    op(&KERNEL, vec![gate, up, y], count as u32, grid256(count), 8 * count)
}

fn run(call: &mut Call<'_>) {
    let count = call.params::<u32>() as usize;
    let (gate, up, y) = (call.read(0), call.read(1), call.write(2));
    for_chunks(&mut y[..count], |start, y| {
        let (gate, up) = (&gate[start..][..y.len()], &up[start..][..y.len()]);
        for i in 0..y.len() {
            y[i] = gate[i] * sigmoid(gate[i]) * up[i];
        }
    });
}
