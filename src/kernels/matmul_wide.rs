//! Matrix products by tiles of 128 x 128, whose factors are read four words at a time: for large matrices.

use super::matmul::{self, HALVES, QUADS, SHARED, WEIGHT};
use crate::device::Kernel;

/// `shaders/matmul_wide.wgsl`, tiles of 128 x 128 x 16.
pub static KERNEL: Kernel = Kernel {
    name: "matmul_wide",
    source: &[WEIGHT, HALVES, SHARED, "const SPAN: u32 = 4u;\n", QUADS, include_str!("../../shaders/matmul_wide.wgsl")],
    bindings: matmul::KERNEL.bindings,
    run: matmul::KERNEL.run,
    ..Kernel::PLAIN
};
