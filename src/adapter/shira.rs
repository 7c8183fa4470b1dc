//! DiaBlo written as a SHiRA adapter ("Sparse High Rank Adapters", arXiv 2406.13175), which stock peft loads.
//!
//! SHiRA adds a sparse matrix to a weight: a vector of values, and the row (output) and column (input) of each. peft fixes how many
//! there are, r (d_in + d_out) for one r over all layers (`peft.tuners.shira.layer`), so what the blocks do not fill is filled with
//! zeros at places where no block lies.

use super::files::{AdapterFile, CONFIG_FILE, Tensor, WEIGHTS_FILE, f32_bytes};
use super::spec::Kind;
use super::{MODULES, diablo};
use crate::error::{Error, Result};
use crate::files::{self, atomic_write_bytes};
use crate::model::ModelConfig;
use crate::model::modules::transposed;
use crate::model::weights::Site;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::Path;

/// The sparse matrix of one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Sparse {
    /// Output and input of each entry, by rising output.
    pub places: Vec<(usize, usize)>,
    /// What is added there.
    pub values: Vec<f32>,
}

/// The blocks [N, block_in, block_out] of a weight [d_out, d_in] as `count` entries; those that are no block's are zero. What pads a
/// block lies outside the weight and is left out.
pub fn sparse(blocks: &Tensor, d_out: usize, d_in: usize, count: usize) -> Sparse {
    let [_, block_in, block_out] = blocks.shape[..] else { return Sparse { places: Vec::new(), values: Vec::new() } };
    let in_block = |o: usize, i: usize| o / block_out == i / block_in;
    let mut spare = count.saturating_sub(entries(d_out, d_in, block_out, block_in));
    let mut made = Sparse { places: Vec::with_capacity(count), values: Vec::with_capacity(count) };
    for (o, i) in (0..d_out).flat_map(|o| (0..d_in).map(move |i| (o, i))) {
        if in_block(o, i) {
            made.values.push(blocks.values[i * block_out + o % block_out]);
        } else if spare > 0 {
            spare -= 1;
            made.values.push(0.0);
        } else {
            continue;
        }
        made.places.push((o, i));
    }
    made
}

/// Numbers of a weight [d_out, d_in] that lie in a block.
fn entries(d_out: usize, d_in: usize, block_out: usize, block_in: usize) -> usize {
    let side = |size: usize, block: usize, n: usize| size.saturating_sub(n * block).min(block);
    (0..d_out.div_ceil(block_out)).map(|n| side(d_out, block_out, n) * side(d_in, block_in, n)).sum()
}

/// The smallest r with r (d_in + d_out) places for every layer's entries. `layers`: name, d_out, d_in, entries.
///
/// # Errors
/// Where another layer has fewer numbers in all than that.
pub fn rank<'a>(layers: impl Iterator<Item = (&'a str, usize, usize, usize)> + Clone) -> Result<usize> {
    let needed = layers.clone().map(|(name, d_out, d_in, entries)| (entries.div_ceil(d_out + d_in).max(1), name));
    let Some((r, large)) = needed.max_by_key(|(r, _)| *r) else { return Ok(1) };
    match layers.into_iter().find(|(_, d_out, d_in, _)| r * (d_out + d_in) > d_out * d_in) {
        None => Ok(r),
        Some((small, d_out, d_in, _)) => Err(Error::usage(
            format!(
                "as SHiRA every layer takes r (d_in + d_out) numbers: {large} needs r = {r}, and {small} [{d_out}, {d_in}] has no room"
            ),
            "export it merged, or train with more blocks on the layers that have the largest",
        )),
    }
}

/// Writes the adapter as peft reads SHiRA. The folder must be empty; it is made.
///
/// # Errors
/// Where the adapter is not DiaBlo's, its blocks do not fit, or a file cannot be written.
pub fn save(adapter: &AdapterFile, config: &ModelConfig, folder: &Path) -> Result<()> {
    if !matches!(adapter.spec.kind, Kind::Diablo { .. }) {
        return Err(Error::usage("only DiaBlo is written as SHiRA", "the run's folder is what peft loads for LoRA"));
    }
    if config.linear_shapes().iter().any(|(module, ..)| transposed(module)) {
        return Err(Error::usage("peft's SHiRA knows no layers as GPT-2 has them (Conv1D)", "export it merged: leave --format shira out"));
    }
    if files::names(folder).is_ok_and(|names| !names.is_empty()) {
        return Err(Error::usage(format!("{}: the folder is not empty", folder.display()), "give a new folder with --out"));
    }
    let mut layers = Vec::new();
    for layer in 0..config.num_hidden_layers {
        for (module, d_out, d_in) in config.linear_shapes() {
            let site = Site { layer, module };
            let Some(blocks) = adapter.tensors.iter().find(|t| t.name == diablo::tensor_name(site)) else { continue };
            let [_, block_in, block_out] = blocks.shape[..] else { continue };
            layers.push((site.path(), blocks, d_out, d_in, entries(d_out, d_in, block_out, block_in)));
        }
    }
    let r = rank(layers.iter().map(|(name, _, d_out, d_in, entries)| (name.as_str(), *d_out, *d_in, *entries)))?;
    let mut stored: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = Vec::new();
    for (path, blocks, d_out, d_in, _) in &layers {
        let Sparse { places, values } = sparse(blocks, *d_out, *d_in, r * (d_out + d_in));
        let index = |x: usize| i32::try_from(x).map_err(|_| Error::usage(format!("{path} is too large for 32-bit places"), ""));
        let (rows, columns) = (places.iter().map(|p| p.0), places.iter().map(|p| p.1));
        let mut indices = Vec::with_capacity(8 * places.len());
        for place in rows.chain(columns) {
            indices.extend(index(place)?.to_le_bytes());
        }
        let name = |end: &str| format!("base_model.model.{path}.shira_{end}");
        stored.push((name("indices"), Dtype::I32, vec![2, places.len()], indices));
        stored.push((name("weight"), Dtype::F32, vec![values.len()], f32_bytes(&values)));
    }
    files::create_dir_all(folder).map_err(Error::io(folder))?;
    let path = folder.join(WEIGHTS_FILE);
    let wrong = |e: safetensors::SafeTensorError| Error::input(path.display().to_string(), format!("cannot be written: {e}"), "");
    let views: Vec<(&str, TensorView<'_>)> = stored
        .iter()
        .map(|(name, dtype, shape, bytes)| Ok((name.as_str(), TensorView::new(*dtype, shape.clone(), bytes)?)))
        .collect::<std::result::Result<_, _>>()
        .map_err(wrong)?;
    let metadata = HashMap::from([("format".to_string(), "pt".to_string())]);
    atomic_write_bytes(&path, &safetensors::serialize(views, Some(metadata)).map_err(wrong)?)?;
    let mut text = serde_json::to_string_pretty(&config_json(adapter, r)).unwrap_or_default();
    text.push('\n');
    atomic_write_bytes(&folder.join(CONFIG_FILE), text.as_bytes())
}

fn config_json(adapter: &AdapterFile, r: usize) -> Value {
    let targets: Vec<&str> = MODULES.into_iter().filter(|m| adapter.spec.targets.contains(m)).collect();
    json!({
        "peft_type": "SHIRA",
        "r": r,
        // Which places: those in the file. peft draws a mask when it makes the layer, and the file's places replace it.
        "mask_type": "random",
        "random_seed": null,
        "init_weights": true,
        "fan_in_fan_out": false,
        "modules_to_save": null,
        "base_model_name_or_path": adapter.base,
        "inference_mode": true,
        "target_modules": targets,
        "task_type": "CAUSAL_LM",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_the_blocks_and_zeros_elsewhere() {
        // [5, 4] in 3 padded blocks of 2 outputs and 2 inputs: the third has one output and no input.
        let values: Vec<f32> = (1..=12).map(|x| x as f32).collect();
        let blocks = Tensor { name: String::new(), shape: vec![3, 2, 2], values };
        assert_eq!(entries(5, 4, 2, 2), 8);
        let made = sparse(&blocks, 5, 4, 9);
        assert_eq!(made.places, [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (2, 2), (2, 3), (3, 2), (3, 3)]);
        assert_eq!(made.values, [1.0, 3.0, 0.0, 2.0, 4.0, 5.0, 7.0, 6.0, 8.0]);
    }

    #[test]
    fn the_rank_holds_every_layer_s_entries() {
        assert_eq!(rank([("q", 64, 64, 1024), ("down", 64, 176, 2816)].into_iter()).expect("fits"), 12);
        let error = rank([("k", 8, 64, 64), ("down", 64, 176, 5632)].into_iter()).expect_err("no room");
        assert!(error.to_string().contains("down needs r = 24, and k [8, 64]"), "{error}");
    }
}
