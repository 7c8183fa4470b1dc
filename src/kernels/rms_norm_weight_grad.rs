//! Gradient of root-mean-square normalisation in its weight.

use super::{by_columns, op, shader};
use crate::device::{Access, Call, Kernel, Op, View};

/// `shaders/rms_norm_weight_grad.wgsl`.
pub static KERNEL: Kernel = Kernel {
    name: "rms_norm_weight_grad",
    source: shader!("rms_norm_weight_grad", "columns"),
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

/// `dw[i] += sum over rows of dy[row, i] x[row, i] r[row]`; r from [`super::rms_norm_grad`].
pub fn rms_norm_weight_grad(x: View, dy: View, inverse_rms: View, dw: View, rows: usize, width: usize) -> Op {
    let params = Params { rows: rows as u32, width: width as u32 };
    op(&KERNEL, vec![x, dy, inverse_rms, dw], params, by_columns(width), 3 * rows * width)
}

fn run(call: &mut Call<'_>) {
    let p: Params = call.params();
    let (x, dy, r, dw) = (call.read(0), call.read(1), call.read(2), call.write(3));
    let width = p.width as usize;
    let mut sums = vec![0f32; width];
    for row in 0..p.rows as usize {
        let (x, dy) = (&x[row * width..][..width], &dy[row * width..][..width]);
        for i in 0..width {
            sums[i] += dy[i] * x[i] * r[row];
        }
    }
    for (dw, s) in dw.iter_mut().zip(&sums) {
        *dw += s;
    }
}
