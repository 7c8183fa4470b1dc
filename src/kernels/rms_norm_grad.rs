//! Gradient of root-mean-square normalisation in its input.

use super::vector::{CHUNK, Shared, sum, vectorised};
use super::{grid, op, shader};
use crate::device::{Access, Call, Kernel, Op, View};
use rayon::prelude::*;

/// `shaders/rms_norm_grad.wgsl`.
pub static KERNEL: Kernel = Kernel {
    name: "rms_norm_grad",
    source: shader!("rms_norm_grad", "sum64"),
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
    offset: f32,
    accumulate: u32,
}

/// dx (+)= r (g - x r^2 mean(g x)), g = dy (offset + w), r = 1 / sqrt(mean(x^2) + eps); `inverse_rms` \[rows\] receives r.
pub fn rms_norm_grad(
    x: View,
    w: View,
    dy: View,
    dx: View,
    inverse_rms: View,
    rows: usize,
    width: usize,
    eps: f32,
    offset: f32,
    accumulate: bool,
) -> Op {
    let params = Params { rows: rows as u32, width: width as u32, eps, offset, accumulate: accumulate.into() };
    op(&KERNEL, vec![x, w, dy, dx, inverse_rms], params, grid(rows), 9 * rows * width)
}

fn run(call: &mut Call<'_>) {
    let p: Params = call.params();
    let (x, w, dy) = (call.read(0), call.read(1), call.read(2));
    let (dx, inverse_rms) = (call.write(3), call.write(4));
    let (rows, width) = (p.rows as usize, p.width as usize);
    let w = &w[..width];
    let r_out = Shared(inverse_rms[..rows].as_mut_ptr());
    let task = (CHUNK / width).max(1);
    dx[..rows * width].par_chunks_mut(task * width).enumerate().for_each(|(t, chunk)| {
        vectorised(|| {
            for (j, dx) in chunk.chunks_mut(width).enumerate() {
                let row = t * task + j;
                let (x, dy, dx) = (&x[row * width..][..width], &dy[row * width..][..width], &mut dx[..width]);
                let r = 1.0 / (sum(width, |i| x[i] * x[i]) / width as f32 + p.eps).sqrt();
                let along = sum(width, |i| x[i] * dy[i] * (p.offset + w[i])) / width as f32 * r * r;
                for i in 0..width {
                    let old = if p.accumulate != 0 { dx[i] } else { 0.0 };
                    dx[i] = old + r * (dy[i] * (p.offset + w[i]) - x[i] * along);
                }
                // SAFETY: each row belongs to one task.
                unsafe { r_out.slice(row, 1)[0] = r };
            }
        });
    });
}
