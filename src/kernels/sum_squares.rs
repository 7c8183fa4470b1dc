//! Partial sums of squares: the first half of the gradient's norm.

use super::vector::{sum, vectorised};
use super::{op, shader};
use crate::device::{Access, Call, Kernel, Op, View};
use rayon::prelude::*;

/// `shaders/sum_squares.wgsl`.
pub static KERNEL: Kernel =
    Kernel { name: "sum_squares", source: shader!("sum_squares", "sum64"), bindings: &[Access::Read, Access::Write], run, ..Kernel::PLAIN };

/// Partial sums that one array gives.
pub const PARTIALS: usize = 256;

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    count: u32,
    run: u32,
    first: u32,
}

/// partials[first + i] = sum of squares of the i-th of [`PARTIALS`] runs of x.
pub fn sum_squares(x: View, count: usize, partials: View, first: usize) -> Op {
    let run = count.div_ceil(PARTIALS).max(1);
    let params = Params { count: count as u32, run: run as u32, first: first as u32 };
    op(&KERNEL, vec![x, partials], params, [PARTIALS as u32, 1, 1], 2 * count)
}

fn run(call: &mut Call<'_>) {
    let p: Params = call.params();
    let (x, partials) = (call.read(0), call.write(1));
    partials[p.first as usize..][..PARTIALS].par_iter_mut().enumerate().with_min_len(16).for_each(|(i, partial)| {
        let begin = (i * p.run as usize).min(p.count as usize);
        let x = &x[begin..(begin + p.run as usize).min(p.count as usize)];
        *partial = vectorised(|| sum(x.len(), |i| x[i] * x[i]));
    });
}
