//! Root-mean-square normalisation.

use super::vector::{for_rows, sum};
use super::{grid, op, shader};
use crate::device::{Access, Call, Kernel, Op, View};

/// `shaders/rms_norm.wgsl`.
pub static KERNEL: Kernel = Kernel {
    name: "rms_norm",
    source: shader!("rms_norm", "sum64"),
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
    offset: f32,
    add_residual: u32,
}

/// y = (residual +) x / sqrt(mean(x^2) + eps) * (offset + w), over `rows` rows of `width`; w: \[width\], residual as x
/// (Zhang and Sennrich 2019, eq. 4; Gemma's offset is 1, the others' 0).
pub fn rms_norm(x: View, w: View, residual: Option<View>, y: View, rows: usize, width: usize, eps: f32, offset: f32) -> Op {
    let params = Params { rows: rows as u32, width: width as u32, eps, offset, add_residual: residual.is_some().into() };
    // A binding that is not used still has to be bound; x is there to read.
    op(&KERNEL, vec![x, w, residual.unwrap_or(x), y], params, grid(rows), 4 * rows * width)
}

fn run(call: &mut Call<'_>) {
    let p: Params = call.params();
    let (x, w, residual, y) = (call.read(0), call.read(1), call.read(2), call.write(3));
    let width = p.width as usize;
    for_rows(&mut y[..p.rows as usize * width], width, |row, y| {
        let x = &x[row * width..][..width];
        let scale = 1.0 / (sum(width, |i| x[i] * x[i]) / width as f32 + p.eps).sqrt();
        for ((y, x), w) in y.iter_mut().zip(x).zip(w) {
            *y = x * scale * (p.offset + w);
        }
        if p.add_residual != 0 {
            for (y, r) in y.iter_mut().zip(&residual[row * width..]) {
                *y += r;
            }
        }
    });
}
