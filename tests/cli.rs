//! The command line, as a person uses it.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Ended, adapter, command, diablo, end, line, losses, shared, text};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A reference case, and a folder to write into.
struct Place {
    case: PathBuf,
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Option<Self> {
        Some(Self { case: shared("reference/llama-diablo")?, folder: tempfile::tempdir().unwrap() })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn model(&self) -> String {
        text(&self.case.join("model")).to_owned()
    }

    fn data(&self) -> String {
        text(&self.case.join("train.jsonl")).to_owned()
    }

    /// A short run into `out`, with more options.
    fn train(&self, out: &str, more: &str) -> Ended {
        let (model, data, out) = (self.model(), self.data(), self.path(out));
        let run = "--blocks 4 --steps 20 --batch-size 4 --seq-len 128 --lr 2e-3 --schedule constant --no-shuffle";
        line(&format!("train --model {model} --data {data} --out {} {run} {more}", out.display()))
    }

    /// A copy of the model that may be spoilt.
    fn copy(&self, name: &str) -> PathBuf {
        let to = self.path(name);
        std::fs::create_dir(&to).unwrap();
        for entry in std::fs::read_dir(self.case.join("model")).unwrap() {
            let entry = entry.unwrap();
            // Read and written, not copied: the originals may be read-only.
            std::fs::write(to.join(entry.file_name()), std::fs::read(entry.path()).unwrap()).unwrap();
        }
        to
    }

    fn expected(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.case.join("expected.json")).unwrap()).unwrap()
    }

    fn generate(&self, model: &str, adapter: Option<&Path>) -> String {
        let expected = self.expected();
        let prompt = expected["prompt"].as_str().unwrap();
        let mut args = vec!["generate", "--model", model, "--prompt", prompt, "--max-new-tokens", "16", "--quiet"];
        if let Some(adapter) = adapter {
            args.extend(["--adapter", text(adapter)]);
        }
        diablo(&args).good()
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn edit(path: &Path, change: impl FnOnce(&mut Value)) {
    let mut value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    change(&mut value);
    std::fs::write(path, value.to_string()).unwrap();
}

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
fn a_run_can_be_repeated_scored_merged() {
    let Some(p) = Place::new() else { return };
    let (out, again, merged) = (p.path("out"), p.path("again"), p.path("merged"));
    let expected = p.expected();
    let report = p.train("out", "");
    assert!(report.out.is_empty(), "standard output is for results: {}", report.said());
    for part in ["23,040 trainable", "step 20/20", "done: 20 steps", "diablo generate --model"] {
        assert!(report.err.contains(part), "{part}: {}", report.said());
    }
    report.good();
    let made = [
        ".diablo.lock",
        "adapter_config.json",
        "adapter_model.safetensors",
        "checkpoints",
        "loss.svg",
        "metrics.jsonl",
        "run.toml",
        "summary.json",
    ];
    assert_eq!(names(&out), made);
    assert_eq!(losses(&out).len(), 20);
    line(&format!("train --config {} --out {} --quiet", text(&out.join("run.toml")), text(&again))).good();
    assert_eq!(adapter(&out), adapter(&again));
    assert_eq!(losses(&out), losses(&again));

    // A folder with a run in it is not begun again, and not gone on with under other options.
    p.train("out", "").bad(2, &["holds a run already", "--resume --out"]);
    line(&format!("train --resume --out {} --seed 1", text(&out))).bad(2, &["seed (42, not 1)"]);
    assert_eq!(adapter(&out), adapter(&again));

    assert_eq!(p.generate(&p.model(), None), format!("{}\n", expected["greedy_before_text"].as_str().unwrap()));
    let after = format!("{}\n", expected["greedy_after_text"].as_str().unwrap());
    assert_eq!(p.generate(&p.model(), Some(&out)), after);

    let (model, data) = (p.model(), p.data());
    line(&format!("export --model {model} --adapter {} --out {}", text(&out), text(&merged))).good();
    assert!(names(&merged).contains(&"tokenizer.json".to_owned()));
    assert_eq!(p.generate(text(&merged), None), after);
    line(&format!("export --model {model} --adapter {} --out {}", text(&out), text(&merged))).bad(2, &["not empty"]);
    let half = line(&format!("export --model {model} --adapter {} --out {} --dtype bf16 --json", text(&out), text(&p.path("half"))));
    assert_eq!(half.json()["dtype"], "bf16");
    let sparse = |more: &str| line(&format!("export --model {model} --adapter {} --format shira {more}", text(&out)));
    let folder = p.path("sparse");
    assert_eq!(sparse(&format!("--out {} --json", text(&folder))).json()["format"], "shira");
    assert_eq!(names(&folder), ["adapter_config.json", "adapter_model.safetensors"]);
    sparse(&format!("--out {}", text(&folder))).bad(2, &["not empty"]);
    sparse(&format!("--out {} --dtype bf16", text(&p.path("x")))).bad(2, &["--dtype"]);

    let score = |more: &str| line(&format!("eval --model {model} --data {data} --json {more}")).json();
    let (before, tuned) = (score(""), score(&format!("--adapter {}", text(&out))));
    assert_eq!((before["rows"].as_u64(), before["exact_match_of"].as_u64()), (Some(80), Some(80)));
    let loss = |v: &Value| v["loss"].as_f64().unwrap();
    assert!(loss(&tuned) < loss(&before) - 1.0, "{before} {tuned}");
    assert!((loss(&tuned).exp() / tuned["perplexity"].as_f64().unwrap() - 1.0).abs() < 1e-9);
    let again = line(&format!("eval --model {} --data {data} --json --max-new-tokens 0 --batch-size 5", text(&merged))).json();
    assert!((loss(&again) - loss(&tuned)).abs() < 1e-4 && again["exact_match"].is_null(), "{again} {tuned}");
}

#[test]
fn exact_match_counts_answers() {
    let Some(p) = Place::new() else { return };
    // The model's own greedy answers are the completions of half of the rows. Without an end they run to the limit.
    let expected = p.expected();
    let (prompt, answer) = (expected["prompt"].as_str().unwrap(), expected["greedy_before_text"].as_str().unwrap());
    let data = p.path("rows.jsonl");
    let row = |answer: &str| json!({ "prompt": prompt, "completion": answer }).to_string() + "\n";
    std::fs::write(&data, row(answer) + &row("something else") + &row(answer) + &row(&format!(" {answer} "))).unwrap();
    let scores = line(&format!("eval --model {} --data {} --json --max-new-tokens 16", p.model(), text(&data))).json();
    assert_eq!((scores["exact_match_right"].as_u64(), scores["exact_match_of"].as_u64()), (Some(3), Some(4)), "{scores}");
    let shown = line(&format!("eval --model {} --data {} --max-new-tokens 16", p.model(), text(&data))).good();
    assert!(shown.contains("exact match  75.0% (3 of 4)"), "{shown}");
}

#[test]
fn full_runs_have_nothing_to_merge() {
    let Some(p) = Place::new() else { return };
    let (model, data, out) = (p.model(), p.data(), p.path("full"));
    line(&format!("train --model {model} --data {data} --out {} --method full --steps 3 --quiet", text(&out))).good();
    line(&format!("export --model {model} --adapter {} --out {}", text(&out), text(&p.path("x"))))
        .bad(2, &["nothing to merge", "--model", "full/model"]);
    p.generate(text(&out.join("model")), None);
    let lora = p.path("lora");
    line(&format!("train --model {model} --data {data} --out {} --method lora --rank 4 --steps 3 --quiet", text(&lora))).good();
    p.generate(&model, Some(&lora));
}

#[test]
fn sampling_repeats_by_its_seed() {
    let Some(p) = Place::new() else { return };
    let model = p.model();
    let draw = |seed: &str| {
        let v =
            line(&format!("generate --model {model} --prompt Ada --temperature 1.5 --top-k 200 --top-p 0.99 --seed {seed} --json")).json();
        (v["text"].as_str().unwrap().to_owned(), v["tokens"].as_array().unwrap().len())
    };
    assert_eq!(draw("1"), draw("1"));
    assert_ne!(draw("1"), draw("2"));
    let note = diablo(&["generate", "--model", &model, "--prompt", "Ada", "--max-new-tokens", "100000"]);
    assert!(note.err.contains("context of 256"), "{}", note.said());
    note.good();
}

#[test]
fn a_closed_pipe_is_no_fault() {
    let Some(p) = Place::new() else { return };
    for args in [vec!["generate", "--model", &p.model(), "--prompt", "Ada", "--quiet"], vec!["--help"], vec!["devices"]] {
        let mut child = command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let mut err = String::new();
        child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{args:?}: {err}");
        assert!(!err.contains("fault of diablo") && !err.contains("panicked"), "{err}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_behind_standard_output_is_told() {
    let Some(p) = Place::new() else { return };
    for args in [vec!["generate", "--model", &p.model(), "--prompt", "Ada", "--quiet"], vec!["devices"]] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let out = command(&args).stdout(full).output().unwrap();
        let err = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.code() == Some(1) && err.contains("standard output"), "{args:?}: {err}");
    }
}

#[test]
fn the_story_is_that_of_transformers() {
    let Some(model) = shared("real/tinystories-656k") else { return };
    let args = ["generate", "--model", text(&model), "--prompt", "Once upon a time", "--max-new-tokens", "60", "--quiet"];
    let story = diablo(&args).good();
    let want = ", a little girl named Lily lived in a small house with her mom, dad, and her dog, Spot,";
    assert!(story.starts_with(want), "{story}");
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

#[cfg(unix)]
#[test]
fn an_interrupt_saves_and_a_resume_goes_on() {
    let Some(p) = Place::new() else { return };
    let run = "--steps 300 --save-every 1000 --eval-split 0.1 --eval-every 50 --adapter-dropout 0.1";
    let (model, data) = (p.model(), p.data());
    let train = |out: &str| format!("train --model {model} --data {data} --out {} {run} --json", text(&p.path(out)));
    line(&train("whole")).good();
    let args = train("stopped");
    let mut child = command(&args.split_whitespace().collect::<Vec<_>>()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut events = BufReader::new(child.stdout.take().unwrap()).lines().map(|l| serde_json::from_str::<Value>(&l.unwrap()).unwrap());
    assert!(events.any(|e| e["event"] == "step" && e["step"] == 7));
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let rest: Vec<Value> = events.collect();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert!(err.contains("finishing the step"), "{err}");
    let note = rest.iter().find(|e| e["event"] == "note").unwrap()["text"].as_str().unwrap();
    assert!(note.contains("go on with: diablo train --resume --out"), "{note}");
    let last = rest.iter().rfind(|e| e["event"] == "checkpoint").unwrap()["step"].as_u64().unwrap();
    assert!((7..300).contains(&last), "it stopped at {last}");
    assert!(!p.path("stopped").join("adapter_config.json").exists());
    line(&format!("train --resume --out {} --quiet", text(&p.path("stopped")))).good();
    assert_eq!(losses(&p.path("whole")), losses(&p.path("stopped")));
    assert_eq!(adapter(&p.path("whole")), adapter(&p.path("stopped")));
}

/// A pipe that nobody reads is full after some hundred steps. The run goes on, and ends as it was asked to.
#[cfg(unix)]
#[test]
fn an_interrupt_saves_though_nobody_reads() {
    let Some(p) = Place::new() else { return };
    let out = p.path("unread");
    let args = format!("train --model {} --data {} --out {} --steps 100000 --json", p.model(), p.data(), text(&out));
    let mut child = command(&args.split_whitespace().collect::<Vec<_>>()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let steps = || std::fs::read_to_string(out.join("metrics.jsonl")).map_or(0, |all| all.lines().count());
    let since = Instant::now();
    // A line of a step has more than a hundred bytes, and a pipe room for 65,536.
    while steps() < 700 {
        assert!(since.elapsed() < Duration::from_secs(120), "it stands at step {}", steps());
        assert_eq!(child.try_wait().unwrap(), None);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(out.join(format!("checkpoints/step-{:08}", steps())).is_dir(), "the last step was not saved");
}

#[test]
fn broken_models_are_named() {
    let Some(p) = Place::new() else { return };
    let generate = |model: &Path| diablo(&["generate", "--model", text(model), "--prompt", "Ada", "--max-new-tokens", "2"]);
    let spoil = |name: &str, change: &dyn Fn(&Path)| {
        let model = p.copy(name);
        change(&model);
        model
    };
    let weights = "model.safetensors";
    let cut = |model: &Path, bytes: usize| {
        let whole = std::fs::read(model.join(weights)).unwrap();
        std::fs::write(model.join(weights), &whole[..bytes]).unwrap();
    };
    // A header that says other than what is there.
    let header = |model: &Path, change: &dyn Fn(&mut Value)| {
        let whole = std::fs::read(model.join(weights)).unwrap();
        let length = u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
        let mut header: Value = serde_json::from_slice(&whole[8..8 + length]).unwrap();
        change(&mut header);
        let header = header.to_string();
        let bytes = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &whole[8 + length..]].concat();
        std::fs::write(model.join(weights), bytes).unwrap();
    };
    let q = "model.layers.0.self_attn.q_proj.weight";
    let lfs = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 503064\n";
    generate(&p.path("nowhere")).bad(1, &["nowhere"]);
    generate(&spoil("missing", &|m| std::fs::remove_file(m.join(weights)).unwrap())).bad(1, &["missing", weights, "help: "]);
    generate(&spoil("short", &|m| cut(m, 400_000))).bad(1, &[weights, "help: "]);
    generate(&spoil("tiny", &|m| cut(m, 5))).bad(1, &[weights]);
    generate(&spoil("empty", &|m| cut(m, 0))).bad(1, &[weights]);
    generate(&spoil("lfs", &|m| std::fs::write(m.join(weights), lfs).unwrap())).bad(1, &["LFS", weights]);
    generate(&spoil("lfs2", &|m| std::fs::write(m.join("tokenizer.json"), lfs).unwrap())).bad(1, &["LFS", "tokenizer.json"]);
    generate(&spoil("huge", &|m| {
        let mut whole = std::fs::read(m.join(weights)).unwrap();
        whole[..8].fill(0xff);
        std::fs::write(m.join(weights), whole).unwrap();
    }))
    .bad(1, &[weights]);
    generate(&spoil("beyond", &|m| header(m, &|h| h[q]["data_offsets"] = json!([0, 1u64 << 60])))).bad(1, &[weights]);
    generate(&spoil("overlap", &|m| header(m, &|h| h[q]["data_offsets"] = json!([0, 64 * 64 * 4])))).bad(1, &[weights]);
    generate(&spoil("overflow", &|m| header(m, &|h| h[q]["shape"] = json!([u64::MAX, 2])))).bad(1, &[weights]);
    generate(&spoil("outside", &|m| {
        std::fs::rename(m.join(weights), m.join("../other.safetensors")).unwrap();
        let index = json!({ "weight_map": { q: "../other.safetensors" } });
        std::fs::write(m.join("model.safetensors.index.json"), index.to_string()).unwrap();
    }))
    .bad(1, &["model.safetensors.index.json", "../other.safetensors"]);
    let config = |m: &Path, change: &dyn Fn(&mut Value)| edit(&m.join("config.json"), change);
    generate(&spoil("bloom", &|m| config(m, &|c| c["architectures"] = json!(["BloomForCausalLM"]))))
        .bad(1, &["BloomForCausalLM", "Llama", "GPT2LMHeadModel"]);
    generate(&spoil("shapes", &|m| config(m, &|c| c["intermediate_size"] = json!(192)))).bad(1, &["mlp", "192"]);
    generate(&spoil("layers", &|m| config(m, &|c| c["num_hidden_layers"] = json!(3)))).bad(1, &["model.layers.2"]);
    generate(&spoil("heads", &|m| config(m, &|c| c["num_attention_heads"] = json!(3)))).bad(1, &["config.json"]);
    generate(&spoil("zero", &|m| config(m, &|c| c["hidden_size"] = json!(0)))).bad(1, &["hidden_size"]);
    generate(&spoil("text", &|m| std::fs::write(m.join("config.json"), "{").unwrap())).bad(1, &["config.json", "JSON"]);
    generate(&spoil("ids", &|m| {
        edit(&m.join("tokenizer.json"), |t| {
            let mut token = t["added_tokens"][0].clone();
            (token["id"], token["content"]) = (json!(600), json!("<x>"));
            t["added_tokens"].as_array_mut().unwrap().push(token);
        });
        // Ids follow each other: the vocabulary is filled up to it.
        edit(&m.join("tokenizer.json"), |t| {
            t["model"]["vocab"].as_object_mut().unwrap().insert("zzzzzz".into(), json!(600));
        });
    }))
    .bad(1, &["tokenizer.json", "512"]);
    let untokenised = spoil("untokenised", &|m| std::fs::remove_file(m.join("tokenizer.json")).unwrap());
    generate(&untokenised).bad(1, &["tokenizer.json"]);

    // Adapters.
    line(&format!("generate --model {} --prompt a --adapter {}", p.model(), text(&p.path("nowhere")))).bad(1, &["adapter_config.json"]);
    p.train("out", "--quiet").good();
    let out = p.path("out");
    let other = shared("reference/qwen3-diablo/model").unwrap();
    line(&format!("export --model {} --adapter {} --out {}", text(&other), text(&out), text(&p.path("x"))))
        .bad(1, &["adapter_model.safetensors"]);
    assert!(!p.path("x").exists());
    edit(&out.join("adapter_config.json"), |c| c["peft_type"] = json!("IA3"));
    line(&format!("generate --model {} --prompt a --adapter {}", p.model(), text(&out))).bad(1, &["adapter_config.json", "IA3"]);
}

#[test]
fn broken_rows_are_named() {
    let Some(p) = Place::new() else { return };
    let data = p.path("rows.jsonl");
    let (model, out) = (p.model(), p.path("run"));
    let good = r#"{"prompt":"Ada has 2 + 2","completion":"4"}"#;
    let train = |rows: &str, more: &str| {
        std::fs::write(&data, rows).unwrap();
        line(&format!("train --model {model} --data {} --out {} --steps 1 {more}", text(&data), text(&out)))
    };
    train(&format!("{good}\n{good}\n{{\"prompt\": \"a\", \"completion\"\n"), "").bad(1, &["rows.jsonl:3", "broken JSON"]);
    train(&format!("{good}\n{{\"question\":\"a\",\"answer\":\"b\"}}"), "").bad(1, &["rows.jsonl:2", "\"prompt\"", "\"question\""]);
    train("", "").bad(1, &["rows.jsonl", "no rows"]);
    train("[1, 2]", "").bad(1, &["the row is a number, not an object"]);
    let long = format!("{{\"prompt\":\"a\",\"completion\":\"{}\"}}", "many words ".repeat(50));
    train(&format!("{good}\n{long}\n"), "--seq-len 32 --too-long error").bad(1, &["rows.jsonl", "32"]);
    train(&long, "--seq-len 32 --too-long drop").bad(1, &["rows.jsonl"]);
    std::fs::remove_file(&data).unwrap();
    line(&format!("train --model {model} --data {} --out {}", text(&data), text(&out))).bad(1, &["rows.jsonl"]);
    assert!(!out.exists(), "nothing was begun");
    let cut = train(&format!("{good}\n{long}\n"), "--seq-len 32 --quiet");
    assert!(cut.err.contains("1 of 2 rows are longer than 32 tokens and were cut"), "{}", cut.said());
    cut.good();
    // A file of options has lines too.
    let config = p.path("run.toml");
    std::fs::write(&config, "model = 'm'\nbatchsize = 3\n").unwrap();
    let wrong = line(&format!("train --config {}", text(&config)));
    assert!(wrong.err.contains("line 2") && wrong.err.contains("batch_size") && wrong.code != Some(0), "{}", wrong.said());
}

#[test]
fn a_run_that_does_not_fit_is_told_what_would() {
    let Some(p) = Place::new() else { return };
    let run = |options: &str| format!("train --model {} --data {} --out {} {options}", p.model(), p.data(), text(&p.path("o")));
    let kept = "--packing --gradient-checkpointing=false";
    line(&run(&format!("--batch-size 1024 --seq-len 128 --memory 64MiB {kept}")))
        .bad(1, &["the run takes", "--memory allows 64.0 MiB", "--batch-size"]);
    if Path::new("/proc/meminfo").exists() {
        line(&run(&format!("--batch-size 65536 --seq-len 256 {kept}"))).bad(1, &["the run takes", "are free", "--batch-size"]);
    } else {
        println!("skipped: this system does not tell its free memory");
    }
    assert!(!p.path("o").exists());
}

#[test]
fn a_run_that_diverges_stops_and_keeps_its_checkpoint() {
    let Some(p) = Place::new() else { return };
    p.train("o", "--save-every 1 --quiet").good();
    // The rate may change between sittings; the rest of the run breaks, and what was saved is whole.
    let out = p.path("o");
    let broken = line(&format!("train --resume --out {} --steps 30 --lr 1e30 --quiet", text(&out)));
    broken.bad(1, &["step 22", "the loss is", "the checkpoint of step 21 is whole", "--lr"]);
    let kept = names(&out.join("checkpoints"));
    assert_eq!(kept, ["step-00000020", "step-00000021"]);
    assert_eq!(losses(&out).len(), 21);
}

#[test]
fn a_folder_has_one_writer() {
    let Some(p) = Place::new() else { return };
    let args =
        format!("train --model {} --data {} --out {} --steps 100000 --save-every 100000 --json", p.model(), p.data(), text(&p.path("o")));
    let args: Vec<&str> = args.split_whitespace().collect();
    let mut child = command(&args).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|l| l.unwrap().contains("\"event\":\"step\"")));
    let second = diablo(&args);
    let third = line(&format!("train --resume --out {}", text(&p.path("o"))));
    child.kill().unwrap();
    child.wait().unwrap();
    second.bad(2, &["another diablo", "is training in"]);
    third.bad(2, &["another diablo"]);
}

#[cfg(unix)]
#[test]
fn a_folder_that_cannot_be_written() {
    let Some(p) = Place::new() else { return };
    let run = format!("--model {} --data {} --steps 1", p.model(), p.data());
    line(&format!("train {run} --out /dev/null/run")).bad(1, &["/dev/null/run"]);
    line(&format!("train {run} --out /dev/null")).bad(2, &["is a file"]);
    line(&format!("train {run} --out {}", p.model())).bad(2, &["holds a model"]);
}

/// A disk that is full in the middle of a run; more room, and it goes on.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_loses_nothing() {
    let Some(p) = Place::new() else { return };
    let disk = p.path("disk");
    std::fs::create_dir(&disk).unwrap();
    let mount = |options: &str, more: &[&str]| {
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", options]).args(more).arg("tmpfs").arg(&disk).stderr(Stdio::null());
        command.status().is_ok_and(|s| s.success())
    };
    if !mount("size=800k", &[]) {
        println!("skipped: a small file system cannot be mounted here");
        return;
    }
    let out = disk.join("run");
    let run = format!("train --model {} --data {} --blocks 4 --steps 12 --save-every 3 --quiet", p.model(), p.data());
    let full = line(&format!("{run} --out {}", text(&out)));
    let left = names(&out.join("checkpoints"));
    let grown = mount("remount,size=8m", &[]);
    let resumed = line(&format!("train --resume --out {} --quiet", text(&out)));
    let bytes = std::fs::read(out.join("adapter_model.safetensors"));
    assert!(Command::new("umount").arg(&disk).status().unwrap().success());
    full.bad(1, &["error: ", "the disk is full"]);
    assert_eq!(left, ["step-00000003", "step-00000006"]);
    assert!(grown);
    resumed.good();
    line(&format!("{run} --out {}", text(&p.path("whole")))).good();
    assert_eq!(bytes.unwrap(), adapter(&p.path("whole")));
}
