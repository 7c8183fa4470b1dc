//! Layer normalisation.

use super::vector::{for_rows, sum};
use super::{grid, op, shader};
use crate::device::{Access, Call, Kernel, Op, View};

/// `shaders/layer_norm.wgsl`.
pub static KERNEL: Kernel = Kernel {
    name: "layer_norm",
    source: shader!("layer_norm", "sum64"),
    bindings: &[Access::Read, Access::Read, Access::Read, Access::Write],
    run,
    ..Kernel::PLAIN
};

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    rows: u32,
    width: u32,
    eps: f32,
}

/// y = (x - mean(x)) / sqrt(mean((x - mean(x))^2) + eps) * w + b, over `rows` rows of `width`; w and b: \[width\]
/// (Ba, Kiros and Hinton 2016, eq. 4).
pub fn layer_norm(x: View, w: View, b: View, y: View, rows: usize, width: usize, eps: f32) -> Op {
    let params = Params { rows: rows as u32, width: width as u32, eps };
    op(&KERNEL, vec![x, w, b, y], params, grid(rows), 7 * rows * width)
}

/// The mean of a row, and 1 / sqrt(variance + eps).
#[inline(always)]
pub(super) fn stats(x: &[f32], eps: f32) -> (f32, f32) {
    let width = x.len();
    let mean = sum(width, |i| x[i]) / width as f32;
    let variance = sum(width, |i| (x[i] - mean) * (x[i] - mean)) / width as f32;
    (mean, 1.0 / (variance + eps).sqrt())
}

fn run(call: &mut Call<'_>) {
    let p: Params = call.params();
    let (x, w, b, y) = (call.read(0), call.read(1), call.read(2), call.write(3));
    let width = p.width as usize;
    let (w, b) = (&w[..width], &b[..width]);
    for_rows(&mut y[..p.rows as usize * width], width, |row, y| {
        let x = &x[row * width..][..width];
        let (mean, scale) = stats(x, p.eps);
        for i in 0..width {
            y[i] = (x[i] - mean) * scale * w[i] + b[i];
        }
    });
}
