//! Gradient of attention in the queries.

use super::attention::{Attention, SCRATCH, Shape, TILE};
use super::attention_choice::{Holds, alike, by_matrices, told};
use super::matmul::HALF;
use super::matmul::twin::{half_of, halves};
use super::product::{Strided, product};
use super::vector::{Shared, exp, vectorised};
use super::{attention_cooperative_grad_q, shader};
use crate::device::{Access, Call, Kernel, Op, View};
use rayon::prelude::*;

/// `shaders/attention_grad_q.wgsl`.
pub static KERNEL: Kernel = Kernel {
    name: "attention_grad_q",
    source: shader!("attention_grad_q", "exponential", "attention", "half", "attention_tile"),
    bindings: &[Access::Read, Access::Read, Access::Read, Access::Read, Access::Read, Access::Read, Access::Write],
    run,
    others,
    like,
    inputs,
    ..Kernel::PLAIN
};

fn others(op: &Op) -> Vec<Op> {
    by_matrices(op, &attention_cooperative_grad_q::KERNEL, false)
}

fn like(op: &Op) -> Op {
    use Holds::{Keys, Queries, Spans, Stats};
    alike(op, &[Queries, Keys, Keys, Queries, Stats, Spans, Queries], false)
}

fn inputs(op: &Op, binding: usize) -> Option<Vec<u32>> {
    told(op, binding, 5)
}

impl Attention {
    /// dq = scale sum_j ds_j k_j, ds_j = p_j (dy . v_j - delta), p recomputed from the log-sum-exp.
    pub fn grad_q(&self, q: View, k: View, v: View, dy: View, stats: View, spans: View, dq: View) -> Op {
        self.op(&KERNEL, vec![q, k, v, dy, stats, spans, dq], false, 3)
    }
}

fn run(call: &mut Call<'_>) {
    let half = call.constant(HALF) == 1;
    let [q, k, v, dy] = [0, 1, 2, 3].map(|i| halves(call.read(i), half));
    let (q, k, v, dy, stats, spans) = (&*q, &*k, &*v, &*dy, call.read(4), call.words(5));
    let dq = call.write(6);
    let s = Shape::new(call.params());
    let tiles = s.queries.div_ceil(TILE);
    let (out, out_len) = (Shared(dq.as_mut_ptr()), dq.len());
    (0..s.rows * s.heads * tiles).into_par_iter().for_each(|task| {
        let (row, head, first) = (task / tiles / s.heads, task / tiles % s.heads, task % tiles * TILE);
        let count = TILE.min(s.queries - first);
        let (begin, end) = s.seen(spans, row, first..first + count);
        let width = end - begin;
        let at_q = s.query(row, first, head);
        let at_k = s.key(row, begin, head / s.group());
        SCRATCH.with_borrow_mut(|(scores, slopes)| {
            scores.resize(scores.len().max(count * width), 0.0);
            slopes.resize(slopes.len().max(count * width), 0.0);
            let by_query = |data| Strided { data, row: s.query_stride(), col: 1 };
            let by_key = |data| Strided { data, row: 1, col: s.key_stride() };
            product(count, width, s.dim, s.scale, by_query(&q[at_q..]), by_key(&k[at_k.min(k.len())..]), scores, width, false);
            product(count, width, s.dim, 1.0, by_query(&dy[at_q..]), by_key(&v[at_k.min(v.len())..]), slopes, width, false);
            vectorised(|| {
                for i in 0..count {
                    let span = &spans[(row * s.queries + first + i) * 2..][..2];
                    let stat = s.stat(row, first + i, head);
                    let (log_sum, delta) = (stats[stat], stats[stat + 1]);
                    let slopes = &mut slopes[i * width..(i + 1) * width];
                    let scores = &scores[i * width..(i + 1) * width];
                    let (from, to) = if span[0] < span[1] { (span[0] as usize - begin, span[1] as usize - begin) } else { (0, 0) };
                    slopes[..from].fill(0.0);
                    slopes[to..].fill(0.0);
                    for j in from..to {
                        slopes[j] = exp(scores[j] - log_sum) * (slopes[j] - delta);
                    }
                    if half {
                        slopes[from..to].iter_mut().for_each(|x| *x = half_of(*x));
                    }
                }
            });
            let reach = (count - 1) * s.query_stride() + s.dim;
            assert!(at_q + reach <= out_len);
            // SAFETY: the product writes `dim` numbers at each of this tile's tokens and this head, which no other task touches.
            let dq = unsafe { out.slice(at_q, reach) };
            if width == 0 {
                for i in 0..count {
                    dq[i * s.query_stride()..][..s.dim].fill(0.0);
                }
            }
            let keys = Strided { data: &k[at_k.min(k.len())..], row: s.key_stride(), col: 1 };
            product(count, s.dim, width, s.scale, Strided { data: slopes, row: width, col: 1 }, keys, dq, s.query_stride(), false);
        });
    });
}
