//! `diablo export --format recipe`: the run it was written from, by peft and accelerate where they are installed.
#![allow(clippy::unwrap_used)]

use crate::common::{demo, diablo, json_file, text};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// Relative difference of losses between this program and PyTorch.
const TOLERANCE: f64 = 1e-4;

fn train(out: &Path, options: &str) {
    let (model, rows, held_out) = (demo("model"), demo("train.jsonl"), demo("held-out.jsonl"));
    let mut args =
        vec!["train", "--quiet", "--model", text(&model), "--data", text(&rows), "--eval-data", text(&held_out), "--out", text(out)];
    let usual = "--steps 6 --batch-size 2 --accumulate 2 --seq-len 48 --eval-every 3 --lr 5e-3 --warmup 2 --weight-decay 0.1";
    args.extend(usual.split_whitespace().chain(options.split_whitespace()));
    diablo(&args).good();
}

fn export(run: &Path, out: &Path) {
    diablo(&["export", "--model", text(&demo("model")), "--adapter", text(run), "--out", text(out), "--format", "recipe"]).good();
}

fn lines(path: &Path) -> Vec<Value> {
    std::fs::read_to_string(path).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

#[test]
fn a_recipe_holds_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let (run, out) = (folder.path().join("run"), folder.path().join("recipe"));
    train(&run, "--method diablo --blocks 8");
    export(&run, &out);
    let options = json_file(&out, "recipe.json");
    assert_eq!((&options["accumulate"], &options["blocks"]["q_proj"], &options["weight_decay"]), (&2.into(), &8.into(), &0.1.into()));
    assert!(options["model"].as_str().is_some_and(|m| Path::new(m).is_absolute()), "{options}");
    assert_eq!(json_file(&out.join("adapter"), "adapter_config.json")["peft_type"], "SHIRA");
    let (steps, rows, metrics) = (lines(&out.join("steps.jsonl")), lines(&out.join("rows.jsonl")), lines(&run.join("metrics.jsonl")));
    assert_eq!((steps.len(), rows.len()), (6, std::fs::read_to_string(demo("train.jsonl")).unwrap().lines().count()));
    for (step, metrics) in steps.iter().zip(&metrics) {
        let rate = |line: &Value| line["lr"].as_f64().unwrap() as f32;
        assert_eq!(rate(step), rate(metrics));
        let of = |batch: &Value| {
            batch.as_array().unwrap().iter().map(|i| rows[i.as_u64().unwrap() as usize]["ids"][0].as_array().unwrap().len()).sum::<usize>()
        };
        let tokens: usize = step["micro_batches"].as_array().unwrap().iter().map(of).sum();
        assert_eq!(metrics["tokens"], tokens);
    }
    // It is whole, or refused.
    let model = demo("model");
    let again = ["export", "--model", text(&model), "--adapter", text(&run), "--out", text(&out), "--format", "recipe"];
    diablo(&again).bad(2, &["the folder is not empty"]);
    let none = ["export", "--model", text(&model), "--adapter", text(&model), "--out", "x", "--format", "recipe"];
    diablo(&none).bad(2, &["is no run (run.toml is missing)", "diablo train made"]);
}

#[test]
fn pytorch_has_the_same_losses() {
    let Some(python) = crate::common::python() else { return };
    if !Command::new(&python).args(["-c", "import accelerate"]).output().is_ok_and(|o| o.status.success()) {
        return println!("skipped: no Python with accelerate");
    }
    let folder = tempfile::tempdir().unwrap();
    let methods = [
        "diablo --blocks 8",
        "diablo --blocks 5 --pad-blocks --packing",
        "lora --rank 4 --lora-plus-ratio 4",
        "lora --rank 4 --dora",
        "full",
    ];
    for (i, method) in methods.iter().enumerate() {
        let (run, out) = (folder.path().join(format!("run{i}")), folder.path().join(format!("recipe{i}")));
        train(&run, &format!("--method {method}"));
        export(&run, &out);
        let start = |more: &[&str]| {
            let mut command = Command::new(&python);
            command.args(["train.py"]).args(more).current_dir(&out).env("ACCELERATE_USE_CPU", "1").env("OMP_NUM_THREADS", "1");
            let ended = crate::common::end(command);
            assert_eq!(ended.code, Some(0), "{method}: {}", ended.said());
        };
        if i == 0 {
            // Stopped, and gone on with.
            start(&["--steps", "3"]);
            start(&["--resume"]);
        } else {
            start(&[]);
        }
        let (ours, theirs) = (lines(&run.join("metrics.jsonl")), lines(&out.join("result/metrics.jsonl")));
        assert_eq!(ours.len(), theirs.len());
        let mut most = 0f64;
        for (a, b) in ours.iter().zip(&theirs) {
            for key in ["loss", "eval_loss"] {
                let (a, b) = (a[key].as_f64().unwrap_or(0.0), b[key].as_f64().unwrap_or(0.0));
                most = most.max((a - b).abs() / a.abs().max(1e-9));
            }
        }
        println!("{method}: losses within {most:.1e} of PyTorch's");
        assert!(most <= TOLERANCE, "{method}: {most}\n{ours:?}\n{theirs:?}");
        let written = if *method == "full" { "model.safetensors" } else { "adapter_model.safetensors" };
        assert!(out.join("result").join(written).is_file());
    }
}
