//! PiSSA: LoRA whose factors start as the principal part of the weight, W = U S V^T: B = U_r sqrt(S_r / s), A = sqrt(S_r / s) V_r^T,
//! and the base keeps W - s B A (Meng et al. 2024, "PiSSA", arXiv 2404.02948, eq. 2 to 4; s as in `peft.tuners.lora.layer`).
//!
//! What was trained belongs to that other base. It is written as LoRA of twice the rank for the base as it was:
//! s (B A - B_0 A_0) = s [B, -B_0] [A; A_0], as peft converts it. So whatever reads LoRA reads it.

use super::files::Tensor;
use super::lora::{self, Part};
use super::svd::{Principal, principal};
use super::{AdapterFile, Kind, Spec, read_weight};
use crate::device::Session;
use crate::error::{Error, Result};
use crate::model::weights::Linear;

/// Takes the principal part out of a weight on the device; A_0 and B_0, as they are named in files.
pub(super) async fn initialise(part: &Part, session: &mut Session, linear: &Linear) -> Result<[Tensor; 2]> {
    let (w, rank) = (&linear.weight, part.rank);
    if rank > w.rows.min(w.cols) {
        return Err(Error::usage(
            format!("--init pissa: {} [{}, {}] has fewer singular values than --rank {rank}", linear.site.path(), w.rows, w.cols),
            format!("use --rank {} or less", w.rows.min(w.cols)),
        ));
    }
    let mut values = read_weight(session, w).await?;
    let [a, b] = start(&principal(&values, w.rows, w.cols, rank), part.scale);
    subtract(&mut values, &a, &b, rank, part.scale, w.cols);
    for piece in &w.pieces {
        let rest = &values[piece.first_row * w.cols..][..piece.rows * w.cols];
        session.write(piece.value, &w.format.encode(rest))?;
    }
    part.write(session, &a, &b)?;
    let [a_name, b_name] = lora::tensor_names(linear.site);
    Ok([Tensor { name: a_name, shape: vec![rank, w.cols], values: a }, Tensor { name: b_name, shape: vec![w.rows, rank], values: b }])
}

/// A [r, d_in] and B [d_out, r] from the principal singular vectors.
fn start(p: &Principal, scale: f32) -> [Vec<f32>; 2] {
    let root: Vec<f64> = p.values.iter().map(|s| (s / f64::from(scale)).sqrt()).collect();
    let (d_in, d_out) = (p.right.first().map_or(0, Vec::len), p.left.first().map_or(0, Vec::len));
    let a = p.right.iter().zip(&root).flat_map(|(v, s)| v.iter().map(move |x| (x * s) as f32));
    let b = (0..d_out).flat_map(|o| p.left.iter().zip(&root).map(move |(u, s)| (u[o] * s) as f32));
    let made = [a.collect::<Vec<_>>(), b.collect::<Vec<_>>()];
    debug_assert_eq!((made[0].len(), made[1].len()), (root.len() * d_in, root.len() * d_out));
    made
}

/// W -= s B A.
fn subtract(w: &mut [f32], a: &[f32], b: &[f32], rank: usize, scale: f32, d_in: usize) {
    for (row, b) in w.chunks_mut(d_in).zip(b.chunks(rank)) {
        for (i, w) in row.iter_mut().enumerate() {
            let product: f64 = b.iter().enumerate().map(|(r, b)| f64::from(*b) * f64::from(a[r * d_in + i])).sum();
            *w = (f64::from(*w) - f64::from(scale) * product) as f32;
        }
    }
}

/// The adapter as one for the base as it was, given where it `start`ed; any other adapter as it is.
pub fn beside_base(adapter: AdapterFile, start: &[Tensor]) -> AdapterFile {
    let Kind::Lora { rank, alpha, rslora, dora, pissa: true, b_rate } = adapter.spec.kind else { return adapter };
    let tensors = adapter.tensors.into_iter().map(|t| match start.iter().find(|s| s.name == t.name) {
        Some(s) => widened(t, s, rank),
        None => t,
    });
    // alpha / r, or alpha / sqrt(r), is what it was.
    let alpha = alpha * if rslora { 2f64.sqrt() } else { 2.0 };
    let kind = Kind::Lora { rank: 2 * rank, alpha, rslora, dora, pissa: false, b_rate };
    AdapterFile { tensors: tensors.collect(), base: adapter.base, spec: Spec { kind, ..adapter.spec } }
}

/// [A; A_0], or [B, -B_0].
fn widened(t: Tensor, start: &Tensor, rank: usize) -> Tensor {
    if t.name.ends_with("lora_A.weight") {
        let shape = vec![2 * rank, t.shape[1]];
        return Tensor { shape, values: [t.values, start.values.clone()].concat(), name: t.name };
    }
    let rows = t.values.chunks(rank).zip(start.values.chunks(rank));
    let values = rows.flat_map(|(b, b0)| b.iter().copied().chain(b0.iter().map(|x| -x))).collect();
    Tensor { shape: vec![t.shape[0], 2 * rank], values, name: t.name }
}
