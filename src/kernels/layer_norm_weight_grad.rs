//! Gradient of layer normalisation in its weight.

use super::{by_columns, op, shader};
use crate::device::{Access, Call, Kernel, Op, View};

/// `shaders/layer_norm_weight_grad.wgsl`.
pub static KERNEL: Kernel = Kernel {
    name: "layer_norm_weight_grad",
    source: shader!("layer_norm_weight_grad", "columns"),
    bindings: &[Access::Read, Access::Read, Access::Read, Access::Write],
    run,
    ..Kernel::PLAIN
};

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    rows: u32,
    width: u32,
}

/// `dw[i] += sum over rows of dy[row, i] (x[row, i] - mean[row]) r[row]`; mean and r [rows, 2] from [`super::layer_norm_grad`].
pub fn layer_norm_weight_grad(x: View, dy: View, row_stats: View, dw: View, rows: usize, width: usize) -> Op {
    let params = Params { rows: rows as u32, width: width as u32 };
    op(&KERNEL, vec![x, dy, row_stats, dw], params, by_columns(width), 4 * rows * width)
}

fn run(call: &mut Call<'_>) {
    let p: Params = call.params();
    let (x, dy, row_stats, dw) = (call.read(0), call.read(1), call.read(2), call.write(3));
    let width = p.width as usize;
    let mut sums = vec![0f32; width];
    for row in 0..p.rows as usize {
        let (x, dy) = (&x[row * width..][..width], &dy[row * width..][..width]);
        let (mean, r) = (row_stats[2 * row], row_stats[2 * row + 1]);
        for i in 0..width {
            sums[i] += dy[i] * (x[i] - mean) * r;
        }
    }
    for (dw, s) in dw.iter_mut().zip(&sums) {
        *dw += s;
    }
}
