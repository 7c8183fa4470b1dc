//! One value everywhere.

use super::vector::for_chunks;
use super::{grid256, op, shader};
use crate::device::{Access, Call, Kernel, Op, View};

/// `shaders/fill.wgsl`.
pub static KERNEL: Kernel = Kernel { name: "fill", source: shader!("fill", "index"), bindings: &[Access::Write], run, ..Kernel::PLAIN };

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    count: u32,
    value: f32,
}

/// `x[i] = value` for `count` numbers.
pub fn fill(x: View, count: usize, value: f32) -> Op {
    op(&KERNEL, vec![x], Params { count: count as u32, value }, grid256(count.div_ceil(8)), count)
}

fn run(call: &mut Call<'_>) {
    let p: Params = call.params();
    for_chunks(&mut call.write(0)[..p.count as usize], |_, x| x.fill(p.value));
}
