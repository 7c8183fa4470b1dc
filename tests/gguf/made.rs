//! GGUF files read back from the format's description, and what the command says. What other programs make of them: gguf_elsewhere.rs.

use crate::common::{diablo, json_file, text};
use crate::model_files::{ENCODINGS, MODELS, Work, adapter, folder};
use crate::reader::{File, read};
use diablo::adapter::Blend;
use diablo::data::Vocabulary;
use diablo::model::gguf::{Encoding, Value};
use diablo::model::{Family, ModelConfig, Source};
use diablo::train::gguf;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;

/// What llama.cpp has in place of a merged parameter, by definition; every name spelled out.
fn native(config: &ModelConfig, name: &str, values: Vec<f32>) -> (String, Vec<f32>) {
    let gemma = config.architecture == Family::Gemma3;
    if config.architecture == Family::Gpt2 {
        let mut own = name.replace("transformer.h.", "blk.");
        for (theirs, ours) in [
            ("transformer.wte", "token_embd"),
            ("transformer.wpe", "position_embd"),
            ("transformer.ln_f", "output_norm"),
            ("ln_1", "attn_norm"),
            ("attn.c_attn", "attn_qkv"),
            ("attn.c_proj", "attn_output"),
            ("ln_2", "ffn_norm"),
            ("mlp.c_fc", "ffn_up"),
            ("mlp.c_proj", "ffn_down"),
        ] {
            own = own.replace(theirs, ours);
        }
        return (own, values);
    }
    let mut own = name.replace("model.layers.", "blk.").replace("self_attn.", "").replace("mlp.", "");
    for (theirs, ours) in [
        ("model.embed_tokens", "token_embd"),
        ("model.norm", "output_norm"),
        ("lm_head", "output"),
        ("input_layernorm", "attn_norm"),
        ("post_attention_layernorm", if gemma { "post_attention_norm" } else { "ffn_norm" }),
        ("pre_feedforward_layernorm", "ffn_norm"),
        ("post_feedforward_layernorm", "post_ffw_norm"),
        ("qkv_proj", "attn_qkv"),
        ("q_proj", "attn_q"),
        ("k_proj", "attn_k"),
        ("v_proj", "attn_v"),
        ("o_proj", "attn_output"),
        ("q_norm", "attn_q_norm"),
        ("k_norm", "attn_k_norm"),
        ("gate_up_proj", "ffn_up"),
        ("gate_proj", "ffn_gate"),
        ("up_proj", "ffn_up"),
        ("down_proj", "ffn_down"),
    ] {
        let new = own.replace(&format!(".{theirs}."), &format!(".{ours}."));
        own = if own.starts_with(theirs) { own.replace(theirs, ours) } else { new };
    }
    let mut values = values;
    if matches!(config.architecture, Family::Llama | Family::Mistral) && (name.contains("q_proj") || name.contains("k_proj")) {
        // Number i of a head's first half goes to 2 i, of its second half to 2 i + 1.
        let (width, half) = (config.head_dim, config.head_dim / 2);
        let rows = if name.contains("q_proj") { config.num_attention_heads } else { config.num_key_value_heads } * width;
        let cols = values.len() / rows;
        let mut to = vec![0.0; values.len()];
        for (row, from) in values.chunks(cols).enumerate() {
            let (head, i) = (row / width, row % width);
            let place = head * width + if i < half { 2 * i } else { 2 * (i - half) + 1 };
            to[place * cols..][..cols].copy_from_slice(from);
        }
        values = to;
    }
    if gemma && name.ends_with("norm.weight") {
        let scalar = config.raw["query_pre_attn_scalar"].as_f64().expect("a number");
        let factor = if name.ends_with("q_norm.weight") { (config.head_dim as f64 / scalar).sqrt() } else { 1.0 };
        values.iter_mut().for_each(|w| *w = (*w + 1.0) * factor as f32);
    }
    (own, values)
}

fn check(model: &str) {
    let Some(work) = Work::make(model) else { return };
    let merged = work.merged();
    let config = &merged.config;
    let want: Vec<(String, Vec<usize>, Vec<f32>)> = merged
        .checkpoint()
        .expect("a checkpoint")
        .resolve(config)
        .expect("fits")
        .into_iter()
        .map(|(spec, tensor)| {
            let (name, values) = native(config, &spec.name, tensor.read().expect("reads").to_f32());
            (name, spec.shape, values)
        })
        .collect();
    for encoding in ENCODINGS {
        let file = work.file(encoding);
        let mut names: Vec<&String> = file.names.iter().filter(|name| *name != "rope_freqs.weight").collect();
        names.sort_unstable();
        let mut wanted: Vec<&String> = want.iter().map(|(name, ..)| name).collect();
        wanted.sort_unstable();
        assert_eq!(names, wanted, "{model}");
        let mut worst = 0f32;
        for (name, shape, values) in &want {
            let tensor = &file.tensors[name];
            assert_eq!(&tensor.shape, shape, "{name}");
            let kind = match encoding {
                _ if shape.len() == 1 || name == "position_embd.weight" => 0,
                Encoding::F32 => 0,
                Encoding::F16 => 1,
                Encoding::Bf16 => 30,
                _ if !shape[1].is_multiple_of(32) => 1,
                Encoding::Q4 if ["token_embd.weight", "output.weight"].contains(&name.as_str()) => 8,
                Encoding::Q4 => 2,
                Encoding::Q8 => 8,
            };
            assert_eq!(tensor.ggml_type, kind, "{name}");
            for ((got, most), want) in tensor.values().into_iter().zip(values) {
                assert!((got - want).abs() <= most, "{model} {encoding}: {name}: {got} and not {want}");
                worst = worst.max((got - want).abs());
            }
        }
        println!("  {model} {encoding}: {} tensors, at most {worst:.1e} off", want.len());
        check_keys(&file, &work, encoding);
    }
}

/// The keys that a reader needs, against config.json itself.
fn check_keys(file: &File, work: &Work, encoding: Encoding) {
    let (config, raw) = (&work.base.config, json_file(&work.base.folder, "config.json"));
    let arch = match config.architecture {
        Family::Llama | Family::Mistral => "llama",
        Family::Qwen2 => "qwen2",
        Family::Qwen3 => "qwen3",
        Family::Phi3 => "phi3",
        Family::Gemma3 => "gemma3",
        Family::Gpt2 => "gpt2",
    };
    let gpt2 = arch == "gpt2";
    assert_eq!(file.keys["general.architecture"], arch);
    let kind = match encoding {
        Encoding::F32 => 0,
        Encoding::F16 => 1,
        Encoding::Q4 => 2,
        Encoding::Q8 => 7,
        Encoding::Bf16 => 32,
    };
    assert_eq!(file.keys["general.file_type"], kind);
    for (key, of_config) in [
        ("block_count", "num_hidden_layers"),
        ("context_length", "max_position_embeddings"),
        ("embedding_length", "hidden_size"),
        ("feed_forward_length", "intermediate_size"),
        ("attention.head_count", "num_attention_heads"),
        ("attention.head_count_kv", "num_key_value_heads"),
        ("vocab_size", "vocab_size"),
    ] {
        let want = match of_config {
            "num_hidden_layers" if gpt2 => &raw["n_layer"],
            "max_position_embeddings" if gpt2 => &raw["n_positions"],
            "hidden_size" if gpt2 => &raw["n_embd"],
            "num_attention_heads" | "num_key_value_heads" if gpt2 => &raw["n_head"],
            // n_inner is null: four times the width.
            "intermediate_size" if gpt2 => &json!(128),
            key => &raw[key],
        };
        assert_eq!(&file.keys[&format!("{arch}.{key}")], want, "{key}");
    }
    let (eps, of_config) = if gpt2 { ("layer_norm_epsilon", "layer_norm_epsilon") } else { ("layer_norm_rms_epsilon", "rms_norm_eps") };
    let eps = file.keys[&format!("{arch}.attention.{eps}")].as_f64().expect("a number");
    assert!((eps / raw[of_config].as_f64().expect("a number") - 1.0).abs() < 1e-6);
    let tokens = file.keys["tokenizer.ggml.tokens"].as_array().expect("tokens");
    let types = file.keys["tokenizer.ggml.token_type"].as_array().expect("types");
    assert_eq!((tokens.len(), types.len()), (config.vocab_size, config.vocab_size));
    let own = json_file(&work.base.folder, "tokenizer.json");
    let added =
        own["added_tokens"].as_array().expect("tokens").iter().map(|token| (&token["id"], token["content"].as_str().expect("text")));
    let vocab = own["model"]["vocab"].as_object().expect("tokens").iter().map(|(token, id)| (id, token.as_str()));
    let known: BTreeMap<u64, &str> = vocab.chain(added).map(|(id, token)| (id.as_u64().expect("an id"), token)).collect();
    for (id, token) in (0..).zip(tokens) {
        let padding = format!("[PAD{id}]");
        assert_eq!(token.as_str(), Some(*known.get(&id).unwrap_or(&padding.as_str())));
    }
    let eos = file.keys["tokenizer.ggml.eos_token_id"].as_u64().expect("an id");
    assert_eq!((types[eos as usize].as_i64(), &json!(eos)), (Some(3), &raw["eos_token_id"]));
    let modelfile = std::fs::read_to_string(work.path(&encoding.to_string()).join("Modelfile")).expect("a Modelfile");
    let stop = format!("PARAMETER stop {}\n", tokens[eos as usize]);
    assert!(modelfile.contains("FROM ./model.gguf\n") && modelfile.contains(&stop), "{modelfile}");
}

#[test]
fn the_demo_s_model() {
    check(MODELS[0]);
}

#[test]
fn mistral_whose_window_is_left_out() {
    check(MODELS[1]);
    let Some(folder) = folder(MODELS[1]) else { return };
    let source = Source::open(&folder).expect("model");
    let out = tempfile::tempdir().expect("a folder");
    let checkpoint = source.checkpoint().expect("a checkpoint");
    let written = gguf::write(&source, checkpoint, Blend::none(), &out.path().join("o"), Some(Encoding::Q8)).expect("written");
    let notes = written.notes.join("\n");
    assert!(notes.contains("beyond 11 tokens") && notes.contains("2 tensors have rows that are no multiple of 32"), "{notes}");
}

#[test]
fn phi3_with_fused_layers() {
    check(MODELS[2]);
}

#[test]
fn gemma3_with_norms_of_one_more() {
    check(MODELS[3]);
    check(MODELS[8]);
}

#[test]
fn llama_with_turned_rows() {
    check(MODELS[4]);
}

#[test]
fn llama3_with_divisors_of_frequencies() {
    check(MODELS[5]);
    let Some(work) = Work::make(MODELS[5]) else { return };
    let got = work.file(Encoding::Q4).tensors["rope_freqs.weight"].values();
    // theta 500,000, factor 32, 64 tokens, factors 1 and 4: wavelengths below 16 are kept, above 64 divided, between blended.
    let want = (0..8).map(|i| {
        let wavelength = std::f64::consts::TAU * 500_000f64.powf(f64::from(i) / 8.0);
        let smooth = (64.0 / wavelength - 1.0) / 3.0;
        if wavelength < 16.0 {
            1.0
        } else if wavelength > 64.0 {
            32.0
        } else {
            1.0 / ((1.0 - smooth) / 32.0 + smooth)
        }
    });
    assert_eq!(got.len(), 8);
    for ((got, _), want) in got.into_iter().zip(want) {
        assert!((f64::from(got) / want - 1.0).abs() < 1e-6, "{got} {want}");
    }
}

#[test]
fn qwen2_with_biases() {
    check(MODELS[6]);
}

#[test]
fn qwen3_with_norms_of_heads() {
    check(MODELS[7]);
}

/// Its files hold matrices turned; GGUF wants a row for each output, as the resolved checkpoint has them.
#[test]
fn gpt2_with_turned_matrices() {
    check(MODELS[10]);
    let Some(work) = Work::make(MODELS[10]) else { return };
    let file = work.file(Encoding::F32);
    assert_eq!(file.tensors["blk.1.attn_qkv.weight"].shape, [96, 32]);
    assert_eq!(file.tensors["blk.1.ffn_down.weight"].shape, [32, 128]);
    assert!(file.names.iter().all(|name| name != "output.weight"), "the table of tokens is the output layer");
    assert_eq!(file.keys["tokenizer.ggml.model"], "gpt2");
}

#[test]
fn tinystories_with_scores() {
    check(MODELS[9]);
    let Some(work) = Work::make(MODELS[9]) else { return };
    let keys = work.file(Encoding::F16).keys;
    assert_eq!((&keys["tokenizer.ggml.model"], &keys["tokenizer.ggml.add_space_prefix"]), (&json!("llama"), &json!(true)));
    assert_eq!((&keys["tokenizer.ggml.bos_token_id"], &keys["tokenizer.ggml.add_bos_token"]), (&json!(1), &json!(true)));
    assert_eq!(keys["tokenizer.ggml.unknown_token_id"], 0);
    let types: Vec<i64> = keys["tokenizer.ggml.token_type"].as_array().expect("types").iter().filter_map(Json::as_i64).collect();
    // This one has no bytes, whatever it says of falling back to them.
    assert!(types[..3] == [2, 3, 3] && types[3..].iter().all(|kind| *kind == 1));
    let out = work.path("again");
    let written = gguf::write(&work.base, work.base.checkpoint().expect("weights"), Blend::none(), &out, None).expect("written");
    assert!(written.notes.len() == 1 && written.notes[0].contains("no tokens for bytes"), "{:?}", written.notes);
}

/// A released tokenizer whose rule, end tokens and template llama.cpp knows.
#[test]
fn qwen2_s_own_tokenizer() {
    let Some(folder) = crate::common::shared("real/qwen2-tokenizer") else { return };
    let config = ModelConfig::from_dir(&folder).expect("config");
    let mut notes = Vec::new();
    let vocabulary = Vocabulary::of_model(&folder, &config, &mut notes).expect("vocabulary");
    let get = |key: &str| vocabulary.metadata.iter().find(|(k, _)| *k == format!("tokenizer.{key}")).map(|(_, v)| v.clone());
    assert_eq!(get("ggml.pre"), Some(Value::Text("qwen2".into())));
    let ids = ["ggml.bos_token_id", "ggml.eos_token_id", "ggml.eot_token_id"].map(get);
    assert_eq!(ids, [151_643, 151_645, 151_643].map(|id| Some(Value::U32(id))));
    assert_eq!(get("ggml.add_bos_token"), Some(Value::Bool(false)));
    let template = std::fs::read_to_string(folder.join("chat_template.jinja")).expect("a template");
    assert_eq!(get("chat_template"), Some(Value::Text(template)));
    let Some(Value::Texts(tokens)) = get("ggml.tokens") else { panic!("tokens") };
    assert_eq!((tokens.len(), tokens[151_645].as_str()), (151_936, "<|im_end|>"));
    assert!(notes.is_empty() && vocabulary.has_template && vocabulary.stops == ["<|im_end|>", "<|endoftext|>"], "{notes:?}");
}

#[test]
fn what_cannot_be_written_leaves_no_file() {
    let base = folder(MODELS[0]).expect("the demo's model");
    let source = Source::open(&base).expect("model");
    let mut bad = adapter(&source.config, true);
    for (value, said) in [(f32::NAN, "no number"), (1e30, "q8_0 cannot")] {
        bad.tensors[1].values[0] = value;
        bad.tensors[0].values[0] = 1.0;
        let dir = tempfile::tempdir().expect("a folder");
        let out = dir.path().join("o");
        let error = gguf::write(&source, source.checkpoint().expect("weights"), &bad, &out, Some(Encoding::Q8)).expect_err("refused");
        assert!(error.to_string().contains(said) && error.to_string().contains("layers.0"), "{error}");
        assert_eq!(std::fs::read_dir(&out).expect("a folder").count(), 0, "nothing half-written");
    }
    // No end token: llama.cpp would choose one.
    let dir = tempfile::tempdir().expect("a folder");
    let copy = dir.path().join("m");
    std::fs::create_dir(&copy).expect("a folder");
    for file in ["model.safetensors", "tokenizer.json"] {
        std::fs::copy(base.join(file), copy.join(file)).expect("copied");
    }
    let mut config = json_file(&base, "config.json");
    config["eos_token_id"] = Json::Null;
    std::fs::write(copy.join("config.json"), config.to_string()).expect("written");
    let out = dir.path().join("o");
    let args = ["export", "--model", text(&copy), "--format", "gguf", "--out", text(&out)];
    diablo(&args).bad(1, &["no end token"]);
    assert!(!out.exists(), "nothing was begun");
    // A tokenizer of another kind.
    config["eos_token_id"] = json!(1);
    std::fs::write(copy.join("config.json"), config.to_string()).expect("written");
    let mut tokenizer = json_file(&base, "tokenizer.json");
    tokenizer["pre_tokenizer"] = json!({"type": "Whitespace"});
    std::fs::write(copy.join("tokenizer.json"), tokenizer.to_string()).expect("written");
    diablo(&args).bad(1, &["tokenizer.json", "no other kind"]);
}

#[test]
fn a_file_that_is_given_up_is_not_there() {
    let source = Source::open(&folder(MODELS[0]).expect("the demo's model")).expect("model");
    let dir = tempfile::tempdir().expect("a folder");
    let write = |name: &str, most: u64| {
        let mut heard = Vec::new();
        let mut watch = |done, all| {
            heard.push((done, all));
            done < most
        };
        let out = dir.path().join(name);
        let written = gguf::write_watched(&source, source.checkpoint().expect("weights"), Blend::none(), &out, None, &mut watch);
        (written, heard, std::fs::read_dir(&out).expect("a folder").count())
    };
    let (written, heard, files) = write("whole", u64::MAX);
    let (last, all) = *heard.last().expect("it was heard of");
    assert_eq!((last, files), (all, 2));
    assert!(heard.windows(2).all(|two| two[0].0 < two[1].0 && two[1].1 == all), "{heard:?}");
    // A header and what aligns tensors are beside their numbers.
    let bytes = written.expect("written").bytes;
    assert!(all < bytes && bytes < all + 200_000, "{all} of {bytes}");
    let (written, heard, files) = write("half", all / 2);
    assert!(written.expect_err("given up").to_string().contains("given up"));
    assert!(heard.last().expect("it was heard of").0 < all && files == 0);
}

#[test]
fn the_command_says_what_it_wrote() {
    let base = folder(MODELS[0]).expect("the demo's model");
    let dir = tempfile::tempdir().expect("a folder");
    let at = |name: &str| dir.path().join(name);
    let run = |out: &str, more: &[&str]| {
        let out = at(out);
        diablo(&[&["export", "--model", text(&base), "--format", "gguf", "--out", text(&out)], more].concat())
    };
    let said = run("eight", &["--dtype", "q8_0", "--json"]).json();
    assert_eq!((&said["dtype"], &said["file"]), (&json!("q8_0"), &json!(at("eight").join("model.gguf"))));
    assert_eq!(said["bytes"], std::fs::metadata(at("eight/model.gguf")).expect("a file").len());
    let mut names: Vec<_> = std::fs::read_dir(at("eight")).expect("a folder").map(|e| e.expect("a file").file_name()).collect();
    names.sort_unstable();
    assert_eq!(names, ["Modelfile", "model.gguf"]);
    // The base's own type.
    assert_eq!(run("own", &["--json"]).json()["dtype"], "bf16");
    let file = read(&at("own/model.gguf"));
    assert_eq!((&file.keys["general.name"], file.tensors["blk.3.attn_v.weight"].ggml_type), (&json!("own"), 30));
    run("own", &[]).bad(2, &["not empty"]);
    diablo(&["export", "--model", text(&base), "--out", text(&at("x"))]).bad(2, &["--adapter is needed"]);
}
