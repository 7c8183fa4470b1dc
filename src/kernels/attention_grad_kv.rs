//! Gradient of attention in the keys and values.

use super::attention::{Attention, SCRATCH, Shape, TILE};
use super::attention_choice::{Holds, alike, by_matrices, told};
use super::matmul::HALF;
use super::matmul::twin::{half_of, halves};
use super::product::{Strided, product};
use super::vector::{Shared, exp, vectorised};
use super::{attention_cooperative_grad_kv, shader};
use crate::device::{Access, Call, Kernel, Op, View};
use rayon::prelude::*;

/// `shaders/attention_grad_kv.wgsl`.
pub static KERNEL: Kernel = Kernel {
    name: "attention_grad_kv",
    source: shader!("attention_grad_kv", "exponential", "attention", "half", "attention_tile"),
    bindings: &[Access::Read, Access::Read, Access::Read, Access::Read, Access::Read, Access::Read, Access::Write, Access::Write],
    run,
    others,
    like,
    inputs,
    ..Kernel::PLAIN
};

fn others(op: &Op) -> Vec<Op> {
    by_matrices(op, &attention_cooperative_grad_kv::KERNEL, true)
}

fn like(op: &Op) -> Op {
    use Holds::{Keys, Queries, Spans, Stats};
    alike(op, &[Queries, Keys, Keys, Queries, Stats, Spans, Keys, Keys], true)
}

fn inputs(op: &Op, binding: usize) -> Option<Vec<u32>> {
    told(op, binding, 5)
}

impl Attention {
    /// dk_j = scale sum_i ds_ij q_i, dv_j = sum_i p_ij dy_i over tokens i >= j whose span holds j, and the heads of the group.
    pub fn grad_kv(&self, q: View, k: View, v: View, dy: View, stats: View, spans: View, dk: View, dv: View) -> Op {
        self.op(&KERNEL, vec![q, k, v, dy, stats, spans, dk, dv], true, 4)
    }
}

fn run(call: &mut Call<'_>) {
    let half = call.constant(HALF) == 1;
    let [q, k, v, dy] = [0, 1, 2, 3].map(|i| halves(call.read(i), half));
    let (q, k, v, dy, stats, spans) = (&*q, &*k, &*v, &*dy, call.read(4), call.words(5));
    let (dk, dv) = (call.write(6), call.write(7));
    let s = Shape::new(call.params());
    let tiles = s.keys.div_ceil(TILE);
    let out_len = dk.len().min(dv.len());
    let (dk_all, dv_all) = (Shared(dk.as_mut_ptr()), Shared(dv.as_mut_ptr()));
    (0..s.rows * s.kv_heads * tiles).into_par_iter().for_each(|task| {
        let (row, kv_head, first) = (task / tiles / s.kv_heads, task / tiles % s.kv_heads, task % tiles * TILE);
        let count = TILE.min(s.keys - first);
        let at_k = s.key(row, first, kv_head);
        let reach = (count - 1) * s.key_stride() + s.dim;
        assert!(at_k + reach <= out_len);
        // SAFETY: only the `dim` numbers at each of this tile's tokens and this head are touched, and by this task alone.
        let (dk, dv) = unsafe { (dk_all.slice(at_k, reach), dv_all.slice(at_k, reach)) };
        for i in 0..count {
            dk[i * s.key_stride()..][..s.dim].fill(0.0);
            dv[i * s.key_stride()..][..s.dim].fill(0.0);
        }
        let queries = s.queries.saturating_sub(first);
        SCRATCH.with_borrow_mut(|(shares, slopes)| {
            shares.resize(shares.len().max(queries * count), 0.0);
            slopes.resize(slopes.len().max(queries * count), 0.0);
            for head in kv_head * s.group()..(kv_head + 1) * s.group() {
                let at_q = s.query(row, first, head);
                let by_query = |data| Strided { data, row: s.query_stride(), col: 1 };
                let by_key = |data| Strided { data, row: 1, col: s.key_stride() };
                product(queries, count, s.dim, s.scale, by_query(&q[at_q..]), by_key(&k[at_k..]), shares, count, false);
                product(queries, count, s.dim, 1.0, by_query(&dy[at_q..]), by_key(&v[at_k..]), slopes, count, false);
                vectorised(|| {
                    for i in 0..queries {
                        let span = &spans[(row * s.queries + first + i) * 2..][..2];
                        let stat = s.stat(row, first + i, head);
                        let (log_sum, delta) = (stats[stat], stats[stat + 1]);
                        let (shares, slopes) = (&mut shares[i * count..][..count], &mut slopes[i * count..][..count]);
                        // The span's part of this tile; a token never sees keys after itself.
                        let to = (span[1] as usize).saturating_sub(first).min(count).min(i + 1);
                        let from = (span[0] as usize).saturating_sub(first).min(to);
                        for line in [&mut *shares, &mut *slopes] {
                            line[..from].fill(0.0);
                            line[to..].fill(0.0);
                        }
                        for j in from..to {
                            shares[j] = exp(shares[j] - log_sum);
                            slopes[j] = shares[j] * (slopes[j] - delta);
                        }
                        if half {
                            shares[from..to].iter_mut().for_each(|x| *x = half_of(*x));
                            slopes[from..to].iter_mut().for_each(|x| *x = half_of(*x));
                        }
                    }
                });
                let across = |data| Strided { data, row: 1, col: count };
                let rows = |data| Strided { data, row: s.query_stride(), col: 1 };
                product(count, s.dim, queries, s.scale, across(slopes), rows(&q[at_q..]), dk, s.key_stride(), true);
                product(count, s.dim, queries, 1.0, across(shares), rows(&dy[at_q..]), dv, s.key_stride(), true);
            }
        });
    });
}
