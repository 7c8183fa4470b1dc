//! Rows of a matrix by index.

use super::vector::for_rows;
use super::{grid256, op, shader};
use crate::device::{Access, Call, Kernel, Op, View};

/// `shaders/gather_rows.wgsl`.
pub static KERNEL: Kernel = Kernel {
    name: "gather_rows",
    source: shader!("gather_rows", "index"),
    bindings: &[Access::Read, Access::Read, Access::Write],
    run,
    ..Kernel::PLAIN
};

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    rows: u32,
    width: u32,
    first_index: u32,
    source_rows: u32,
}

/// y[i, :] = x[index[first_index + i], :] for `rows` rows; zeros where the index is [`super::NONE`].
pub fn gather_rows(index: View, first_index: usize, x: View, source_rows: usize, y: View, rows: usize, width: usize) -> Op {
    let params = Params { rows: rows as u32, width: width as u32, first_index: first_index as u32, source_rows: source_rows as u32 };
    op(&KERNEL, vec![index, x, y], params, grid256(rows * width), rows * width)
}

fn run(call: &mut Call<'_>) {
    let p: Params = call.params();
    let (index, x, y) = (call.words(0), call.read(1), call.write(2));
    let width = p.width as usize;
    for_rows(&mut y[..p.rows as usize * width], width, |i, row| {
        let source = index[p.first_index as usize + i];
        if source < p.source_rows { row.copy_from_slice(&x[source as usize * width..][..width]) } else { row.fill(0.0) }
    });
}
