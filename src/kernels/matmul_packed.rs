//! Matrix products by matrix units, of factors that [`super::pack`] left.

use super::matmul::{self, SHARED};
use super::matmul_cooperative::ENABLED;
use crate::device::{Kernel, Needs};

/// `shaders/matmul_packed.wgsl`, tiles of 128 x 128 x 32.
pub static KERNEL: Kernel = Kernel {
    name: "matmul_packed",
    source: &[ENABLED, SHARED, include_str!("../../shaders/matmul_packed.wgsl")],
    bindings: matmul::KERNEL.bindings,
    run: matmul::KERNEL.run,
    needs: Needs::Matrices,
    ..Kernel::PLAIN
};
