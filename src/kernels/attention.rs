//! Causal attention, forward; and what its three kernels share.

use super::attention_choice::{Holds, alike, by_matrices, told};
use super::matmul::HALF;
use super::matmul::twin::{half_of, halves};
use super::product::{Strided, product};
use super::vector::{Shared, exp, sum, vectorised};
use super::{attention_cooperative, attention_step, op, shader};
use crate::device::{Access, Call, Kernel, Op, View};
use rayon::prelude::*;
use std::cell::RefCell;

/// `shaders/attention.wgsl`.
pub static KERNEL: Kernel = Kernel {
    name: "attention",
    source: shader!("attention", "exponential", "logarithm", "attention", "half", "attention_tile"),
    bindings: &[Access::Read, Access::Read, Access::Read, Access::Read, Access::Write, Access::Write],
    run,
    others,
    like,
    inputs,
    ..Kernel::PLAIN
};

fn others(op: &Op) -> Vec<Op> {
    by_matrices(op, &attention_cooperative::KERNEL, false)
}

fn like(op: &Op) -> Op {
    use Holds::{Keys, Queries, Spans, Stats};
    alike(op, &[Queries, Keys, Keys, Spans, Queries, Stats], false)
}

fn inputs(op: &Op, binding: usize) -> Option<Vec<u32>> {
    told(op, binding, 3)
}

/// Tokens of a workgroup's tile, and keys; and numbers of a head that it sums.
const GPU_TILE: usize = 32;
const GPU_WIDTH: usize = 64;
/// So many tokens are too few for tiles.
const FEW: usize = 4;

#[repr(C)]
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
pub(super) struct Params {
    pub queries: u32,
    pub keys: u32,
    pub heads: u32,
    pub kv_heads: u32,
    pub head_dim: u32,
    pub scale: f32,
    pub rows: u32,
}

/// Shapes of an attention. q, y, dq: [rows, queries, heads, head_dim]; k, v, dk, dv: [rows, keys, kv_heads, head_dim];
/// spans: [rows, queries, 2]; stats: [rows, queries, heads, (log-sum-exp, delta)].
#[derive(Clone, Copy, Debug)]
pub struct Attention {
    /// Sequences.
    pub rows: usize,
    /// Tokens of a sequence that ask.
    pub queries: usize,
    /// Tokens of a sequence that can be seen.
    pub keys: usize,
    /// Query heads; a multiple of `kv_heads`.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// At most 256.
    pub head_dim: usize,
    /// Factor of q . k, 1 / sqrt(head_dim).
    pub scale: f32,
}

impl Attention {
    fn params(&self) -> Params {
        Params {
            queries: self.queries as u32,
            keys: self.keys as u32,
            heads: self.heads as u32,
            kv_heads: self.kv_heads as u32,
            head_dim: self.head_dim as u32,
            scale: self.scale,
            rows: self.rows as u32,
        }
    }

    pub(super) fn op(&self, kernel: &'static Kernel, views: Vec<View>, by_key: bool, products: usize) -> Op {
        let (heads, tokens) = if by_key { (self.kv_heads, self.keys) } else { (self.heads, self.queries) };
        let parts = self.head_dim.div_ceil(GPU_WIDTH);
        let grid = [heads * parts, tokens.div_ceil(GPU_TILE), self.rows];
        let flops = products * self.rows * self.heads * self.queries * self.keys * self.head_dim;
        op(kernel, views, self.params(), grid.map(|x| x as u32), flops)
    }

    /// y = softmax(scale q k^T) v, each token over the keys of its span; keeps the log-sum-exp in `stats`.
    pub fn forward(&self, q: View, k: View, v: View, spans: View, y: View, stats: View) -> Op {
        let views = vec![q, k, v, spans, y, stats];
        if self.queries > FEW {
            return self.op(&KERNEL, views, false, 2);
        }
        Op { grid: [self.heads as u32, self.queries as u32, self.rows as u32], ..self.op(&attention_step::KERNEL, views, false, 2) }
    }
}

/// Queries (or keys) that one task of a twin works on.
pub(super) const TILE: usize = 64;

/// The twins' view of the shapes: strides, and products of tiles by the matrix library.
pub(super) struct Shape {
    pub rows: usize,
    pub queries: usize,
    pub keys: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub dim: usize,
    pub scale: f32,
}

impl Shape {
    pub fn new(p: Params) -> Self {
        Self {
            rows: p.rows as usize,
            queries: p.queries as usize,
            keys: p.keys as usize,
            heads: p.heads as usize,
            kv_heads: p.kv_heads as usize,
            dim: p.head_dim as usize,
            scale: p.scale,
        }
    }

    pub fn group(&self) -> usize {
        self.heads / self.kv_heads
    }

    /// From a token's head to the next token's.
    pub fn query_stride(&self) -> usize {
        self.heads * self.dim
    }

    pub fn key_stride(&self) -> usize {
        self.kv_heads * self.dim
    }

    pub fn query(&self, row: usize, token: usize, head: usize) -> usize {
        ((row * self.queries + token) * self.heads + head) * self.dim
    }

    pub fn key(&self, row: usize, token: usize, kv_head: usize) -> usize {
        ((row * self.keys + token) * self.kv_heads + kv_head) * self.dim
    }

    pub fn stat(&self, row: usize, token: usize, head: usize) -> usize {
        ((row * self.queries + token) * self.heads + head) * 2
    }

    /// First and one past the last key that any of these tokens sees.
    pub fn seen(&self, spans: &[u32], row: usize, tokens: std::ops::Range<usize>) -> (usize, usize) {
        let of = |t: usize| &spans[(row * self.queries + t) * 2..][..2];
        let used = || tokens.clone().filter(|t| of(*t)[0] < of(*t)[1]);
        let begin = used().map(|t| of(t)[0]).min().unwrap_or(0) as usize;
        (begin, used().map(|t| of(t)[1]).max().unwrap_or(0) as usize)
    }
}

thread_local! {
    pub(super) static SCRATCH: RefCell<(Vec<f32>, Vec<f32>)> = const { RefCell::new((Vec::new(), Vec::new())) };
}

/// Softmax over a tile of queries and all keys they see. The GPU's tiles of keys change rounding only.
fn run(call: &mut Call<'_>) {
    let half = call.constant(HALF) == 1;
    let [q, k, v] = [0, 1, 2].map(|i| halves(call.read(i), half));
    let (q, k, v, spans) = (&*q, &*k, &*v, call.words(3));
    let (y, stats) = (call.write(4), call.write(5));
    let s = Shape::new(call.params());
    let tiles = s.queries.div_ceil(TILE);
    let (y_all, y_len) = (Shared(y.as_mut_ptr()), y.len());
    let stats = Shared(stats.as_mut_ptr());
    (0..s.rows * s.heads * tiles).into_par_iter().for_each(|task| {
        let (row, head, first) = (task / tiles / s.heads, task / tiles % s.heads, task % tiles * TILE);
        let count = TILE.min(s.queries - first);
        let (begin, end) = s.seen(spans, row, first..first + count);
        let width = end - begin;
        SCRATCH.with_borrow_mut(|(scores, _)| {
            scores.resize(scores.len().max(count * width), 0.0);
            let scores = &mut scores[..count * width];
            let at_k = s.key(row, begin, head / s.group());
            let query = Strided { data: &q[s.query(row, first, head)..], row: s.query_stride(), col: 1 };
            let keys = Strided { data: &k[at_k.min(k.len())..], row: 1, col: s.key_stride() };
            product(count, width, s.dim, s.scale, query, keys, scores, width, false);
            vectorised(|| {
                for i in 0..count {
                    let span = &spans[(row * s.queries + first + i) * 2..][..2];
                    let line = &mut scores[i * width..(i + 1) * width];
                    let log_sum = softmax(line, span[0] as usize, span[1] as usize, begin, half);
                    // SAFETY: one task a token and head.
                    unsafe { stats.slice(s.stat(row, first + i, head), 1)[0] = log_sum };
                }
            });
            let at_y = s.query(row, first, head);
            let values = Strided { data: &v[at_k.min(v.len())..], row: s.key_stride(), col: 1 };
            let reach = (count - 1) * s.query_stride() + s.dim;
            assert!(at_y + reach <= y_len);
            // SAFETY: the product writes `dim` numbers at each of this tile's tokens and this head, which no other task touches;
            // what lies between them is never read or written through this slice.
            let out = unsafe { y_all.slice(at_y, reach) };
            if width == 0 {
                for i in 0..count {
                    out[i * s.query_stride()..][..s.dim].fill(0.0);
                }
            }
            product(count, s.dim, width, 1.0, Strided { data: scores, row: width, col: 1 }, values, out, s.query_stride(), false);
        });
    });
}

/// Softmax of the part of a line that the span covers, zeros elsewhere; returns the log-sum-exp.
#[inline(always)]
fn softmax(line: &mut [f32], begin: usize, end: usize, offset: usize, half: bool) -> f32 {
    if begin >= end {
        line.fill(0.0);
        return 0.0;
    }
    let (from, to) = (begin - offset, end - offset);
    line[..from].fill(0.0);
    line[to..].fill(0.0);
    let line = &mut line[from..to];
    let mut lanes = [f32::MIN; 8];
    for chunk in line.chunks(8) {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane = if *x > *lane { *x } else { *lane };
        }
    }
    let largest = lanes.into_iter().fold(f32::MIN, f32::max);
    for x in line.iter_mut() {
        *x = exp(*x - largest);
    }
    if half {
        line.iter_mut().for_each(|x| *x = half_of(*x));
    }
    let total = sum(line.len(), |i| line[i]);
    let share = 1.0 / total;
    for x in line.iter_mut() {
        *x *= share;
    }
    largest + total.ln()
}
