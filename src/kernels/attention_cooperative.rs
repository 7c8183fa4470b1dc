//! Causal attention, forward, by matrix units: factors in f16, sums in 32 bits.

use super::attention;
use super::matmul::HALVES;
use super::matmul_cooperative::ENABLED;
use crate::device::{Kernel, Needs};

/// `shaders/attention_cooperative.wgsl`.
pub static KERNEL: Kernel = Kernel {
    name: "attention_cooperative",
    source: &[
        ENABLED,
        HALVES,
        include_str!("../../shaders/shared/attention.wgsl"),
        MATRICES,
        include_str!("../../shaders/attention_cooperative.wgsl"),
    ],
    bindings: attention::KERNEL.bindings,
    run: attention::KERNEL.run,
    needs: Needs::Matrices,
    inputs: attention::KERNEL.inputs,
    ..Kernel::PLAIN
};

pub(super) const MATRICES: &str = include_str!("../../shaders/shared/attention_matrices.wgsl");
