//! What is said before anything is learned: help, options, sizes, devices.

use crate::common::{command, diablo, end, line, text};
use crate::place::Place;
use serde_json::{Value, json};

#[test]
fn help_is_for_people() {
    let out = diablo(&[]).good();
    for part in ["train", "generate", "eval", "export", "info", "data", "chat", "devices", "check", "Examples:", "Exit codes"] {
        assert!(out.contains(part), "{part}: {out}");
    }
    for name in ["train", "generate", "eval", "export", "info", "data", "chat", "compare", "sweep", "devices", "check"] {
        let out = diablo(&[name, "--help"]).good();
        assert!(out.contains("Examples:") && out.contains(&format!("diablo {name}")), "{out}");
        assert!(out.lines().all(|l| l.chars().count() <= 100), "{out}");
        // What stands behind the options keeps its lines on a narrow terminal.
        let behind = out.split_once("Print help").map_or(out.as_str(), |(_, behind)| behind);
        let prose = behind.lines().filter(|l| !l.starts_with(' ') && !l.starts_with("Usage"));
        assert!(prose.clone().all(|l| l.chars().count() < 80), "{behind}");
    }
    let out = diablo(&["--version"]).good();
    for part in [env!("CARGO_PKG_VERSION"), "target", std::env::consts::ARCH, "backends"] {
        assert!(out.contains(part), "{part}: {out}");
    }
}

#[test]
fn wrong_usage_ends_with_2() {
    for (args, part) in [
        ("dance", "unrecognized subcommand"),
        ("train", "--model is needed"),
        ("train --model m --data d", "--out is needed"),
        ("train --model m --data d --out o --steps 3 --epochs 1", "cannot be used with"),
        ("train --model m --data d --out o --method dora", "diablo, lora, full"),
        ("train --model m --data d --out o --blocks x", "'x'"),
        ("train --model m --data d --out o --targets q_porj", "q_porj"),
        ("train --model m --data d --out o --lr -1", "--lr -1"),
        ("train --model m --data d --out o --lr much", "'much'"),
        ("train --model m --data d --out o --batch-size 0", "--batch-size 0"),
        ("train --model m --data d --out o --seq-len 1", "--seq-len 1"),
        ("train --model m --data d --out o --threads 0", "--threads 0"),
        ("train --model m --data d --out o --threads 100000", "--threads 100000"),
        ("train --model m --data d --out o --eval-split 1.5", "--eval-split 1.5"),
        ("train --model m --data d --out o --eval-split 0.1 --eval-data e", "cannot be used with"),
        ("train --model m --data d --out o --schedule square", "cosine"),
        ("train --model m --data d --out o --quiet --json", "cannot be used with"),
        ("train --model m --data d --out o --wram-up 3", "--warmup"),
        ("generate --model m", "--prompt"),
        ("generate --model m --prompt a --temperature -1", "--temperature -1"),
        ("generate --model m --prompt a --top-p 0", "--top-p 0"),
        ("generate --model m --prompt a --max-new-tokens -3", "-3"),
        ("eval --model m", "--data"),
        ("export --model m --adapter a --out o --dtype f8", "f32, bf16, f16"),
        ("info", "--model is needed"),
        ("devices --fast", "--fast"),
    ] {
        line(args).bad(2, &[part]);
    }
    let Some(p) = Place::new() else { return };
    let (model, data) = (p.model(), p.data());
    line(&format!("train --model {model} --data {data} --out {} --blocks 7", text(&p.path("o"))))
        .bad(2, &["[64, 64]", "7 diagonal blocks", "4 and 8", "--pad-blocks"]);
    line(&format!("info --model {model} --blocks q_proj=8,k_proj=5")).bad(2, &["k_proj", "5 diagonal blocks"]);
    diablo(&["generate", "--model", &model, "--prompt", ""]).bad(2, &["no tokens"]);
    diablo(&["generate", "--model", &model, "--prompt", &"long ".repeat(400)]).bad(2, &["context of 256"]);
    line(&format!("eval --model {model} --data {data} --batch-size 0")).bad(2, &["--batch-size 0"]);
    assert!(!p.path("o").exists(), "nothing was begun");
}

#[test]
fn info_knows_the_run() {
    let Some(p) = Place::new() else { return };
    let run = format!("--model {} --data {} --blocks 4 --batch-size 4 --seq-len 128", p.model(), p.data());
    let info = line(&format!("info {run} --json")).json();
    assert_eq!(info["trainable"], p.expected()["trainable"]);
    assert_eq!((&info["parameters"], &info["architecture"]), (&json!(125_248), &json!("Llama")));
    assert_eq!((&info["rows"], &info["steps"], &info["why"]), (&json!(80), &json!(20), &Value::Null));
    let memory = info["memory"].as_object().unwrap();
    let parts: u64 = memory.iter().filter(|(k, _)| *k != "total").map(|(_, v)| v.as_u64().unwrap()).sum();
    assert_eq!(memory["total"].as_u64(), Some(parts));
    // What the run says it takes is what was foretold.
    let started = line(&format!("train {run} --steps 1 --out {} --json", text(&p.path("o")))).good();
    let events: Vec<Value> = started.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let summary = events.iter().find(|e| e["event"] == "started").unwrap();
    assert_eq!((&summary["memory"], &summary["trainable"]), (&memory["total"], &info["trainable"]));

    let shown = line(&format!("info --model {}", p.model())).good();
    for part in ["2 layers, hidden 64", "125,248 in f32", "LoRA rank 16", "activations", "free"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    // Made from what is known: alpha plays no part, and a larger batch takes more.
    let total = |more: &str| line(&format!("info --model {} --json {more}", p.model())).json()["memory"]["total"].as_u64().unwrap();
    assert!(total("--batch-size 16") > total("--batch-size 8"));
    assert!(total("--gradient-checkpointing") < total(""));
}

#[test]
fn memory_is_kept_within_a_budget() {
    let Some(p) = Place::new() else { return };
    let run = format!("--model {} --data {} --blocks 4 --batch-size 16 --seq-len 128", p.model(), p.data());
    let info = |more: &str| line(&format!("info {run} --json {more}")).json();
    let total = |info: &Value| info["memory"]["total"].as_u64().unwrap();
    let (kept, less) = (info(""), info("--gradient-checkpointing"));
    assert_eq!((&kept["gradient_checkpointing"], &less["gradient_checkpointing"]), (&json!(false), &json!(true)));
    assert!(total(&less) < total(&kept));
    // Room for the one and not for the other: it recomputes, says so, and takes what was foretold.
    let budget = format!("--memory {}", total(&less));
    assert_eq!(info(&budget)["memory"], less["memory"]);
    let told = line(&format!("train {run} --steps 2 {budget} --out {} --json", text(&p.path("small")))).good();
    assert!(told.contains("activations are recomputed") && told.contains("--memory allows"), "{told}");
    assert!(told.contains(&format!("\"memory\":{}", less["memory"]["total"])), "{told}");
    let whole = line(&format!("train {run} --steps 2 --out {} --json", text(&p.path("whole")))).good();
    assert!(!whole.contains("recomputed"), "{whole}");
    let adapter = |name: &str| std::fs::read(p.path(name).join("adapter_model.safetensors")).unwrap();
    assert!(adapter("small") == adapter("whole"), "recomputing changed what was learned");
    // Too little for either: refused, with what would fit.
    let with = |memory: &str| line(&format!("train {run} --memory {memory} --out {}", text(&p.path("no"))));
    with(&(total(&less) / 2).to_string()).bad(1, &["--memory allows", "--batch-size"]);
    with("much").bad(2, &["'much' is no amount of memory; write 4GiB"]);
    // Rows are shorter than they may be, so that sharing sequences would save something.
    assert!(kept["padding"].as_f64() > kept["padding_packed"].as_f64(), "{kept}");
}

#[test]
fn a_bench_is_compared_with_an_earlier_one() {
    let dir = tempfile::tempdir().unwrap();
    let (before, trace) = (dir.path().join("before.json"), dir.path().join("step.json"));
    let bench = "bench --device cpu --shape tinystories-656k --seq-len 16 --seconds 0";
    std::fs::write(&before, line(&format!("{bench} --json")).good()).unwrap();
    let told = line(&format!("{bench} --profile --trace {} --against {} --json", text(&trace), text(&before))).json();
    assert!(told["steps"][0]["against"].as_f64() > Some(0.0), "{told}");
    assert_eq!(told["steps"][0]["memory"], told["steps"][0]["estimate"]);
    let kernels = told["profiles"]["tinystories-656k, diablo, 8 blocks"].as_array().unwrap();
    assert!(kernels.iter().any(|k| k["kernel"] == "matmul") && kernels.iter().any(|k| k["kernel"] == "adamw"), "{told}");
    let events: Value = serde_json::from_slice(&std::fs::read(&trace).unwrap()).unwrap();
    let calls: u64 = kernels.iter().map(|k| k["calls"].as_u64().unwrap()).sum();
    assert_eq!(events["traceEvents"].as_array().unwrap().iter().filter(|e| e["ph"] == "X").count() as u64, calls);
    for (what, part) in [("methods", "nothing trains"), ("products", "g^T x"), ("decode", "a token after it")] {
        let shown = line(&format!("bench {what} --device cpu --shape tinystories-656k --seq-len 16 --seconds 0")).good();
        assert!(shown.contains(part), "{what}: {shown}");
    }
    line(&format!("{bench} --against {}", text(&trace))).bad(1, &["holds no measurement"]);
    line(&format!("{bench} --trace {}", text(&dir.path().join("nowhere/t.json")))).bad(2, &["--trace: there is no folder"]);
}

#[test]
fn devices_say_which_and_why() {
    let list = line("devices --json").json();
    assert!(list["cpu"]["threads"].as_u64() > Some(0) && list["why"].is_string() && list["variable"] == "cpu", "{list}");
    let shown = line("devices").good();
    assert!(shown.contains("* auto takes") && shown.contains("DIABLO_DEVICE is cpu"), "{shown}");
}

#[test]
fn a_check_names_every_kernel() {
    let report = line("check --device cpu --json").json();
    let cases = report["cases"].as_array().unwrap();
    assert!(report["ok"] == true && cases.iter().any(|c| c["kernel"] == "matmul") && cases.iter().all(|c| c["ok"] == true), "{report}");
    let shown = line("check --device cpu --quiet").good();
    assert!(shown.contains("matmul") && shown.contains("all as the CPU computes them"), "{shown}");
}

#[cfg(target_os = "linux")]
#[test]
fn without_a_driver_the_package_is_named() {
    let Some(p) = Place::new() else { return };
    let blind = |args: &[&str]| {
        let mut command = command(args);
        command.env("VK_ICD_FILENAMES", "/nonexistent").env("VK_DRIVER_FILES", "/nonexistent").env_remove("DIABLO_DEVICE");
        command
    };
    let shown = end(blind(&["devices"])).good();
    assert!(shown.contains("no GPU driver was found") && shown.contains("mesa-vulkan-drivers"), "{shown}");
    let model = p.model();
    let ask = ["generate", "--model", &model, "--prompt", "Ada", "--max-new-tokens", "2"];
    end(blind(&[&ask[..], &["--device", "gpu"]].concat())).bad(1, &["no adapter was found", "mesa-vulkan-drivers"]);
    let mut by_variable = blind(&ask);
    by_variable.env("DIABLO_DEVICE", "gpu");
    end(by_variable).bad(1, &["no adapter was found"]);
    end(blind(&["check"])).bad(1, &["no adapter was found"]);
    // The option wins, and auto takes the CPU.
    let mut by_option = blind(&[&ask[..], &["--device", "auto"]].concat());
    by_option.env("DIABLO_DEVICE", "gpu");
    end(by_option).good();
    let mut train = blind(&["info", "--model", &model]);
    train.env("DIABLO_DEVICE", "no such thing");
    end(train).bad(1, &["no such thing"]);
}
