//! Matrix products for processors behind a Vulkan driver: subgroups of eight threads, no workgroup memory.

use super::{matmul, shader};
use crate::device::{Kernel, Needs};

/// `shaders/matmul_subgroup.wgsl`.
pub static KERNEL: Kernel = Kernel {
    name: "matmul_subgroup",
    source: shader!("matmul_subgroup", "weight", "half", "matmul", "matmul_words"),
    bindings: matmul::KERNEL.bindings,
    run: matmul::KERNEL.run,
    needs: Needs::Subgroups(8),
    ..Kernel::PLAIN
};
