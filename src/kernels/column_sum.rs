//! Sums of columns: a bias's gradient.

use super::{by_columns, op, shader};
use crate::device::{Access, Call, Kernel, Op, View};

/// `shaders/column_sum.wgsl`.
pub static KERNEL: Kernel =
    Kernel { name: "column_sum", source: shader!("column_sum", "columns"), bindings: &[Access::Read, Access::Write], run, ..Kernel::PLAIN };

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    rows: u32,
    width: u32,
}

/// `out[i] += sum over rows of x[row, i]`.
pub fn column_sum(x: View, out: View, rows: usize, width: usize) -> Op {
    let params = Params { rows: rows as u32, width: width as u32 };
    op(&KERNEL, vec![x, out], params, by_columns(width), rows * width)
}

fn run(call: &mut Call<'_>) {
    let p: Params = call.params();
    let (x, out) = (call.read(0), call.write(1));
    let width = p.width as usize;
    let mut sums = vec![0f32; width];
    for row in x[..p.rows as usize * width].chunks(width) {
        for (s, x) in sums.iter_mut().zip(row) {
            *s += x;
        }
    }
    for (o, s) in out.iter_mut().zip(&sums) {
        *o += s;
    }
}
