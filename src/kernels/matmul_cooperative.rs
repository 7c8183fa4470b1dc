//! Matrix products by matrix units, of factors in f16 and sums in 32 bits.

use super::matmul::{self, HALVES, QUADS, SHARED, WEIGHT};
use crate::device::{Kernel, Needs};

/// `shaders/matmul_cooperative.wgsl`, tiles of 128 x 128 x 64.
pub static KERNEL: Kernel = Kernel {
    name: "matmul_cooperative",
    source: &[
        ENABLED,
        WEIGHT,
        HALVES,
        SHARED,
        "const SPAN: u32 = 8u;\n",
        QUADS,
        "const TILE: u32 = 128u;\nconst TILE_K: u32 = 64u;\nconst THREADS: u32 = 256u;\n",
        MATRICES,
        include_str!("../../shaders/matmul_cooperative.wgsl"),
    ],
    bindings: matmul::KERNEL.bindings,
    run: matmul::KERNEL.run,
    needs: Needs::Matrices,
    ..Kernel::PLAIN
};

pub(super) const ENABLED: &str = "enable f16;\nenable wgpu_cooperative_matrix;\n";
/// The tiles of those that go by matrix units.
pub(super) const MATRICES: &str = include_str!("../../shaders/shared/matmul_matrices.wgsl");
