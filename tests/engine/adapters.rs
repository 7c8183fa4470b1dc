//! Adapters that other programs wrote, read: peft's LoRA, and DiaBlo as the method's authors keep it (`interop/make_adapters.py`).

use crate::common::{apart, json_file, logits, python, shared};
use diablo::adapter::AdapterFile;
use diablo::model::Source;
use diablo::train::config::Method;
use diablo::train::export::write_merged;
use diablo::train::{RunConfig, Trainer};
use std::process::Command;

/// What peft and the method's authors write: read, spoken with, trained on, merged; what cannot be read is refused by name.
#[test]
fn adapters_of_others() {
    let Some(case) = shared("reference/llama-lora") else { return };
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().expect("a folder");
    let model = case.join("model");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/make_adapters.py");
    let output = Command::new(python).arg(script).arg(&model).arg(dir.path()).env("HF_HUB_OFFLINE", "1").output().expect("Python starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let expected = json_file(dir.path(), "logits.json");
    let ids: Vec<u32> = expected["ids"].as_array().expect("ids").iter().map(|x| x.as_u64().expect("an id") as u32).collect();
    let base = Source::open(&model).expect("model");
    for (name, method) in [
        ("lora", Method::Lora),
        ("rslora", Method::Lora),
        ("rank_pattern", Method::Lora),
        ("alpha_pattern", Method::Lora),
        ("four.chkpt", Method::Diablo),
        ("padded.chkpt", Method::Diablo),
    ] {
        let path = dir.path().join(name);
        let adapter = AdapterFile::open(&path, &base.config).expect("an adapter");
        let listed = expected["logits"][name.trim_end_matches(".chkpt")].as_array().expect("logits");
        let wanted: Vec<f32> = listed.iter().map(|x| x.as_f64().expect("a number") as f32).collect();
        let prompt = [ids.clone()];
        let off = apart(&logits(&base, Some(&adapter), &prompt), &wanted);
        let merged = dir.path().join(format!("merged-{name}"));
        write_merged(&base, base.checkpoint().expect("a checkpoint"), &adapter, &merged, None).expect("merged");
        let off_merged = apart(&logits(&Source::open(&merged).expect("merged model"), None, &prompt), &wanted);
        println!("  {name}: logits {off:.1e} of the largest from PyTorch's, merged {off_merged:.1e}");
        assert!(off < 1e-4 && off_merged < 1e-4, "{name}");
        // A step with a rate of next to nothing stays where the other program left off.
        let run = RunConfig {
            model: model.clone(),
            data: case.join("train.jsonl").into(),
            out: dir.path().join(format!("run-{name}")),
            method,
            init_adapter: Some(path),
            steps: Some(1),
            seq_len: 64,
            lr: Some(1e-12),
            device: "cpu".into(),
            ..RunConfig::default()
        };
        let out = run.out.clone();
        Trainer::prepare(run, &mut |_| ()).expect("a run").run(&mut |_| (), &|| false).expect("runs");
        let after = AdapterFile::open(&out, &base.config).expect("adapter");
        assert_eq!(after.spec.kind, adapter.spec.kind, "{name}");
        for (a, b) in after.tensors.iter().zip(&adapter.tensors) {
            assert_eq!(a.name, b.name);
            assert!(a.values.iter().zip(&b.values).all(|(a, b)| (a - b).abs() < 1e-6), "{name}: {} was begun anew", a.name);
        }
    }
    for (name, what) in [
        ("modules_to_save", "modules_to_save"),
        ("init_lora_weights", "init_lora_weights"),
        ("bias", "bias"),
        ("harm.chkpt", "system"),
        ("whole-numbers.chkpt", "torch.LongStorage"),
        ("strides.chkpt", "contiguous"),
        ("nested.chkpt", "holds something at \"a\""),
        ("stranger.chkpt", "score.weight"),
        ("old.chkpt", "no zip archive"),
    ] {
        let error = AdapterFile::open(&dir.path().join(name), &base.config).expect_err(name);
        println!("  {name}: {error}");
        assert!(error.to_string().contains(what), "{name}: {error}");
    }
    assert!(!dir.path().join("was-run").exists());
}
