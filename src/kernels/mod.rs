//! Every operation of a plan: one file beside each shader, with its parameters, its dispatch size and its CPU twin.
//!
//! A twin sees the shader's bindings and parameters and reads as the kernel's definition, as plain as speed allows.

pub mod activate;
pub mod activate_grad;
pub mod activation;
pub mod adamw;
pub mod attention;
mod attention_cases;
mod attention_choice;
pub mod attention_cooperative;
pub mod attention_cooperative_grad_kv;
pub mod attention_cooperative_grad_q;
pub mod attention_delta;
pub mod attention_grad_kv;
pub mod attention_grad_q;
pub mod attention_step;
pub mod cases;
pub mod clip;
pub mod column_sum;
pub mod columns;
pub mod cross_entropy;
mod dora_cases;
pub mod dropout;
pub mod embedding;
pub mod embedding_grad;
pub mod fill;
pub mod format;
pub mod gather_rows;
pub mod glu;
pub mod glu_grad;
pub mod layer_norm;
pub mod layer_norm_grad;
pub mod layer_norm_weight_grad;
pub mod loss_sum;
pub mod magnitude_grad;
pub mod matmul;
mod matmul_cases;
pub mod matmul_cooperative;
pub mod matmul_cooperative_narrow;
pub mod matmul_narrow;
pub mod matmul_packed;
pub mod matmul_subgroup;
pub mod matmul_vector;
pub mod matmul_wide;
pub mod narrow;
mod norm_cases;
pub mod pack;
mod product;
pub mod rms_norm;
pub mod rms_norm_grad;
pub mod rms_norm_weight_grad;
pub mod rope;
pub mod scale_columns;
pub mod scatter_rows;
pub mod sum_squares;
mod vector;
pub mod weight_norm;
pub mod widen;
mod width_cases;

pub use activation::Activation;
pub use format::{Format, NF4};

use crate::device::{Kernel, Op, View};

/// A token id, row index or target that stands for none.
pub const NONE: u32 = u32::MAX;

/// Words of a step's inputs, uploaded before each micro-batch; see [`inputs`].
pub const INPUT_WORDS: usize = 8;

/// Where each of a step's inputs stands.
pub mod inputs {
    /// Rows that have a target.
    pub const ACTIVE_ROWS: usize = 0;
    /// 1 / (targets of the whole optimiser step).
    pub const INVERSE_TARGETS: usize = 1;
    /// Learning rate.
    pub const LEARNING_RATE: usize = 2;
    /// 1 - beta1^t.
    pub const CORRECTION1: usize = 3;
    /// sqrt(1 - beta2^t).
    pub const CORRECTION2: usize = 4;
    /// Seed of the micro-batch's dropout.
    pub const SEED: usize = 5;
}

/// Words of the metrics buffer; see [`metrics`].
pub const METRIC_WORDS: usize = 4;

/// Where each metric stands.
pub mod metrics {
    /// Sum of losses times [`super::inputs::INVERSE_TARGETS`], over the micro-batches so far.
    pub const LOSS: usize = 0;
    /// Gradient norm before clipping.
    pub const GRAD_NORM: usize = 1;
    /// What gradients were multiplied with; -1: the step was not a number and nothing was updated.
    pub const CLIP: usize = 2;
}

/// Every kernel, for tests that look at all shaders.
pub static ALL: &[&Kernel] = &[
    &activate::KERNEL,
    &activate_grad::KERNEL,
    &adamw::KERNEL,
    &attention::KERNEL,
    &attention_cooperative::KERNEL,
    &attention_cooperative_grad_kv::KERNEL,
    &attention_cooperative_grad_q::KERNEL,
    &attention_delta::KERNEL,
    &attention_grad_kv::KERNEL,
    &attention_grad_q::KERNEL,
    &attention_step::KERNEL,
    &clip::KERNEL,
    &column_sum::KERNEL,
    &columns::KERNEL,
    &cross_entropy::KERNEL,
    &dropout::KERNEL,
    &embedding::KERNEL,
    &embedding_grad::KERNEL,
    &fill::KERNEL,
    &gather_rows::KERNEL,
    &glu::KERNEL,
    &glu_grad::KERNEL,
    &layer_norm::KERNEL,
    &layer_norm_grad::KERNEL,
    &layer_norm_weight_grad::KERNEL,
    &loss_sum::KERNEL,
    &magnitude_grad::KERNEL,
    &matmul::KERNEL,
    &matmul_wide::KERNEL,
    &matmul_narrow::KERNEL,
    &matmul_cooperative::KERNEL,
    &matmul_cooperative_narrow::KERNEL,
    &matmul_packed::KERNEL,
    &matmul_subgroup::KERNEL,
    &matmul_vector::KERNEL,
    &narrow::KERNEL,
    &pack::KERNEL,
    &rms_norm::KERNEL,
    &rms_norm_grad::KERNEL,
    &rms_norm_weight_grad::KERNEL,
    &rope::KERNEL,
    &scale_columns::KERNEL,
    &scatter_rows::KERNEL,
    &sum_squares::KERNEL,
    &weight_norm::KERNEL,
    &widen::KERNEL,
];

/// Workgroups along one dimension; WebGPU allows no more.
const MAX_WORKGROUPS: usize = 65_535;

/// The workgroups of `shaders/shared/columns.wgsl`: eight columns each.
fn by_columns(width: usize) -> [u32; 3] {
    [width.div_ceil(8) as u32, 1, 1]
}

/// A grid of `groups` workgroups, folded into two dimensions where one is too short.
fn grid(groups: usize) -> [u32; 3] {
    let groups = groups.max(1);
    let x = groups.min(MAX_WORKGROUPS);
    [x as u32, groups.div_ceil(x) as u32, 1]
}

/// Workgroups of 256 over `count` elements.
fn grid256(count: usize) -> [u32; 3] {
    grid(count.div_ceil(256))
}

fn op<P: bytemuck::NoUninit>(kernel: &'static Kernel, views: Vec<View>, params: P, grid: [u32; 3], flops: usize) -> Op {
    Op {
        kernel,
        views,
        params: bytemuck::bytes_of(&params).chunks_exact(4).map(|b| u32::from_ne_bytes([b[0], b[1], b[2], b[3]])).collect(),
        constants: Vec::new(),
        grid,
        needs_rows_above: None,
        flops: flops as u64,
    }
}

macro_rules! shader {
    ($name:literal $(, $shared:literal)*) => {
        &[$(include_str!(concat!("../../shaders/shared/", $shared, ".wgsl")),)* include_str!(concat!("../../shaders/", $name, ".wgsl"))]
    };
}
use shader;
