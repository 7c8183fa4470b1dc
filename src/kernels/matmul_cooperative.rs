//! Matrix products by matrix units, of factors in f16 and sums in 32 bits.

use super::matmul::{self, HALVES, SHARED, WEIGHT};
use crate::device::{Kernel, Needs};

/// `shaders/matmul_cooperative.wgsl`, tiles of 128 x 128 x 32.
pub static KERNEL: Kernel = Kernel {
    name: "matmul_cooperative",
    source: &[
        "enable f16;\nenable wgpu_cooperative_matrix;\n",
        WEIGHT,
        HALVES,
        SHARED,
        include_str!("../../shaders/matmul_cooperative.wgsl"),
    ],
    bindings: matmul::KERNEL.bindings,
    run: matmul::KERNEL.run,
    needs: Needs::Matrices,
    ..Kernel::PLAIN
};
