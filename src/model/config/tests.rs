//! Configurations as they are published, and as they should not be.

use super::super::rope::RopeScaling;
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
    assert_eq!((config.num_key_value_heads, config.head_dim, config.norm_eps), (4, 16, 1e-6));
    assert_eq!((config.bos_token_id, config.eos_token_id.as_slice()), (Some(1), [2].as_slice()));
    assert_eq!(config.rope, Rope { theta: 1e4, scaling: RopeScaling::None });
    assert!(!config.tie_word_embeddings && !config.qkv_bias && !config.o_bias && !config.mlp_bias && !config.qk_norm);
    assert_eq!((config.max_position_embeddings, config.dtype), (2048, None));

    let config = with("Qwen2ForCausalLM", json!({"eos_token_id": [1, 5], "bos_token_id": null, "torch_dtype": "bfloat16"})).expect("qwen2");
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
    let llama3 = RopeScaling::Llama3 { factor: 32.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original_max_position_embeddings: 8192 };
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
    let norm = ParamSpec { name: "model.layers.1.self_attn.k_norm.weight".into(), shape: vec![32], transposed: false };
    assert!(qwen.parameter_list().contains(&norm));
    // The largest model that passes the limits still counts without overflow.
    let most = json!({"vocab_size": 4_000_000, "hidden_size": 65_536, "intermediate_size": 1 << 20, "num_hidden_layers": 1024,
        "num_attention_heads": 1024, "head_dim": 256});
    assert!(llama(most).num_parameters() > 1 << 47);
}

#[test]
fn hostile_values_are_refused_with_their_key() {
    for (changes, key, words) in [
        (json!({"architectures": ["OPTForCausalLM"]}), "architectures", "OPTForCausalLM"),
        (json!({"architectures": ["Gemma3ForConditionalGeneration"]}), "architectures", "Gemma3ForConditionalGeneration"),
        (json!({"architectures": "LlamaForCausalLM"}), "architectures", "list"),
        (json!({"architectures": [7]}), "architectures", "7"),
        (json!({"architectures": null, "model_type": "opt"}), "model_type", "opt"),
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

#[test]
fn an_unknown_architecture_is_answered_with_the_known_ones() {
    let unknown = with("OPTForCausalLM", json!({})).expect_err("unknown");
    let by_type = with("", json!({"architectures": null, "model_type": "opt"})).expect_err("unknown");
    let nothing = with("", json!({"architectures": null})).expect_err("unknown");
    for error in [unknown, by_type, nothing] {
        let hint = error.hint().expect("a hint");
        for known in [
            "LlamaForCausalLM",
            "Qwen2ForCausalLM",
            "Qwen3ForCausalLM",
            "MistralForCausalLM",
            "Phi3ForCausalLM",
            "Gemma3ForCausalLM",
            "GPT2LMHeadModel",
        ] {
            assert!(hint.contains(known), "{hint}");
        }
    }
}

#[test]
fn mistral_s_window_is_in_every_layer_or_in_none() {
    let mistral = |changes| with("MistralForCausalLM", changes).expect("valid");
    let first = mistral(json!({"head_dim": 32}));
    assert_eq!((first.window(0), first.window(1), first.head_dim, first.max_position_embeddings), (Some(4096), Some(4096), 32, 131_072));
    assert_eq!(mistral(json!({"sliding_window": 7})).window(1), Some(7));
    let later = mistral(json!({"sliding_window": null, "attention_bias": true}));
    assert_eq!((later.window(0), later.sliding_window, later.qkv_bias, later.local_rope), (None, None, false, None));
    let error = with("MistralForCausalLM", json!({"sliding_window": 0})).expect_err("no token would be seen").to_string();
    assert!(error.contains("sliding_window"), "{error}");
}

#[test]
fn phi3_has_fused_layers() {
    let phi3 = |changes| with("Phi3ForCausalLM", changes);
    let plain = phi3(json!({"num_key_value_heads": 2})).expect("valid");
    assert_eq!(plain.linear_shapes()[0], ("qkv_proj", 64 + 2 * 32, 64));
    assert_eq!(plain.modules(), ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"]);
    assert_eq!((plain.sliding_window, plain.rotary_dim, plain.norm_eps, plain.max_position_embeddings), (None, 16, 1e-5, 4096));
    assert_eq!((plain.bos_token_id, plain.eos_token_id.as_slice()), (Some(1), [32_000].as_slice()));
    assert_eq!(plain.parameter_list().len(), 3 + 2 * 6);
    let four = phi3(json!({"partial_rotary_factor": 0.75, "sliding_window": 2047})).expect("valid");
    let five = phi3(json!({"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.75}, "sliding_window": 2047}));
    for config in [four, five.expect("valid")] {
        assert_eq!((config.rotary_dim, config.window(1), config.rope.theta), (12, Some(2047), 1e4));
    }
    for (changes, key, words) in [
        (json!({"rope_scaling": {"type": "longrope", "long_factor": [1.0]}}), "rope_scaling.type", "longrope"),
        (json!({"rope_scaling": {"type": "su"}}), "rope_scaling.type", "su"),
        (json!({"partial_rotary_factor": 0.05}), "partial_rotary_factor", "pairs"),
        (json!({"partial_rotary_factor": 0.2}), "partial_rotary_factor", "pairs"),
        (json!({"hidden_act": "gelu"}), "hidden_act", "gelu"),
    ] {
        let error = phi3(changes).expect_err(key).to_string();
        assert!(error.starts_with(&format!("m/config.json: {key}")) && error.contains(words), "{error}");
    }
}

fn gemma(changes: Value) -> ModelConfig {
    with("Gemma3ForCausalLM", changes).expect("valid")
}

#[test]
fn gemma_in_both_layouts() {
    let plain = gemma(json!({"num_hidden_layers": 7}));
    assert!(plain.qk_norm && plain.norms_behind && plain.tie_word_embeddings && !plain.qkv_bias);
    assert_eq!((plain.head_dim, plain.attention_scale, plain.embed_scale, plain.norm_offset), (256, 1.0 / 16.0, 8.0, 1.0));
    assert_eq!((plain.bos_token_id, plain.eos_token_id.as_slice(), plain.max_position_embeddings), (Some(2), [1].as_slice(), 131_072));
    let windows: Vec<_> = (0..7).map(|layer| plain.window(layer).is_some()).collect();
    assert_eq!(windows, [true, true, true, true, true, false, true]);
    assert_eq!(plain.window(0), Some(4096));
    let plainly = |theta| Rope { theta, scaling: RopeScaling::None };
    assert_eq!((plain.rope, plain.local_rope), (plainly(1e6), Some(plainly(1e4))));

    // As google/gemma-3-1b-it was published, and as transformers 5 writes it.
    let four = gemma(json!({"rope_theta": 5e5, "rope_local_base_freq": 2e4, "rope_scaling": {"rope_type": "linear", "factor": 8.0},
        "sliding_window_pattern": 2, "sliding_window": 512, "query_pre_attn_scalar": 64}));
    let five = gemma(json!({"layer_types": ["sliding_attention", "full_attention"], "sliding_window": 512, "query_pre_attn_scalar": 64,
        "rope_parameters": {"sliding_attention": {"rope_type": "default", "rope_theta": 2e4},
            "full_attention": {"rope_type": "linear", "rope_theta": 5e5, "factor": 8.0}}}));
    for config in [&four, &five] {
        assert_eq!(config.rope, Rope { theta: 5e5, scaling: RopeScaling::Linear { factor: 8.0 } });
        assert_eq!(config.local_rope, Some(plainly(2e4)));
        assert_eq!((config.window(0), config.window(1), config.attention_scale), (Some(512), None, 0.125));
    }

    // sqrt(640) is 25.298; the nearest bf16 is 25.25.
    let scale = |dtype| gemma(json!({"hidden_size": 640, "dtype": dtype})).embed_scale;
    assert_eq!((scale("bfloat16"), scale("float32")), (25.25, 640f32.sqrt()));
    assert_eq!(gemma(json!({"hidden_size": 640})).stored_as(Dtype::BF16).embed_scale, 25.25);
    let names: Vec<_> = four.parameter_list().into_iter().map(|spec| spec.name).collect();
    for name in ["post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm", "self_attn.q_norm"] {
        assert!(names.contains(&format!("model.layers.1.{name}.weight")), "{name}");
    }
    assert_eq!(names.len(), 2 + 2 * 13);
}

#[test]
fn what_gemma_may_not_have() {
    for (changes, key) in [
        (json!({"final_logit_softcapping": 30.0}), "final_logit_softcapping"),
        (json!({"attn_logit_softcapping": 50.0}), "attn_logit_softcapping"),
        (json!({"use_bidirectional_attention": true}), "use_bidirectional_attention"),
        (json!({"hidden_activation": "gelu"}), "hidden_activation"),
        (json!({"sliding_window": null}), "sliding_window"),
        (json!({"sliding_window_pattern": 0}), "sliding_window_pattern"),
        (json!({"layer_types": ["full_attention"]}), "layer_types"),
        (json!({"layer_types": ["full_attention", "chunked_attention"]}), "layer_types"),
        (json!({"query_pre_attn_scalar": 0}), "query_pre_attn_scalar"),
        (json!({"rope_parameters": {"rope_type": "default"}}), "rope_parameters"),
        (json!({"rope_parameters": {"full_attention": 3}}), "rope_parameters.full_attention"),
        (json!({"rope_parameters": {"full_attention": {"rope_type": "yarn"}}}), "rope_parameters.full_attention.rope_type"),
        (json!({"rope_local_base_freq": 0}), "rope_local_base_freq"),
    ] {
        let error = with("Gemma3ForCausalLM", changes).expect_err(key).to_string();
        assert!(error.starts_with(&format!("m/config.json: {key}")), "{key}: {error}");
    }
}

fn gpt2(changes: Value) -> Result<ModelConfig> {
    let mut all =
        json!({"architectures": ["GPT2LMHeadModel"], "vocab_size": 512, "n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 128});
    for (key, value) in changes.as_object().expect("an object") {
        all[key] = value.clone();
    }
    ModelConfig::from_json(&all.to_string(), "m/config.json")
}

#[test]
fn gpt2_has_names_of_its_own() {
    let plain = gpt2(json!({"n_inner": null, "n_ctx": 128, "activation_function": "gelu_new"})).expect("valid");
    assert_eq!((plain.hidden_size, plain.intermediate_size, plain.head_dim, plain.rotary_dim), (64, 256, 16, 0));
    assert_eq!((plain.num_key_value_heads, plain.max_position_embeddings, plain.norm_eps), (4, 128, 1e-5));
    assert!(plain.learned_positions && plain.layer_norm && !plain.gated && plain.tie_word_embeddings);
    assert!(plain.modules().into_iter().all(|module| plain.has_bias(module)));
    assert_eq!(plain.linear_shapes()[0], ("c_attn", 192, 64));
    assert_eq!((plain.bos_token_id, plain.eos_token_id.as_slice(), plain.attention_scale), (Some(50_256), [50_256].as_slice(), 0.25));
    let list = plain.parameter_list();
    assert_eq!(list.len(), 2 + 2 * 12 + 2);
    let c_attn = ParamSpec { name: "transformer.h.1.attn.c_attn.weight".into(), shape: vec![192, 64], transposed: true };
    assert!(list.contains(&c_attn) && c_attn.stored_shape() == [64, 192]);
    let positions = ParamSpec { name: "transformer.wpe.weight".into(), shape: vec![128, 64], transposed: false };
    assert!(list.contains(&positions) && list.iter().any(|spec| spec.name == "transformer.ln_f.bias"));
    // As many numbers as the first GPT-2 has.
    let first = ModelConfig::from_json(r#"{"model_type": "gpt2"}"#, "c").expect("defaults");
    assert_eq!((first.num_parameters(), first.max_position_embeddings), (124_439_808, 1024));
    assert_eq!(gpt2(json!({"scale_attn_weights": false})).expect("valid").attention_scale, 1.0);
    assert!(plain.check_length(128).is_ok() && llama(json!({})).check_length(1 << 20).is_ok());
    let error = plain.check_length(129).expect_err("one too many");
    assert!(error.to_string().contains("128 positions") && error.hint().is_some_and(|hint| hint.contains("--seq-len 128")), "{error}");
}

#[test]
fn what_gpt2_may_not_have() {
    for (changes, key) in [
        (json!({"activation_function": "gelu"}), "activation_function"),
        (json!({"activation_function": "relu"}), "activation_function"),
        (json!({"scale_attn_by_inverse_layer_idx": true}), "scale_attn_by_inverse_layer_idx"),
        (json!({"add_cross_attention": true}), "add_cross_attention"),
        (json!({"n_head": 3}), "n_head"),
        (json!({"n_head": 64}), "n_head"),
        (json!({"n_embd": 0}), "n_embd"),
        (json!({"n_positions": 0}), "n_positions"),
        (json!({"n_inner": -1}), "n_inner"),
        (json!({"layer_norm_epsilon": 0}), "layer_norm_epsilon"),
        (json!({"quantization_config": {"bits": 8}}), "quantization_config"),
    ] {
        let error = gpt2(changes).expect_err(key).to_string();
        assert!(error.starts_with(&format!("m/config.json: {key}")), "{key}: {error}");
    }
}
