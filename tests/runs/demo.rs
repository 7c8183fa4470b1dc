//! The demo as a person runs it: on the CPU, into a new folder.

use serde_json::Value;
use std::process::Command;

#[test]
fn the_demo_teaches_what_the_base_model_cannot_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("demo");
    let run = Command::new(env!("CARGO_BIN_EXE_diablo"))
        .args(["demo", "--json", "--device", "cpu", "--out"])
        .arg(&out)
        .output()
        .expect("diablo runs");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let result: Value = serde_json::from_slice(&run.stdout).expect("JSON");
    println!("{result}");
    let exact = |scores: &Value| scores["exact_match"].as_f64().expect("exact match");
    assert_eq!(exact(&result["before"]), 0.0);
    let runs = result["runs"].as_array().expect("runs");
    assert_eq!(runs.len(), 2);
    for run in runs {
        assert!(exact(&run["after"]) >= 0.9, "{run}");
    }
    let trained: Vec<f64> = runs.iter().map(|r| r["trainable"].as_f64().expect("a number")).collect();
    assert!((trained[0] / trained[1] - 1.0).abs() < 0.05, "as many trained numbers: {trained:?}");
    assert!(std::fs::read_to_string(out.join("loss.svg")).expect("a plot").contains("held out"));
    let metrics = std::fs::read_to_string(out.join("diablo/metrics.jsonl")).expect("metrics");
    let lines: Vec<Value> = metrics.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
    assert_eq!(lines.len() as u64, diablo::demo::STEPS);
    assert_eq!(lines.iter().filter(|l| l["eval_loss"].is_f64()).count(), 5, "a held-out loss every 40 steps");
    assert!(out.join("diablo/adapter_model.safetensors").is_file());
}
