//! `config.json` read into the one description of the architecture that everything above uses.

use std::path::Path;

use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::files::{self, read_text};

use super::rope::{Rope, RopeScaling};

/// The largest config.json that is read; real ones hold a few kilobytes.
const CONFIG_LIMIT: u64 = 16 << 20;
const KNOWN: &str = "LlamaForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM";

/// A model family: decoder-only, rotary positions, RMS norm before each half of a layer, SwiGLU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// `LlamaForCausalLM`.
    Llama,
    /// `Qwen2ForCausalLM`: Llama with biases on q, k and v.
    Qwen2,
    /// `Qwen3ForCausalLM`: Llama with an RMS norm over each head of q and k.
    Qwen3,
}

/// What `config.json` says about a model; field names are transformers' own where it has one.
///
/// Every size is checked when it is read: positive, bounded, and consistent with the others.
#[derive(Debug, Clone)]
pub struct ModelConfig {
    /// From `architectures[0]`, or `model_type` where that is absent.
    pub architecture: Family,
    /// Rows of the embedding table.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width inside the MLP.
    pub intermediate_size: usize,
    /// Decoder layers.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key and value heads; divides `num_attention_heads`.
    pub num_key_value_heads: usize,
    /// Width of one head; even. `num_attention_heads * head_dim` need not be `hidden_size`.
    pub head_dim: usize,
    /// Added to the mean square in every RMS norm.
    pub rms_norm_eps: f64,
    /// Rotary positions.
    pub rope: Rope,
    /// q, k and v have biases.
    pub qkv_bias: bool,
    /// o has a bias.
    pub o_bias: bool,
    /// gate, up and down have biases.
    pub mlp_bias: bool,
    /// q and k have an RMS norm over each head.
    pub qk_norm: bool,
    /// The output layer is the embedding table.
    pub tie_word_embeddings: bool,
    /// The longest context the model was made for.
    pub max_position_embeddings: usize,
    /// Not checked against `vocab_size`: cut-down test models keep the ids of the large one.
    pub bos_token_id: Option<u32>,
    /// Every id that ends a text; may be empty. Not checked against `vocab_size` either.
    pub eos_token_id: Vec<u32>,
    /// The type the weights were saved in, as written (`bfloat16`); the checkpoint itself decides.
    pub dtype: Option<String>,
    /// The whole config.json, in its own order, for writing it back.
    pub raw: Map<String, Value>,
}

/// One parameter of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamSpec {
    /// transformers' name, as `model.layers.0.self_attn.q_proj.weight`.
    pub name: String,
    /// Row-major; a linear layer's weight is `[d_out, d_in]`.
    pub shape: Vec<usize>,
}

impl ParamSpec {
    /// Elements in the tensor.
    pub fn elements(&self) -> u64 {
        self.shape.iter().map(|&size| size as u64).product()
    }
}

impl ModelConfig {
    /// Reads `folder/config.json`.
    pub fn from_dir(folder: &Path) -> Result<Self> {
        let path = folder.join("config.json");
        if files::is_dir(folder) && !files::is_listed(&path) {
            return Err(Error::input(
                folder.display().to_string(),
                "holds no config.json",
                "give the folder of a model in Hugging Face layout: config.json, model.safetensors, tokenizer.json",
            ));
        }
        Self::from_json(&read_text(&path, CONFIG_LIMIT)?, &path.display().to_string())
    }

    /// Reads the text of a config.json; `place` names it in errors.
    pub fn from_json(text: &str, place: &str) -> Result<Self> {
        let raw: Map<String, Value> = serde_json::from_str(text)
            .map_err(|error| Error::input(place, format!("is not a JSON object: {error}"), "download config.json again"))?;
        let keys = Keys { place, prefix: "", map: &raw };
        let architecture = family(&keys)?;
        refuse_what_is_not_supported(&keys)?;

        let vocab_size = keys.size("vocab_size", None, 4_000_000)?;
        let hidden_size = keys.size("hidden_size", None, 65_536)?;
        let intermediate_size = keys.size("intermediate_size", None, 1 << 20)?;
        let num_hidden_layers = keys.size("num_hidden_layers", None, 1024)?;
        let num_attention_heads = keys.size("num_attention_heads", None, 1024)?;
        let num_key_value_heads = keys.size("num_key_value_heads", Some(num_attention_heads), 1024)?;
        if !num_attention_heads.is_multiple_of(num_key_value_heads) {
            let what = format!("{num_key_value_heads} does not divide num_attention_heads, which is {num_attention_heads}");
            return Err(keys.error("num_key_value_heads", what, ""));
        }
        let head_dim = head_dim(&keys, architecture, hidden_size, num_attention_heads)?;

        // The defaults are those of LlamaConfig, Qwen2Config and Qwen3Config. The base class's own default for tying
        // (true in transformers 4) never applies: all three override it with false.
        let llama = architecture == Family::Llama;
        let attention_bias = keys.bool("attention_bias")? && architecture != Family::Qwen2;
        let config = Self {
            architecture,
            vocab_size,
            hidden_size,
            intermediate_size,
            num_hidden_layers,
            num_attention_heads,
            num_key_value_heads,
            head_dim,
            rms_norm_eps: keys.number("rms_norm_eps", Some(1e-6), f64::MIN_POSITIVE, 1.0)?,
            rope: rope(&keys)?,
            qkv_bias: attention_bias || architecture == Family::Qwen2,
            o_bias: attention_bias,
            mlp_bias: keys.bool("mlp_bias")? && llama,
            qk_norm: architecture == Family::Qwen3,
            tie_word_embeddings: keys.bool("tie_word_embeddings")?,
            max_position_embeddings: keys.size("max_position_embeddings", Some(if llama { 2048 } else { 32_768 }), 1 << 30)?,
            bos_token_id: bos(&keys, llama)?,
            eos_token_id: eos(&keys, llama)?,
            dtype: keys.text("dtype")?.or(keys.text("torch_dtype")?).map(str::to_owned),
            raw: Map::new(),
        };
        Ok(Self { raw, ..config })
    }

    /// The seven linear layers of a decoder layer: name, outputs, inputs.
    pub fn linear_shapes(&self) -> [(&'static str, usize, usize); 7] {
        let (hidden, inner) = (self.hidden_size, self.intermediate_size);
        let q = self.num_attention_heads * self.head_dim;
        let kv = self.num_key_value_heads * self.head_dim;
        [
            ("q_proj", q, hidden),
            ("k_proj", kv, hidden),
            ("v_proj", kv, hidden),
            ("o_proj", hidden, q),
            ("gate_proj", inner, hidden),
            ("up_proj", inner, hidden),
            ("down_proj", hidden, inner),
        ]
    }

    /// Every parameter, in the order of the forward pass. A tied table stands once, as `model.embed_tokens.weight`.
    pub fn parameter_list(&self) -> Vec<ParamSpec> {
        let mut list = Vec::new();
        let mut push = |name: String, shape: &[usize]| list.push(ParamSpec { name, shape: shape.to_vec() });
        let table = [self.vocab_size, self.hidden_size];
        push("model.embed_tokens.weight".into(), &table);
        for layer in 0..self.num_hidden_layers {
            let layer = format!("model.layers.{layer}");
            push(format!("{layer}.input_layernorm.weight"), &[self.hidden_size]);
            for (name, d_out, d_in) in self.linear_shapes() {
                let (part, bias) = match name {
                    "q_proj" | "k_proj" | "v_proj" => ("self_attn", self.qkv_bias),
                    "o_proj" => ("self_attn", self.o_bias),
                    _ => ("mlp", self.mlp_bias),
                };
                if name == "gate_proj" {
                    push(format!("{layer}.post_attention_layernorm.weight"), &[self.hidden_size]);
                }
                push(format!("{layer}.{part}.{name}.weight"), &[d_out, d_in]);
                if bias {
                    push(format!("{layer}.{part}.{name}.bias"), &[d_out]);
                }
                if self.qk_norm && matches!(name, "q_proj" | "k_proj") {
                    push(format!("{layer}.self_attn.{}_norm.weight", &name[..1]), &[self.head_dim]);
                }
            }
        }
        push("model.norm.weight".into(), &[self.hidden_size]);
        if !self.tie_word_embeddings {
            push("lm_head.weight".into(), &table);
        }
        list
    }

    /// Elements of all parameters; a tied table counts once.
    pub fn num_parameters(&self) -> u64 {
        self.parameter_list().iter().map(ParamSpec::elements).sum()
    }
}

/// The keys of one JSON object, read with errors that name file and key. A `null` counts as absent.
struct Keys<'a> {
    place: &'a str,
    /// The object's own path within the file, with a dot after it; empty for the file itself.
    prefix: &'a str,
    map: &'a Map<String, Value>,
}

impl<'a> Keys<'a> {
    fn get(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    fn error(&self, key: &str, what: impl Into<String>, hint: &str) -> Error {
        Error::input(format!("{}: {}{key}", self.place, self.prefix), what, hint)
    }

    fn missing(&self, key: &str) -> Error {
        self.error(key, "is missing", "take the config.json that came with the model")
    }

    fn size(&self, key: &str, default: Option<usize>, most: usize) -> Result<usize> {
        let Some(value) = self.get(key) else { return default.ok_or_else(|| self.missing(key)) };
        match value.as_u64().and_then(|size| usize::try_from(size).ok()) {
            Some(size) if (1..=most).contains(&size) => Ok(size),
            _ => Err(self.error(key, format!("must be a whole number from 1 to {most}, not {}", brief(value)), "")),
        }
    }

    fn number(&self, key: &str, default: Option<f64>, least: f64, most: f64) -> Result<f64> {
        let Some(value) = self.get(key) else { return default.ok_or_else(|| self.missing(key)) };
        match value.as_f64() {
            // A range test that NaN fails.
            Some(number) if (least..=most).contains(&number) => Ok(number),
            _ => Err(self.error(key, format!("must be a number from {least:e} to {most:e}, not {}", brief(value)), "")),
        }
    }

    /// False where absent, which is the default of every switch read here.
    fn bool(&self, key: &str) -> Result<bool> {
        let Some(value) = self.get(key) else { return Ok(false) };
        value.as_bool().ok_or_else(|| self.error(key, format!("must be true or false, not {}", brief(value)), ""))
    }

    fn text(&self, key: &str) -> Result<Option<&'a str>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        value.as_str().map(Some).ok_or_else(|| self.error(key, format!("must be a text, not {}", brief(value)), ""))
    }

    fn object(&self, key: &str) -> Result<Option<&'a Map<String, Value>>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        value.as_object().map(Some).ok_or_else(|| self.error(key, format!("must be an object, not {}", brief(value)), ""))
    }

    fn token(&self, key: &str, value: &Value) -> Result<u32> {
        let id = value.as_u64().and_then(|id| u32::try_from(id).ok());
        id.ok_or_else(|| self.error(key, format!("must be a token id, not {}", brief(value)), ""))
    }
}

/// A value short enough for an error line.
fn brief(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= 60 { text } else { text.chars().take(57).chain("...".chars()).collect() }
}

fn family(keys: &Keys) -> Result<Family> {
    let unknown =
        |key: &str, name: String| keys.error(key, format!("{name} is not supported"), &format!("supported architectures: {KNOWN}"));
    if let Some(value) = keys.get("architectures") {
        let Some(list) = value.as_array() else {
            return Err(keys.error("architectures", format!("must be a list of names, not {}", brief(value)), ""));
        };
        if let Some(first) = list.first() {
            return match first.as_str() {
                // The second name is what saving the bare decoder writes.
                Some("LlamaForCausalLM" | "LlamaModel") => Ok(Family::Llama),
                Some("Qwen2ForCausalLM" | "Qwen2Model") => Ok(Family::Qwen2),
                Some("Qwen3ForCausalLM" | "Qwen3Model") => Ok(Family::Qwen3),
                _ => Err(unknown("architectures", brief(first))),
            };
        }
    }
    match keys.text("model_type")? {
        Some("llama") => Ok(Family::Llama),
        Some("qwen2") => Ok(Family::Qwen2),
        Some("qwen3") => Ok(Family::Qwen3),
        Some(other) => Err(unknown("model_type", brief(&other.into()))),
        None => Err(keys.error("architectures", "is missing, and so is model_type", &format!("supported architectures: {KNOWN}"))),
    }
}

/// Switches that would change the numbers, and that nothing here computes.
fn refuse_what_is_not_supported(keys: &Keys) -> Result<()> {
    // `swish` is transformers' other name for the same function.
    if let Some(act) = keys.text("hidden_act")?
        && !matches!(act, "silu" | "swish")
    {
        return Err(keys.error("hidden_act", format!("{} is not supported; only silu is", brief(&act.into())), ""));
    }
    let sliding = "sliding window attention is not supported";
    if keys.bool("use_sliding_window")? {
        return Err(keys.error("use_sliding_window", sliding, "set it to false if training texts are shorter than the window"));
    }
    if let Some(types) = keys.get("layer_types")
        && types.as_array().is_none_or(|types| types.iter().any(|kind| kind != "full_attention"))
    {
        return Err(keys.error("layer_types", format!("{sliding}; every layer must be full_attention"), ""));
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

fn head_dim(keys: &Keys, architecture: Family, hidden_size: usize, heads: usize) -> Result<usize> {
    let head_dim = if keys.get("head_dim").is_some() {
        keys.size("head_dim", None, 256)?
    } else if architecture == Family::Qwen3 && !keys.map.contains_key("head_dim") {
        // Qwen3Config's default is a number of its own; a written null means the quotient there too.
        128
    } else if hidden_size.is_multiple_of(heads) {
        hidden_size / heads
    } else {
        let what = format!("{heads} does not divide hidden_size, which is {hidden_size}, and there is no head_dim");
        return Err(keys.error("num_attention_heads", what, ""));
    };
    if head_dim > 256 || !head_dim.is_multiple_of(2) {
        return Err(keys.error("head_dim", format!("must be even and at most 256, not {head_dim}"), ""));
    }
    Ok(head_dim)
}

/// transformers 5 has `rope_parameters`; 4 has `rope_theta` beside `rope_scaling`, whose type key was once `type`.
///
/// Precedence as in transformers 5's `convert_rope_params_to_dict`: a `rope_scaling` that is not empty, then `rope_parameters`;
/// the theta inside it, then the outer one.
fn rope(keys: &Keys) -> Result<Rope> {
    const THETA: &str = "rope_theta";
    let theta = |keys: &Keys, default: f64| keys.number(THETA, Some(default), 1.0, 1e15);
    let whole = |keys: &Keys| match keys.number("partial_rotary_factor", Some(1.0), 0.0, 1.0)? {
        1.0 => Ok(()),
        _ => Err(keys.error("partial_rotary_factor", "rotating only a part of each head is not supported", "")),
    };
    whole(keys)?;
    let outer_theta = theta(keys, 10_000.0)?;
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
    whole(&inner)?;
    let theta = theta(&inner, outer_theta)?;
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

/// LlamaConfig's default is 1, the others' is none; a written null is none everywhere.
fn bos(keys: &Keys, llama: bool) -> Result<Option<u32>> {
    match keys.map.get("bos_token_id") {
        None => Ok(llama.then_some(1)),
        Some(Value::Null) => Ok(None),
        Some(value) => keys.token("bos_token_id", value).map(Some),
    }
}

/// A number, a list or null; LlamaConfig's default is 2, the others' is none.
fn eos(keys: &Keys, llama: bool) -> Result<Vec<u32>> {
    match keys.map.get("eos_token_id") {
        None => Ok(if llama { vec![2] } else { Vec::new() }),
        Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(list)) => list.iter().map(|value| keys.token("eos_token_id", value)).collect(),
        Some(value) => Ok(vec![keys.token("eos_token_id", value)?]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn base(architecture: &str) -> Value {
        json!({
            "architectures": [architecture], "vocab_size": 512, "hidden_size": 64, "intermediate_size": 176,
            "num_hidden_layers": 2, "num_attention_heads": 4
        })
    }

    fn with(architecture: &str, changes: Value) -> Result<ModelConfig> {
        let mut value = base(architecture);
        let (Some(map), Value::Object(changes)) = (value.as_object_mut(), changes) else { panic!("objects") };
        for (key, change) in changes {
            if change == "REMOVE" {
                map.remove(&key)
            } else {
                map.insert(key, change)
            };
        }
        ModelConfig::from_json(&value.to_string(), "m/config.json")
    }

    fn llama(changes: Value) -> ModelConfig {
        with("LlamaForCausalLM", changes).expect("valid")
    }

    #[test]
    fn defaults_are_transformers_own() {
        let config = llama(json!({}));
        assert_eq!((config.num_key_value_heads, config.head_dim, config.rms_norm_eps), (4, 16, 1e-6));
        assert_eq!((config.bos_token_id, config.eos_token_id.as_slice()), (Some(1), [2].as_slice()));
        assert_eq!(config.rope, Rope { theta: 1e4, scaling: RopeScaling::None });
        assert!(!config.tie_word_embeddings && !config.qkv_bias && !config.o_bias && !config.mlp_bias && !config.qk_norm);
        assert_eq!((config.max_position_embeddings, config.dtype), (2048, None));

        let config =
            with("Qwen2ForCausalLM", json!({"eos_token_id": [1, 5], "bos_token_id": null, "torch_dtype": "bfloat16"})).expect("qwen2");
        assert!(config.qkv_bias && !config.o_bias && !config.tie_word_embeddings);
        assert_eq!((config.bos_token_id, config.eos_token_id), (None, vec![1, 5]));
        assert_eq!((config.max_position_embeddings, config.dtype.as_deref()), (32_768, Some("bfloat16")));

        let config = with("Qwen3ForCausalLM", json!({"attention_bias": true, "head_dim": null})).expect("qwen3");
        assert!(config.qk_norm && config.qkv_bias && config.o_bias);
        assert_eq!(config.head_dim, 16);
        assert_eq!(with("Qwen3ForCausalLM", json!({})).expect("qwen3").head_dim, 128);
    }

    #[test]
    fn the_family_falls_back_to_the_model_type() {
        for absent in [json!("REMOVE"), json!(null), json!([])] {
            assert_eq!(llama(json!({"architectures": absent, "model_type": "qwen3"})).architecture, Family::Qwen3);
        }
        assert_eq!(llama(json!({"architectures": ["LlamaModel"], "model_type": "qwen3"})).architecture, Family::Llama);
    }

    #[test]
    fn both_layouts_of_rope() {
        let llama3 =
            RopeScaling::Llama3 { factor: 32.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original_max_position_embeddings: 8192 };
        let inner = json!({"factor": 32, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192, "rope_type": "llama3"});
        let four = llama(json!({"rope_theta": 5e5, "rope_scaling": inner}));
        assert_eq!(four.rope, Rope { theta: 5e5, scaling: llama3 });
        let mut with_theta = inner;
        with_theta["rope_theta"] = json!(500_000);
        assert_eq!(llama(json!({"rope_parameters": with_theta})).rope, four.rope);

        let legacy = llama(json!({"rope_scaling": {"type": "linear", "factor": 2.0}}));
        assert_eq!(legacy.rope, Rope { theta: 1e4, scaling: RopeScaling::Linear { factor: 2.0 } });
        let plain = llama(json!({"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}, "rope_scaling": {}}));
        assert_eq!(plain.rope, Rope { theta: 1e6, scaling: RopeScaling::None });
    }

    #[test]
    fn parameters_and_their_count() {
        let names = |config: &ModelConfig| config.parameter_list().into_iter().map(|spec| spec.name).collect::<Vec<_>>();
        let tied = llama(json!({"tie_word_embeddings": true, "num_key_value_heads": 2}));
        assert_eq!(names(&tied).len(), 2 + 2 * 9);
        let layer = 64 * 64 * 2 + 32 * 64 * 2 + 3 * 176 * 64 + 2 * 64;
        assert_eq!(tied.num_parameters(), 512 * 64 + 2 * layer + 64);
        assert_eq!(tied.linear_shapes()[1], ("k_proj", 32, 64));
        let free = llama(json!({"num_key_value_heads": 2}));
        assert_eq!(free.num_parameters(), tied.num_parameters() + 512 * 64);
        assert_eq!(names(&free).last().map(String::as_str), Some("lm_head.weight"));

        let biased = llama(json!({"attention_bias": true, "mlp_bias": true}));
        assert_eq!(names(&biased).iter().filter(|name| name.ends_with(".bias")).count(), 2 * 7);
        let qwen = with("Qwen3ForCausalLM", json!({"head_dim": 32})).expect("qwen3");
        let norm = ParamSpec { name: "model.layers.1.self_attn.k_norm.weight".into(), shape: vec![32] };
        assert!(qwen.parameter_list().contains(&norm));
        // The largest model that passes the limits still counts without overflow.
        let most = json!({"vocab_size": 4_000_000, "hidden_size": 65_536, "intermediate_size": 1 << 20, "num_hidden_layers": 1024,
            "num_attention_heads": 1024, "head_dim": 256});
        assert!(llama(most).num_parameters() > 1 << 47);
    }

    #[test]
    fn hostile_values_are_refused_with_their_key() {
        for (changes, key, words) in [
            (json!({"architectures": ["MistralForCausalLM"]}), "architectures", "MistralForCausalLM"),
            (json!({"architectures": "LlamaForCausalLM"}), "architectures", "list"),
            (json!({"architectures": [7]}), "architectures", "7"),
            (json!({"architectures": null, "model_type": "gpt2"}), "model_type", "gpt2"),
            (json!({"architectures": null}), "architectures", "missing"),
            (json!({"vocab_size": 0}), "vocab_size", "from 1 to"),
            (json!({"vocab_size": 5_000_000}), "vocab_size", "4000000"),
            (json!({"vocab_size": "REMOVE"}), "vocab_size", "missing"),
            (json!({"hidden_size": null}), "hidden_size", "missing"),
            (json!({"hidden_size": -64}), "hidden_size", "-64"),
            (json!({"hidden_size": 64.5}), "hidden_size", "64.5"),
            (json!({"hidden_size": u64::MAX}), "hidden_size", "65536"),
            (json!({"hidden_size": 66}), "num_attention_heads", "does not divide"),
            (json!({"hidden_size": 60}), "head_dim", "even"),
            (json!({"hidden_size": 4096}), "head_dim", "at most 256"),
            (json!({"intermediate_size": "176"}), "intermediate_size", "whole number"),
            (json!({"intermediate_size": ["x".repeat(500)]}), "intermediate_size", "..."),
            (json!({"num_hidden_layers": 1025}), "num_hidden_layers", "1024"),
            (json!({"num_attention_heads": 0}), "num_attention_heads", "from 1"),
            (json!({"num_key_value_heads": 3}), "num_key_value_heads", "does not divide"),
            (json!({"num_key_value_heads": 8}), "num_key_value_heads", "does not divide"),
            (json!({"head_dim": 0}), "head_dim", "from 1"),
            (json!({"head_dim": 15}), "head_dim", "even"),
            (json!({"rms_norm_eps": 0.0}), "rms_norm_eps", "number"),
            (json!({"rms_norm_eps": -1e-6}), "rms_norm_eps", "number"),
            (json!({"rms_norm_eps": "NaN"}), "rms_norm_eps", "NaN"),
            (json!({"hidden_act": "gelu"}), "hidden_act", "gelu"),
            (json!({"use_sliding_window": true}), "use_sliding_window", "sliding window"),
            (json!({"layer_types": ["sliding_attention"]}), "layer_types", "sliding window"),
            (json!({"quantization_config": {"bits": 4}}), "quantization_config", "quantised"),
            (json!({"attention_bias": "yes"}), "attention_bias", "true or false"),
            (json!({"rope_theta": 0}), "rope_theta", "number"),
            (json!({"rope_theta": [1]}), "rope_theta", "number"),
            (json!({"partial_rotary_factor": 0.5}), "partial_rotary_factor", "part"),
            (json!({"rope_scaling": {"type": "yarn", "factor": 4}}), "rope_scaling.type", "yarn"),
            (json!({"rope_scaling": {"rope_type": "dynamic"}}), "rope_scaling.rope_type", "dynamic"),
            (json!({"rope_parameters": {"rope_type": "longrope"}}), "rope_parameters.rope_type", "longrope"),
            (json!({"rope_parameters": {"rope_type": 3}}), "rope_parameters.rope_type", "text"),
            (json!({"rope_parameters": {"full_attention": {"rope_type": "default"}}}), "rope_parameters.", "each type of layer"),
            (json!({"rope_parameters": []}), "rope_parameters", "object"),
            (json!({"rope_scaling": {"type": "linear"}}), "rope_scaling.factor", "missing"),
            (json!({"rope_scaling": {"type": "linear", "factor": 0}}), "rope_scaling.factor", "number"),
            (
                json!({"rope_scaling": {"rope_type": "llama3", "factor": 8, "low_freq_factor": 4, "high_freq_factor": 4,
                    "original_max_position_embeddings": 64}}),
                "rope_scaling.high_freq_factor",
                "not above",
            ),
            (
                json!({"rope_scaling": {"rope_type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4}}),
                "rope_scaling.original_max_position_embeddings",
                "missing",
            ),
            (json!({"bos_token_id": -1}), "bos_token_id", "-1"),
            (json!({"eos_token_id": [1, "2"]}), "eos_token_id", "token id"),
            (json!({"eos_token_id": 1u64 << 40}), "eos_token_id", "token id"),
            (json!({"torch_dtype": 16}), "torch_dtype", "text"),
            (json!({"max_position_embeddings": 0}), "max_position_embeddings", "from 1"),
        ] {
            let shown = changes.to_string();
            let error = with("LlamaForCausalLM", changes).expect_err(&shown).to_string();
            assert!(error.starts_with(&format!("m/config.json: {key}")) && error.contains(words), "{shown}: {error}");
        }
        let error = with("GPT2LMHeadModel", json!({})).expect_err("unknown");
        assert!(error.hint().is_some_and(|hint| hint.contains("Qwen3ForCausalLM")));
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for text in ["", "[]", "{", "null", "{\"rms_norm_eps\": NaN}", "{\"rms_norm_eps\": 1e999}", &"[".repeat(100_000)] {
            let error = ModelConfig::from_json(text, "c").expect_err("not an object").to_string();
            assert!(error.contains("c: is not a JSON object"), "{error}");
        }
        let folder = tempfile::tempdir().expect("tempdir");
        assert!(ModelConfig::from_dir(folder.path()).expect_err("empty").to_string().contains("no config.json"));
        assert!(ModelConfig::from_dir(&folder.path().join("absent")).is_err());
    }

    #[test]
    fn raw_keeps_every_key_in_order() {
        let text = r#"{"zeta":1,"architectures":["LlamaForCausalLM"],"vocab_size":8,"hidden_size":8,"intermediate_size":8,"num_hidden_layers":1,"num_attention_heads":2,"alpha":{"b":1,"a":2}}"#;
        let config = ModelConfig::from_json(text, "c").expect("valid");
        assert_eq!(Value::Object(config.raw).to_string(), text);
    }
}
