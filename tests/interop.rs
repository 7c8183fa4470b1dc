//! What diablo writes for other tools, read back: adapters, merged folders, whole models. Here in Rust against plain sums from the
//! files; and, where Python with transformers and peft is found, by those (`interop/check_exports.py`).

mod common;

use common::{apart, json_file, logits, python, shared};
use diablo::adapter::{AdapterFile, Kind};
use diablo::data::Tokenizer;
use diablo::model::{Checkpoint, Dtype, SafetensorsFile, Source, TensorSpec, TensorView, write_safetensors};
use diablo::train::blocks::Blocks;
use diablo::train::config::{Init, Method};
use diablo::train::export::write_merged;
use diablo::train::{RunConfig, Trainer};
use half::{bf16, f16};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Every architecture, f32 and bf16, tied and untied, and a real checkpoint that stores its tied table under the head's name.
const MODELS: [&str; 8] = [
    "reference/llama-lora/model",
    "reference/qwen2-diablo/model",
    "reference/qwen3-diablo/model",
    "reference/llama3-bf16-accumulate/model",
    "real/tinystories-656k",
    "reference/gemma3-diablo/model",
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/phi3-diablo/model"),
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/gpt2-diablo/model"),
];

/// What every test trains on.
const DATA: &str = "reference/llama-lora/train.jsonl";

const TEXTS: [&str; 3] =
    ["Each of 8 friends gives Ada 22 apples. How many is that?\n", "Once upon a time", "Hugo has 8 books and buys 25 more."];

/// A run of every method, by folder. `two`: layers that one of them is bounded to.
fn runs(two: &[&str]) -> Vec<(&'static str, RunConfig)> {
    let common = || RunConfig {
        steps: Some(4),
        save_every: Some(4),
        batch_size: 2,
        seq_len: 64,
        lr: Some(2e-2),
        rank: 4,
        alpha: 8.0,
        device: "cpu".into(),
        ..RunConfig::default()
    };
    let diablo = |blocks, pad_blocks| RunConfig { blocks: Some(blocks), pad_blocks, ..common() };
    let lora = || RunConfig { method: Method::Lora, ..common() };
    // down_proj [64, 176] in 30 blocks of [6, 3]: its outputs end in the 22nd, and the last eight hold nothing but padding.
    let uneven: BTreeMap<String, usize> = [("q_proj", 2), ("down_proj", 30), ("default", 4)].map(|(m, n)| (m.to_string(), n)).into();
    let two = || two.iter().copied().map(String::from).collect();
    vec![
        ("diablo", diablo(Blocks::One(4), false)),
        ("diablo-pad", diablo(Blocks::One(3), true)),
        ("diablo-uneven", diablo(Blocks::PerModule(uneven), true)),
        ("lora", lora()),
        ("rslora", RunConfig { rslora: true, alpha: 6.5, adapter_dropout: 0.1, targets: two(), ..lora() }),
        ("full", RunConfig { method: Method::Full, lr: Some(2e-3), ..common() }),
    ]
}

/// What was made from one base model.
struct Work {
    base: Source,
    dir: tempfile::TempDir,
    prompts: Vec<Vec<u32>>,
    logits: BTreeMap<String, Vec<f32>>,
}

impl Work {
    /// Trains every method for a few steps, merges each adapter in the base's own type and in others, computes every folder's logits.
    fn make(shared: &Path, model: &str) -> Self {
        Self::of(shared, model, None)
    }

    fn of(shared: &Path, model: &str, only: Option<Vec<(&'static str, RunConfig)>>) -> Self {
        let base = Source::open(&shared.join(model)).expect("model");
        let tokenizer = Tokenizer::from_dir(&base.folder).expect("tokenizer");
        let prompts = TEXTS.iter().map(|t| tokenizer.encode(t).expect("tokens")).collect();
        // Rows in a token a byte are longer; such a model has its own, short ones.
        let own = base.folder.with_file_name("train.jsonl");
        let data = if base.folder.starts_with(shared) { shared.join(DATA) } else { own };
        let mut work = Self { base, dir: tempfile::tempdir().expect("a folder"), prompts, logits: BTreeMap::new() };
        for (name, run) in only.unwrap_or_else(|| runs(work.two())) {
            let out = work.path(name);
            let run = RunConfig { model: work.base.folder.clone(), data: data.clone().into(), out: out.clone(), ..run };
            let full = run.method == Method::Full;
            Trainer::prepare(run, &mut |_| ()).expect("a run").run(&mut |_| (), &|| false).expect("runs");
            if full {
                work.compute("full/model", &Source::open(&out.join("model")).expect("trained model"), None);
                continue;
            }
            let adapter = AdapterFile::open(&out, &work.base.config).expect("adapter");
            let base = Source::open(&work.base.folder).expect("model");
            work.compute(name, &base, Some(&adapter));
            if run_is_diablo(&adapter) {
                // For peft, which must get the same logits as the adapter itself.
                let folder = format!("shira-{name}");
                match diablo::adapter::shira::save(&adapter, &base.config, &work.path(&folder)) {
                    Ok(()) => drop(work.logits.insert(folder, work.logits[name].clone())),
                    Err(error) if model.contains("gpt2") => assert!(error.to_string().contains("Conv1D"), "{error}"),
                    // The one reference whose smallest layer has fewer places than the largest asks of every layer.
                    Err(error) => {
                        assert!(model.contains("gemma3") && error.to_string().contains("no room"), "{name}: {error}");
                        println!("  {name}: {error}");
                    }
                }
            }
            for (folder, dtype) in work.merged(name) {
                let checkpoint = base.checkpoint().expect("a checkpoint");
                write_merged(&base, checkpoint, &adapter, &work.path(&folder), dtype).expect("merged");
                work.compute(&folder, &Source::open(&work.path(&folder)).expect("merged model"), None);
            }
        }
        work
    }

    /// Two of the layers that read the stream for attention, or the one that is both.
    fn two(&self) -> &'static [&'static str] {
        let has = |module| self.base.config.modules().contains(&module);
        match (has("qkv_proj"), has("c_attn")) {
            (true, _) => &["qkv_proj"],
            (_, true) => &["c_attn", "c_proj"],
            _ => &["q_proj", "v_proj"],
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Folders that an adapter is merged into, and the type that is asked for.
    fn merged(&self, name: &str) -> Vec<(String, Option<Dtype>)> {
        let others = [Dtype::F32, Dtype::BF16, Dtype::F16].into_iter().filter(|d| *d != self.base.dtype());
        let others = others.map(|d| (format!("merged-{name}-{}", d.name().to_lowercase()), Some(d)));
        std::iter::once((format!("merged-{name}"), None)).chain(others).collect()
    }

    /// The logits of what follows each prompt, one after the other.
    fn compute(&mut self, name: &str, source: &Source, adapter: Option<&AdapterFile>) {
        let all = logits(source, adapter, &self.prompts);
        self.logits.insert(name.into(), all);
    }

    fn write_logits(&self) {
        let texts: Vec<Value> = TEXTS.iter().zip(&self.prompts).map(|(text, ids)| json!({"text": text, "ids": ids})).collect();
        let rows = |all: &Vec<f32>| json!(all.chunks(self.base.config.vocab_size).collect::<Vec<_>>());
        let logits: Map<String, Value> = self.logits.iter().map(|(name, all)| (name.clone(), rows(all))).collect();
        let text = serde_json::to_vec(&json!({"texts": texts, "logits": logits})).expect("JSON");
        std::fs::write(self.path("logits.json"), text).expect("written");
    }
}

fn run_is_diablo(adapter: &AdapterFile) -> bool {
    matches!(adapter.spec.kind, Kind::Diablo { .. })
}

/// Half of the distance between neighbouring numbers of a type, around `x`.
fn rounding(x: f64, dtype: Dtype) -> f64 {
    let (relative, smallest) = match dtype {
        Dtype::F32 => (2f64.powi(-24), 2f64.powi(-150)),
        Dtype::BF16 => (2f64.powi(-8), 2f64.powi(-134)),
        Dtype::F16 => (2f64.powi(-11), 2f64.powi(-25)),
    };
    // A little more: a sum that is rounded to 32 bits and then to 16 may fall on the other side of a tie.
    (x.abs() * relative).max(smallest) * (1.0 + 1e-4)
}

/// What the layer `path` of the adapter adds to its weight [d_out, d_in], by definition; `None` where it has nothing there.
fn delta(file: &SafetensorsFile, config: &Value, path: &str, d_out: usize, d_in: usize) -> Option<Vec<f64>> {
    let name = |end: &str| format!("base_model.model.{path}.{end}");
    let read = |t: TensorView| t.to_f32().into_iter().map(f64::from).collect::<Vec<_>>();
    let mut all = vec![0f64; d_out * d_in];
    if config["peft_type"] == "DIABLO" {
        let t = file.tensor(&name("diablo_block")).ok()?;
        let [n, block_in, block_out] = t.shape[..] else { panic!("{}: {:?}", t.name, t.shape) };
        assert_eq!((block_in, block_out), (d_in.div_ceil(n), d_out.div_ceil(n)), "{}", t.name);
        let values = read(t);
        for (block, row, column) in (0..n).flat_map(|b| (0..block_in).flat_map(move |i| (0..block_out).map(move |o| (b, i, o)))) {
            let (i, o) = (block * block_in + row, block * block_out + column);
            let value = values[(block * block_in + row) * block_out + column];
            if i < d_in && o < d_out {
                all[o * d_in + i] = value;
            } else {
                assert_eq!(value, 0.0, "{path}: padding has no gradient, so it stays as it began");
            }
        }
    } else {
        let (a, b) = (file.tensor(&name("lora_A.weight")).ok()?, file.tensor(&name("lora_B.weight")).ok()?);
        let rank = config["r"].as_u64().expect("r") as usize;
        assert_eq!((&a.shape[..], &b.shape[..]), (&[rank, d_in][..], &[d_out, rank][..]), "{path}");
        let root = if config["use_rslora"] == true { (rank as f64).sqrt() } else { rank as f64 };
        let scale = config["lora_alpha"].as_f64().expect("lora_alpha") / root;
        let (a, b) = (read(a), read(b));
        for (o, i) in (0..d_out).flat_map(|o| (0..d_in).map(move |i| (o, i))) {
            all[o * d_in + i] = scale * (0..rank).map(|r| b[o * rank + r] * a[r * d_in + i]).sum::<f64>();
        }
    }
    Some(all)
}

/// The keys that peft's own loader needs, with their types, and none that it does not know.
fn check_adapter(work: &Work, name: &str, run: &RunConfig) {
    let folder = work.path(name);
    let config = json_file(&folder, "adapter_config.json");
    assert_eq!(config["task_type"], "CAUSAL_LM");
    assert_eq!(config["bias"], "none");
    assert_eq!(config["inference_mode"], true);
    assert_eq!(config["base_model_name_or_path"], work.base.folder.display().to_string());
    let targets = diablo::train::resolve::targets(run, &work.base.config).expect("layers of this model");
    assert_eq!(config["target_modules"], json!(targets));
    let mut keys: Vec<&str> = config.as_object().expect("an object").keys().map(String::as_str).collect();
    keys.sort_unstable();
    let mut wanted = vec!["base_model_name_or_path", "bias", "inference_mode", "peft_type", "target_modules", "task_type"];
    if run.method == Method::Lora {
        assert_eq!(config["peft_type"], "LORA");
        assert_eq!(config["r"], json!(4));
        // A whole alpha is written as a whole number: peft declares an int.
        assert_eq!(config["lora_alpha"], if run.rslora { json!(6.5) } else { json!(8) });
        assert_eq!(config["use_rslora"], run.rslora);
        assert_eq!(config["fan_in_fan_out"], work.base.config.learned_positions, "as GPT-2 alone has it");
        assert!(config["lora_dropout"].as_f64().is_some_and(|p| (p - run.adapter_dropout).abs() < 1e-6));
        assert_eq!(config["init_lora_weights"], true);
        assert_eq!(config["use_dora"], run.dora);
        wanted.extend(["r", "lora_alpha", "lora_dropout", "use_rslora", "use_dora", "fan_in_fan_out", "init_lora_weights"]);
        for key in ["modules_to_save", "layers_to_transform", "layers_pattern"] {
            assert_eq!(config[key], Value::Null, "{key}");
            wanted.push(key);
        }
        for key in ["rank_pattern", "alpha_pattern"] {
            assert_eq!(config[key], json!({}), "{key}");
            wanted.push(key);
        }
    } else {
        assert_eq!(config["peft_type"], "DIABLO");
        let numbers = |module: &str| run.blocks.as_ref().and_then(|b| b.get(module));
        for module in work.base.config.modules() {
            let number = if config["num_blocks"].is_object() { &config["num_blocks"][module] } else { &config["num_blocks"] };
            assert_eq!(number.as_u64(), numbers(module).map(|n| n as u64), "{module}");
        }
        assert_eq!(config["pad_blocks"], run.pad_blocks);
        wanted.extend(["num_blocks", "pad_blocks", "diablo_dropout"]);
    }
    wanted.sort_unstable();
    assert_eq!(keys, wanted);

    let file = SafetensorsFile::open(&folder.join("adapter_model.safetensors")).expect("adapter");
    assert_eq!(file.metadata().get("format").map(String::as_str), Some("pt"));
    let each = if run.method == Method::Lora { 2 } else { 1 };
    assert_eq!(file.names().count(), work.base.config.num_hidden_layers * targets.len() * each);
    assert!(file.names().all(|n| file.tensor(n).expect("tensor").dtype == Dtype::F32));
}

/// Every weight of a merged folder against its definition; the rest of the model as it was.
fn check_merged(work: &Work, name: &str, folder: &str, dtype: Option<Dtype>) {
    let (base, merged) = (&work.base, Source::open(&work.path(folder)).expect("merged model"));
    let written = dtype.unwrap_or(base.dtype());
    let config = json_file(&work.path(name), "adapter_config.json");
    let file = SafetensorsFile::open(&work.path(name).join("adapter_model.safetensors")).expect("adapter");
    let (mut before, mut after) = (json_file(&base.folder, "config.json"), json_file(&work.path(folder), "config.json"));
    let key = if before.get("dtype").is_some() { "dtype" } else { "torch_dtype" };
    let named =
        ["float32", "bfloat16", "float16"][[Dtype::F32, Dtype::BF16, Dtype::F16].iter().position(|d| *d == written).expect("known")];
    assert_eq!(after[key], named);
    before[key] = Value::Null;
    after[key] = Value::Null;
    assert_eq!(before, after, "config.json changes in its type alone");
    for companion in ["tokenizer.json", "tokenizer_config.json", "generation_config.json", "special_tokens_map.json"] {
        assert_eq!(std::fs::read(base.folder.join(companion)).ok(), std::fs::read(work.path(folder).join(companion)).ok(), "{companion}");
    }

    let (old, new) = (base.checkpoint().expect("a checkpoint"), merged.checkpoint().expect("a checkpoint"));
    let (old, new) = (old.resolve(&base.config).expect("fits"), new.resolve(&merged.config).expect("fits"));
    let (mut touched, mut worst) = (0, 0f64);
    for ((spec, w), (_, m)) in old.iter().zip(&new) {
        let (w, m) = (w.read().expect("reads"), m.read().expect("reads"));
        assert_eq!((m.name, &m.shape, m.dtype), (w.name, &w.shape, written));
        let path = spec.name.trim_end_matches(".weight");
        let added = if w.shape.len() == 2 { delta(&file, &config, path, w.shape[0], w.shape[1]) } else { None };
        match added {
            Some(added) => {
                touched += 1;
                for ((w, d), m) in w.to_f32().iter().zip(added).zip(m.to_f32()) {
                    let exact = f64::from(*w) + d;
                    let parts = (f64::from(m) - exact).abs() / rounding(exact, written);
                    assert!(parts <= 1.0, "{folder}: {}: {m} and not {exact}", spec.name);
                    worst = worst.max(parts);
                }
            }
            None if w.dtype == written => assert_eq!(w.bytes, m.bytes, "{}", spec.name),
            None => {
                let round = |x: f32| match written {
                    Dtype::F32 => x,
                    Dtype::BF16 => bf16::from_f32(x).to_f32(),
                    Dtype::F16 => f16::from_f32(x).to_f32(),
                };
                assert_eq!(w.to_f32().into_iter().map(round).collect::<Vec<_>>(), m.to_f32(), "{}", spec.name);
            }
        }
    }
    let targets = config["target_modules"].as_array().expect("a list").len();
    assert_eq!(touched, targets * base.config.num_hidden_layers);

    // 16-bit weights: each is off by at most 1/256 (bf16) or 1/2048 (f16) of itself, in either direction.
    let tolerance = match written {
        Dtype::F32 => 1e-5,
        Dtype::BF16 => 3e-2,
        Dtype::F16 => 4e-3,
    };
    let off = apart(&work.logits[folder], &work.logits[name]);
    println!("  {folder}: weights within {worst:.3} of half a step of {written}; logits {off:.1e} of the largest from base + adapter's");
    assert!(off <= tolerance, "{folder}: {off} over {tolerance}");
}

/// A wholly trained model holds what the last checkpoint holds, in the base's type.
fn check_full(work: &Work) {
    let folder = work.path("full/model");
    let model = Source::open(&folder).expect("trained model");
    assert_eq!(model.dtype(), work.base.dtype());
    let arena = SafetensorsFile::open(&work.path("full/checkpoints/step-00000004/arena.safetensors")).expect("checkpoint");
    let stored = model.checkpoint().expect("a checkpoint").resolve(&model.config).expect("fits");
    let base = work.base.checkpoint().expect("a checkpoint").resolve(&work.base.config).expect("fits");
    for ((spec, tensor), (_, before)) in stored.iter().zip(&base) {
        let (tensor, before) = (tensor.read().expect("reads"), before.read().expect("reads"));
        assert_eq!(tensor.name, spec.name);
        let values = arena.tensor(&format!("value/{}", spec.name)).expect("tensor").to_f32();
        assert_eq!(*tensor.bytes, diablo::train::export::encode(&values, tensor.dtype), "{}", spec.name);
        // A short run leaves the bits of a bf16 norm near 1 alone; every matrix has moved.
        assert!(tensor.shape.len() == 1 || tensor.bytes != before.bytes, "{} was trained", spec.name);
    }
    println!("  full/model: {} tensors as the last checkpoint has them", stored.len());
}

fn check(model: &str) {
    let Some(shared) = shared("") else { return };
    println!("{model}");
    let work = Work::make(&shared, model);
    let untrained = logits(&work.base, None, &work.prompts);
    for (name, run) in runs(work.two()) {
        if run.method == Method::Full {
            check_full(&work);
            continue;
        }
        // Otherwise the comparisons below would hold for an adapter that is left out.
        assert!(apart(&work.logits[name], &untrained) > 0.05, "{name}: training changed too little to see");
        check_adapter(&work, name, &run);
        for (folder, dtype) in work.merged(name) {
            check_merged(&work, name, &folder, dtype);
        }
    }
}

#[test]
fn llama() {
    check(MODELS[0]);
}

#[test]
fn qwen2_with_biases() {
    check(MODELS[1]);
}

#[test]
fn qwen3_with_norms_of_heads() {
    check(MODELS[2]);
}

#[test]
fn llama3_in_bf16() {
    check(MODELS[3]);
}

#[test]
fn table_under_the_heads_name() {
    check(MODELS[4]);
}

#[test]
fn gemma3_with_norms_behind_each_half() {
    check(MODELS[5]);
}

#[test]
fn phi3_with_fused_layers() {
    check(MODELS[6]);
}

#[test]
fn gpt2_with_transposed_layers() {
    check(MODELS[7]);
}

/// A base in several files, its names without `model.` in front, merges to the same numbers.
#[test]
fn base_in_shards() {
    let Some(shared) = shared("") else { return };
    let dir = tempfile::tempdir().expect("a folder");
    let whole = Source::open(&shared.join(MODELS[0])).expect("model");
    let sharded = dir.path().join("sharded");
    std::fs::create_dir(&sharded).expect("a folder");
    for file in ["config.json", "tokenizer.json"] {
        std::fs::copy(whole.folder.join(file), sharded.join(file)).expect("copied");
    }
    let tensors = whole.checkpoint().expect("a checkpoint").resolve(&whole.config).expect("fits");
    let mut map = Map::new();
    for (i, part) in tensors.chunks(tensors.len().div_ceil(2)).enumerate() {
        let file = format!("model-{:05}-of-00002.safetensors", i + 1);
        let bare = |name: &str| name.trim_start_matches("model.").to_string();
        let specs: Vec<_> = part.iter().map(|(_, t)| TensorSpec::new(bare(t.name), t.dtype, t.shape.clone())).collect();
        let bytes = |s: &TensorSpec| Ok(part.iter().find(|(_, t)| bare(t.name) == s.name).expect("tensor").1.read()?.bytes);
        write_safetensors(&sharded.join(&file), &specs, &[("format", "pt")], bytes).expect("written");
        map.extend(specs.into_iter().map(|s| (s.name, json!(file))));
    }
    let index = json!({"metadata": {}, "weight_map": map});
    std::fs::write(sharded.join("model.safetensors.index.json"), index.to_string()).expect("written");

    let (name, run) = runs(&["q_proj", "v_proj"]).swap_remove(3);
    let out = dir.path().join(name);
    let run = RunConfig { model: sharded.clone(), data: shared.join(DATA).into(), out: out.clone(), ..run };
    Trainer::prepare(run, &mut |_| ()).expect("a run").run(&mut |_| (), &|| false).expect("runs");
    let adapter = AdapterFile::open(&out, &whole.config).expect("adapter");
    assert!(matches!(adapter.spec.kind, Kind::Lora { .. }));
    let values = |base: &Source, folder: &str| -> Vec<Vec<f32>> {
        let folder = dir.path().join(folder);
        write_merged(base, base.checkpoint().expect("a checkpoint"), &adapter, &folder, None).expect("merged");
        let files: Vec<_> = std::fs::read_dir(&folder).expect("a folder").map(|e| e.expect("a file").file_name()).collect();
        assert!(files.iter().all(|f| !f.to_string_lossy().contains("index")), "{files:?}: an index would point to files that are not here");
        let merged = Checkpoint::open(&folder).expect("merged model");
        merged.resolve(&base.config).expect("fits").iter().map(|(_, t)| t.read().expect("reads").to_f32()).collect()
    };
    let sharded = Source::open(&sharded).expect("sharded model");
    assert!(values(&whole, "one") == values(&sharded, "two"));
    // What is there already is never written over.
    let again = write_merged(&whole, whole.checkpoint().expect("a checkpoint"), &adapter, &dir.path().join("one"), None);
    assert!(again.expect_err("refused").to_string().contains("not empty"));
}

fn check_exports<'a>(python: &str, works: impl Iterator<Item = &'a Work>) {
    let mut command = Command::new(python);
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/check_exports.py"));
    command.env("HF_HUB_OFFLINE", "1").env("TOKENIZERS_PARALLELISM", "false");
    for work in works {
        work.write_logits();
        command.arg(&work.base.folder).arg(work.dir.path());
    }
    let output = command.output().expect("Python starts");
    print!("{}", String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn transformers_and_peft_agree() {
    let Some(shared) = shared("") else { return };
    let Some(python) = python() else { return };
    let works: Vec<(&str, Work)> = MODELS.iter().map(|model| (*model, Work::make(&shared, model))).collect();
    check_exports(&python, works.iter().map(|(_, work)| work));

    // The way back: what peft writes is an adapter here.
    for (model, work) in &works {
        for name in ["lora", "rslora"] {
            let ours = AdapterFile::open(&work.path(name), &work.base.config).expect("adapter");
            let theirs = AdapterFile::open(&work.path("resaved").join(name), &work.base.config).expect("peft's adapter");
            assert_eq!((&ours.spec, &ours.tensors), (&theirs.spec, &theirs.tensors), "{model}: {name}");
        }
    }
}

/// LoRA's variants: peft gets the same logits from what is written, beside the base as it was; so do merged weights.
#[test]
fn variants_of_lora_through_peft() {
    let Some(shared) = shared("") else { return };
    let (_, lora) = runs(&["q_proj", "v_proj"]).swap_remove(3);
    let variants = vec![
        ("dora", RunConfig { dora: true, ..lora.clone() }),
        ("dora-rs-plus", RunConfig { dora: true, rslora: true, lora_plus_ratio: 4.0, ..lora.clone() }),
        ("pissa", RunConfig { init: Init::Pissa, ..lora.clone() }),
        ("pissa-rs", RunConfig { init: Init::Pissa, rslora: true, adapter_dropout: 0.1, ..lora }),
    ];
    let names: Vec<&str> = variants.iter().map(|(name, _)| *name).collect();
    let works: Vec<Work> =
        [MODELS[0], MODELS[1], MODELS[3], MODELS[7]].iter().map(|model| Work::of(&shared, model, Some(variants.clone()))).collect();
    for work in &works {
        let untrained = logits(&work.base, None, &work.prompts);
        for name in &names {
            assert!(apart(&work.logits[*name], &untrained) > 0.02, "{name}: training changed too little to see");
            for (folder, dtype) in work.merged(name) {
                let off = apart(&work.logits[&folder], &work.logits[*name]);
                println!("  {folder}: logits {off:.1e} of the largest from base + adapter's");
                let written = dtype.unwrap_or(work.base.dtype());
                let tolerance =
                    [1e-5, 5e-2, 6e-3][[Dtype::F32, Dtype::BF16, Dtype::F16].iter().position(|d| *d == written).expect("known")];
                assert!(off <= tolerance, "{folder}: {off}");
            }
        }
    }
    let Some(python) = python() else { return };
    check_exports(&python, works.iter());
    for work in &works {
        for name in &names {
            let ours = AdapterFile::open(&work.path(name), &work.base.config).expect("adapter");
            let theirs = AdapterFile::open(&work.path("resaved").join(name), &work.base.config).expect("peft's adapter");
            assert_eq!((&ours.spec, &ours.tensors), (&theirs.spec, &theirs.tensors), "{name}");
        }
    }
}
