//! The program as a person starts it.
#![allow(dead_code, missing_docs, clippy::unwrap_used)]

use diablo::adapter::AdapterFile;
use diablo::device::Device;
use diablo::generate::Decoder;
use diablo::model::Source;
use diablo::train::{RunConfig, Trainer};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// `../shared`, if it is there.
pub fn shared(name: &str) -> Option<PathBuf> {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared")).join(name);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: no ../shared");
    None
}

/// A file of the demo.
pub fn demo(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/demo")).join(name)
}

/// The demo's model in a folder, with a tokenizer that begins texts with a token, which its own does not; the token's id.
pub fn demo_that_begins(folder: &Path) -> (PathBuf, u32) {
    let model = folder.join("base");
    std::fs::create_dir(&model).expect("a folder");
    for entry in std::fs::read_dir(demo("model")).expect("the model's files") {
        let path = entry.expect("a file").path();
        std::fs::copy(&path, model.join(path.file_name().expect("a name"))).expect("a copy");
    }
    let mut tokenizer = json_file(&model, "tokenizer.json");
    let (token, id) = (tokenizer["added_tokens"][0]["content"].clone(), tokenizer["added_tokens"][0]["id"].clone());
    let (special, sequence) = (json!({"SpecialToken": {"id": token, "type_id": 0}}), json!({"Sequence": {"id": "A", "type_id": 0}}));
    let name = token.as_str().expect("a token").to_owned();
    tokenizer["post_processor"] = json!({
        "type": "TemplateProcessing",
        "single": [special, sequence],
        "pair": [special, sequence, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {name.clone(): {"id": name, "ids": [id], "tokens": [name]}},
    });
    std::fs::write(model.join("tokenizer.json"), tokenizer.to_string()).expect("a file");
    (model, u32::try_from(id.as_u64().expect("an id")).expect("a small id"))
}

/// A run that is asked to stop after three of its steps.
pub fn interrupted(run: RunConfig) {
    let steps = run.steps.expect("steps");
    let count = std::cell::Cell::new(0);
    let stop = || {
        count.set(count.get() + 1);
        count.get() > 3
    };
    let outcome = Trainer::prepare(run, &mut |_| ()).expect("a run").run(&mut |_| (), &stop).expect("runs");
    assert!(outcome.interrupted && outcome.steps < steps);
}

/// A path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// How a command ended.
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ended {
    /// Everything it said, for a failed assertion.
    pub fn said(&self) -> String {
        format!("code {:?}\n--- out\n{}\n--- err\n{}", self.code, self.out, self.err)
    }

    /// Asserts that it went well; its output.
    pub fn good(self) -> String {
        assert_eq!(self.code, Some(0), "{}", self.said());
        self.out
    }

    /// Asserts that it failed with `code` and an error message with these parts.
    pub fn bad(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, Some(code), "{}", self.said());
        assert!(!self.err.contains("fault of diablo") && !self.err.contains("panicked"), "{}", self.said());
        assert!(self.err.contains("error: "), "{}", self.said());
        for part in parts {
            assert!(self.err.contains(part), "no {part:?} in {}", self.said());
        }
    }

    pub fn json(self) -> Value {
        let out = self.good();
        serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}"))
    }
}

/// The program with these arguments, on the CPU.
pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_diablo"));
    command.args(args).env("DIABLO_DEVICE", "cpu").stdin(Stdio::null());
    command
}

pub fn end(mut command: Command) -> Ended {
    let output = command.output().expect("the program starts");
    let string = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ended { code: output.status.code(), out: string(output.stdout), err: string(output.stderr) }
}

/// Runs the program to its end.
pub fn diablo(args: &[&str]) -> Ended {
    end(command(args))
}

/// As [`diablo`], with the arguments in one line; none may hold a blank.
pub fn line(args: &str) -> Ended {
    diablo(&args.split_whitespace().collect::<Vec<_>>())
}

/// The adapter that a run wrote.
pub fn adapter(out: &Path) -> Vec<u8> {
    std::fs::read(out.join("adapter_model.safetensors")).expect("an adapter")
}

/// Loss, norm and held-out loss of every step.
pub fn losses(out: &Path) -> Vec<String> {
    let metrics = std::fs::read_to_string(out.join("metrics.jsonl")).expect("metrics");
    let lines = metrics.lines().map(|l| serde_json::from_str::<Value>(l).expect("a line of metrics"));
    lines.map(|m| format!("{} {} {} {}", m["step"], m["loss"], m["grad_norm"], m["eval_loss"])).collect()
}

/// The logits of what follows each prompt, one after the other, on the CPU.
pub fn logits(source: &Source, adapter: Option<&AdapterFile>, prompts: &[Vec<u32>]) -> Vec<f32> {
    let mut decoder = pollster::block_on(Decoder::new(&Device::Cpu, source, adapter, 64, &mut |_, _| ())).expect("decoder");
    let mut one = |ids: &Vec<u32>| {
        decoder.reset();
        pollster::block_on(decoder.feed(ids)).expect("logits")
    };
    prompts.iter().flat_map(&mut one).collect()
}

/// The largest difference, in parts of the largest value.
pub fn apart(got: &[f32], want: &[f32]) -> f64 {
    assert_eq!(got.len(), want.len());
    let largest = want.iter().fold(0f32, |m, x| m.max(x.abs()));
    assert!(largest > 0.0 && got.iter().all(|x| x.is_finite()));
    f64::from(got.iter().zip(want).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max)) / f64::from(largest)
}

/// A file of JSON in a folder.
pub fn json_file(folder: &Path, name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join(name)).expect(name)).expect("JSON")
}

/// A Python that has what the script imports. One that was named must.
pub fn python() -> Option<String> {
    let named = std::env::var("DIABLO_PYTHON").ok().filter(|p| !p.is_empty());
    let python = named.clone().unwrap_or_else(|| "python3".into());
    let probe =
        "import importlib.util as u, sys; sys.exit(not all(u.find_spec(m) for m in ['torch', 'transformers', 'peft', 'safetensors']))";
    let found = Command::new(&python).args(["-c", probe]).output().is_ok_and(|o| o.status.success());
    assert!(found || named.is_none(), "DIABLO_PYTHON={python} does not start, or has no torch, transformers, peft and safetensors");
    if !found {
        println!("skipped: no Python with transformers and peft");
    }
    found.then_some(python)
}

/// The software Vulkan driver's name, if there is a driver at all.
pub fn gpu() -> Option<String> {
    let name = diablo::device::gpu::adapters::list().first().map(|a| a.name.clone());
    if name.is_none() {
        println!("skipped: no Vulkan adapter");
    }
    name
}

/// A test a name on each executor, of the file's own `check`.
#[macro_export]
macro_rules! on_both {
    ($($test:ident: $name:literal),+ $(,)?) => {
        mod cpu { $(#[test] fn $test() { super::check($name, "cpu"); })+ }
        mod gpu { $(#[test] fn $test() { if let Some(gpu) = $crate::common::gpu() { super::check($name, &gpu); } })+ }
    };
}
