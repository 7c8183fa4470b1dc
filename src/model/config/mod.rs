//! `config.json` read into the one description of the architecture that everything above uses.

use std::path::Path;

use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::files::{self, read_text};

use super::Dtype;
use super::modules::{Role, path, role, transposed};
use super::names::HEAD;
use super::rope::Rope;
use crate::kernels::Activation;

mod keys;
mod read;
mod rope;
#[cfg(test)]
mod tests;

use keys::Keys;

/// The largest config.json that is read; real ones hold a few kilobytes.
const CONFIG_LIMIT: u64 = 16 << 20;

/// A model family: decoder-only, a norm before each half of a layer; but for GPT-2 with rotary positions, RMS norms and a gated
/// feed-forward half.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// `LlamaForCausalLM`.
    Llama,
    /// `Qwen2ForCausalLM`: Llama with biases on q, k and v.
    Qwen2,
    /// `Qwen3ForCausalLM`: Llama with an RMS norm over each head of q and k.
    Qwen3,
    /// `MistralForCausalLM`: Llama with a sliding window in every layer (the first release) or in none.
    Mistral,
    /// `Phi3ForCausalLM`: Llama with q, k and v in one layer, gate and up in another, and rotary positions on a part of each head.
    Phi3,
    /// `Gemma3ForCausalLM`: as Qwen3, with norms behind each half too, layers with a sliding window among the others, and gelu.
    Gemma3,
    /// `GPT2LMHeadModel`: layer norms, learned positions, no gate, biases everywhere, q, k and v in one layer, and linear layers that
    /// files hold as their transpose.
    Gpt2,
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
    /// What the gate of the feed-forward half goes through.
    pub activation: Activation,
    /// What embedded tokens are multiplied with: sqrt(hidden_size) in Gemma, rounded to the type of the weights; 1 elsewhere.
    pub embed_scale: f32,
    /// Whether the feed-forward half has a gate: two products of the stream, of which the activated one multiplies the other.
    pub gated: bool,
    /// Norms take the mean away first and have a bias.
    pub layer_norm: bool,
    /// Added to the mean square in every RMS norm, to the variance in every layer norm.
    pub norm_eps: f64,
    /// Added to every norm's weight: 1 in Gemma, 0 elsewhere.
    pub norm_offset: f32,
    /// Each half of a layer has a norm behind it too, before it is added to the stream.
    pub norms_behind: bool,
    /// Factor of q . k: 1 / sqrt(head_dim), or 1 / sqrt(query_pre_attn_scalar).
    pub attention_scale: f64,
    /// Tokens that a layer with a sliding window sees, itself included.
    pub sliding_window: Option<usize>,
    /// Which layers have it; empty where none has.
    pub sliding_layers: Vec<bool>,
    /// Positions are rows of a table, added to the embedded tokens: the model knows [`Self::max_position_embeddings`] of them.
    pub learned_positions: bool,
    /// Numbers of a head that are rotated, the first ones; even. 0 where positions are learned.
    pub rotary_dim: usize,
    /// Rotary positions.
    pub rope: Rope,
    /// Rotary positions of layers with a sliding window, where they have their own.
    pub local_rope: Option<Rope>,
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
    /// Files hold it as its transpose.
    pub transposed: bool,
}

impl ParamSpec {
    /// Elements in the tensor.
    pub fn elements(&self) -> u64 {
        self.shape.iter().map(|&size| size as u64).product()
    }

    /// The shape that it has in files.
    pub fn stored_shape(&self) -> Vec<usize> {
        if self.transposed { self.shape.iter().rev().copied().collect() } else { self.shape.clone() }
    }
}

impl ModelConfig {
    /// Reads `folder/config.json`.
    pub fn from_dir(folder: &Path) -> Result<Self> {
        let path = folder.join("config.json");
        // A folder that may not be looked into may hold one: then that is what is told.
        if files::is_dir(folder) && files::names(folder).is_ok() && !files::is_listed(&path) {
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
        let architecture = read::family(&keys)?;
        read::refuse_what_is_not_supported(&keys, architecture)?;

        let gpt2 = architecture == Family::Gpt2;
        // What GPT2Config takes where a key is absent; the others' sizes have to be there.
        let or = |default: usize| gpt2.then_some(default);
        let key = |llama: &'static str| read::key(architecture, llama);
        let vocab_size = keys.size("vocab_size", or(50_257), 4_000_000)?;
        let hidden_size = keys.size(key("hidden_size"), or(768), 65_536)?;
        let intermediate_size = keys.size(key("intermediate_size"), or(4 * hidden_size), 1 << 20)?;
        let num_hidden_layers = keys.size(key("num_hidden_layers"), or(12), 1024)?;
        let num_attention_heads = keys.size(key("num_attention_heads"), or(12), 1024)?;
        let num_key_value_heads = match gpt2 {
            true => num_attention_heads,
            false => keys.size("num_key_value_heads", Some(num_attention_heads), 1024)?,
        };
        if !num_attention_heads.is_multiple_of(num_key_value_heads) {
            let what = format!("{num_key_value_heads} does not divide num_attention_heads, which is {num_attention_heads}");
            return Err(keys.error("num_key_value_heads", what, ""));
        }
        let head_dim = read::head_dim(&keys, architecture, hidden_size, num_attention_heads)?;

        // The defaults are those of the families' own classes of transformers. The base class's default for tying (true in transformers
        // 4) never applies: all but GPT2Config override it, and there it is the same.
        let llama = architecture == Family::Llama;
        let gemma = architecture == Family::Gemma3;
        let sliding = read::sliding(&keys, architecture, num_hidden_layers)?;
        let rotary_dim = rope::rotary_dim(&keys, architecture, head_dim)?;
        let ropes = match architecture {
            Family::Gemma3 => rope::by_layer_type(&keys)?,
            Family::Gpt2 => (Rope::NONE, None),
            _ => (rope::one(&keys, architecture)?, None),
        };
        let attention_bias =
            gpt2 || keys.bool("attention_bias")? && !matches!(architecture, Family::Qwen2 | Family::Mistral | Family::Phi3);
        let config = Self {
            architecture,
            vocab_size,
            hidden_size,
            intermediate_size,
            num_hidden_layers,
            num_attention_heads,
            num_key_value_heads,
            head_dim,
            activation: if gemma || gpt2 { Activation::GeluTanh } else { Activation::Silu },
            embed_scale: if gemma { (hidden_size as f64).sqrt() as f32 } else { 1.0 },
            gated: !gpt2,
            layer_norm: gpt2,
            norm_eps: keys.number(
                key("rms_norm_eps"),
                Some(if matches!(architecture, Family::Phi3 | Family::Gpt2) { 1e-5 } else { 1e-6 }),
                f64::MIN_POSITIVE,
                1.0,
            )?,
            norm_offset: if gemma { 1.0 } else { 0.0 },
            norms_behind: gemma,
            attention_scale: read::attention_scale(&keys, architecture, head_dim)?,
            sliding_window: sliding.as_ref().map(|s| s.0),
            sliding_layers: sliding.map_or_else(Vec::new, |s| s.1),
            learned_positions: gpt2,
            rotary_dim,
            rope: ropes.0,
            local_rope: ropes.1,
            qkv_bias: attention_bias || architecture == Family::Qwen2,
            o_bias: attention_bias,
            mlp_bias: gpt2 || keys.bool("mlp_bias")? && llama,
            qk_norm: matches!(architecture, Family::Qwen3 | Family::Gemma3),
            tie_word_embeddings: keys.bool_or("tie_word_embeddings", gemma || gpt2)?,
            max_position_embeddings: keys.size(key("max_position_embeddings"), Some(read::context(architecture)), 1 << 30)?,
            bos_token_id: read::bos(&keys, architecture)?,
            eos_token_id: read::eos(&keys, architecture)?,
            dtype: keys.text("dtype")?.or(keys.text("torch_dtype")?).map(str::to_owned),
            raw: Map::new(),
        };
        let config = Self { raw, ..config };
        Ok(match config.dtype.as_deref() {
            Some("bfloat16") => config.stored_as(Dtype::BF16),
            Some("float16") => config.stored_as(Dtype::F16),
            _ => config,
        })
    }

    /// The same for weights of this type: Gemma multiplies embedded tokens with a number of the weights' own type
    /// (transformers' `Gemma3TextScaledWordEmbedding`).
    pub fn stored_as(self, dtype: Dtype) -> Self {
        if self.architecture != Family::Gemma3 {
            return self;
        }
        let exact = (self.hidden_size as f64).sqrt() as f32;
        let embed_scale = match dtype {
            Dtype::F32 => exact,
            Dtype::F16 => half::f16::from_f32(exact).to_f32(),
            Dtype::BF16 => half::bf16::from_f32(exact).to_f32(),
        };
        Self { embed_scale, ..self }
    }

    /// Tokens that this layer sees, itself included; none where it sees all.
    pub fn window(&self, layer: usize) -> Option<usize> {
        self.sliding_window.filter(|_| self.sliding_layers.get(layer).copied().unwrap_or(false))
    }

    /// The linear layers of a decoder layer, in the order of the forward pass: name, outputs, inputs.
    pub fn linear_shapes(&self) -> Vec<(&'static str, usize, usize)> {
        let (hidden, inner) = (self.hidden_size, self.intermediate_size);
        let (q, kv) = (self.num_attention_heads * self.head_dim, self.num_key_value_heads * self.head_dim);
        match self.architecture {
            Family::Phi3 => vec![
                ("qkv_proj", q + 2 * kv, hidden),
                ("o_proj", hidden, q),
                ("gate_up_proj", 2 * inner, hidden),
                ("down_proj", hidden, inner),
            ],
            Family::Gpt2 => {
                vec![("c_attn", q + 2 * kv, hidden), ("attn.c_proj", hidden, q), ("c_fc", inner, hidden), ("mlp.c_proj", hidden, inner)]
            }
            _ => vec![
                ("q_proj", q, hidden),
                ("k_proj", kv, hidden),
                ("v_proj", kv, hidden),
                ("o_proj", hidden, q),
                ("gate_proj", inner, hidden),
                ("up_proj", inner, hidden),
                ("down_proj", hidden, inner),
            ],
        }
    }

    /// Their names.
    pub fn modules(&self) -> Vec<&'static str> {
        self.linear_shapes().into_iter().map(|shape| shape.0).collect()
    }

    /// Whether the linear layer of that name has a bias.
    pub fn has_bias(&self, module: &str) -> bool {
        match role(module) {
            Role::AttentionIn => self.qkv_bias,
            Role::AttentionOut => self.o_bias,
            Role::MlpIn | Role::MlpOut => self.mlp_bias,
        }
    }

    /// Every parameter, in the order of the forward pass. A tied table stands once, as the embedding.
    pub fn parameter_list(&self) -> Vec<ParamSpec> {
        let names = self.architecture.names();
        let conv1d = self.linear_shapes().iter().any(|(name, ..)| transposed(name));
        let mut list = Vec::new();
        let mut push = |name: String, shape: &[usize]| list.push(ParamSpec { name, shape: shape.to_vec(), transposed: false });
        let norm = |push: &mut dyn FnMut(String, &[usize]), name: String| {
            push(format!("{name}.weight"), &[self.hidden_size]);
            if self.layer_norm {
                push(format!("{name}.bias"), &[self.hidden_size]);
            }
        };
        let table = [self.vocab_size, self.hidden_size];
        push(names.embed.into(), &table);
        if let Some(positions) = names.positions {
            push(positions.into(), &[self.max_position_embeddings, self.hidden_size]);
        }
        for layer in 0..self.num_hidden_layers {
            let at = format!("{}.{layer}", names.layers);
            norm(&mut push, format!("{at}.{}", names.input_norm));
            let mut in_mlp = false;
            for (name, d_out, d_in) in self.linear_shapes() {
                if role(name) == Role::MlpIn && !std::mem::replace(&mut in_mlp, true) {
                    if self.norms_behind {
                        push(format!("{at}.post_attention_layernorm.weight"), &[self.hidden_size]);
                    }
                    norm(&mut push, format!("{at}.{}", names.mlp_norm));
                }
                let path = path(layer, name);
                push(format!("{path}.weight"), &[d_out, d_in]);
                if self.has_bias(name) {
                    push(format!("{path}.bias"), &[d_out]);
                }
                if self.qk_norm && matches!(name, "q_proj" | "k_proj") {
                    push(format!("{at}.self_attn.{}_norm.weight", &name[..1]), &[self.head_dim]);
                }
            }
            if self.norms_behind {
                push(format!("{at}.post_feedforward_layernorm.weight"), &[self.hidden_size]);
            }
        }
        norm(&mut push, names.norm.into());
        if !self.tie_word_embeddings {
            push(HEAD.into(), &table);
        }
        // Every matrix of a layer is a linear layer's.
        let of_layers = |spec: &&mut ParamSpec| spec.shape.len() == 2 && spec.name.starts_with(names.layers);
        list.iter_mut().filter(of_layers).for_each(|spec| spec.transposed = conv1d);
        list
    }

    /// Refuses texts of more tokens than the model knows positions, where these are learned: it has no numbers for what comes after.
    ///
    /// # Errors
    /// Names the key of config.json.
    pub fn check_length(&self, tokens: usize) -> Result<()> {
        let known = self.max_position_embeddings;
        if !self.learned_positions || tokens <= known {
            return Ok(());
        }
        let what = format!("rows have up to {tokens} tokens, and the model has learned {known} positions (n_positions in config.json)");
        Err(Error::usage(what, format!("use --seq-len {known} or less")))
    }

    /// Elements of all parameters; a tied table counts once.
    pub fn num_parameters(&self) -> u64 {
        self.parameter_list().iter().map(ParamSpec::elements).sum()
    }
}
