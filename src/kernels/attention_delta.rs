//! The part of the softmax's gradient that all keys of a query share.

use super::{grid256, op, shader};
use crate::device::{Access, Call, Kernel, Op, View};

/// `shaders/attention_delta.wgsl`.
pub static KERNEL: Kernel = Kernel {
    name: "attention_delta",
    source: shader!("attention_delta", "index"),
    bindings: &[Access::Read, Access::Read, Access::Write],
    run,
    ..Kernel::PLAIN
};

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    heads: u32,
    head_dim: u32,
}

/// `stats[h].delta = y[h] . dy[h]` over `heads` heads of all tokens (Dao et al. 2022, appendix B.4).
pub fn attention_delta(y: View, dy: View, stats: View, heads: usize, head_dim: usize) -> Op {
    let params = Params { heads: heads as u32, head_dim: head_dim as u32 };
    op(&KERNEL, vec![y, dy, stats], params, grid256(heads), 2 * heads * head_dim)
}

fn run(call: &mut Call<'_>) {
    let p: Params = call.params();
    let (y, dy, stats) = (call.read(0), call.read(1), call.write(2));
    let dim = p.head_dim as usize;
    for h in 0..p.heads as usize {
        stats[2 * h + 1] = (0..dim).map(|d| y[h * dim + d] * dy[h * dim + d]).sum();
    }
}
