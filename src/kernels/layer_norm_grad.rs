//! Gradient of layer normalisation in its input. Its bias's gradient is [`super::column_sum`].

use super::layer_norm::stats;
use super::vector::{CHUNK, Shared, sum, vectorised};
use super::{grid, op, shader};
use crate::device::{Access, Call, Kernel, Op, View};
use rayon::prelude::*;

/// `shaders/layer_norm_grad.wgsl`.
pub static KERNEL: Kernel = Kernel {
    name: "layer_norm_grad",
    source: shader!("layer_norm_grad", "sum64"),
    bindings: &[Access::Read, Access::Read, Access::Read, Access::Write, Access::Write],
    run,
    ..Kernel::PLAIN
};

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    rows: u32,
    width: u32,
    eps: f32,
    accumulate: u32,
}

/// dx (+)= r (g - mean(g) - c r^2 mean(g c)), c = x - mean(x), g = dy w, r = 1 / sqrt(mean(c^2) + eps); `row_stats` [rows, 2]
/// receives the mean and r.
pub fn layer_norm_grad(x: View, w: View, dy: View, dx: View, row_stats: View, rows: usize, width: usize, eps: f32, accumulate: bool) -> Op {
    let params = Params { rows: rows as u32, width: width as u32, eps, accumulate: accumulate.into() };
    op(&KERNEL, vec![x, w, dy, dx, row_stats], params, grid(rows), 14 * rows * width)
}

fn run(call: &mut Call<'_>) {
    let p: Params = call.params();
    let (x, w, dy) = (call.read(0), call.read(1), call.read(2));
    let (dx, row_stats) = (call.write(3), call.write(4));
    let (rows, width) = (p.rows as usize, p.width as usize);
    let w = &w[..width];
    let out = Shared(row_stats[..2 * rows].as_mut_ptr());
    let task = (CHUNK / width).max(1);
    dx[..rows * width].par_chunks_mut(task * width).enumerate().for_each(|(t, chunk)| {
        vectorised(|| {
            for (j, dx) in chunk.chunks_mut(width).enumerate() {
                let row = t * task + j;
                let (x, dy, dx) = (&x[row * width..][..width], &dy[row * width..][..width], &mut dx[..width]);
                let (mean, r) = stats(x, p.eps);
                let slope = sum(width, |i| dy[i] * w[i]) / width as f32;
                let along = sum(width, |i| dy[i] * w[i] * (x[i] - mean)) / width as f32 * r * r;
                for i in 0..width {
                    let old = if p.accumulate != 0 { dx[i] } else { 0.0 };
                    dx[i] = old + r * (dy[i] * w[i] - slope - (x[i] - mean) * along);
                }
                // SAFETY: each row belongs to one task.
                unsafe { out.slice(2 * row, 2) }.copy_from_slice(&[mean, r]);
            }
        });
    });
}
