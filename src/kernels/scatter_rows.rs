//! Rows put to places given by index.

use super::{grid256, op, shader};
use crate::device::{Access, Call, Kernel, Op, View};

/// `shaders/scatter_rows.wgsl`.
pub static KERNEL: Kernel = Kernel {
    name: "scatter_rows",
    source: shader!("scatter_rows", "index"),
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
    target_rows: u32,
}

/// y[index[first_index + i], :] = x[i, :] for `rows` rows; those with index [`super::NONE`] go nowhere. Indices differ.
pub fn scatter_rows(index: View, first_index: usize, x: View, y: View, target_rows: usize, rows: usize, width: usize) -> Op {
    let params = Params { rows: rows as u32, width: width as u32, first_index: first_index as u32, target_rows: target_rows as u32 };
    op(&KERNEL, vec![index, x, y], params, grid256(rows * width), rows * width)
}

fn run(call: &mut Call<'_>) {
    let p: Params = call.params();
    let (index, x, y) = (call.words(0), call.read(1), call.write(2));
    let width = p.width as usize;
    for (i, row) in x[..p.rows as usize * width].chunks(width).enumerate() {
        let target = index[p.first_index as usize + i];
        if target < p.target_rows {
            y[target as usize * width..][..width].copy_from_slice(row);
        }
    }
}
