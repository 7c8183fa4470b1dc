//! Gradient of the embedding table.

use super::{grid, op, shader};
use crate::device::{Access, Call, Kernel, Op, View};

/// `shaders/embedding_grad.wgsl`.
pub static KERNEL: Kernel = Kernel {
    name: "embedding_grad",
    source: shader!("embedding_grad"),
    bindings: &[Access::Read, Access::Read, Access::Read, Access::Read, Access::Write],
    run,
    ..Kernel::PLAIN
};

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    hidden: u32,
    first_row: u32,
    rows: u32,
    groups: u32,
    scale: f32,
}

/// Positions of a micro-batch sorted by token.
#[derive(Clone, Copy, Debug)]
pub struct Groups {
    /// \[groups\]: distinct tokens.
    pub ids: View,
    /// [groups + 1] where each group begins in `order`; unused groups are empty.
    pub starts: View,
    /// Positions, grouped by token.
    pub order: View,
    /// Capacity.
    pub groups: usize,
}

/// dtable[id, :] += scale * sum of dy over the positions that hold id, for the rows `first_row..first_row + rows`.
pub fn embedding_grad(groups: Groups, dy: View, dtable: View, first_row: usize, rows: usize, hidden: usize, scale: f32) -> Op {
    let params = Params { hidden: hidden as u32, first_row: first_row as u32, rows: rows as u32, groups: groups.groups as u32, scale };
    let views = vec![groups.ids, groups.starts, groups.order, dy, dtable];
    op(&KERNEL, views, params, grid(groups.groups), groups.groups * hidden)
}

fn run(call: &mut Call<'_>) {
    let p: Params = call.params();
    let (ids, starts, order, dy) = (call.words(0), call.words(1), call.words(2), call.read(3));
    let dtable = call.write(4);
    let hidden = p.hidden as usize;
    for group in 0..p.groups as usize {
        let Some(row) = ids[group].checked_sub(p.first_row).filter(|r| *r < p.rows) else { continue };
        let out = &mut dtable[row as usize * hidden..][..hidden];
        let positions = &order[starts[group] as usize..(starts[group + 1] as usize).max(starts[group] as usize)];
        for column in 0..hidden {
            let sum: f32 = positions.iter().map(|at| dy[*at as usize * hidden + column]).sum();
            out[column] += p.scale * sum;
        }
    }
}
