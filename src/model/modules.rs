//! The linear layers of a decoder layer by name: what families call them, and what each does.

/// Every name that a family has for a linear layer, in the order of the forward pass. A family has some of them:
/// [`super::ModelConfig::modules`]. GPT-2 has two that end in `c_proj`; these have their half's name with them.
pub const MODULES: [&str; 13] = [
    "q_proj",
    "k_proj",
    "v_proj",
    "qkv_proj",
    "o_proj",
    "gate_proj",
    "up_proj",
    "gate_up_proj",
    "down_proj",
    "c_attn",
    "attn.c_proj",
    "c_fc",
    "mlp.c_proj",
];

/// What a linear layer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Makes queries, keys or values.
    AttentionIn,
    /// Brings attention's output back to the stream.
    AttentionOut,
    /// Reads the stream for the feed-forward half.
    MlpIn,
    /// Brings the feed-forward half's output back to the stream.
    MlpOut,
}

/// The role of the linear layer of that name.
pub fn role(module: &str) -> Role {
    match module {
        "q_proj" | "k_proj" | "v_proj" | "qkv_proj" | "c_attn" => Role::AttentionIn,
        "o_proj" | "attn.c_proj" => Role::AttentionOut,
        "gate_proj" | "up_proj" | "gate_up_proj" | "c_fc" => Role::MlpIn,
        _ => Role::MlpOut,
    }
}

/// Llama's names of what a linear layer computes: of itself, or of the parts that lie side by side in it. GPT-2's `c_fc` stands where
/// Llama has gate and up.
pub fn parts(module: &'static str) -> Vec<&'static str> {
    match module {
        "qkv_proj" | "c_attn" => vec!["q_proj", "k_proj", "v_proj"],
        "gate_up_proj" | "c_fc" => vec!["gate_proj", "up_proj"],
        "attn.c_proj" => vec!["o_proj"],
        "mlp.c_proj" => vec!["down_proj"],
        _ => vec![module],
    }
}

/// The last part of a module's path, which is its name in its own half: `c_proj` of `attn.c_proj`.
pub fn short(module: &str) -> &str {
    module.rsplit('.').next().unwrap_or(module)
}

/// Whether checkpoints hold the layer's weight as [d_in, d_out]: GPT-2's layers are transformers' `Conv1D`.
pub fn transposed(module: &str) -> bool {
    matches!(module, "c_attn" | "attn.c_proj" | "c_fc" | "mlp.c_proj")
}

/// A module's path in the model: `model.layers.0.self_attn.q_proj`, `transformer.h.0.attn.c_attn`.
pub fn path(layer: usize, module: &str) -> String {
    let gpt2 = transposed(module);
    let half = match (role(module), gpt2) {
        (Role::AttentionIn | Role::AttentionOut, false) => "self_attn",
        (Role::AttentionIn | Role::AttentionOut, true) => "attn",
        (Role::MlpIn | Role::MlpOut, _) => "mlp",
    };
    format!("{}.{layer}.{half}.{}", if gpt2 { "transformer.h" } else { "model.layers" }, short(module))
}

/// Whether a list of targets means this layer: by its own name, by its last part, or by Llama's names of all that it computes. So Llama's
/// seven names mean every layer of every family.
pub fn means(targets: &[String], module: &'static str) -> bool {
    let named = |name: &str| targets.iter().any(|t| t == name);
    named(module) || named(short(module)) || parts(module).iter().all(|part| named(part))
}

/// Every name that may stand for a layer among targets.
pub fn target_names() -> impl Iterator<Item = &'static str> + Clone {
    MODULES.into_iter().chain(["c_proj"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn llama_s_names_mean_the_layers_that_hold_them() {
        let named = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let all = named(&["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]);
        assert!(MODULES.into_iter().all(|module| means(&all, module)));
        assert!(means(&named(&["qkv_proj"]), "qkv_proj") && !means(&named(&["qkv_proj"]), "o_proj"));
        // A part of a fused layer is not the layer.
        assert!(!means(&named(&["q_proj", "v_proj"]), "qkv_proj"));
        let meant = |name: &str| MODULES.into_iter().filter(|m| means(&named(&[name]), m)).collect::<Vec<_>>();
        assert_eq!(meant("c_proj"), ["attn.c_proj", "mlp.c_proj"]);
        assert_eq!(meant("mlp.c_proj"), ["mlp.c_proj"]);
        assert_eq!(meant("o_proj"), ["o_proj", "attn.c_proj"]);
        assert!(target_names().all(|name| !meant(name).is_empty()));
    }

    #[test]
    fn paths_are_those_of_transformers() {
        let paths: Vec<String> = ["gate_up_proj", "qkv_proj", "c_attn", "attn.c_proj", "c_fc", "mlp.c_proj"].map(|m| path(3, m)).into();
        assert_eq!(
            paths,
            [
                "model.layers.3.mlp.gate_up_proj",
                "model.layers.3.self_attn.qkv_proj",
                "transformer.h.3.attn.c_attn",
                "transformer.h.3.attn.c_proj",
                "transformer.h.3.mlp.c_fc",
                "transformer.h.3.mlp.c_proj"
            ]
        );
    }
}
