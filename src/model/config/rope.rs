//! Rotary positions as config.json describes them, in the layouts that it has had.

use super::super::rope::{Rope, RopeScaling};
use super::Family;
use super::keys::{Keys, brief};
use crate::error::Result;

fn theta(keys: &Keys, key: &str, default: f64) -> Result<f64> {
    keys.number(key, Some(default), 1.0, 1e15)
}

/// Numbers of a head that are rotated: all, in GPT-2 none, or in Phi-3 a part, rounded down as transformers does.
pub(super) fn rotary_dim(keys: &Keys, architecture: Family, head_dim: usize) -> Result<usize> {
    if architecture == Family::Gpt2 {
        return Ok(0);
    }
    if architecture != Family::Phi3 {
        return Ok(head_dim);
    }
    const FACTOR: &str = "partial_rotary_factor";
    let outer = keys.number(FACTOR, Some(1.0), 0.0, 1.0)?;
    let factor = match keys.object("rope_parameters")? {
        Some(map) => Keys { place: keys.place, prefix: "rope_parameters.", map }.number(FACTOR, Some(outer), 0.0, 1.0)?,
        None => outer,
    };
    let rotary_dim = (head_dim as f64 * factor) as usize;
    if rotary_dim == 0 || !rotary_dim.is_multiple_of(2) {
        let what = format!("{factor} of a head of {head_dim} is {rotary_dim} numbers, which cannot be rotated in pairs");
        return Err(keys.error(FACTOR, what, ""));
    }
    Ok(rotary_dim)
}

fn whole(keys: &Keys) -> Result<()> {
    match keys.number("partial_rotary_factor", Some(1.0), 0.0, 1.0)? {
        1.0 => Ok(()),
        _ => Err(keys.error("partial_rotary_factor", "rotating only a part of each head is not supported", "")),
    }
}

/// One rope for all layers. transformers 5 has `rope_parameters`; 4 has `rope_theta` beside `rope_scaling`, whose type key was once
/// `type`.
///
/// Precedence as in transformers 5's `convert_rope_params_to_dict`: a `rope_scaling` that is not empty, then `rope_parameters`;
/// the theta inside it, then the outer one.
pub(super) fn one(keys: &Keys, architecture: Family) -> Result<Rope> {
    let partial = architecture == Family::Phi3;
    if !partial {
        whole(keys)?;
    }
    let outer_theta = theta(keys, "rope_theta", 10_000.0)?;
    let scaling = keys.object("rope_scaling")?.filter(|map| !map.is_empty());
    let (prefix, map) = match (scaling, keys.object("rope_parameters")?) {
        (Some(map), _) => ("rope_scaling.", map),
        (None, Some(map)) => ("rope_parameters.", map),
        (None, None) => return Ok(Rope { theta: outer_theta, scaling: RopeScaling::None }),
    };
    let inner = Keys { place: keys.place, prefix, map };
    if let Some((key, _)) = map.iter().find(|(_, value)| value.is_object()) {
        return Err(inner.error(&brief(&key.as_str().into()), "a rope of its own for each type of layer is not supported", ""));
    }
    if !partial {
        whole(&inner)?;
    }
    parameters(&inner, outer_theta)
}

/// Gemma 3's two ropes, of full layers and of those with a sliding window: transformers 5 has one set of `rope_parameters` for each,
/// 4 had `rope_theta`, `rope_scaling` (of full layers alone) and `rope_local_base_freq`.
///
/// Precedence as in `Gemma3TextConfig.convert_rope_params_to_dict`: a `rope_scaling` is laid over the full layers' parameters, a theta
/// inside `rope_parameters` goes before the outer one.
pub(super) fn by_layer_type(keys: &Keys) -> Result<(Rope, Option<Rope>)> {
    whole(keys)?;
    let outer = keys.object("rope_parameters")?;
    let nested = |name: &'static str| -> Result<_> {
        let Some(map) = outer else { return Ok(None) };
        Keys { place: keys.place, prefix: "rope_parameters.", map }.object(name)
    };
    let (full, local) = (nested("full_attention")?, nested("sliding_attention")?);
    if outer.is_some_and(|map| !map.is_empty()) && full.is_none() && local.is_none() {
        let what = "must have full_attention and sliding_attention, each with its own parameters";
        return Err(keys.error("rope_parameters", what, "take the config.json that came with the model"));
    }
    let mut full = full.cloned().unwrap_or_default();
    let scaling = keys.object("rope_scaling")?.filter(|map| !map.is_empty());
    let prefix = if scaling.is_some() { "rope_scaling." } else { "rope_parameters.full_attention." };
    full.extend(scaling.cloned().unwrap_or_default());
    let full = parameters(&Keys { place: keys.place, prefix, map: &full }, theta(keys, "rope_theta", 1_000_000.0)?)?;
    let local_theta = theta(keys, "rope_local_base_freq", 10_000.0)?;
    let local = match local {
        Some(map) => parameters(&Keys { place: keys.place, prefix: "rope_parameters.sliding_attention.", map }, local_theta)?,
        None => Rope { theta: local_theta, scaling: RopeScaling::None },
    };
    Ok((full, Some(local)))
}

/// Theta and scaling of one object.
fn parameters(inner: &Keys, outer_theta: f64) -> Result<Rope> {
    let theta = theta(inner, "rope_theta", outer_theta)?;
    let key = if inner.get("rope_type").is_some() { "rope_type" } else { "type" };
    let factor = || inner.number("factor", None, 1.0, 1e6);
    let scaling = match inner.text(key)? {
        None | Some("default") => RopeScaling::None,
        Some("linear") => RopeScaling::Linear { factor: factor()? },
        Some("llama3") => {
            let (factor, low) = (factor()?, inner.number("low_freq_factor", None, 1e-6, 1e6)?);
            let high = inner.number("high_freq_factor", None, 1e-6, 1e6)?;
            if high <= low {
                return Err(inner.error("high_freq_factor", format!("{high} is not above low_freq_factor, which is {low}"), ""));
            }
            let original = inner.size("original_max_position_embeddings", None, 1 << 30)?;
            RopeScaling::Llama3 { factor, low_freq_factor: low, high_freq_factor: high, original_max_position_embeddings: original }
        }
        Some(other) => {
            let what = format!("rope type {} is not supported", brief(&other.into()));
            return Err(inner.error(key, what, "supported: default, linear, llama3"));
        }
    };
    Ok(Rope { theta, scaling })
}
