//! What the families differ in.

use serde_json::Value;

use super::Family;
use super::keys::{Keys, brief};
use crate::error::Result;

/// The architectures that are known: transformers' class, the class of the bare decoder, which saving that alone writes, and
/// `model_type`.
const KNOWN: [(Family, &str, &str, &str); 7] = [
    (Family::Llama, "LlamaForCausalLM", "LlamaModel", "llama"),
    (Family::Qwen2, "Qwen2ForCausalLM", "Qwen2Model", "qwen2"),
    (Family::Qwen3, "Qwen3ForCausalLM", "Qwen3Model", "qwen3"),
    (Family::Mistral, "MistralForCausalLM", "MistralModel", "mistral"),
    (Family::Phi3, "Phi3ForCausalLM", "Phi3Model", "phi3"),
    (Family::Gemma3, "Gemma3ForCausalLM", "Gemma3TextModel", "gemma3_text"),
    (Family::Gpt2, "GPT2LMHeadModel", "GPT2Model", "gpt2"),
];

/// The family's own name of a key that Llama has.
pub(super) fn key(architecture: Family, llama: &'static str) -> &'static str {
    match (architecture, llama) {
        (Family::Gpt2, "hidden_size") => "n_embd",
        (Family::Gpt2, "intermediate_size") => "n_inner",
        (Family::Gpt2, "num_hidden_layers") => "n_layer",
        (Family::Gpt2, "num_attention_heads") => "n_head",
        (Family::Gpt2, "max_position_embeddings") => "n_positions",
        (Family::Gpt2, "rms_norm_eps") => "layer_norm_epsilon",
        _ => llama,
    }
}

pub(super) fn family(keys: &Keys) -> Result<Family> {
    let supported = format!("supported architectures: {}", KNOWN.map(|known| known.1).join(", "));
    let unknown = |key: &str, name: String| keys.error(key, format!("{name} is not supported"), &supported);
    if let Some(value) = keys.get("architectures") {
        let Some(list) = value.as_array() else {
            return Err(keys.error("architectures", format!("must be a list of names, not {}", brief(value)), ""));
        };
        if let Some(first) = list.first() {
            let known = KNOWN.iter().find(|known| [known.1, known.2].iter().any(|name| first == name));
            return known.map(|known| known.0).ok_or_else(|| unknown("architectures", brief(first)));
        }
    }
    match keys.text("model_type")? {
        Some(name) => match KNOWN.iter().find(|known| known.3 == name) {
            Some(known) => Ok(known.0),
            None => Err(unknown("model_type", brief(&name.into()))),
        },
        None => Err(keys.error("architectures", "is missing, and so is model_type", &supported)),
    }
}

/// Switches that would change the numbers, and that nothing here computes.
pub(super) fn refuse_what_is_not_supported(keys: &Keys, architecture: Family) -> Result<()> {
    let (act, known): (_, &[&str]) = match architecture {
        Family::Gemma3 => ("hidden_activation", &["gelu_pytorch_tanh"]),
        // Three names of one function.
        Family::Gpt2 => ("activation_function", &["gelu_new", "gelu_pytorch_tanh", "gelu_fast"]),
        // `swish` is transformers' other name for the same function.
        _ => ("hidden_act", &["silu", "swish"]),
    };
    if let Some(name) = keys.text(act)?
        && !known.contains(&name)
    {
        return Err(keys.error(act, format!("{} is not supported; only {} is", brief(&name.into()), known[0]), ""));
    }
    if architecture == Family::Gemma3 {
        for key in ["attn_logit_softcapping", "final_logit_softcapping"] {
            if keys.get(key).is_some() {
                return Err(keys.error(key, "capping logits is not supported", "Gemma 3 sets it to null; Gemma 2 is not supported"));
            }
        }
        if keys.bool("use_bidirectional_attention")? {
            return Err(keys.error("use_bidirectional_attention", "only causal attention is supported", ""));
        }
    } else {
        let sliding = "sliding window attention is not supported";
        if keys.bool("use_sliding_window")? {
            return Err(keys.error("use_sliding_window", sliding, "set it to false if training texts are shorter than the window"));
        }
        if let Some(types) = keys.get("layer_types")
            && types.as_array().is_none_or(|types| types.iter().any(|kind| kind != "full_attention"))
        {
            return Err(keys.error("layer_types", format!("{sliding}; every layer must be full_attention"), ""));
        }
    }
    if architecture == Family::Gpt2 {
        for (key, what) in [
            ("scale_attn_by_inverse_layer_idx", "attention scaled by the layer's number is not supported"),
            ("add_cross_attention", "attention to an encoder is not supported"),
        ] {
            if keys.bool(key)? {
                return Err(keys.error(key, what, ""));
            }
        }
    }
    if keys.get("quantization_config").is_some() {
        return Err(keys.error(
            "quantization_config",
            "quantised checkpoints are not supported",
            "use the model saved in bf16, f16 or f32",
        ));
    }
    Ok(())
}

pub(super) fn head_dim(keys: &Keys, architecture: Family, hidden_size: usize, heads: usize) -> Result<usize> {
    let (width, count) = (key(architecture, "hidden_size"), key(architecture, "num_attention_heads"));
    // Defaults that are a number of their own; a written null means the quotient there too.
    let own = match architecture {
        Family::Qwen3 => Some(128),
        Family::Gemma3 => Some(256),
        _ => None,
    };
    let head_dim = if keys.get("head_dim").is_some() && architecture != Family::Gpt2 {
        keys.size("head_dim", None, 256)?
    } else if let (Some(own), false) = (own, keys.map.contains_key("head_dim")) {
        own
    } else if hidden_size.is_multiple_of(heads) {
        hidden_size / heads
    } else {
        let none = if architecture == Family::Gpt2 { "" } else { ", and there is no head_dim" };
        return Err(keys.error(count, format!("{heads} does not divide {width}, which is {hidden_size}{none}"), ""));
    };
    if head_dim > 256 || !head_dim.is_multiple_of(2) {
        let key = if architecture == Family::Gpt2 { count } else { "head_dim" };
        let what = if architecture == Family::Gpt2 { "a head's width, n_embd / n_head, " } else { "" };
        return Err(keys.error(key, format!("{what}must be even and at most 256, not {head_dim}"), ""));
    }
    Ok(head_dim)
}

pub(super) fn attention_scale(keys: &Keys, architecture: Family, head_dim: usize) -> Result<f64> {
    let over = match architecture {
        Family::Gemma3 => keys.number("query_pre_attn_scalar", Some(256.0), 1e-6, 1e9)?,
        Family::Gpt2 if !keys.bool_or("scale_attn_weights", true)? => 1.0,
        _ => head_dim as f64,
    };
    Ok(1.0 / over.sqrt())
}

/// The window, and which layers have it.
pub(super) fn sliding(keys: &Keys, architecture: Family, layers: usize) -> Result<Option<(usize, Vec<bool>)>> {
    let absent = match (architecture, keys.map.get("sliding_window")) {
        (Family::Mistral, Some(Value::Null)) | (Family::Phi3, None | Some(Value::Null)) => return Ok(None),
        (Family::Gemma3, Some(Value::Null)) => None,
        (Family::Mistral | Family::Phi3 | Family::Gemma3, _) => Some(4096),
        // Qwen has the key too; there use_sliding_window decides, and that is refused.
        (Family::Llama | Family::Qwen2 | Family::Qwen3 | Family::Gpt2, _) => return Ok(None),
    };
    let window = keys.size("sliding_window", absent, 1 << 30)?;
    if architecture != Family::Gemma3 {
        return Ok(Some((window, vec![true; layers])));
    }
    let sliding = match keys.get("layer_types") {
        // transformers before 4.53 wrote the distance of full layers alone.
        None => {
            let key = if keys.get("sliding_window_pattern").is_some() { "sliding_window_pattern" } else { "_sliding_window_pattern" };
            let pattern = keys.size(key, Some(6), 1024)?;
            (0..layers).map(|layer| !(layer + 1).is_multiple_of(pattern)).collect()
        }
        Some(types) => {
            let types = types.as_array().filter(|types| types.len() == layers);
            let types = types.ok_or_else(|| keys.error("layer_types", format!("must be a list of {layers} names, one a layer"), ""))?;
            let kind = |kind: &Value| match kind.as_str() {
                Some("sliding_attention") => Ok(true),
                Some("full_attention") => Ok(false),
                _ => Err(keys.error(
                    "layer_types",
                    format!("{} is not supported", brief(kind)),
                    "supported: sliding_attention, full_attention",
                )),
            };
            types.iter().map(kind).collect::<Result<Vec<_>>>()?
        }
    };
    Ok(Some((window, sliding)))
}

/// The context where `max_position_embeddings` is absent.
pub(super) fn context(architecture: Family) -> usize {
    match architecture {
        Family::Gpt2 => 1024,
        Family::Llama => 2048,
        Family::Qwen2 | Family::Qwen3 => 32_768,
        Family::Phi3 => 4096,
        Family::Mistral | Family::Gemma3 => 131_072,
    }
}

/// A written null is none everywhere.
pub(super) fn bos(keys: &Keys, architecture: Family) -> Result<Option<u32>> {
    match keys.map.get("bos_token_id") {
        None => Ok(match architecture {
            Family::Llama | Family::Mistral | Family::Phi3 => Some(1),
            Family::Gemma3 => Some(2),
            Family::Gpt2 => Some(50_256),
            Family::Qwen2 | Family::Qwen3 => None,
        }),
        Some(Value::Null) => Ok(None),
        Some(value) => keys.token("bos_token_id", value).map(Some),
    }
}

/// A number, a list or null.
pub(super) fn eos(keys: &Keys, architecture: Family) -> Result<Vec<u32>> {
    match keys.map.get("eos_token_id") {
        None => Ok(match architecture {
            Family::Llama | Family::Mistral => vec![2],
            Family::Phi3 => vec![32_000],
            Family::Gemma3 => vec![1],
            Family::Gpt2 => vec![50_256],
            Family::Qwen2 | Family::Qwen3 => Vec::new(),
        }),
        Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(list)) => list.iter().map(|value| keys.token("eos_token_id", value)).collect(),
        Some(value) => Ok(vec![keys.token("eos_token_id", value)?]),
    }
}
