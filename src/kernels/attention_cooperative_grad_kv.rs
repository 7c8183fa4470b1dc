//! Gradient of attention in the keys and values, by matrix units: factors in f16, sums in 32 bits.

use super::attention_cooperative::MATRICES;
use super::attention_grad_kv;
use super::matmul::HALVES;
use super::matmul_cooperative::ENABLED;
use crate::device::{Kernel, Needs};

/// `shaders/attention_cooperative_grad_kv.wgsl`.
pub static KERNEL: Kernel = Kernel {
    name: "attention_cooperative_grad_kv",
    source: &[
        ENABLED,
        HALVES,
        include_str!("../../shaders/shared/attention.wgsl"),
        MATRICES,
        include_str!("../../shaders/attention_cooperative_grad_kv.wgsl"),
    ],
    bindings: attention_grad_kv::KERNEL.bindings,
    run: attention_grad_kv::KERNEL.run,
    needs: Needs::Matrices,
    inputs: attention_grad_kv::KERNEL.inputs,
    ..Kernel::PLAIN
};
