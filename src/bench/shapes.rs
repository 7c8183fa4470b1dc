//! Architectures by name: the published config.json's sizes, without their weights.

use crate::error::{Error, Result};
use crate::model::ModelConfig;

/// Name, and its config.json's keys.
const SHAPES: [(&str, &str); 5] = [
    (
        "tinystories-656k",
        r#"{"architectures":["LlamaForCausalLM"],"vocab_size":2048,"hidden_size":128,"intermediate_size":384,"num_hidden_layers":2,
"num_attention_heads":8,"num_key_value_heads":4,"rms_norm_eps":1e-6,"rope_theta":10000.0,"tie_word_embeddings":true,
"max_position_embeddings":512,"hidden_act":"silu"}"#,
    ),
    (
        "smollm2-135m",
        r#"{"architectures":["LlamaForCausalLM"],"vocab_size":49152,"hidden_size":576,"intermediate_size":1536,"num_hidden_layers":30,
"num_attention_heads":9,"num_key_value_heads":3,"rms_norm_eps":1e-5,"rope_theta":100000.0,"tie_word_embeddings":true,
"max_position_embeddings":8192,"hidden_act":"silu"}"#,
    ),
    (
        "gemma-3-270m",
        r#"{"architectures":["Gemma3ForCausalLM"],"vocab_size":262144,"hidden_size":640,"intermediate_size":2048,"num_hidden_layers":18,
"num_attention_heads":4,"num_key_value_heads":1,"head_dim":256,"rms_norm_eps":1e-6,"rope_theta":1000000.0,
"rope_local_base_freq":10000.0,"sliding_window":512,"query_pre_attn_scalar":256,"tie_word_embeddings":true,
"max_position_embeddings":32768,"hidden_activation":"gelu_pytorch_tanh"}"#,
    ),
    (
        "qwen3-0.6b",
        r#"{"architectures":["Qwen3ForCausalLM"],"vocab_size":151936,"hidden_size":1024,"intermediate_size":3072,"num_hidden_layers":28,
"num_attention_heads":16,"num_key_value_heads":8,"head_dim":128,"rms_norm_eps":1e-6,"rope_theta":1000000.0,
"tie_word_embeddings":true,"max_position_embeddings":40960,"hidden_act":"silu"}"#,
    ),
    (
        "llama-3.2-1b",
        r#"{"architectures":["LlamaForCausalLM"],"vocab_size":128256,"hidden_size":2048,"intermediate_size":8192,"num_hidden_layers":16,
"num_attention_heads":32,"num_key_value_heads":8,"head_dim":64,"rms_norm_eps":1e-5,"rope_theta":500000.0,
"rope_scaling":{"rope_type":"llama3","factor":32.0,"low_freq_factor":1.0,"high_freq_factor":4.0,
"original_max_position_embeddings":8192},"tie_word_embeddings":true,"max_position_embeddings":131072,"hidden_act":"silu"}"#,
    ),
];

/// The names.
pub fn names() -> impl Iterator<Item = &'static str> {
    SHAPES.iter().map(|(name, _)| *name)
}

/// The architecture of that name.
///
/// # Errors
/// Lists the names there are.
pub fn named(name: &str) -> Result<ModelConfig> {
    let (_, json) = SHAPES.iter().find(|(n, _)| *n == name).ok_or_else(|| {
        Error::usage(format!("no shape is named {name:?}"), format!("there are: {}", names().collect::<Vec<_>>().join(", ")))
    })?;
    ModelConfig::from_json(json, name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_published() {
        let sizes: Vec<u64> = names().map(|n| named(n).expect("a shape").num_parameters()).collect();
        assert_eq!(sizes, [656_000, 134_515_008, 268_098_176, 596_049_920, 1_235_814_400]);
    }
}
