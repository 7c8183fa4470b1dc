//! Columns of one matrix copied to columns of another: a fused layer's output taken apart, and its gradient put together.

use super::{grid256, op, shader};
use crate::device::{Access, Call, Kernel, Op, View};

/// `shaders/columns.wgsl`.
pub static KERNEL: Kernel =
    Kernel { name: "columns", source: shader!("columns", "index"), bindings: &[Access::Read, Access::Write], run, ..Kernel::PLAIN };

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    rows: u32,
    width: u32,
    x_width: u32,
    x_first: u32,
    y_width: u32,
    y_first: u32,
}

/// Some columns of a matrix whose rows follow each other.
#[derive(Clone, Copy, Debug)]
pub struct Columns {
    /// [rows, width].
    pub view: View,
    /// Columns of the whole matrix.
    pub width: usize,
    /// The first column that is meant.
    pub first: usize,
}

/// y[r, y.first + j] = x[r, x.first + j] for j of 0..`width`; y's other columns stay as they are.
pub fn columns(x: Columns, y: Columns, rows: usize, width: usize) -> Op {
    let [rows_, width_, x_width, x_first, y_width, y_first] = [rows, width, x.width, x.first, y.width, y.first].map(|n| n as u32);
    let params = Params { rows: rows_, width: width_, x_width, x_first, y_width, y_first };
    op(&KERNEL, vec![x.view, y.view], params, grid256(rows * width), rows * width)
}

fn run(call: &mut Call<'_>) {
    let p: Params = call.params();
    let (x, y) = (call.read(0), call.write(1));
    let width = p.width as usize;
    for r in 0..p.rows as usize {
        let from = &x[r * p.x_width as usize + p.x_first as usize..][..width];
        y[r * p.y_width as usize + p.y_first as usize..][..width].copy_from_slice(from);
    }
}
