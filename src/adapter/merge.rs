//! Merging: adapters added to the weights, so that other tools need to know nothing of them.
//!
//! W' = W + sum_k c_k Delta_k. DiaBlo's and LoRA's Delta do not depend on W, so they add up with any factors c_k, also of one another.

use super::files::{AdapterFile, Tensor};
use super::spec::Kind;
use super::{diablo, dora, lora};
use crate::error::{Error, Result};
use crate::model::weights::Site;
use rayon::prelude::*;

/// Adapters of one base, each with its factor.
#[derive(Clone, Debug, Default)]
pub struct Blend<'a> {
    parts: Vec<(&'a AdapterFile, f64)>,
}

impl<'a> From<&'a AdapterFile> for Blend<'a> {
    fn from(adapter: &'a AdapterFile) -> Self {
        Self { parts: vec![(adapter, 1.0)] }
    }
}

impl<'a> Blend<'a> {
    /// No adapter: the base as it is.
    pub fn none() -> Self {
        Self::default()
    }

    /// Several adapters with their factors.
    ///
    /// # Errors
    /// Where one of them is DoRA, which cannot be added up, or where they name different bases.
    pub fn new(parts: Vec<(&'a AdapterFile, f64)>) -> Result<Self> {
        let dora = |kind: &Kind| matches!(kind, Kind::Lora { dora: true, .. });
        if parts.iter().any(|(adapter, factor)| dora(&adapter.spec.kind) && (parts.len() > 1 || *factor != 1.0)) {
            return Err(Error::usage(
                "DoRA brings the rows of the changed weight to trained lengths, so it is no sum and takes no factor",
                "merge the DoRA adapter alone and without a factor, then the others into the folder that this writes",
            ));
        }
        let named: Vec<&str> = parts.iter().map(|(adapter, _)| base_name(&adapter.base)).filter(|name| !name.is_empty()).collect();
        if let Some(other) = named.iter().find(|name| !name.eq_ignore_ascii_case(named[0])) {
            return Err(Error::usage(
                format!("the adapters were trained on different models: {} and {other}", named[0]),
                "merge adapters of one base; where two names mean the same one, change base_model_name_or_path in adapter_config.json",
            ));
        }
        Ok(Self { parts })
    }

    /// What is added to the weight of a layer; `None` where no adapter attaches.
    pub fn change(&self, site: Site) -> Option<Change<'a>> {
        let parts: Vec<Part> = self.parts.iter().filter_map(|(adapter, factor)| Part::of(adapter, site, *factor)).collect();
        (!parts.is_empty()).then_some(Change { parts })
    }
}

/// The last part of a path or of a name on the hub: the same base may lie in different folders.
fn base_name(base: &str) -> &str {
    let base = base.trim_end_matches(['/', '\\']);
    base.rsplit(['/', '\\']).next().unwrap_or(base)
}

/// What is added to one weight.
#[derive(Clone, Debug)]
pub struct Change<'a> {
    parts: Vec<Part<'a>>,
}

impl Change<'_> {
    /// Adds row `o` of the change to row `o` of the weight. `sums` is room for the sums in 64 bits; the result is rounded once.
    pub fn add_to_row(&self, o: usize, row: &mut [f32], sums: &mut Vec<f64>) {
        sums.clear();
        sums.extend(row.iter().map(|w| f64::from(*w)));
        let mut length = None;
        for part in &self.parts {
            part.add(o, sums);
            length = length.or(part.length(o));
        }
        let factor = length.map_or(1.0, |m| m / sums.iter().map(|x| x * x).sum::<f64>().sqrt());
        for (w, s) in row.iter_mut().zip(&*sums) {
            *w = (s * factor) as f32;
        }
    }
}

/// What one adapter adds to one weight.
#[derive(Clone, Copy, Debug)]
enum Part<'a> {
    Blocks { blocks: &'a Tensor, factor: f64 },
    Product { a: &'a Tensor, b: &'a Tensor, factor: f64, magnitude: Option<&'a Tensor> },
}

impl<'a> Part<'a> {
    fn of(adapter: &'a AdapterFile, site: Site, factor: f64) -> Option<Self> {
        let find = |name: &str| adapter.tensors.iter().find(|t| t.name == name);
        match &adapter.spec.kind {
            Kind::Diablo { .. } => Some(Self::Blocks { blocks: find(&diablo::tensor_name(site))?, factor }),
            Kind::Lora { .. } => {
                let [a, b] = lora::tensor_names(site);
                let factor = factor * f64::from(adapter.spec.lora_scale());
                Some(Self::Product { a: find(&a)?, b: find(&b)?, factor, magnitude: find(&dora::tensor_name(site)) })
            }
            Kind::None | Kind::Full => None,
        }
    }

    fn add(&self, o: usize, row: &mut [f64]) {
        match self {
            // W[o, i] += c D[i / block_in][i mod block_in, o mod block_out] where o and i lie in the same block.
            Self::Blocks { blocks, factor } => {
                let [_, block_in, block_out] = blocks.shape[..] else { return };
                let first = (o / block_out) * block_in;
                for i in first..(first + block_in).min(row.len()) {
                    row[i] += factor * f64::from(blocks.values[i * block_out + o % block_out]);
                }
            }
            // W[o, i] += c s sum_r B[o, r] A[r, i].
            Self::Product { a, b, factor, .. } => {
                let (rank, d_in) = (a.shape[0], a.shape[1]);
                for r in 0..rank {
                    let factor = factor * f64::from(b.values[o * rank + r]);
                    for (s, a) in row.iter_mut().zip(&a.values[r * d_in..]) {
                        *s += factor * f64::from(*a);
                    }
                }
            }
        }
    }

    /// The length that DoRA brings row `o` of the sum to.
    fn length(&self, o: usize) -> Option<f64> {
        match self {
            Self::Product { magnitude: Some(m), .. } => Some(f64::from(m.values[o])),
            _ => None,
        }
    }
}

impl AdapterFile {
    /// Adds the adapter's matrix to `weight` [d_out, d_in], if it attaches to this site. Sums in 64 bits; rounded once.
    ///
    /// Returns whether it did.
    pub fn merge_into(&self, site: Site, weight: &mut [f32], d_in: usize) -> bool {
        let Some(change) = Blend::from(self).change(site) else { return false };
        weight.par_chunks_mut(d_in).enumerate().for_each_init(Vec::new, |sums, (o, row)| change.add_to_row(o, row, sums));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapter::Spec;

    fn adapter(spec: Spec, base: &str) -> AdapterFile {
        AdapterFile { spec, base: base.into(), tensors: Vec::new() }
    }

    fn lora(base: &str, with_lengths: bool) -> AdapterFile {
        let kind = Kind::Lora { rank: 2, alpha: 4.0, rslora: false, dora: with_lengths, pissa: false, b_rate: 1.0 };
        adapter(Spec { kind, ..Spec::lora(2, 4.0) }, base)
    }

    #[test]
    fn what_cannot_be_added_up_is_refused() {
        let (plain, lengths) = (lora("", false), lora("", true));
        assert!(Blend::new(vec![(&lengths, 1.0)]).is_ok());
        for parts in [vec![(&lengths, 0.5)], vec![(&plain, 1.0), (&lengths, 1.0)]] {
            let error = Blend::new(parts).expect_err("no sum").to_string();
            assert!(error.contains("DoRA") && error.contains("no sum"), "{error}");
        }
        let (here, there, other) = (lora("/models/Small/", false), lora("hub/small", false), lora("hub/large", false));
        assert!(Blend::new(vec![(&here, 0.5), (&plain, 0.5), (&there, 0.5)]).is_ok());
        let error = Blend::new(vec![(&plain, 0.5), (&here, 0.5), (&other, 0.5)]).expect_err("two bases").to_string();
        assert!(error.contains("Small and large"), "{error}");
    }
}
