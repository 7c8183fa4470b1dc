//! The linear layers of a decoder layer by name: what families call them, and what each does.

/// Every name that a family has for a linear layer, in the order of the forward pass. A family has some of them:
/// [`super::ModelConfig::modules`].
pub const MODULES: [&str; 9] = ["q_proj", "k_proj", "v_proj", "qkv_proj", "o_proj", "gate_proj", "up_proj", "gate_up_proj", "down_proj"];

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
        "q_proj" | "k_proj" | "v_proj" | "qkv_proj" => Role::AttentionIn,
        "o_proj" => Role::AttentionOut,
        "gate_proj" | "up_proj" | "gate_up_proj" => Role::MlpIn,
        _ => Role::MlpOut,
    }
}

/// Llama's names of what a linear layer computes: of itself, or of the parts that lie side by side in it.
pub fn parts(module: &'static str) -> Vec<&'static str> {
    match module {
        "qkv_proj" => vec!["q_proj", "k_proj", "v_proj"],
        "gate_up_proj" => vec!["gate_proj", "up_proj"],
        _ => vec![module],
    }
}

/// The part of a decoder layer's path before the module's name.
pub fn half(module: &str) -> &'static str {
    match role(module) {
        Role::AttentionIn | Role::AttentionOut => "self_attn",
        Role::MlpIn | Role::MlpOut => "mlp",
    }
}

/// Whether a list of targets means this layer: by its own name, or by Llama's names of all that it computes. So Llama's seven names mean
/// every layer of every family.
pub fn means(targets: &[String], module: &'static str) -> bool {
    let named = |name: &str| targets.iter().any(|t| t == name);
    named(module) || parts(module).iter().all(|part| named(part))
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
        assert_eq!((half("gate_up_proj"), half("qkv_proj")), ("mlp", "self_attn"));
    }
}
