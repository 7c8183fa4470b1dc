//! Merging: the adapter added to the weights, so that other tools need to know nothing of it.

use super::files::{AdapterFile, Tensor};
use super::spec::Kind;
use super::{diablo, dora, lora};
use crate::model::weights::Site;

impl AdapterFile {
    /// Adds the adapter's matrix to `weight` [d_out, d_in], if it attaches to this site. Sums in 64 bits; rounded once.
    ///
    /// Returns whether it did.
    pub fn merge_into(&self, site: Site, weight: &mut [f32], d_in: usize) -> bool {
        let find = |name: &str| self.tensors.iter().find(|t| t.name == name);
        match &self.spec.kind {
            Kind::Diablo { .. } => match find(&diablo::tensor_name(site)) {
                Some(blocks) => add_blocks(blocks, weight, d_in),
                None => return false,
            },
            Kind::Lora { .. } => {
                let [a, b] = lora::tensor_names(site);
                match (find(&a), find(&b)) {
                    (Some(a), Some(b)) => add_product(a, b, f64::from(self.spec.lora_scale()), find(&dora::tensor_name(site)), weight),
                    _ => return false,
                }
            }
            Kind::None | Kind::Full => return false,
        }
        true
    }
}

/// W[o, i] += D[i / block_in][i mod block_in, o mod block_out] where o and i lie in the same block.
fn add_blocks(blocks: &Tensor, weight: &mut [f32], d_in: usize) {
    let [_, block_in, block_out] = blocks.shape[..] else { return };
    for (o, row) in weight.chunks_mut(d_in).enumerate() {
        let block = o / block_out;
        for i in block * block_in..((block + 1) * block_in).min(d_in) {
            row[i] += blocks.values[i * block_out + o % block_out];
        }
    }
}

/// W[o, i] += s sum_r B[o, r] A[r, i]; with DoRA's lengths m row o of the sum is then brought to length m[o].
fn add_product(a: &Tensor, b: &Tensor, scale: f64, magnitude: Option<&Tensor>, weight: &mut [f32]) {
    let (rank, d_in) = (a.shape[0], a.shape[1]);
    let mut sums = vec![0f64; d_in];
    for (o, row) in weight.chunks_mut(d_in).enumerate() {
        sums.fill(0.0);
        for r in 0..rank {
            let factor = scale * f64::from(b.values[o * rank + r]);
            for (s, a) in sums.iter_mut().zip(&a.values[r * d_in..]) {
                *s += factor * f64::from(*a);
            }
        }
        for (s, w) in sums.iter_mut().zip(&*row) {
            *s += f64::from(*w);
        }
        let factor = magnitude.map_or(1.0, |m| f64::from(m.values[o]) / sums.iter().map(|x| x * x).sum::<f64>().sqrt());
        for (w, s) in row.iter_mut().zip(&sums) {
            *w = (s * factor) as f32;
        }
    }
}
