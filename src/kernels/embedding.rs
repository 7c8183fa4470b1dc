//! Rows of a table by token id.

use super::vector::for_rows;
use super::{Format, grid256, op, shader};
use crate::device::{Access, Call, Kernel, Op, View};

/// `shaders/embedding.wgsl`.
pub static KERNEL: Kernel = Kernel {
    name: "embedding",
    source: shader!("embedding", "index", "weight"),
    bindings: &[Access::Read, Access::Read, Access::Write],
    run,
    ..Kernel::PLAIN
};

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    tokens: u32,
    hidden: u32,
    first_row: u32,
    rows: u32,
    scale: f32,
    add: u32,
}

/// `y[t, :] (+)= scale * table[ids[t], :]` for ids in `first_row..first_row + rows`, the rows that `table` holds. y: \[tokens, hidden\].
pub fn embedding(
    ids: View,
    table: View,
    format: Format,
    first_row: usize,
    rows: usize,
    y: View,
    tokens: usize,
    hidden: usize,
    scale: f32,
    add: bool,
) -> Op {
    let params =
        Params { tokens: tokens as u32, hidden: hidden as u32, first_row: first_row as u32, rows: rows as u32, scale, add: add.into() };
    let mut op = op(&KERNEL, vec![ids, table, y], params, grid256(tokens * hidden), tokens * hidden);
    op.constants = vec![("FORMAT", format.constant())];
    op
}

fn run(call: &mut Call<'_>) {
    let p: Params = call.params();
    let format = Format::from_constant(call.constant("FORMAT"));
    let (ids, table, y) = (call.words(0), call.words(1), call.write(2));
    let hidden = p.hidden as usize;
    for_rows(&mut y[..p.tokens as usize * hidden], hidden, |t, row| {
        if let Some(local) = ids[t].checked_sub(p.first_row).filter(|r| *r < p.rows) {
            let before = if p.add != 0 { row.to_vec() } else { Vec::new() };
            format.widen(table, local as usize * hidden, row);
            row.iter_mut().for_each(|y| *y *= p.scale);
            for (y, before) in row.iter_mut().zip(&before) {
                *y += before;
            }
        }
    });
}
