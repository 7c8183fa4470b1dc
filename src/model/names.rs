//! What families call their parameters, as transformers writes them.

use super::config::Family;

/// The output layer's table, in every family.
pub const HEAD: &str = "lm_head.weight";

/// A family's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Names {
    /// Stands before all names but the output layer's; the bare decoder is saved without it.
    pub root: &'static str,
    /// The embedding table.
    pub embed: &'static str,
    /// The table of learned positions, where the family has one.
    pub positions: Option<&'static str>,
    /// The decoder layers; a dot and their number follow.
    pub layers: &'static str,
    /// A layer's norm before attention.
    pub input_norm: &'static str,
    /// A layer's norm before the feed-forward half.
    pub mlp_norm: &'static str,
    /// The last norm.
    pub norm: &'static str,
    /// How names begin, without the root, that belong to the decoder or its output layer.
    pub inside: &'static [&'static str],
    /// How names end of what files hold beside the parameters, and what follows from config.json.
    pub ignored: &'static [&'static str],
}

/// Llama's names, which most families have.
const LLAMA: Names = Names {
    root: "model.",
    embed: "model.embed_tokens.weight",
    positions: None,
    layers: "model.layers",
    input_norm: "input_layernorm",
    mlp_norm: "post_attention_layernorm",
    norm: "model.norm",
    inside: &["layers.", "norm.", "embed_tokens.", "lm_head."],
    // Old checkpoints carry the rotary frequencies.
    ignored: &["rotary_emb.inv_freq"],
};

/// Where there is a norm behind attention, that one has Llama's name for the one before the feed-forward half.
const GEMMA: Names = Names { mlp_norm: "pre_feedforward_layernorm", ..LLAMA };

const GPT2: Names = Names {
    root: "transformer.",
    embed: "transformer.wte.weight",
    positions: Some("transformer.wpe.weight"),
    layers: "transformer.h",
    input_norm: "ln_1",
    mlp_norm: "ln_2",
    norm: "transformer.ln_f",
    inside: &["h.", "ln_f.", "wte.", "wpe.", "lm_head."],
    // The causal mask, and what it masks with.
    ignored: &[".attn.bias", ".attn.masked_bias"],
};

impl Family {
    /// What it calls its parameters.
    pub fn names(self) -> &'static Names {
        match self {
            Self::Gemma3 => &GEMMA,
            Self::Gpt2 => &GPT2,
            _ => &LLAMA,
        }
    }
}

impl Names {
    /// The tables with a row for each token or position.
    pub fn tables(&self) -> impl Iterator<Item = &'static str> {
        [self.embed, HEAD].into_iter().chain(self.positions)
    }
}
