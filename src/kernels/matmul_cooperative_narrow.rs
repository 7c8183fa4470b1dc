//! Matrix products by matrix units for few rows and columns and many numbers of k, such as the gradients of blocks.

use super::matmul::{self, HALVES, QUADS, SHARED, WEIGHT};
use super::matmul_cooperative::{ENABLED, MATRICES};
use crate::device::{Kernel, Needs};

/// `shaders/matmul_cooperative_narrow.wgsl`, tiles of 64 x 64 x 64.
pub static KERNEL: Kernel = Kernel {
    name: "matmul_cooperative_narrow",
    source: &[
        ENABLED,
        WEIGHT,
        HALVES,
        SHARED,
        "const SPAN: u32 = 8u;\n",
        QUADS,
        "const TILE: u32 = 64u;\nconst TILE_K: u32 = 64u;\nconst THREADS: u32 = 512u;\n",
        MATRICES,
        include_str!("../../shaders/matmul_cooperative_narrow.wgsl"),
    ],
    bindings: matmul::KERNEL.bindings,
    run: matmul::KERNEL.run,
    needs: Needs::Matrices,
    ..Kernel::PLAIN
};
