//! Numbers rounded to bf16, as activations are kept for the backward pass with `--activations bf16`.

use super::vector::for_chunks;
use super::{grid256, op, shader};
use crate::device::{Access, Call, Kernel, Op, View};

/// `shaders/narrow.wgsl`.
pub static KERNEL: Kernel =
    Kernel { name: "narrow", source: shader!("narrow", "index"), bindings: &[Access::Read, Access::Write], run, ..Kernel::PLAIN };

/// Words that `count` numbers take.
pub fn words(count: usize) -> usize {
    count.div_ceil(2)
}

/// y = bf16(x), two numbers to a word, rounded to the nearest and to even in the middle; `count` numbers.
pub fn narrow(x: View, y: View, count: usize) -> Op {
    op(&KERNEL, vec![x, y], count as u32, grid256(words(count).div_ceil(4)), count)
}

fn run(call: &mut Call<'_>) {
    let count = call.params::<u32>() as usize;
    let (x, y) = (call.read(0), call.write(1));
    let upper = |x: f32| u32::from(half::bf16::from_f32(x).to_bits());
    for_chunks(&mut y[..words(count)], |start, y| {
        for (i, y) in y.iter_mut().enumerate() {
            let at = 2 * (start + i);
            let second = if at + 1 < count { upper(x[at + 1]) } else { 0 };
            *y = f32::from_bits(upper(x[at]) | second << 16);
        }
    });
}
