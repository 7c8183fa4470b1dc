//! Every case that PyTorch computed (`../shared/reference`, and `data`, which `interop/make_references.py` makes): logits, losses, gradient norms, greedy tokens, the trained adapter.

use diablo::adapter::AdapterFile;
use diablo::data::{Tokenizer, training_eos};
use diablo::device::Device;
use diablo::generate::{Decoder, Sampler, Sampling};
use diablo::model::{ModelConfig, RopeScaling, SafetensorsFile, Source};
use diablo::train::config::Method;
use diablo::train::schedule::ScheduleKind;
use diablo::train::{Event, RunConfig, Trainer};
use serde_json::Value;
use std::path::{Path, PathBuf};

fn case_folder(name: &str) -> Option<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = [here.join("tests/data").join(name), here.join("../shared/reference").join(name)];
    if let Some(folder) = folders.into_iter().find(|folder| folder.is_dir()) {
        return Some(folder);
    }
    println!("skipped: no ../shared");
    None
}

fn floats(v: &Value) -> Vec<f64> {
    v.as_array().expect("a list").iter().map(|x| x.as_f64().expect("a number")).collect()
}

fn run_config(case: &Path, settings: &Value, out: &Path) -> RunConfig {
    let number = |key: &str| settings[key].as_f64().expect(key);
    let whole = |key: &str| settings[key].as_u64().expect(key) as usize;
    let method = match settings["method"].as_str() {
        Some("lora") => Method::Lora,
        Some("full") => Method::Full,
        _ => Method::Diablo,
    };
    RunConfig {
        model: case.join("model"),
        data: case.join("train.jsonl").into(),
        out: out.to_path_buf(),
        method,
        blocks: (method == Method::Diablo).then(|| settings["blocks"].to_string().parse().expect("a number of blocks")),
        rank: whole("rank"),
        alpha: number("alpha"),
        steps: Some(whole("steps") as u64),
        batch_size: whole("batch"),
        accumulate: whole("accumulate"),
        seq_len: 128,
        lr: Some(number("lr")),
        schedule: match settings["schedule"].as_str() {
            Some("linear") => ScheduleKind::Linear,
            Some("cosine") => ScheduleKind::Cosine,
            _ => ScheduleKind::Constant,
        },
        warmup: whole("warmup") as u64,
        weight_decay: number("weight_decay"),
        max_grad_norm: number("clip"),
        no_shuffle: true,
        ..RunConfig::default()
    }
}

/// Logits of the last three positions of `ids`, fed in a prompt and single tokens.
fn last_three(decoder: &mut Decoder, ids: &[u32]) -> Vec<f64> {
    decoder.reset();
    let (prompt, rest) = ids.split_at(ids.len() - 2);
    let mut all = pollster::block_on(decoder.feed(prompt)).expect("logits");
    for id in rest {
        all.extend(pollster::block_on(decoder.feed(&[*id])).expect("logits"));
    }
    all.into_iter().map(f64::from).collect()
}

fn compare(what: &str, got: &[f64], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len(), "{what}");
    let largest = want.iter().fold(0f64, |m, x| m.max(x.abs()));
    let worst = got.iter().zip(want).map(|(a, b)| (a - b).abs()).fold(0f64, f64::max);
    println!("  {what}: largest difference {:.1e} of the largest value {largest:.3}", worst / largest);
    assert!(worst <= tolerance * largest, "{what}: {worst} over {}", tolerance * largest);
}

fn check(name: &str, device_name: &str) {
    let Some(case) = case_folder(name) else { return };
    let device = Device::open(device_name).expect("device");
    println!("{name} on {}", device.name());
    let expected: Value = serde_json::from_slice(&std::fs::read(case.join("expected.json")).expect("expected.json")).expect("JSON");
    let tokens: Value = serde_json::from_slice(&std::fs::read(case.join("tokens.json")).expect("tokens.json")).expect("JSON");
    let certainty: Value = serde_json::from_str(include_str!("reference_certainty.json")).expect("JSON");
    let certainty = &certainty[name];
    let mut source = open(&case.join("model"), false);
    let tokenizer = Tokenizer::from_dir(&source.folder).expect("tokenizer");
    let eos = training_eos(&source.folder, &tokenizer, &source.config.eos_token_id).expect("eos");
    let ids: Vec<u32> = tokens[0]["ids"][0].as_array().expect("ids").iter().map(|x| x.as_u64().expect("id") as u32).collect();
    let labels = tokens[0]["labels"][0].as_array().expect("labels");
    let length = labels.iter().rposition(|l| l.as_i64() != Some(-100)).expect("a target") + 1;
    let prompt = tokenizer.encode(expected["prompt"].as_str().expect("prompt")).expect("tokens");
    let greedy = |decoder: &mut Decoder| -> Vec<u32> {
        let mut sampler = Sampler::new(Sampling::GREEDY);
        let out = pollster::block_on(decoder.continue_tokens(&tokenizer, &prompt, 16, &[], &mut sampler, &mut |_| true)).expect("text");
        assert_eq!(out.ids.len(), 16);
        out.ids
    };
    let listed = |key: &str| -> Vec<u32> { floats(&expected[key]).into_iter().map(|x| x as u32).collect() };
    let logits = |key: &str| -> Vec<f64> { expected[key].as_array().expect(key).iter().flat_map(floats).collect() };
    assert_eq!(ids[length - 1], eos);

    if let Some(rows) = certainty["loaded_logits"].as_array() {
        // The model as transformers loads it, before its reference's rounding.
        let want: Vec<f64> = rows.iter().flat_map(floats).collect();
        let mut decoder = pollster::block_on(Decoder::new(&device, &source, None, 256, &mut |_, _| ())).expect("decoder");
        compare("logits as loaded", &last_three(&mut decoder, &ids[..length]), &want, 1e-4);
        source = open(&case.join("model"), true);
    }
    let mut decoder = pollster::block_on(Decoder::new(&device, &source, None, 256, &mut |_, _| ())).expect("decoder");
    compare("logits before", &last_three(&mut decoder, &ids[..length]), &logits("first_row_logits_last3"), 1e-4);
    assert_eq!(greedy(&mut decoder), listed("greedy_before"), "greedy tokens before");

    let folder = tempfile::tempdir().expect("a folder");
    let mut run = RunConfig { device: device_name.into(), ..run_config(&case, &expected["settings"], &folder.path().join("run")) };
    if run.method == Method::Lora {
        run.init_adapter = Some(initial_adapter(&case, folder.path(), &run, &source.config));
    }
    let out = run.out.clone();
    let mut steps = Vec::new();
    let mut trainer =
        Trainer::with_source(run, open(&case.join("model"), certainty["loaded_logits"].is_array()), &mut |_| ()).expect("a run");
    assert_eq!(trainer.summary().trainable, expected["trainable"].as_u64().expect("trainable"));
    let (held, estimated) = trainer.memory();
    assert!((held.peak() as f64 / estimated.peak() as f64 - 1.0).abs() < 0.02, "memory {} against {}", held.peak(), estimated.peak());
    trainer
        .run(
            &mut |event| {
                if let Event::Step(m) = event {
                    steps.push(m);
                }
            },
            &|| false,
        )
        .expect("the run");
    for (what, key, tolerance) in [("loss", "loss", 1e-3), ("norm", "grad_norm", 2e-3), ("rate", "lr", 1e-6)] {
        let want = floats(&expected[key]);
        let got: Vec<f64> = steps
            .iter()
            .map(|m| {
                f64::from(match what {
                    "loss" => m.loss,
                    "norm" => m.grad_norm,
                    _ => m.lr,
                })
            })
            .collect();
        assert_eq!(got.len(), want.len());
        let worst = got.iter().zip(&want).map(|(a, b)| (a - b).abs() / b.abs().max(1e-12)).fold(0f64, f64::max);
        println!("  {what} of {} steps: largest relative difference {worst:.1e}", got.len());
        assert!(worst <= tolerance, "{what}: {got:?} against {want:?}");
    }
    let (tuned, adapter) = if expected["settings"]["method"] == "full" {
        (Source::open(&out.join("model")).expect("trained model"), None)
    } else {
        let adapter = AdapterFile::open(&out, &source.config).expect("adapter");
        let file = SafetensorsFile::open(&case.join("adapter.safetensors")).expect("reference adapter");
        let own = &expected["uncertain"];
        compare_adapters(&adapter, &file, if own.is_null() { &certainty["entries"] } else { own });
        (source, Some(adapter))
    };
    let mut decoder = pollster::block_on(Decoder::new(&device, &tuned, adapter.as_ref(), 256, &mut |_, _| ())).expect("decoder");
    compare("logits after", &last_three(&mut decoder, &ids[..length]), &logits("after_first_row_logits_last3"), 1e-3);
    assert_eq!(greedy(&mut decoder), listed("greedy_after"), "greedy tokens after");
}

/// A case's model; with `rounded`, its rotary frequencies are rounded to bf16 as `model.to(bfloat16)` did to the reference's.
fn open(folder: &Path, rounded: bool) -> Source {
    let mut source = Source::open(folder).expect("model");
    if rounded {
        let exact = source.config.rope.inverse_frequencies(source.config.rotary_dim);
        let round = |f: f64| f64::from(half::bf16::from_f32(f as f32).to_f32());
        source.config.rope.scaling = RopeScaling::Listed(exact.into_iter().map(round).collect());
    }
    source
}

/// Within 1e-3 of the largest entry. At the entries where PyTorch's own float32 is off its float64 (their gradient is rounding
/// noise, which AdamW's first steps blow up; see interop/reference_certainty.py), two float32 computations may differ by twice that.
fn compare_adapters(adapter: &AdapterFile, reference: &SafetensorsFile, uncertain: &Value) {
    let want = |name: &str| reference.tensor(name).expect("tensor").to_f32();
    let top = adapter.tensors.iter().flat_map(|t| want(&t.name)).fold(0f32, |m, x| m.max(x.abs()));
    let (mut worst, mut beyond) = (0f32, 0);
    for t in &adapter.tensors {
        assert_eq!(reference.tensor(&t.name).expect("tensor").shape, t.shape);
        for (i, (got, want)) in t.values.iter().zip(want(&t.name)).enumerate() {
            let exact = uncertain[&t.name].as_array().into_iter().flatten().find(|e| e[0].as_u64() == Some(i as u64));
            let own = exact.map_or(0.0, |e| (e[1].as_f64().expect("a value") as f32 - want).abs());
            let off = (got - want).abs();
            assert!(off <= 1e-3 * top + 2.0 * own, "{} [{i}]: {got} and not {want}, off by {:.1e} of the largest", t.name, off / top);
            if own == 0.0 {
                worst = worst.max(off);
            } else if off > 1e-3 * top {
                beyond += 1;
            }
        }
    }
    println!(
        "  adapter: largest difference {:.1e} of the largest entry {top:.4}; {beyond} entries where PyTorch is uncertain beyond 1e-3",
        worst / top
    );
}

/// The reference's LoRA start as an adapter folder.
fn initial_adapter(case: &Path, at: &Path, run: &RunConfig, config: &ModelConfig) -> PathBuf {
    let (spec, _) = diablo::train::resolve::adapter(run, config).expect("spec");
    let file = SafetensorsFile::open(&case.join("adapter_init.safetensors")).expect("reference adapter");
    let tensors = diablo::adapter::files::tensor_list(&spec, config)
        .expect("tensors")
        .into_iter()
        .map(|(name, shape)| diablo::adapter::files::Tensor { values: file.tensor(&name).expect("tensor").to_f32(), name, shape })
        .collect();
    let folder = at.join("init");
    std::fs::create_dir_all(&folder).expect("a folder");
    AdapterFile { spec, base: String::new(), tensors }.save(&folder).expect("saved");
    folder
}

crate::on_both! {
    llama_diablo: "llama-diablo",
    llama_lora: "llama-lora",
    llama_full: "llama-full",
    llama3_bf16_accumulate: "llama3-bf16-accumulate",
    qwen2_diablo: "qwen2-diablo",
    qwen3_diablo: "qwen3-diablo",
    gemma3_diablo: "gemma3-diablo",
    gemma3_full: "gemma3-full",
    mistral_diablo: "mistral-diablo",
    phi3_diablo: "phi3-diablo",
    gpt2_diablo: "gpt2-diablo",
    gpt2_lora: "gpt2-lora",
    gpt2_full: "gpt2-full",
}
