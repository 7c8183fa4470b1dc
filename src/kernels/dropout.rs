//! Dropout that the backward pass and a resumed run draw again.

use super::vector::for_chunks;
use super::{grid256, inputs, op, shader};
use crate::device::{Access, Call, Kernel, Op, View};

/// `shaders/dropout.wgsl`.
pub static KERNEL: Kernel = Kernel {
    name: "dropout",
    source: shader!("dropout", "index"),
    bindings: &[Access::Read, Access::Read, Access::Write],
    run,
    ..Kernel::PLAIN
};

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    count: u32,
    salt: u32,
    threshold: u32,
    scale: f32,
    accumulate: u32,
}

/// y (+)= x keep / (1 - p), keep drawn from a hash of (the step's seed, `salt`, index).
pub fn dropout(step: View, x: View, y: View, count: usize, p: f32, salt: u32, accumulate: bool) -> Op {
    let threshold = (f64::from(p) * 4_294_967_296.0) as u32;
    let params = Params { count: count as u32, salt, threshold, scale: 1.0 / (1.0 - p), accumulate: accumulate.into() };
    op(&KERNEL, vec![step, x, y], params, grid256(count), 20 * count)
}

/// PCG-RXS-M-XS (O'Neill 2014) as a hash (Jarzynski and Olano 2020).
fn hash(x: u32) -> u32 {
    let state = x.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
    let word = ((state >> ((state >> 28) + 4)) ^ state).wrapping_mul(277_803_737);
    (word >> 22) ^ word
}

fn run(call: &mut Call<'_>) {
    let p: Params = call.params();
    let (step, x, y) = (call.words(0), call.read(1), call.write(2));
    let stream = hash(step[inputs::SEED] ^ hash(p.salt));
    for_chunks(&mut y[..p.count as usize], |start, y| {
        for (i, y) in y.iter_mut().enumerate() {
            let keep = hash((start + i) as u32 ^ stream) >= p.threshold;
            let old = if p.accumulate != 0 { *y } else { 0.0 };
            *y = old + if keep { x[start + i] * p.scale } else { 0.0 };
        }
    });
}
