//! Matrix products by small tiles: for matrices of few columns or rows, such as the gradients of blocks and of LoRA's factors.

use super::matmul::{self, HALVES, SHARED, TILES, WEIGHT, WORDS};
use crate::device::Kernel;

/// `shaders/matmul_narrow.wgsl`, tiles of 32 x 32 x 32.
pub static KERNEL: Kernel = Kernel {
    name: "matmul_narrow",
    source: &[
        WEIGHT,
        HALVES,
        SHARED,
        WORDS,
        "const SIDE: u32 = 8u;\nconst QUADS: u32 = 8u;\nconst TILE_K: u32 = 32u;\n",
        TILES,
        include_str!("../../shaders/matmul_narrow.wgsl"),
    ],
    bindings: matmul::KERNEL.bindings,
    run: matmul::KERNEL.run,
    ..Kernel::PLAIN
};
