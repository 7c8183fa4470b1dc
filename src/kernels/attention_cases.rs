//! What attention is tried with; see [`super::cases`].

use super::attention::Attention;
use super::attention_delta::attention_delta;
use super::cases::{Case, CaseBuilder, IN_HALF, SUMMED};
use super::matmul::in_half;
use crate::device::{Device, Op, View};

/// Spans of tokens: what each may look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mask {
    /// All before and itself.
    Causal,
    /// Those of its own document; documents are of 7, 8, 9, ... tokens.
    Documents,
    /// The last 20.
    Window,
    /// As documents; every fifth token is padding and sees nothing.
    Holes,
}

impl Mask {
    /// Every mask.
    pub const ALL: [Self; 4] = [Self::Causal, Self::Documents, Self::Window, Self::Holes];

    /// First key and one past the last, for each token of each row.
    pub fn spans(self, rows: usize, queries: usize) -> Vec<[u32; 2]> {
        let mut spans = Vec::new();
        for row in 0..rows {
            let (mut begin, mut length) = (0, 7 + row);
            for token in 0..queries {
                if token >= begin + length {
                    begin = token;
                    length += 1;
                }
                let first = match self {
                    Self::Causal => 0,
                    Self::Window => token.saturating_sub(19),
                    Self::Documents | Self::Holes => begin,
                };
                let empty = self == Self::Holes && token % 5 == 2;
                spans.push(if empty { [0, 0] } else { [first as u32, token as u32 + 1] });
            }
        }
        spans
    }
}

/// An attention's buffers with noise in them, `stats` as the forward pass leaves it.
pub struct AttentionViews {
    /// Queries.
    pub q: View,
    /// Keys.
    pub k: View,
    /// Values.
    pub v: View,
    /// Upstream gradient.
    pub dy: View,
    /// First and last keys.
    pub spans: View,
    /// The result.
    pub y: View,
    /// Log-sum-exp and delta.
    pub stats: View,
}

/// Lays out an attention; y and stats are computed by the CPU's twins, so that gradients are tried on their own.
pub fn attention_views(b: &mut CaseBuilder, s: &Attention, spans: &[[u32; 2]]) -> AttentionViews {
    views_to(b, s, spans, 1.0)
}

/// The same with values and upstream gradients up to `largest`.
fn views_to(b: &mut CaseBuilder, s: &Attention, spans: &[[u32; 2]], largest: f32) -> AttentionViews {
    let asked = s.rows * s.queries * s.heads;
    let held = s.rows * s.keys * s.kv_heads * s.head_dim;
    let (q, k, v) = (b.floats(asked * s.head_dim, 2.0), b.floats(held, 2.0), b.floats(held, largest));
    let dy = b.floats(asked * s.head_dim, largest);
    let spans = b.words(bytemuck::cast_slice(spans));
    let run = |b: &CaseBuilder, outputs: Vec<(View, usize)>, op: Op| {
        let copy = CaseBuilder { layout: b.layout.clone(), inputs: b.inputs.clone(), outputs, noise: b.noise.clone() };
        copy.finish("forward", 0.0, op).floats(&Device::Cpu).unwrap_or_default()
    };
    let (y, stats) = (b.floats(asked * s.head_dim, 1.0), b.floats(asked * 2, 1.0));
    let forward = run(b, vec![(y, asked * s.head_dim), (stats, asked * 2)], s.forward(q, k, v, spans, y, stats));
    b.set(y, &forward[0]);
    b.set(stats, &forward[1]);
    let delta = run(b, vec![(stats, asked * 2)], attention_delta(y, dy, stats, asked, s.head_dim));
    b.set(stats, &delta[0]);
    AttentionViews { q, k, v, dy, spans, y, stats }
}

impl CaseBuilder {
    fn set(&mut self, view: View, values: &[f32]) {
        for (_, words) in self.inputs.iter_mut().filter(|(v, _)| *v == view) {
            words[..values.len()].copy_from_slice(bytemuck::cast_slice(values));
        }
    }
}

/// The last case with factors rounded to f16, where attention goes by tiles.
fn in_half_too(cases: &mut Vec<Case>, mut op: Op) {
    in_half(&mut op);
    if let Some(last) = cases.last().filter(|_| !op.constants.is_empty()) {
        let half = Case { tolerance: IN_HALF, name: format!("{} in f16", last.name), ..last.by(op) };
        cases.push(half);
    }
}

pub(super) fn attentions(cases: &mut Vec<Case>) {
    // rows, tokens, heads, kv_heads, head_dim
    let shapes = [
        (1, 1, 1, 1, 16),
        (2, 3, 2, 1, 64),
        (1, 63, 3, 1, 80),
        (2, 65, 4, 4, 16),
        (1, 127, 8, 1, 16),
        (1, 64, 2, 2, 128),
        (1, 130, 2, 1, 64),
        (1, 65, 2, 1, 256),
        (3, 20, 3, 3, 1),
    ];
    for (i, (rows, tokens, heads, kv_heads, head_dim)) in shapes.into_iter().enumerate() {
        for mask in Mask::ALL {
            let s = Attention { rows, queries: tokens, keys: tokens, heads, kv_heads, head_dim, scale: (head_dim as f32).powf(-0.5) };
            let spans = mask.spans(rows, tokens);
            let name = format!("{rows} x {tokens} tokens, {heads}/{kv_heads} heads of {head_dim}, {mask:?}");
            let (asked, held) = (rows * tokens * heads, rows * tokens * kv_heads * head_dim);
            let start = || {
                let mut b = CaseBuilder::new(i as u32);
                let v = attention_views(&mut b, &s, &spans);
                (b, v)
            };
            let (mut b, v) = start();
            let (y, stats) = (b.noisy_output(asked * head_dim), b.noisy_output(asked * 2));
            let op = s.forward(v.q, v.k, v.v, v.spans, y, stats);
            cases.push(b.finish(&name, SUMMED, op.clone()));
            in_half_too(cases, op);
            let (mut b, v) = start();
            b.output(v.stats, asked * 2);
            cases.push(b.finish(&name, SUMMED, attention_delta(v.y, v.dy, v.stats, asked, head_dim)));
            // With one key the softmax has no slope: the gradient is what rounding leaves of numbers around 1.
            let (mut b, v) = start();
            let dq = b.noisy_output(asked * head_dim);
            let op = s.grad_q(v.q, v.k, v.v, v.dy, v.stats, v.spans, dq);
            cases.push(b.finish(&name, SUMMED, op.clone()).with_floor(1.0));
            in_half_too(cases, op);
            let (mut b, v) = start();
            let (dk, dv) = (b.noisy_output(held), b.noisy_output(held));
            let op = s.grad_kv(v.q, v.k, v.v, v.dy, v.stats, v.spans, dk, dv);
            cases.push(b.finish(&name, SUMMED, op.clone()).with_floor(1.0));
            in_half_too(cases, op);
        }
    }
    // Factors beyond what f16 holds.
    for head_dim in [16, 64] {
        let s = Attention { rows: 1, queries: 65, keys: 65, heads: 2, kv_heads: 1, head_dim, scale: 0.1 };
        let spans = Mask::Causal.spans(1, 65);
        let (asked, held) = (65 * 2, 65 * head_dim);
        let start = || {
            let mut b = CaseBuilder::new(head_dim as u32);
            let v = views_to(&mut b, &s, &spans, 1e5);
            (b, v)
        };
        let finish = |b: CaseBuilder, mut op: Op| {
            in_half(&mut op);
            b.finish(format!("65 tokens, heads of {head_dim}, to 1e5, in f16"), IN_HALF, op)
        };
        let (mut b, v) = start();
        let (y, stats) = (b.noisy_output(asked * head_dim), b.noisy_output(asked * 2));
        cases.push(finish(b, s.forward(v.q, v.k, v.v, v.spans, y, stats)));
        let (mut b, v) = start();
        let dq = b.noisy_output(asked * head_dim);
        cases.push(finish(b, s.grad_q(v.q, v.k, v.v, v.dy, v.stats, v.spans, dq)));
        let (mut b, v) = start();
        let (dk, dv) = (b.noisy_output(held), b.noisy_output(held));
        cases.push(finish(b, s.grad_kv(v.q, v.k, v.v, v.dy, v.stats, v.spans, dk, dv)));
    }
    // Decoding: few queries look at many cached keys.
    for (rows, queries, keys) in [(3, 1, 65), (1, 2, 130), (2, 3, 64)] {
        let s = Attention { rows, queries, keys, heads: 4, kv_heads: 2, head_dim: 64, scale: 0.125 };
        let spans: Vec<[u32; 2]> = (0..rows * queries).map(|i| [i as u32, (keys - queries + i % queries + 1) as u32]).collect();
        let mut b = CaseBuilder::new(keys as u32);
        let v = attention_views(&mut b, &s, &spans);
        let (y, stats) = (b.noisy_output(rows * queries * 4 * 64), b.noisy_output(rows * queries * 4 * 2));
        let op = s.forward(v.q, v.k, v.v, v.spans, y, stats);
        cases.push(b.finish(format!("{rows} x {queries} queries of {keys} keys"), SUMMED, op));
    }
}
