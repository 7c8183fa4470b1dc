//! GGUF files read back: here from the format's description; where Python with gguf and transformers is found, by those
//! (`interop/check_gguf.py`); and by llama.cpp itself, where `NODE_LLAMA_CPP` names a folder in which
//! `npm install --ignore-scripts node-llama-cpp` was run (`interop/llama_cpp.mjs`).

mod common;
mod gguf_reader;

use common::{apart, diablo, json_file, logits, python, text};
use diablo::adapter::{AdapterFile, Blend, Spec, choose, files};
use diablo::data::{Tokenizer, Vocabulary};
use diablo::device::Device;
use diablo::generate::Decoder;
use diablo::model::gguf::{Encoding, Value};
use diablo::model::{Family, ModelConfig, Source};
use diablo::random::Random;
use diablo::train::export::write_merged;
use diablo::train::gguf;
use gguf_reader::{File, read};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The demo's model, tiny ones of the families that have their own files here, and those of ../shared: Llama, Llama 3's rotary scaling, Qwen2,
/// Qwen3, Gemma 3, and a real one with SentencePiece's kind of tokenizer. Every other name is one of a folder in ../shared.
const MODELS: [&str; 10] = [
    "assets/demo/model",
    "tests/data/mistral-diablo/model",
    "tests/data/phi3-diablo/model",
    "tests/data/gemma3-full/model",
    "reference/llama-lora/model",
    "reference/llama3-bf16-accumulate/model",
    "reference/qwen2-diablo/model",
    "reference/qwen3-diablo/model",
    "reference/gemma3-diablo/model",
    "real/tinystories-656k",
];
const ENCODINGS: [Encoding; 5] = [Encoding::F32, Encoding::Bf16, Encoding::F16, Encoding::Q8, Encoding::Q4];
const TEXTS: [&str; 5] = [
    "Each of 8 friends gives Ada 22 apples.\n",
    "Once upon a time",
    " It's  the year 1999, isn't it?\n\n  \"Été\" 猫!",
    "</s> and <s>",
    "  It was the year 1999, wasn't it?",
];

fn folder(model: &str) -> Option<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join(model);
    if here.is_dir() { Some(here) } else { common::shared(model) }
}

/// An adapter with drawn numbers, large enough to be seen.
fn adapter(config: &ModelConfig, lora: bool) -> AdapterFile {
    let modules = config.modules();
    let spec = if lora {
        Spec { targets: modules, ..Spec::lora(3, 6.0) }
    } else {
        choose::diablo(config, &modules, |_| Some(3), true, 0.0).expect("padded blocks fit every layer")
    };
    let draw = |(name, shape): (String, Vec<usize>)| {
        let mut random = Random::new(5).stream(&name);
        let values = (0..shape.iter().product()).map(|_| (random.normal() * 0.1) as f32).collect();
        files::Tensor { name, shape, values }
    };
    let tensors = files::tensor_list(&spec, config).expect("a list").into_iter().map(draw).collect();
    AdapterFile { spec, base: String::new(), tensors }
}

/// Files made from one base: merged in f32, and as GGUF in every type.
struct Work {
    base: Source,
    dir: tempfile::TempDir,
}

impl Work {
    fn make(model: &str) -> Option<Self> {
        let work = Self { base: Source::open(&folder(model)?).expect("model"), dir: tempfile::tempdir().expect("a folder") };
        let adapters = [adapter(&work.base.config, false), adapter(&work.base.config, true)];
        let blend = || Blend::new(vec![(&adapters[0], 0.7), (&adapters[1], 0.3)]).expect("one base");
        let checkpoint = work.base.checkpoint().expect("a checkpoint");
        write_merged(&work.base, checkpoint, blend(), &work.path("merged"), Some(diablo::model::Dtype::F32)).expect("merged");
        for encoding in ENCODINGS {
            let out = work.path(&encoding.to_string());
            let written = gguf::write(&work.base, checkpoint, blend(), &out, Some(encoding)).expect("written");
            assert_eq!((written.file.clone(), written.bytes), (out.join("model.gguf"), std::fs::metadata(&written.file).unwrap().len()));
            let again = gguf::write(&work.base, checkpoint, blend(), &out, Some(encoding)).expect_err("there is something");
            assert!(again.to_string().contains("not empty"), "{again}");
        }
        Some(work)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn file(&self, encoding: Encoding) -> File {
        read(&self.path(&encoding.to_string()).join("model.gguf"))
    }

    fn merged(&self) -> Source {
        Source::open(&self.path("merged")).expect("merged model")
    }
}

/// What llama.cpp has in place of a merged parameter, by definition; every name spelled out.
fn native(config: &ModelConfig, name: &str, values: Vec<f32>) -> (String, Vec<f32>) {
    let gemma = config.architecture == Family::Gemma3;
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
                _ if shape.len() == 1 => 0,
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
    };
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
        assert_eq!(file.keys[&format!("{arch}.{key}")], raw[of_config], "{key}");
    }
    let eps = file.keys[&format!("{arch}.attention.layer_norm_rms_epsilon")].as_f64().expect("a number");
    assert!((eps / raw["rms_norm_eps"].as_f64().expect("a number") - 1.0).abs() < 1e-6);
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
    let Some(folder) = common::shared("real/qwen2-tokenizer") else { return };
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

/// Work that other tools check, texts for it, and what diablo makes of them.
struct Expected {
    work: Work,
    texts: Vec<&'static str>,
    ids: Vec<Vec<u32>>,
    /// The beginnings of the texts that both compute alike.
    prompts: Vec<Vec<u32>>,
    /// Of what follows each prompt.
    logits: Vec<f32>,
}

fn expected(model: &str) -> Option<Expected> {
    let work = Work::make(model)?;
    let tokenizer = Tokenizer::from_dir(&work.base.folder).expect("tokenizer");
    let unknown = tokenizer.token_to_id("<unk>");
    // What a tokenizer without bytes does not know stops llama.cpp.
    let known = |text: &str| tokenizer.encode(text).expect("ids").iter().all(|id| Some(*id) != unknown);
    let texts: Vec<&str> = TEXTS.into_iter().filter(|text| known(text)).collect();
    assert!(texts.len() > 1, "{model}");
    let ids: Vec<Vec<u32>> = texts.iter().map(|t| tokenizer.encode(t).expect("ids")).collect();
    let prompts: Vec<Vec<u32>> = ids.iter().map(|ids| ids[..ids.len().min(prompt(&work.base.config))].to_vec()).collect();
    // Gemma's embedding is scaled in 32 bits by the others; so it is by the merged model here, which is in f32.
    let logits = logits(&work.merged(), None, &prompts);
    Some(Expected { work, texts, ids, prompts, logits })
}

#[test]
fn gguf_and_transformers_agree() {
    let Some(python) = python() else { return };
    let probe = "import importlib.util as u, sys; sys.exit(u.find_spec('gguf') is None)";
    if !Command::new(&python).args(["-c", probe]).status().is_ok_and(|s| s.success()) {
        println!("skipped: no gguf package");
        return;
    }
    let works: Vec<Work> = MODELS
        .iter()
        .filter_map(|model| {
            let Expected { work, texts, ids, prompts, logits } = expected(model)?;
            let rows: Vec<&[f32]> = logits.chunks(work.base.config.vocab_size).collect();
            let types: Vec<String> = ENCODINGS.iter().map(Encoding::to_string).collect();
            let all = json!({"texts": texts, "ids": ids, "prompts": prompts, "logits": rows, "types": types});
            std::fs::write(work.path("expected.json"), all.to_string()).expect("written");
            Some(work)
        })
        .collect();
    let mut command = Command::new(&python);
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/check_gguf.py"));
    command.env("HF_HUB_OFFLINE", "1").env("TOKENIZERS_PARALLELISM", "false").args(works.iter().map(|work| work.dir.path()));
    let output = command.output().expect("Python starts");
    print!("{}", String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The most likely token, so many times.
fn greedy(source: &Source, prompt: &[u32], count: usize) -> Vec<usize> {
    let mut decoder = pollster::block_on(Decoder::new(&Device::Cpu, source, None, 128, &mut |_, _| ())).expect("decoder");
    let mut logits = pollster::block_on(decoder.feed(prompt)).expect("logits");
    (0..count)
        .map(|_| {
            let best = (0..logits.len()).reduce(|best, id| if logits[id] > logits[best] { id } else { best }).expect("a token");
            logits = pollster::block_on(decoder.feed(&[best as u32])).expect("logits");
            best
        })
        .collect()
}

/// How far llama.cpp's logits may be from those of the merged weights in 32 bits, in parts of the largest.
fn most_apart(config: &ModelConfig, encoding: Encoding) -> f64 {
    match encoding {
        // Sums of 32 bits in another order. Gemma's gelu is read from a table in 16 bits there.
        Encoding::F32 if config.architecture == Family::Gemma3 => 1e-3,
        Encoding::F32 => 1e-5,
        // Activations are rounded to the weights' type too: by 1/2048, 1/256, 1/254 of a value or of a block's largest.
        Encoding::F16 => 5e-3,
        Encoding::Bf16 => 3e-2,
        Encoding::Q8 => 1e-1,
        // One part in sixteen of a block's largest: the text is another one. What the bits are is compared with gguf's.
        Encoding::Q4 => 1.0,
    }
}

/// What llama.cpp makes of these files; none where it is not here.
fn llama_cpp(jobs: &Json) -> Option<Vec<Json>> {
    let Some(modules) = std::env::var_os("NODE_LLAMA_CPP").filter(|v| !v.is_empty()) else {
        println!("skipped: NODE_LLAMA_CPP names no folder with node-llama-cpp");
        return None;
    };
    let dir = tempfile::tempdir().expect("a folder");
    let (jobs_file, out) = (dir.path().join("jobs.json"), dir.path().join("out.json"));
    std::fs::write(&jobs_file, jobs.to_string()).expect("written");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/llama_cpp.mjs");
    let output = Command::new("node").arg(script).args([&jobs_file, &out]).env("NODE_LLAMA_CPP", modules).output().expect("node starts");
    assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    print!("{}", String::from_utf8_lossy(&output.stdout));
    Some(serde_json::from_slice(&std::fs::read(&out).expect("answers")).expect("JSON"))
}

#[test]
fn llama_cpp_writes_the_same_text() {
    let all: Vec<_> = MODELS.iter().filter_map(|model| Some((model, expected(model)?))).collect();
    let mut jobs = Vec::new();
    for (_, Expected { work, texts, prompts, .. }) in &all {
        for encoding in ENCODINGS {
            let steps = steps(&work.base.config);
            let file = work.path(&encoding.to_string()).join("model.gguf");
            jobs.push(json!({"file": file, "texts": texts, "prompts": prompts, "greedy": steps}));
        }
    }
    let Some(answers) = llama_cpp(&Json::from(jobs)) else { return };
    let mut answers = answers.iter();
    for (model, Expected { work, ids, prompts, logits: want, .. }) in &all {
        let merged = work.merged();
        for encoding in ENCODINGS {
            let answer = answers.next().expect("an answer for each file");
            assert_eq!(answer["ids"], json!(ids), "{model}: tokens");
            let begins = !Tokenizer::from_dir(&work.base.folder).expect("tokenizer").begin().expect("begin").is_empty();
            assert_eq!(answer["bos"], begins, "{model}: begin token");
            let got: Vec<f32> = answer["logits"]
                .as_array()
                .expect("rows")
                .iter()
                .flat_map(|row| row.as_array().expect("numbers"))
                .map(|x| x.as_f64().expect("a number") as f32)
                .collect();
            let off = apart(&got, want);
            println!("  {model} {encoding}: llama.cpp's logits {off:.1e} of the largest apart");
            assert!(off <= most_apart(&work.base.config, encoding), "{model} {encoding}: {off}");
            if encoding == Encoding::F32 {
                let want: Vec<_> = prompts.iter().map(|ids| greedy(&merged, ids, steps(&work.base.config))).collect();
                assert_eq!(answer["greedy"], json!(want), "{model}: the same text");
            }
        }
    }
}

/// Tokens of a prompt, and tokens written after it, that a window which others leave out still holds.
fn prompt(config: &ModelConfig) -> usize {
    if left_out(config) { 6 } else { 64 }
}

fn steps(config: &ModelConfig) -> usize {
    if left_out(config) { 4 } else { 24 }
}

fn left_out(config: &ModelConfig) -> bool {
    config.architecture != Family::Gemma3 && config.sliding_window.is_some()
}

/// A tiny model of drawn weights with another one's tokenizer.
fn tiny(dir: &Path, class: &str, vocab_size: usize, ends: u32, files: &[(&str, String)]) -> Source {
    let config = json!({"architectures": [format!("{class}ForCausalLM")], "vocab_size": vocab_size, "hidden_size": 32, "intermediate_size": 32,
        "num_hidden_layers": 1, "num_attention_heads": 2, "head_dim": 16, "tie_word_embeddings": true, "bos_token_id": 1, "eos_token_id": ends,
        "sliding_window": 8});
    std::fs::create_dir_all(dir).expect("a folder");
    std::fs::write(dir.join("config.json"), config.to_string()).expect("written");
    for (name, text) in files {
        std::fs::write(dir.join(name), text).expect("written");
    }
    let config = ModelConfig::from_dir(dir).expect("config");
    let specs: Vec<_> =
        config.parameter_list().into_iter().map(|p| diablo::model::TensorSpec::new(p.name, diablo::model::Dtype::F32, p.shape)).collect();
    diablo::model::write_safetensors(&dir.join("model.safetensors"), &specs, &[], |spec| {
        let mut random = Random::new(1).stream(&spec.name);
        let numbers = spec.shape.iter().product::<usize>();
        Ok((0..numbers).flat_map(|_| (random.uniform() as f32 - 0.5).to_le_bytes()).collect::<Vec<u8>>().into())
    })
    .expect("written");
    Source::open(dir).expect("model")
}

/// SentencePiece's kind with bytes: tokens of its own, letters, and merges; `gemma` is without a blank before texts.
fn sentence_piece(gemma: bool) -> (Json, usize) {
    let mut tokens: Vec<String> = ["<unk>", "<s>", "</s>"].map(String::from).into();
    tokens.extend((0..=255).map(|byte| format!("<0x{byte:02X}>")));
    tokens.extend(["\n", "\n\n", "▁", "▁▁", "▁▁▁"].map(String::from));
    tokens.extend(('a'..='z').chain(['.', ',', '1', '9']).map(String::from));
    // In the order of their rank; several ways make some of them. What Gemma has as tokens to look for first is merged first too.
    let merges = [
        "\n \n",
        "▁ ▁",
        "▁▁ ▁",
        "h e",
        "▁ t",
        "▁t he",
        "▁ a",
        "i n",
        "r e",
        "e r",
        "▁ w",
        "▁ s",
        "in g",
        "he r",
        "▁the re",
        "▁the r",
        "t he",
        "o n",
        "▁ the",
    ];
    let merges: Vec<(&str, &str)> = merges.iter().map(|pair| pair.split_once(' ').expect("a pair")).collect();
    for (left, right) in &merges {
        let joined = format!("{left}{right}");
        if !tokens.contains(&joined) {
            tokens.push(joined);
        }
    }
    let added = |id: usize, special: bool| {
        json!({"id": id, "content": tokens[id], "special": special, "normalized": false,
        "single_word": false, "lstrip": false, "rstrip": false})
    };
    let special = (0..3).map(|id| added(id, true));
    let more = [260, 262, 263].into_iter().filter(|_| gemma).map(|id| added(id, false));
    let replace = json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"});
    let (normalizer, pre_tokenizer) = if gemma {
        (replace, json!({"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": false}))
    } else {
        (json!({"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, replace]}), Json::Null)
    };
    let vocab: serde_json::Map<String, Json> = tokens.iter().enumerate().map(|(id, token)| (token.clone(), json!(id))).collect();
    let begin = json!({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}});
    let all = json!({"version": "1.0", "truncation": null, "padding": null, "added_tokens": special.chain(more).collect::<Vec<_>>(),
        "normalizer": normalizer, "pre_tokenizer": pre_tokenizer, "post_processor": begin,
        "decoder": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}]},
        "model": {"type": "BPE", "unk_token": "<unk>", "fuse_unk": true, "byte_fallback": true, "vocab": vocab, "merges": merges}});
    (all, tokens.len())
}

/// Texts of real tokenizers and of both ways with blanks, in llama.cpp.
#[test]
fn llama_cpp_tokenises_alike() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut sources = Vec::new();
    let texts = |more: &str| -> Vec<String> {
        let own = ["the there her", "  the  \n\nsinging, on   a\n\n\nthe", "Über 猫 19.", "the</s>the<s>", "\nthe 1999 reins"];
        own.iter().chain(&TEXTS).map(|t| (*t).to_owned()).chain(more.lines().take(200).map(str::to_owned)).collect()
    };
    for (name, gemma) in [("Llama", false), ("Gemma3", true)] {
        let (tokenizer, size) = sentence_piece(gemma);
        sources.push((tiny(&dir.path().join(name), name, size, 2, &[("tokenizer.json", tokenizer.to_string())]), texts("")));
    }
    if let Some(folder) = common::shared("real/qwen2-tokenizer") {
        let file = |name: &'static str| (name, std::fs::read_to_string(folder.join(name)).expect(name));
        let files = ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json"].map(file);
        let more = ["real/gsm8k/test.jsonl", "real/tinyshakespeare/input.txt"].map(|name| {
            let path = common::shared(name).expect("beside it");
            std::fs::read_to_string(path).expect(name).lines().take(100).map(|line| format!("{line}\n")).collect::<String>()
        });
        let said = "<|im_start|>user Hi there<|im_end|> <|im_start|>assistant";
        // Its `</s>` is a word like others, which llama.cpp takes for a special token whatever the file says.
        let texts = texts(&(more.concat() + said)).into_iter().filter(|text| !text.contains("</s>")).collect();
        sources.push((tiny(&dir.path().join("Qwen2"), "Qwen2", 151_936, 151_645, &files), texts));
    }
    let jobs: Vec<Json> = sources
        .iter()
        .map(|(source, texts)| {
            let out = source.folder.join("out");
            let written = gguf::write(source, source.checkpoint().expect("weights"), Blend::none(), &out, None).expect("written");
            assert!(written.notes.is_empty(), "{:?}", written.notes);
            json!({"file": written.file, "texts": texts, "prompts": [], "greedy": 0})
        })
        .collect();
    let Some(answers) = llama_cpp(&Json::from(jobs)) else { return };
    for ((source, texts), answer) in sources.iter().zip(&answers) {
        let tokenizer = Tokenizer::from_dir(&source.folder).expect("tokenizer");
        for (text, got) in texts.iter().zip(answer["ids"].as_array().expect("rows")) {
            let got: Vec<u32> = serde_json::from_value(got.clone()).expect("ids");
            let ids = tokenizer.encode(text).expect("ids");
            let place = ids.iter().zip(&got).position(|(a, b)| a != b).unwrap_or(ids.len().min(got.len()));
            let told = |ids: &[u32]| tokenizer.decode(&ids[place..ids.len().min(place + 9)], false).expect("text");
            assert!(ids == got, "{:?}: {text:?}: {:?} and not {:?}", source.config.architecture, told(&got), told(&ids));
        }
        println!("  {:?}: {} texts", source.config.architecture, texts.len());
        assert_eq!(answer["bos"], !tokenizer.begin().expect("begin").is_empty());
        assert_eq!(answer["template"].is_string(), source.folder.join("chat_template.jinja").exists());
    }
}
