//! Gradient of attention in the queries, by matrix units: factors in f16, sums in 32 bits.

use super::attention_cooperative::MATRICES;
use super::attention_grad_q;
use super::matmul::HALVES;
use super::matmul_cooperative::ENABLED;
use crate::device::{Kernel, Needs};

/// `shaders/attention_cooperative_grad_q.wgsl`.
pub static KERNEL: Kernel = Kernel {
    name: "attention_cooperative_grad_q",
    source: &[
        ENABLED,
        HALVES,
        include_str!("../../shaders/shared/attention.wgsl"),
        MATRICES,
        include_str!("../../shaders/attention_cooperative_grad_q.wgsl"),
    ],
    bindings: attention_grad_q::KERNEL.bindings,
    run: attention_grad_q::KERNEL.run,
    needs: Needs::Matrices,
    inputs: attention_grad_q::KERNEL.inputs,
    ..Kernel::PLAIN
};
