//! config.json as GGUF's metadata, and what llama.cpp computes otherwise or not at all.

use super::value::{Metadata, Value};
use crate::error::{Error, Result};
use crate::model::{Family, ModelConfig, Rope, RopeScaling};

/// llama.cpp's name of an architecture. Mistral is its Llama.
pub fn architecture(config: &ModelConfig) -> &'static str {
    match config.architecture {
        Family::Llama | Family::Mistral => "llama",
        Family::Qwen2 => "qwen2",
        Family::Qwen3 => "qwen3",
        Family::Phi3 => "phi3",
        Family::Gemma3 => "gemma3",
        Family::Gpt2 => "gpt2",
    }
}

/// The architecture's keys. `notes` gets what a person should know.
///
/// # Errors
/// Names the key of config.json that llama.cpp cannot compute with.
pub fn metadata(config: &ModelConfig, notes: &mut Vec<String>) -> Result<Metadata> {
    refuse(config)?;
    let mut out = Metadata::new();
    let mut put = |key: &str, value: Value| out.push((format!("{}.{key}", architecture(config)), value));
    let size = |n: usize| Value::U32(u32::try_from(n).unwrap_or(u32::MAX));
    put("block_count", size(config.num_hidden_layers));
    put("context_length", size(config.max_position_embeddings));
    put("embedding_length", size(config.hidden_size));
    put("feed_forward_length", size(config.intermediate_size));
    put("attention.head_count", size(config.num_attention_heads));
    put("attention.head_count_kv", size(config.num_key_value_heads));
    put("attention.key_length", size(config.head_dim));
    put("attention.value_length", size(config.head_dim));
    let eps = if config.layer_norm { "attention.layer_norm_epsilon" } else { "attention.layer_norm_rms_epsilon" };
    put(eps, Value::F32(config.norm_eps as f32));
    put("vocab_size", size(config.vocab_size));
    if !config.learned_positions {
        put("rope.dimension_count", size(config.rotary_dim));
        put("rope.freq_base", Value::F32(config.rope.theta as f32));
    }
    if let RopeScaling::Linear { factor } = config.rope.scaling {
        put("rope.scaling.type", Value::Text("linear".into()));
        put("rope.scaling.factor", Value::F32(factor as f32));
    }
    match (config.architecture, config.sliding_window) {
        (Family::Gemma3, Some(window)) => {
            let Some(period) = period(&config.sliding_layers) else { return Err(not_periodic()) };
            if period > 1 {
                put("attention.sliding_window", size(window));
                put("attention.sliding_window_pattern", size(period));
                put("rope.freq_base_swa", Value::F32(config.local_rope.as_ref().unwrap_or(&config.rope).theta as f32));
            }
        }
        (Family::Phi3, window) => {
            let key = "original_max_position_embeddings";
            let original = config.raw.get(key).and_then(serde_json::Value::as_u64).and_then(|n| usize::try_from(n).ok());
            put("rope.scaling.original_context_length", size(original.unwrap_or(config.max_position_embeddings)));
            // 0 is how llama.cpp knows a model without one.
            put("attention.sliding_window", size(window.unwrap_or(0)));
        }
        _ => {}
    }
    if let (Family::Mistral | Family::Phi3, Some(window)) = (config.architecture, config.sliding_window)
        && window < config.max_position_embeddings
    {
        notes.push(format!(
            "llama.cpp leaves this family's sliding window out: beyond {window} tokens it sees more than the model was made for"
        ));
    }
    Ok(out)
}

/// Divisors of the rotary frequencies for the tensor `rope_freqs.weight`, which llama.cpp reads for Llama 3's scaling. \[rotary_dim / 2\]
pub fn rope_divisors(config: &ModelConfig) -> Option<Vec<f32>> {
    let RopeScaling::Llama3 { .. } = config.rope.scaling else { return None };
    let plain = Rope { theta: config.rope.theta, scaling: RopeScaling::None }.inverse_frequencies(config.rotary_dim);
    let scaled = config.rope.inverse_frequencies(config.rotary_dim);
    Some(plain.iter().zip(scaled).map(|(plain, scaled)| (plain / scaled) as f32).collect())
}

/// Every how many layers one sees everything, all between having a window; 1 where all see everything.
fn period(sliding: &[bool]) -> Option<usize> {
    // Beyond the last layer where none sees everything.
    let period = sliding.iter().position(|s| !s).map_or(sliding.len() + 1, |first| first + 1);
    sliding.iter().enumerate().all(|(layer, s)| *s != (layer + 1).is_multiple_of(period)).then_some(period)
}

const INSTEAD: &str = "leave --format gguf out: transformers loads the merged folder";

fn not_periodic() -> Error {
    let what = "layers with a sliding window and layers without one must take turns evenly: llama.cpp knows the distance alone";
    Error::input("config.json: layer_types", what, INSTEAD)
}

fn refuse(config: &ModelConfig) -> Result<()> {
    let cannot = |key: &str, what: &str| Err(Error::input(format!("config.json: {key}"), what, INSTEAD));
    let family = config.architecture;
    if family == Family::Gpt2 && config.attention_scale == 1.0 {
        return cannot("scale_attn_weights", "llama.cpp divides by the root of a head's width in every layer of this family");
    }
    if matches!(family, Family::Qwen3 | Family::Gemma3) && (config.qkv_bias || config.o_bias) {
        return cannot("attention_bias", "llama.cpp has no biases in this family");
    }
    match config.rope.scaling {
        RopeScaling::Llama3 { .. } if architecture(config) != "llama" => {
            return cannot("rope_scaling", "llama.cpp has this rotary scaling in Llama alone");
        }
        RopeScaling::Listed(_) => return cannot("rope_scaling", "listed frequencies are not written"),
        _ => {}
    }
    if config.local_rope.as_ref().is_some_and(|rope| rope.scaling != RopeScaling::None) {
        return cannot("rope_parameters.sliding_attention", "llama.cpp scales the rotary positions of no layer with a window");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value as Json, json};

    fn config(class: &str, more: Json) -> ModelConfig {
        let mut all = json!({"architectures": [format!("{class}ForCausalLM")], "vocab_size": 8, "hidden_size": 64, "intermediate_size": 96,
            "num_hidden_layers": 4, "num_attention_heads": 2, "head_dim": 32});
        all.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        ModelConfig::from_json(&all.to_string(), "config.json").expect("config")
    }

    fn value(all: &Metadata, key: &str) -> Option<Value> {
        all.iter().find(|(k, _)| k == key).map(|(_, v)| v.clone())
    }

    #[test]
    fn layers_take_turns_or_are_refused() {
        for (sliding, want) in [
            (&[true, true, false, true, true, false, true][..], Some(3)),
            (&[true, true], Some(3)),
            (&[false, false], Some(1)),
            (&[true, false, false], None),
            (&[false, true], None),
        ] {
            assert_eq!(period(sliding), want, "{sliding:?}");
        }
        let mut notes = Vec::new();
        let types = |list: &[&str]| json!({"sliding_window": 16, "layer_types": list});
        let (s, f) = ("sliding_attention", "full_attention");
        let all = metadata(&config("Gemma3", types(&[s, f, s, f])), &mut notes).expect("even");
        assert_eq!(value(&all, "gemma3.attention.sliding_window_pattern"), Some(Value::U32(2)));
        assert_eq!(value(&all, "gemma3.rope.freq_base_swa"), Some(Value::F32(1e4)));
        let none = metadata(&config("Gemma3", types(&[f, f, f, f])), &mut notes).expect("none");
        assert_eq!(value(&none, "gemma3.attention.sliding_window"), None);
        let error = metadata(&config("Gemma3", types(&[f, s, s, f])), &mut notes).expect_err("uneven").to_string();
        assert!(error.contains("layer_types") && notes.is_empty(), "{error} {notes:?}");
    }

    #[test]
    fn what_llama_cpp_cannot_compute_is_refused() {
        let llama3 = json!({"rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64}});
        let ropes = json!({"full_attention": {"rope_type": "default"}, "sliding_attention": {"rope_type": "linear", "factor": 2.0}});
        for (class, more, key) in [
            ("Qwen3", json!({"attention_bias": true}), "attention_bias"),
            ("Gemma3", json!({"attention_bias": true}), "attention_bias"),
            ("Qwen2", llama3.clone(), "rope_scaling"),
            ("Gemma3", json!({"rope_parameters": ropes}), "sliding_attention"),
        ] {
            let error = metadata(&config(class, more), &mut Vec::new()).expect_err(key).to_string();
            assert!(error.contains(key), "{error}");
        }
        let divisors = rope_divisors(&config("Llama", llama3)).expect("scaled");
        assert_eq!((divisors.len(), divisors[0], divisors[15]), (16, 1.0, 8.0));
        assert_eq!(rope_divisors(&config("Llama", json!({}))), None);
    }

    #[test]
    fn learned_positions_have_no_rotary_keys() {
        let text = |more: &str| {
            let all = format!(
                r#"{{"architectures":["GPT2LMHeadModel"],"vocab_size":8,"n_embd":64,"n_layer":2,"n_head":4,"n_positions":99{more}}}"#
            );
            ModelConfig::from_json(&all, "config.json").expect("config")
        };
        let all = metadata(&text(""), &mut Vec::new()).expect("keys");
        assert_eq!(value(&all, "gpt2.context_length"), Some(Value::U32(99)));
        assert_eq!(value(&all, "gpt2.feed_forward_length"), Some(Value::U32(256)));
        assert_eq!(value(&all, "gpt2.attention.layer_norm_epsilon"), Some(Value::F32(1e-5)));
        assert!(all.iter().all(|(key, _)| !key.contains("rope") && !key.contains("rms")), "{all:?}");
        let error = metadata(&text(r#","scale_attn_weights":false"#), &mut Vec::new()).expect_err("refused").to_string();
        assert!(error.contains("scale_attn_weights"), "{error}");
    }

    #[test]
    fn a_window_that_is_left_out_is_told() {
        for (class, window, told) in [("Mistral", 8, true), ("Mistral", 1 << 20, false), ("Phi3", 8, true), ("Llama", 8, false)] {
            let mut notes = Vec::new();
            metadata(&config(class, json!({"sliding_window": window})), &mut notes).expect("keys");
            assert_eq!(notes.len(), usize::from(told), "{class} {window}");
        }
        let linear = config("Llama", json!({"rope_scaling": {"type": "linear", "factor": 2.0}}));
        let all = metadata(&linear, &mut Vec::new()).expect("keys");
        assert_eq!(value(&all, "llama.rope.scaling.type"), Some(Value::Text("linear".into())));
        assert_eq!(value(&all, "llama.rope.scaling.factor"), Some(Value::F32(2.0)));
    }
}
