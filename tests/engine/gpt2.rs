//! What GPT-2 has that other families do not: learned positions, which end; layers that files hold turned; two of one name. The numbers
//! themselves are in tests/engine/references.rs and tests/interop.rs.

use crate::common::{adapter, diablo, interrupted, line, losses, text};
use diablo::adapter::AdapterFile;
use diablo::device::Device;
use diablo::generate::Decoder;
use diablo::model::{SafetensorsFile, Source, TensorSpec, write_safetensors};
use diablo::train::blocks::Blocks;
use diablo::train::config::Method;
use diablo::train::{Event, RunConfig, Trainer};
use std::borrow::Cow;
use std::path::{Path, PathBuf};

fn case(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn config(out: &Path, method: Method) -> RunConfig {
    RunConfig {
        model: case("gpt2-diablo").join("model"),
        data: case("gpt2-diablo").join("train.jsonl").into(),
        out: out.to_path_buf(),
        method,
        rank: 2,
        steps: Some(6),
        save_every: Some(1),
        batch_size: 2,
        seq_len: 64,
        device: "cpu".into(),
        ..RunConfig::default()
    }
}

fn steps(run: RunConfig) -> Vec<[f64; 2]> {
    let mut steps = Vec::new();
    let mut hear = |event| {
        if let Event::Step(step) = event {
            steps.push([f64::from(step.loss), f64::from(step.grad_norm)]);
        }
    };
    Trainer::prepare(run, &mut |_| ()).expect("a run").run(&mut hear, &|| false).expect("runs");
    steps
}

/// In a sequence of several rows positions begin anew: 270 tokens of rows, of which none is longer than the 80 positions there are. Where
/// all of the model trains, the table of positions gets its gradient too.
fn check(name: &str, device: &str) {
    let dir = tempfile::tempdir().expect("a folder");
    let run = |packing: bool| RunConfig {
        method: if name == "full" { Method::Full } else { Method::Diablo },
        blocks: (name != "full").then_some(Blocks::One(4)),
        packing,
        batch_size: if packing { 1 } else { 6 },
        // Six rows of 44 tokens, and no seventh.
        seq_len: if packing { 270 } else { 64 },
        steps: Some(3),
        no_shuffle: true,
        device: device.into(),
        ..config(&dir.path().join(if packing { "packed" } else { "apart" }), Method::Diablo)
    };
    let (packed, apart) = (steps(run(true)), steps(run(false)));
    assert_eq!((packed.len(), apart.len()), (3, 3));
    for (a, b) in packed.iter().zip(&apart) {
        println!("  {device}: loss {:.6} packed, {:.6} apart; norm {:.6}, {:.6}", a[0], b[0], a[1], b[1]);
        assert!((a[0] / b[0] - 1.0).abs() <= 1e-4 && (a[1] / b[1] - 1.0).abs() <= 1e-3, "{a:?} packed, {b:?} apart");
    }
}

#[test]
fn what_is_longer_than_the_positions_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let model = case("gpt2-diablo").join("model");
    let long = dir.path().join("long.jsonl");
    std::fs::write(&long, format!("{}\n", serde_json::json!({"prompt": "a".repeat(90), "completion": "b"}))).expect("written");
    let (model, long, out) = (text(&model), text(&long), dir.path().join("run"));
    for command in ["train", "eval"] {
        let out = if command == "train" { format!("--steps 1 --out {}", out.display()) } else { "--max-new-tokens 0".into() };
        let ended = line(&format!("{command} --model {model} --data {long} --seq-len 128 {out}"));
        ended.bad(2, &["80 positions", "n_positions", "--seq-len 80"]);
    }
    // Within the positions there are it is a row like any other that is too long.
    line(&format!("train --model {model} --data {long} --seq-len 80 --steps 1 --out {}", out.display())).bad(1, &["longer than 80 tokens"]);
    let prompt = "x".repeat(80);
    line(&format!("generate --model {model} --prompt {prompt}")).bad(2, &["80 tokens leave no room", "context of 80"]);
    let most = line(&format!("generate --model {model} --prompt {} --max-new-tokens 50 --json", "x".repeat(75))).json();
    assert!(most["tokens"].as_array().is_some_and(|tokens| tokens.len() <= 5), "{most}");
    // The same below the faces: a cache has no more room than there are positions.
    let source = Source::open(Path::new(model)).expect("a model");
    let mut decoder = pollster::block_on(Decoder::new(&Device::Cpu, &source, None, 1000, &mut |_, _| ())).expect("a decoder");
    assert_eq!(decoder.room(), 80);
    assert!(pollster::block_on(decoder.feed(&[1; 81])).is_err() && pollster::block_on(decoder.feed(&[1; 80])).is_ok());
}

#[test]
fn runs_go_on_to_the_bit() {
    let dir = tempfile::tempdir().expect("a folder");
    let two = |run: RunConfig| RunConfig {
        targets: vec!["c_attn".into(), "c_proj".into()],
        // Resolved, each of the two layers that c_proj means has a number of its own.
        blocks: Some(Blocks::PerModule([("c_attn".to_owned(), 8), ("c_proj".to_owned(), 2)].into())),
        ..run
    };
    for (name, method) in [("diablo", Method::Diablo), ("lora", Method::Lora), ("full", Method::Full)] {
        let run = |folder: &str| {
            let run = config(&dir.path().join(format!("{name}-{folder}")), method);
            if method == Method::Diablo { two(run) } else { run }
        };
        steps(run("whole"));
        interrupted(run("parts"));
        // As the run's own folder says, without an option given again.
        let out = run("parts").out;
        line(&format!("train --resume --out {}", out.display())).good();
        assert_eq!(losses(&out), losses(&run("whole").out), "{name}");
        if method == Method::Full {
            let model = |folder: &str| std::fs::read(run(folder).out.join("model/model.safetensors")).expect("a model");
            assert!(model("whole") == model("parts"));
        } else {
            assert!(adapter(&out) == adapter(&run("whole").out), "{name}");
        }
    }
    let config = crate::common::json_file(&dir.path().join("diablo-whole"), "adapter_config.json");
    assert_eq!(config["num_blocks"], serde_json::json!({"c_attn": 8, "attn.c_proj": 2, "mlp.c_proj": 2}));
    assert_eq!(config["target_modules"], serde_json::json!(["c_attn", "attn.c_proj", "mlp.c_proj"]));
}

/// A checkpoint without `transformer.` and with its masks, as the first GPT-2 lies on the hub: the same numbers; what is merged keeps its
/// names and lies as it did.
#[test]
fn names_of_the_bare_decoder() {
    let dir = tempfile::tempdir().expect("a folder");
    let (model, bare) = (case("gpt2-diablo").join("model"), dir.path().join("bare"));
    std::fs::create_dir(&bare).expect("a folder");
    for file in ["config.json", "tokenizer.json"] {
        std::fs::copy(model.join(file), bare.join(file)).expect("copied");
    }
    let file = SafetensorsFile::open(&model.join("model.safetensors")).expect("a file");
    let short = |name: &str| name.trim_start_matches("transformer.").to_owned();
    let mut specs: Vec<TensorSpec> =
        file.names().map(|name| file.tensor(name).expect("a tensor")).map(|t| TensorSpec::new(short(t.name), t.dtype, t.shape)).collect();
    specs.push(TensorSpec::new("h.0.attn.bias", specs[0].dtype, vec![1, 1, 80, 80]));
    write_safetensors(&bare.join("model.safetensors"), &specs, &[], |spec| match file.tensor(&format!("transformer.{}", spec.name)) {
        Ok(tensor) => Ok(tensor.bytes),
        Err(_) => Ok(Cow::Owned(vec![0; spec.byte_len().expect("small")])),
    })
    .expect("written");
    let sources = [&model, &bare].map(|folder| Source::open(folder).expect("a model"));
    let prompts = [vec![5, 99, 200, 31], vec![7; 70]].map(|ids| ids[..ids.len().min(60)].to_vec());
    assert_eq!(crate::common::logits(&sources[0], None, &prompts), crate::common::logits(&sources[1], None, &prompts));

    let out = dir.path().join("run");
    steps(RunConfig { model: bare.clone(), ..config(&out, Method::Lora) });
    let tuned = AdapterFile::open(&out, &sources[1].config).expect("an adapter");
    assert!(tuned.tensors[0].name.starts_with("base_model.model.transformer.h.0.attn.c_attn.lora_"), "{}", tuned.tensors[0].name);
    let merged = dir.path().join("merged");
    line(&format!("export --adapter {} --model {} --out {}", out.display(), bare.display(), merged.display())).good();
    let after = SafetensorsFile::open(&merged.join("model.safetensors")).expect("a file");
    let before = SafetensorsFile::open(&bare.join("model.safetensors")).expect("a file");
    for name in after.names() {
        let (a, b) = (after.tensor(name).expect("a tensor"), before.tensor(name).expect("it is there"));
        assert_eq!(a.shape, b.shape, "{name}");
        assert_eq!(
            a.bytes != b.bytes,
            name.contains("c_attn.weight") || name.contains("c_proj.weight") || name.contains("c_fc.weight"),
            "{name}"
        );
    }
    let said = |name: &str, model: &Path, more: &str| {
        let prompt = "--prompt Ada --max-new-tokens 12 --json --begin-token off";
        let ended = line(&format!("generate --model {} {prompt} {more}", model.display()));
        let tokens = ended.json()["tokens"].clone();
        println!("  {name}: {tokens}");
        tokens
    };
    assert!(said("merged", &merged, "").as_array().is_some_and(|tokens| !tokens.is_empty()));
    let to = dir.path().join("shira");
    let args = ["export", "--adapter", text(&out), "--model", text(&bare), "--out", text(&to), "--format", "shira"];
    diablo(&args).bad(2, &["only DiaBlo is written as SHiRA"]);
    assert!(!to.join("adapter_config.json").exists());
    let gguf = [&model, &bare].map(|folder| {
        // The folder's name stands in the file.
        let to = tempfile::tempdir().expect("a folder").path().join("one");
        diablo(&["export", "--adapter", text(&out), "--model", text(folder), "--out", text(&to), "--format", "gguf"]).good();
        std::fs::read(to.join("model.gguf")).expect("a file")
    });
    assert!(gguf[0] == gguf[1] && !gguf[0].is_empty());
}

/// What 8 and 4 bits make of its tables and matrices stays near what they were.
#[test]
fn weights_in_fewer_bits() {
    let model = case("gpt2-diablo").join("model");
    let prompts = [vec![72u32, 101, 108, 108, 111, 32, 84]];
    let logits = |weights: Option<diablo::kernels::Format>| {
        let source = Source::open(&model).expect("a model").held_in(weights);
        crate::common::logits(&source, None, &prompts)
    };
    let exact = logits(None);
    for (format, most) in [(diablo::kernels::Format::Int8, 0.05), (diablo::kernels::Format::Nf4, 0.5)] {
        let off = crate::common::apart(&logits(Some(format)), &exact);
        println!("  {format:?}: logits {off:.1e} of the largest apart");
        assert!(off > 0.0 && off < most, "{format:?}: {off}");
    }
}

crate::on_both! {
    packed_rows_train_as_rows_do: "full",
    packed_rows_train_blocks_as_rows_do: "diablo",
}
