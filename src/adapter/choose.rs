//! How many blocks: which numbers divide a layer, and the one that makes DiaBlo as large as LoRA.

use super::spec::{Kind, Spec};
use crate::error::{Error, Result};
use crate::model::ModelConfig;
use std::collections::BTreeMap;

/// The rank of LoRA whose trainable share the default number of blocks comes closest to.
pub const LORA_RANK: usize = 16;

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn divisors(n: usize) -> impl DoubleEndedIterator<Item = usize> {
    (1..=n).filter(move |d| n.is_multiple_of(*d))
}

/// Whether a layer can be cut into `n` blocks; otherwise an error that names the layer, its shape and the nearest numbers that work.
///
/// # Errors
/// Where a side does not divide and blocks are not padded, or there are more blocks than a side has rows.
pub fn check_blocks(layer: &str, d_out: usize, d_in: usize, n: usize, pad: bool) -> Result<()> {
    let common = gcd(d_out, d_in);
    if n > 0 && (common.is_multiple_of(n) || pad && n <= d_out.min(d_in)) {
        return Ok(());
    }
    let below = divisors(common).rfind(|d| *d < n);
    let above = divisors(common).find(|d| *d > n);
    let near: Vec<String> = below.into_iter().chain(above).map(|d| d.to_string()).collect();
    let pads = if pad { "" } else { ", or --pad-blocks to pad with zeros as the authors do" };
    Err(Error::usage(
        format!("{layer} [{d_out}, {d_in}] cannot be cut into {n} diagonal blocks"),
        format!("the nearest numbers that work there: {}{pads}", near.join(" and ")),
    ))
}

/// Every number of blocks that divides all of the targeted layers, rising.
pub fn workable(config: &ModelConfig, targets: &[&str]) -> Vec<usize> {
    let shapes = config.linear_shapes().into_iter().filter(|(module, ..)| targets.contains(module));
    divisors(shapes.fold(0, |g, (_, d_out, d_in)| gcd(g, gcd(d_out, d_in)))).collect()
}

/// The blocks of every targeted module: as asked, or the default (one N for all that brings the number of trained parameters
/// closest to LoRA's at rank [`LORA_RANK`]).
///
/// # Errors
/// Where a number that was asked for does not divide a layer.
pub fn blocks(
    config: &ModelConfig,
    targets: &[&'static str],
    asked: impl Fn(&str) -> Option<usize>,
    pad: bool,
) -> Result<BTreeMap<&'static str, usize>> {
    let shapes: Vec<_> = config.linear_shapes().into_iter().filter(|(module, ..)| targets.contains(module)).collect();
    let free: Vec<_> = shapes.iter().filter(|(module, ..)| asked(module).is_none()).collect();
    let common = free.iter().fold(0, |g, (_, d_out, d_in)| gcd(g, gcd(*d_out, *d_in)));
    let lora: usize = free.iter().map(|(_, d_out, d_in)| LORA_RANK * (d_out + d_in)).sum();
    let own: usize = free.iter().map(|(_, d_out, d_in)| d_out * d_in).sum();
    let distance = |n: usize| ((own as f64 / n as f64) / lora as f64).ln().abs();
    let default = divisors(common.max(1)).min_by(|a, b| distance(*a).total_cmp(&distance(*b))).unwrap_or(1);
    shapes
        .into_iter()
        .map(|(module, d_out, d_in)| {
            let n = asked(module).unwrap_or(default);
            check_blocks(module, d_out, d_in, n, pad)?;
            Ok((module, n))
        })
        .collect()
}

/// DiaBlo with the default number of blocks on all modules, or as asked.
///
/// # Errors
/// As [`blocks`].
pub fn diablo(
    config: &ModelConfig,
    targets: &[&'static str],
    asked: impl Fn(&str) -> Option<usize>,
    pad: bool,
    dropout: f32,
) -> Result<Spec> {
    let blocks = blocks(config, targets, asked, pad)?;
    Ok(Spec { kind: Kind::Diablo { blocks, pad }, targets: targets.to_vec(), dropout })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workable_numbers_divide_every_target() {
        let json = include_str!("../../assets/demo/model/config.json");
        let config = ModelConfig::from_json(json, "config.json").expect("the bundled configuration");
        assert_eq!(workable(&config, &["q_proj", "up_proj"]), [1, 2, 4, 8, 16, 32, 64, 128]);
        assert_eq!(workable(&config, &["k_proj"]), [1, 2, 4, 8, 16, 32, 64]);
        assert!(workable(&config, &[]).is_empty());
    }

    #[test]
    fn a_layer_that_does_not_divide_is_refused_with_what_works() {
        let error = check_blocks("model.layers.0.mlp.up_proj", 1536, 576, 7, false).expect_err("7 does not divide");
        let text = format!("{error} {}", error.hint().unwrap_or_default());
        for part in ["model.layers.0.mlp.up_proj", "[1536, 576]", "6 and 8", "--pad-blocks"] {
            assert!(text.contains(part), "{text}");
        }
        assert!(check_blocks("x", 1536, 576, 7, true).is_ok());
        assert!(check_blocks("x", 1536, 576, 8, false).is_ok());
        assert!(check_blocks("x", 16, 16, 0, true).is_err());
    }
}
