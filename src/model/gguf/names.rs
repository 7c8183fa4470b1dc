//! Parameters under llama.cpp's names, and in what their numbers differ from transformers'.

use crate::model::names::HEAD;
use crate::model::{Family, ModelConfig};

/// llama.cpp's name of a parameter; `None` for one that it has no name for.
pub fn tensor_name(config: &ModelConfig, parameter: &str) -> Option<String> {
    let names = config.architecture.names();
    if let Some(table) = names.tables().find(|table| *table == parameter) {
        let name = match table {
            HEAD => "output",
            table if names.positions == Some(table) => "position_embd",
            _ => "token_embd",
        };
        return Some(format!("{name}.weight"));
    }
    let (path, kind) = parameter.rsplit_once('.')?;
    if path == names.norm {
        return Some(format!("output_norm.{kind}"));
    }
    let (layer, path) = path.strip_prefix(names.layers)?.strip_prefix('.')?.split_once('.')?;
    let gemma = config.architecture == Family::Gemma3;
    // Two of GPT-2's layers have one name.
    let own = if path.ends_with(".c_proj") { path } else { path.rsplit('.').next()? };
    let name = match own {
        "input_layernorm" | "ln_1" => "attn_norm",
        "q_proj" => "attn_q",
        "k_proj" => "attn_k",
        "v_proj" => "attn_v",
        "qkv_proj" | "c_attn" => "attn_qkv",
        "q_norm" => "attn_q_norm",
        "k_norm" => "attn_k_norm",
        "o_proj" | "attn.c_proj" => "attn_output",
        // In Gemma it is the norm behind attention, elsewhere the one before the feed-forward half.
        "post_attention_layernorm" if gemma => "post_attention_norm",
        "post_attention_layernorm" | "pre_feedforward_layernorm" | "ln_2" => "ffn_norm",
        "post_feedforward_layernorm" => "post_ffw_norm",
        "gate_proj" => "ffn_gate",
        // Phi-3's layer of gate and up has the name of up.
        "up_proj" | "gate_up_proj" | "c_fc" => "ffn_up",
        "down_proj" | "mlp.c_proj" => "ffn_down",
        _ => return None,
    };
    Some(format!("blk.{layer}.{name}.{kind}"))
}

/// The heads' width if the rows of a parameter stand in another order in llama.cpp: its rope for Llama turns neighbouring numbers of a
/// head, transformers' turns number i together with number i + width / 2. In other families both turn the latter.
pub fn interleaved(config: &ModelConfig, parameter: &str) -> Option<usize> {
    let llama = matches!(config.architecture, Family::Llama | Family::Mistral);
    let turned = [".q_proj.weight", ".k_proj.weight", ".q_proj.bias", ".k_proj.bias"].iter().any(|end| parameter.ends_with(end));
    (llama && turned).then_some(config.head_dim)
}

/// The row of transformers' parameter that stands at row `o` where heads are [`interleaved`].
pub fn source_row(o: usize, head_dim: usize) -> usize {
    let (head, within) = (o / head_dim, o % head_dim);
    head * head_dim + (within % 2) * (head_dim / 2) + within / 2
}

/// What a norm's weight becomes: `(w + offset) factor`. llama.cpp has no offset, and no attention scale but 1 / sqrt(width of a head): what
/// differs from that is taken into the norm of the queries, which the rotation after it leaves alone.
pub fn norm(config: &ModelConfig, parameter: &str) -> (f32, f32) {
    let scaled = config.qk_norm && parameter.ends_with("q_norm.weight");
    let factor = if scaled { config.attention_scale / native_scale(config) } else { 1.0 };
    (config.norm_offset, factor as f32)
}

/// The attention scale that llama.cpp computes with.
fn native_scale(config: &ModelConfig) -> f64 {
    // Gemma 3 27B is known by its layers.
    let width = match (config.architecture, config.num_hidden_layers) {
        (Family::Gemma3, 62) => config.hidden_size / config.num_attention_heads,
        _ => config.head_dim,
    };
    1.0 / (width as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_a_head_stand_in_pairs() {
        // Two heads of six: 0 with 3, 1 with 4, 2 with 5.
        let rows: Vec<usize> = (0..12).map(|o| source_row(o, 6)).collect();
        assert_eq!(rows, [0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11]);
    }

    #[test]
    fn every_parameter_has_a_name_of_its_own() {
        for (class, extra) in [
            ("LlamaForCausalLM", r#","attention_bias":true,"mlp_bias":true"#),
            ("Qwen2ForCausalLM", ""),
            ("Qwen3ForCausalLM", ""),
            ("Phi3ForCausalLM", ""),
            ("Gemma3ForCausalLM", ""),
            ("GPT2LMHeadModel", r#","n_embd":64,"n_layer":2,"n_head":2"#),
        ] {
            let text = format!(
                r#"{{"architectures":["{class}"],"vocab_size":8,"hidden_size":64,"intermediate_size":96,"num_hidden_layers":2,
                "num_attention_heads":2,"tie_word_embeddings":false{extra}}}"#
            );
            let config = ModelConfig::from_json(&text, "config.json").expect("config");
            let parameters = config.parameter_list();
            let names: std::collections::BTreeSet<String> =
                parameters.iter().map(|p| tensor_name(&config, &p.name).unwrap_or_else(|| panic!("{}", p.name))).collect();
            assert_eq!(names.len(), parameters.len(), "{class}");
            assert!(names.contains("blk.1.ffn_norm.weight") && names.contains("output.weight"), "{class}");
        }
    }
}
