//! Rotary position embedding.

use super::vector::for_rows;
use super::{grid256, op, shader};
use crate::device::{Access, Call, Kernel, Op, View};

/// `shaders/rope.wgsl`.
pub static KERNEL: Kernel =
    Kernel { name: "rope", source: shader!("rope", "index"), bindings: &[Access::Read, Access::Read, Access::Write], run, ..Kernel::PLAIN };

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    tokens: u32,
    heads: u32,
    head_dim: u32,
    rotary_dim: u32,
    inverse: u32,
}

/// Rotates pairs (i, i + rotary_dim/2) of every head of x [tokens, heads, head_dim] in place by its token's position
/// (Su et al. 2021); what follows the first `rotary_dim` numbers of a head stays. `table`: [position][rotary_dim / 2][cos, sin].
/// The gradient is the inverse rotation.
pub fn rope(positions: View, table: View, x: View, tokens: usize, heads: usize, head_dim: usize, rotary_dim: usize, inverse: bool) -> Op {
    let [t, h, dim, rotary] = [tokens, heads, head_dim, rotary_dim].map(|n| n as u32);
    let params = Params { tokens: t, heads: h, head_dim: dim, rotary_dim: rotary, inverse: inverse.into() };
    let count = tokens * heads * rotary_dim / 2;
    op(&KERNEL, vec![positions, table, x], params, grid256(count), 6 * count)
}

/// The table for positions 0..`positions`: angles in f32, as transformers computes them.
pub fn table(inverse_frequencies: &[f64], positions: usize) -> Vec<f32> {
    let mut table = Vec::with_capacity(positions * inverse_frequencies.len() * 2);
    for position in 0..positions {
        for frequency in inverse_frequencies {
            let angle = f64::from(position as f32 * *frequency as f32);
            table.extend([angle.cos() as f32, angle.sin() as f32]);
        }
    }
    table
}

fn run(call: &mut Call<'_>) {
    let p: Params = call.params();
    let (positions, table, x) = (call.words(0), call.read(1), call.write(2));
    let (heads, head_dim) = (p.heads as usize, p.head_dim as usize);
    let half = p.rotary_dim as usize / 2;
    let sign = if p.inverse != 0 { -1.0 } else { 1.0 };
    for_rows(&mut x[..p.tokens as usize * heads * head_dim], heads * head_dim, |token, row| {
        let angles = &table[positions[token] as usize * half * 2..][..half * 2];
        for head in row.chunks_mut(head_dim) {
            let (first, second) = head[..2 * half].split_at_mut(half);
            for i in 0..half {
                let (cosine, sine) = (angles[2 * i], sign * angles[2 * i + 1]);
                let (a, b) = (first[i], second[i]);
                first[i] = a * cosine - b * sine;
                second[i] = b * cosine + a * sine;
            }
        }
    });
}
