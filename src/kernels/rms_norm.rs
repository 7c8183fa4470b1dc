//! Root-mean-square normalisation.

use super::vector::{for_rows, sum};
use super::{grid, op, shader};
use crate::device::{Access, Call, Kernel, Op, View};

/// `shaders/rms_norm.wgsl`.
pub static KERNEL: Kernel =
    Kernel { name: "rms_norm", source: shader!("rms_norm", "sum64"), bindings: &[Access::Read, Access::Read, Access::Write], run };

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    rows: u32,
    width: u32,
    eps: f32,
}

/// y = x / sqrt(mean(x^2) + eps) * w, over `rows` rows of `width`; w: \[width\] (Zhang and Sennrich 2019, eq. 4).
pub fn rms_norm(x: View, w: View, y: View, rows: usize, width: usize, eps: f32) -> Op {
    op(&KERNEL, vec![x, w, y], Params { rows: rows as u32, width: width as u32, eps }, grid(rows), 4 * rows * width)
}

fn run(call: &mut Call<'_>) {
    let p: Params = call.params();
    let (x, w, y) = (call.read(0), call.read(1), call.write(2));
    let width = p.width as usize;
    for_rows(&mut y[..p.rows as usize * width], width, |row, y| {
        let x = &x[row * width..][..width];
        let scale = 1.0 / (sum(width, |i| x[i] * x[i]) / width as f32 + p.eps).sqrt();
        for ((y, x), w) in y.iter_mut().zip(x).zip(w) {
            *y = x * scale * w;
        }
    });
}
