//! What else an attention may run by, and what is measured to choose.

use super::attention::{Attention, Params};
use super::cases::Noise;
use super::matmul::HALF;
use crate::device::plan::BufferId;
use crate::device::{Kernel, Op, View};

/// Tokens, or keys, of a workgroup of [`super::attention_cooperative`].
const MATRIX_LINES: u32 = 64;

/// The same by matrix units, for the sizes of heads that they are made for.
pub(super) fn by_matrices(op: &Op, kernel: &'static Kernel, by_key: bool) -> Vec<Op> {
    let p: Params = bytemuck::pod_read_unaligned(bytemuck::cast_slice(&op.params));
    if !op.constants.contains(&(HALF, 1)) || ![64, 128].contains(&p.head_dim) {
        return Vec::new();
    }
    let (heads, tokens) = if by_key { (p.kv_heads, p.keys) } else { (p.heads, p.queries) };
    let grid = [heads, tokens.div_ceil(MATRIX_LINES), p.rows];
    vec![Op { kernel, grid, constants: vec![(HALF, 1), ("DIM", p.head_dim)], ..op.clone() }]
}

/// What a binding holds.
#[derive(Clone, Copy)]
pub(super) enum Holds {
    Queries,
    Keys,
    Spans,
    Stats,
}

/// Tokens beyond which the same kernel is the fastest.
const MANY: u32 = 512;

/// The attention that stands for those like this one: tokens by powers of two, of few rows.
pub(super) fn alike(op: &Op, bindings: &[Holds], by_key: bool) -> Op {
    let p: Params = bytemuck::pod_read_unaligned(bytemuck::cast_slice(&op.params));
    let [queries, keys] = [p.queries, p.keys].map(|x| x.next_power_of_two().min(MANY) as usize);
    let [rows, heads, kv_heads, head_dim] = [p.rows.min(4), p.heads, p.kv_heads, p.head_dim].map(|x| x as usize);
    let view = |(index, holds): (usize, &Holds)| {
        let len = match holds {
            Holds::Queries => rows * queries * heads * head_dim,
            Holds::Keys => rows * keys * kv_heads * head_dim,
            Holds::Spans => rows * queries * 2,
            Holds::Stats => rows * queries * heads * 2,
        };
        View { buffer: BufferId::Transient(index), offset: 0, len }
    };
    let views = bindings.iter().enumerate().map(view).collect();
    let shape = Attention { rows, queries, keys, heads, kv_heads, head_dim, scale: p.scale };
    Op { constants: op.constants.clone(), ..shape.op(op.kernel, views, by_key, 1) }
}

/// What an attention has to hold to be measured: queries and keys so large that scores differ, and spans in which every token sees all
/// before it and itself.
pub(super) fn told(op: &Op, binding: usize, spans: usize) -> Option<Vec<u32>> {
    let p: Params = bytemuck::pod_read_unaligned(bytemuck::cast_slice(&op.params));
    if binding == spans {
        let before = p.keys.saturating_sub(p.queries);
        return Some((0..p.rows * p.queries).flat_map(|i| [0, before + i % p.queries + 1]).collect());
    }
    let mut noise = Noise::new(binding as u32);
    (binding < 2).then(|| (0..op.views[binding].len).map(|_| (2.0 * noise.float()).to_bits()).collect())
}
