//! Gradient of DoRA's lengths.

use super::{by_columns, op, shader};
use crate::device::{Access, Call, Kernel, Op, View};

/// `shaders/magnitude_grad.wgsl`.
pub static KERNEL: Kernel = Kernel {
    name: "magnitude_grad",
    source: shader!("magnitude_grad", "columns"),
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

/// `dm[o] += sum over t of dy[t, o] x[t, o] / norms[o]`, the lengths `norms` counted as constants (Liu et al. 2024, section 4.3).
pub fn magnitude_grad(dy: View, x: View, norms: View, dm: View, rows: usize, width: usize) -> Op {
    let params = Params { rows: rows as u32, width: width as u32 };
    op(&KERNEL, vec![dy, x, norms, dm], params, by_columns(width), 2 * rows * width)
}

fn run(call: &mut Call<'_>) {
    let p: Params = call.params();
    let (dy, x, norms) = (call.read(0), call.read(1), call.read(2));
    let dm = call.write(3);
    let width = p.width as usize;
    let mut sums = vec![0f32; width];
    for (dy, x) in dy[..p.rows as usize * width].chunks(width).zip(x.chunks(width)) {
        for o in 0..width {
            sums[o] += dy[o] * x[o];
        }
    }
    for o in 0..width {
        dm[o] += sums[o] / norms[o];
    }
}
