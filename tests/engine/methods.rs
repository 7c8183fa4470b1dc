//! LoRA's variants against what peft computed (`data/methods`, made by `interop/make_methods.py`): losses, gradient norms, the trained
//! adapter and its logits, on both executors. The model and its rows are those of `../shared/reference/llama-lora`.

use crate::common::{interrupted, shared};
use diablo::adapter::files::{Tensor, tensor_list};
use diablo::adapter::{AdapterFile, Kind};
use diablo::device::Device;
use diablo::generate::Decoder;
use diablo::model::weights::Site;
use diablo::model::{SafetensorsFile, Source};
use diablo::train::config::{Init, Method, WeightsFormat};
use diablo::train::schedule::ScheduleKind;
use diablo::train::{Event, RunConfig, Trainer, resolve};
use serde_json::Value;
use std::path::{Path, PathBuf};

const BASE: &str = "reference/llama-lora";

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).expect("a file")).expect("JSON")
}

fn floats(v: &Value) -> Vec<f64> {
    v.as_array().expect("a list").iter().map(|x| x.as_f64().expect("a number")).collect()
}

/// The largest difference, in parts of the largest value.
fn apart(got: impl Iterator<Item = f64>, want: &[f64]) -> f64 {
    let largest = want.iter().fold(0f64, |m, x| m.max(x.abs()));
    let got: Vec<f64> = got.collect();
    assert_eq!(got.len(), want.len());
    got.iter().zip(want).map(|(a, b)| (a - b).abs()).fold(0f64, f64::max) / largest
}

/// The reference's start, as an adapter's folder.
fn initial(base: &Path, run: &RunConfig, source: &Source, at: &Path) -> PathBuf {
    let run = RunConfig { dora: false, ..run.clone() };
    let (spec, _) = resolve::adapter(&run, &source.config).expect("a spec");
    let file = SafetensorsFile::open(&base.join("adapter_init.safetensors")).expect("the start");
    let read = |(name, shape): (String, Vec<usize>)| Tensor { values: file.tensor(&name).expect("a tensor").to_f32(), name, shape };
    let tensors = tensor_list(&spec, &source.config).expect("tensors").into_iter().map(read).collect();
    let folder = at.join("init");
    std::fs::create_dir_all(&folder).expect("a folder");
    AdapterFile { spec, base: String::new(), tensors }.save(&folder).expect("saved");
    folder
}

/// What an adapter adds to each weight; it is the same for factors whose vectors point the other way.
fn deltas(adapter: &AdapterFile, source: &Source) -> Vec<f64> {
    let mut all = Vec::new();
    for layer in 0..source.config.num_hidden_layers {
        for (module, d_out, d_in) in source.config.linear_shapes() {
            let mut weight = vec![0.0; d_out * d_in];
            assert!(adapter.merge_into(Site { layer, module }, &mut weight, d_in), "{module}");
            all.extend(weight.into_iter().map(f64::from));
        }
    }
    all
}

fn check(name: &str, device_name: &str) {
    let Some(base) = shared(BASE) else { return };
    let case = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/methods").join(name);
    let device = Device::open(device_name).expect("device");
    println!("{name} on {}", device.name());
    let expected = json(&case.join("expected.json"));
    let settings = &expected["settings"];
    let number = |key: &str| settings[key].as_f64().expect(key);
    let source = Source::open(&base.join("model")).expect("model");
    let dir = tempfile::tempdir().expect("a folder");
    let mut run = RunConfig {
        model: base.join("model"),
        data: base.join("train.jsonl").into(),
        out: dir.path().join("run"),
        method: Method::Lora,
        rank: number("rank") as usize,
        alpha: number("alpha"),
        dora: name.starts_with("dora"),
        init: if name == "pissa" { Init::Pissa } else { Init::Uniform },
        lora_plus_ratio: number("ratio"),
        steps: Some(number("steps") as u64),
        batch_size: number("batch") as usize,
        seq_len: 128,
        lr: Some(number("lr")),
        schedule: ScheduleKind::Constant,
        weight_decay: number("weight_decay"),
        max_grad_norm: number("clip"),
        no_shuffle: true,
        device: device_name.into(),
        ..RunConfig::default()
    };
    if run.init == Init::Uniform && !run.dora {
        run.init_adapter = Some(initial(&base, &run, &source, dir.path()));
    }
    if run.dora {
        run.init_adapter = Some(with_lengths(&base, &run, &source, dir.path()));
    }
    let out = run.out.clone();
    let mut steps = Vec::new();
    let mut trainer = Trainer::prepare(run, &mut |_| ()).expect("a run");
    assert_eq!(Some(trainer.summary().trainable), expected["trainable"].as_u64());
    let mut keep = |event| {
        if let Event::Step(m) = event {
            steps.push(m);
        }
    };
    trainer.run(&mut keep, &|| false).expect("the run");
    for (key, tolerance) in [("loss", 1e-3), ("grad_norm", 2e-3)] {
        let want = floats(&expected[key]);
        let got: Vec<f64> = steps.iter().map(|m| f64::from(if key == "loss" { m.loss } else { m.grad_norm })).collect();
        assert_eq!(got.len(), want.len());
        let worst = got.iter().zip(&want).map(|(a, b)| (a - b).abs() / b.abs()).fold(0f64, f64::max);
        println!("  {key} of {} steps: largest relative difference {worst:.1e}", got.len());
        assert!(worst <= tolerance, "{key}: {got:?} against {want:?}");
    }
    let adapter = AdapterFile::open(&out, &source.config).expect("adapter");
    let file = SafetensorsFile::open(&case.join("adapter.safetensors")).expect("reference adapter");
    let read = |t: &Tensor| Tensor { values: file.tensor(&t.name).expect("a tensor").to_f32(), ..t.clone() };
    let reference = AdapterFile { tensors: adapter.tensors.iter().map(read).collect(), ..adapter.clone() };
    assert!(reference.tensors.iter().all(|t| file.tensor(&t.name).expect("a tensor").shape == t.shape));
    assert_eq!(file.names().count(), adapter.tensors.len());
    if name == "pissa" {
        assert!(matches!(adapter.spec.kind, Kind::Lora { rank: 8, pissa: false, .. }), "LoRA for the base as it was");
        let off = apart(deltas(&adapter, &source).into_iter(), &deltas(&reference, &source));
        println!("  what is added to the weights: largest difference {off:.1e} of the largest entry");
        assert!(off <= 1e-3, "{off}");
    } else {
        for kind in ["lora_A.weight", "lora_B.weight", "lora_magnitude_vector"] {
            let of = |a: &AdapterFile| -> Vec<f64> {
                let tensors = a.tensors.iter().filter(|t| t.name.ends_with(kind));
                tensors.flat_map(|t| t.values.clone()).map(f64::from).collect()
            };
            let want = of(&reference);
            assert_eq!(want.is_empty(), kind == "lora_magnitude_vector" && !name.starts_with("dora"));
            if !want.is_empty() {
                let off = apart(of(&adapter).into_iter(), &want);
                println!("  {kind}: largest difference {off:.1e} of the largest entry");
                assert!(off <= 1e-3, "{kind}: {off}");
            }
        }
    }

    let want: Vec<f64> = expected["logits_after"].as_array().expect("rows").iter().flat_map(floats).collect();
    let ids = &json(&base.join("tokens.json"))[0]["ids"][0];
    let ids: Vec<u32> = ids.as_array().expect("ids").iter().map(|x| x.as_u64().expect("an id") as u32).filter(|id| *id != 2).collect();
    let mut decoder = pollster::block_on(Decoder::new(&device, &source, Some(&adapter), 256, &mut |_, _| ())).expect("decoder");
    let (prompt, rest) = ids.split_at(ids.len() - 2);
    let mut got = pollster::block_on(decoder.feed(prompt)).expect("logits");
    for id in rest {
        got.extend(pollster::block_on(decoder.feed(&[*id])).expect("logits"));
    }
    let off = apart(got.into_iter().map(f64::from), &want);
    println!("  logits after: largest difference {off:.1e} of the largest");
    assert!(off <= 1e-3, "{off}");
}

/// The reference's start with the weights' own row lengths, as peft begins DoRA.
fn with_lengths(base: &Path, run: &RunConfig, source: &Source, at: &Path) -> PathBuf {
    let plain = AdapterFile::open(&initial(base, run, source, at), &source.config).expect("the start");
    let (spec, _) = resolve::adapter(run, &source.config).expect("a spec");
    let checkpoint = source.checkpoint().expect("a checkpoint").resolve(&source.config).expect("fits");
    let make = |(name, shape): (String, Vec<usize>)| {
        if let Some(t) = plain.tensors.iter().find(|t| t.name == name) {
            return t.clone();
        }
        let path = name.trim_start_matches("base_model.model.").trim_end_matches(".lora_magnitude_vector");
        let weight = checkpoint.iter().find(|(s, _)| s.name == format!("{path}.weight")).expect("a weight").1.read().expect("reads");
        let length = |row: &[f32]| row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt() as f32;
        Tensor { name, values: weight.to_f32().chunks(weight.shape[1]).map(length).collect(), shape }
    };
    let tensors = tensor_list(&spec, &source.config).expect("tensors").into_iter().map(make).collect();
    let folder = at.join("init-dora");
    std::fs::create_dir_all(&folder).expect("a folder");
    AdapterFile { spec, base: String::new(), tensors }.save(&folder).expect("saved");
    folder
}

/// DoRA's lengths start as the weights' own, so that the first loss is the base's.
#[test]
fn variants_start_at_the_base() {
    let Some(base) = shared(BASE) else { return };
    let dir = tempfile::tempdir().expect("a folder");
    let first = |name: &str, run: RunConfig| {
        let run = RunConfig {
            model: base.join("model"),
            data: base.join("train.jsonl").into(),
            out: dir.path().join(name),
            method: Method::Lora,
            rank: 4,
            steps: Some(1),
            batch_size: 4,
            seq_len: 128,
            no_shuffle: true,
            device: "cpu".into(),
            ..run
        };
        let mut loss = None;
        let mut keep = |event| {
            if let Event::Step(m) = event {
                loss = Some(f64::from(m.loss));
            }
        };
        Trainer::prepare(run, &mut |_| ()).expect("a run").run(&mut keep, &|| false).expect("runs");
        loss.expect("a step")
    };
    let plain = first("plain", RunConfig::default());
    let nf4 = |dora: bool| RunConfig { weights: Some(WeightsFormat::Nf4), dora, ..RunConfig::default() };
    let (rounded, lengths) = (first("plain-nf4", nf4(false)), first("dora-nf4", nf4(true)));
    assert!((lengths / rounded - 1.0).abs() < 1e-5 && rounded != plain, "the lengths are those of the weights as they are held");
    for (name, run) in [
        ("dora", RunConfig { dora: true, ..RunConfig::default() }),
        ("dora-recomputed", RunConfig { dora: true, gradient_checkpointing: Some(true), ..RunConfig::default() }),
        ("pissa", RunConfig { init: Init::Pissa, ..RunConfig::default() }),
    ] {
        let loss = first(name, run);
        assert!((loss / plain - 1.0).abs() < 1e-5, "{name}: {loss} and not {plain}");
    }
}

/// A run that was stopped and goes on ends with the same bytes: PiSSA's start is found again.
#[test]
fn variants_resume_to_the_bit() {
    let Some(base) = shared(BASE) else { return };
    let dir = tempfile::tempdir().expect("a folder");
    for (name, more) in [
        ("pissa", RunConfig { init: Init::Pissa, ..RunConfig::default() }),
        ("dora", RunConfig { dora: true, lora_plus_ratio: 4.0, ..RunConfig::default() }),
    ] {
        let run = |folder: &str| RunConfig {
            model: base.join("model"),
            data: base.join("train.jsonl").into(),
            out: dir.path().join(format!("{name}-{folder}")),
            method: Method::Lora,
            rank: 4,
            steps: Some(6),
            save_every: Some(1),
            batch_size: 2,
            seq_len: 64,
            device: "cpu".into(),
            ..more.clone()
        };
        Trainer::prepare(run("whole"), &mut |_| ()).expect("a run").run(&mut |_| (), &|| false).expect("runs");
        interrupted(run("parts"));
        let rest = RunConfig { resume: true, ..run("parts") };
        Trainer::prepare(rest, &mut |_| ()).expect("goes on").run(&mut |_| (), &|| false).expect("runs");
        let bytes = |folder: &str| std::fs::read(run(folder).out.join("adapter_model.safetensors")).expect("an adapter");
        assert!(bytes("whole") == bytes("parts"), "{name}");
    }
}

crate::on_both! {
    lora_plus: "lora-plus",
    dora: "dora",
    dora_with_lora_plus: "dora-plus",
    pissa: "pissa",
}
