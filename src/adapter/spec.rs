//! What an adapter is, apart from its numbers.

use crate::model::ModelConfig;
use crate::model::modules::MODULES;
use std::collections::BTreeMap;

/// Which tensors train.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// Nothing: the model as it is.
    None,
    /// Diagonal blocks (arXiv 2506.03230).
    Diablo {
        /// Blocks by module name.
        blocks: BTreeMap<&'static str, usize>,
        /// Sides that do not divide are padded with zeros to ceil(side / N) x N, as the authors do.
        pad: bool,
    },
    /// A low-rank product (Hu et al. 2021).
    Lora {
        /// Rank r.
        rank: usize,
        /// The product is scaled by alpha / r.
        alpha: f64,
        /// The product is scaled by alpha / sqrt(r) instead (Kalajdzievski 2023).
        rslora: bool,
        /// The sum's rows are brought to trained lengths: DoRA (Liu et al. 2024).
        dora: bool,
        /// The factors start as the weight's principal singular vectors and the base keeps the rest: PiSSA (Meng et al. 2024).
        pissa: bool,
        /// Factor of B's learning rate: LoRA+ (Hayou et al. 2024).
        b_rate: f32,
    },
    /// Every parameter of the model.
    Full,
}

/// An adapter without its numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// Which tensors train.
    pub kind: Kind,
    /// Modules that it attaches to.
    pub targets: Vec<&'static str>,
    /// Probability that an input of the adapter's branch is dropped while training.
    pub dropout: f32,
}

impl Spec {
    /// The model as it is.
    pub fn none() -> Self {
        Self { kind: Kind::None, targets: Vec::new(), dropout: 0.0 }
    }

    /// Every parameter.
    pub fn full() -> Self {
        Self { kind: Kind::Full, targets: Vec::new(), dropout: 0.0 }
    }

    /// LoRA as it was first, on every module and without dropout.
    pub fn lora(rank: usize, alpha: f64) -> Self {
        let kind = Kind::Lora { rank, alpha, rslora: false, dora: false, pissa: false, b_rate: 1.0 };
        Self { kind, targets: MODULES.to_vec(), dropout: 0.0 }
    }

    /// The factor of LoRA's product.
    pub fn lora_scale(&self) -> f32 {
        match self.kind {
            Kind::Lora { rank, alpha, rslora, .. } => (alpha / if rslora { (rank as f64).sqrt() } else { rank as f64 }) as f32,
            _ => 1.0,
        }
    }

    /// Numbers that train, and the model's own.
    pub fn trainable(&self, config: &ModelConfig) -> u64 {
        if self.kind == Kind::Full {
            return config.num_parameters();
        }
        let of = |(module, d_out, d_in): (&'static str, usize, usize)| -> u64 {
            if !self.targets.contains(&module) {
                return 0;
            }
            match &self.kind {
                Kind::Diablo { blocks, .. } => {
                    let n = blocks.get(module).copied().unwrap_or(1);
                    (n * d_out.div_ceil(n) * d_in.div_ceil(n)) as u64
                }
                Kind::Lora { rank, dora, .. } => (rank * (d_out + d_in) + if *dora { d_out } else { 0 }) as u64,
                Kind::None | Kind::Full => 0,
            }
        };
        config.num_hidden_layers as u64 * config.linear_shapes().into_iter().map(of).sum::<u64>()
    }
}
