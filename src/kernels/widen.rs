//! What [`super::narrow`] rounded, in 32 bits again.

use super::vector::for_chunks;
use super::{grid256, op, shader};
use crate::device::{Access, Call, Kernel, Op, View};

/// `shaders/widen.wgsl`.
pub static KERNEL: Kernel =
    Kernel { name: "widen", source: shader!("widen", "index"), bindings: &[Access::Read, Access::Write], run, ..Kernel::PLAIN };

/// y = x, which holds `count` numbers in bf16, two to a word.
pub fn widen(x: View, y: View, count: usize) -> Op {
    op(&KERNEL, vec![x, y], count as u32, grid256(count), count)
}

fn run(call: &mut Call<'_>) {
    let count = call.params::<u32>() as usize;
    let (x, y) = (call.words(0), call.write(1));
    for_chunks(&mut y[..count], |start, y| {
        for (i, y) in y.iter_mut().enumerate() {
            let word = x[(start + i) / 2];
            *y = f32::from_bits(if (start + i) % 2 == 1 { word & 0xffff_0000 } else { word << 16 });
        }
    });
}
