//! Attention for a few tokens, of which tiles would be all but empty: a workgroup for each token and head.

use super::{attention, shader};
use crate::device::Kernel;

/// `shaders/attention_step.wgsl`.
pub static KERNEL: Kernel = Kernel {
    name: "attention_step",
    source: shader!("attention_step", "exponential", "logarithm", "attention"),
    bindings: attention::KERNEL.bindings,
    run: attention::KERNEL.run,
    ..Kernel::PLAIN
};
