//! The command line: options in, the run's events and results out. No numerics and no file formats live here.

pub mod app;
pub mod bench;
pub mod chat;
pub mod check;
pub mod common_args;
pub mod compare;
pub mod completions;
pub mod data;
pub mod demo;
pub mod devices;
pub mod eval;
pub mod export;
pub mod generate;
pub mod info;
pub mod interrupt;
pub mod located;
pub mod man;
pub mod output;
pub mod paper;
pub mod progress;
pub mod queue;
pub mod sweep;
pub mod train;
pub mod train_args;

use crate::error::{Error, Result};
use clap::{CommandFactory, Parser, Subcommand};
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// What `--version` prints beside the name.
static VERSION: LazyLock<String> = LazyLock::new(version);

/// The version of wgpu, which does not tell it itself.
const WGPU: &str = "30.0.1";

const AFTER_HELP: &str = "\
Examples:
  diablo info --model models/SmolLM2-135M
  diablo data --model models/SmolLM2-135M --data train.jsonl
  diablo train --model models/SmolLM2-135M --data train.jsonl --out runs/first
  diablo chat runs/first
  diablo generate --model models/SmolLM2-135M --adapter runs/first --prompt 'Once upon a time'
  diablo eval --model models/SmolLM2-135M --adapter runs/first --data test.jsonl
  diablo export --model models/SmolLM2-135M --adapter runs/first --out merged
  diablo compare runs/first runs/lora --svg compare.svg
  diablo compare --paper

A model is a folder in Hugging Face layout (config.json, tokenizer.json,
model.safetensors), or a name on the hub: Qwen/Qwen3-0.6B, or with a branch,
tag or commit, Qwen/Qwen3-0.6B@main. Rows are files, or a dataset on the hub:
openai/gsm8k:main. A path that is there wins over a name.
HF_TOKEN, HF_HOME, HF_ENDPOINT and HF_HUB_OFFLINE mean what they mean in
Python.
Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted (after saving).
DIABLO_DEVICE chooses the device where --device does not.";

/// Fine-tune small transformers with DiaBlo (diagonal blocks) on any GPU, or on the CPU
#[derive(Debug, Parser)]
#[command(name = "diablo", version, long_version = VERSION.as_str(), after_help = AFTER_HELP, max_term_width = 120)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Open the window, as no command does where there is a display: everything below, to look at and to click
    #[cfg_attr(not(feature = "app"), command(hide = true))]
    App(app::Args),
    /// Fine-tune a model on rows of text
    Train(Box<train::Args>),
    /// Train once for each combination of some options' values
    Sweep(Box<sweep::Args>),
    /// Continue a text
    Generate(generate::Args),
    /// Talk with a model, turn by turn
    Chat(Box<chat::Args>),
    /// Show rows token by token: what is learned, what is cut, how long they are
    Data(Box<data::Args>),
    /// Score a model on rows of text: loss, perplexity, exact match, final numbers, multiple choice
    Eval(eval::Args),
    /// Put several runs beside each other: sizes, times, losses; or make them: DiaBlo, LoRA, full (--paper)
    Compare(Box<compare::Args>),
    /// Write model and adapter as one model that other tools load
    Export(export::Args),
    /// Say what a run would train and how much memory it would take
    Info(Box<info::Args>),
    /// List the devices and say which one is used
    Devices(devices::Args),
    /// Teach the bundled model something, with DiaBlo and with LoRA
    Demo(demo::Args),
    /// Measure training steps
    Bench(bench::Args),
    /// Run every kernel on a GPU against the CPU's results: drivers do produce wrong numbers
    Check(check::Args),
    /// Write a shell's completion of commands and options
    Completions(completions::Args),
    /// Write manual pages into a folder
    Man(man::Args),
}

/// The whole program.
pub fn main() -> ExitCode {
    explain_panics();
    let alone = std::env::args_os().len() <= 1;
    // Started by a click, or by a person who wants to see what it is: the window, where there can be one.
    if alone && !app::can_open() {
        let _ = Cli::command().print_help();
        return ExitCode::SUCCESS;
    }
    let parsed = if alone { Ok(Cli { command: Command::App(app::Args::default()) }) } else { Cli::try_parse() };
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            // Help and the version come this way too, with code 0. A closed pipe is no fault.
            let _ = error.print();
            return ExitCode::from(error.exit_code() as u8);
        }
    };
    // A panic unwinds, so that half-written files are removed on the way.
    match std::panic::catch_unwind(AssertUnwindSafe(|| run(cli.command))) {
        Ok(result) => finish(result),
        Err(_) => ExitCode::FAILURE,
    }
}

/// Commands and options, for whoever writes about them.
pub fn declaration() -> clap::Command {
    Cli::command()
}

fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::App(args) => app::run(args),
        Command::Train(args) => train::run(*args),
        Command::Sweep(args) => sweep::run(*args),
        Command::Generate(args) => generate::run(args),
        Command::Chat(args) => chat::run(*args),
        Command::Data(args) => data::run(*args),
        Command::Eval(args) => eval::run(args),
        Command::Compare(args) => compare::run(*args),
        Command::Export(args) => export::run(args),
        Command::Info(args) => info::run(*args),
        Command::Devices(args) => devices::run(args),
        Command::Demo(args) => demo::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Check(args) => check::run(args),
        Command::Completions(args) => completions::run(args),
        Command::Man(args) => man::run(args),
    }
}

fn finish(result: Result<ExitCode>) -> ExitCode {
    result.unwrap_or_else(|error| {
        output::complain(&describe(&error));
        ExitCode::from(error.exit_code())
    })
}

/// `error: place: what`, and what to do about it on lines of its own.
fn describe(error: &Error) -> String {
    let mut text = format!("error: {error}");
    if let Some(hint) = error.hint() {
        for (i, line) in hint.lines().enumerate() {
            text.push_str(if i == 0 { "\nhelp: " } else { "\n      " });
            text.push_str(line);
        }
    }
    // Whoever set it long ago does not think of it.
    if let Some(name) = common_args::device_variable().filter(|name| error.to_string().starts_with(&format!("no device matches {name:?}")))
    {
        text.push_str(&format!("\n      {} says {name}", common_args::DEVICE_VARIABLE));
    }
    text
}

/// A panic is a fault of this program: one plain sentence instead of a backtrace, and the first one only.
fn explain_panics() {
    static SAID: AtomicBool = AtomicBool::new(false);
    std::panic::set_hook(Box::new(|info| {
        if SAID.swap(true, Ordering::SeqCst) {
            return;
        }
        let what = info.payload_as_str().unwrap_or("no reason given").replace('\n', " ");
        let place = info.location().map(|l| format!(" ({}:{})", l.file(), l.line())).unwrap_or_default();
        let version = env!("CARGO_PKG_VERSION");
        output::complain(&format!(
            "error: this is a fault of diablo {version} itself: {what}{place}\nhelp: please report it, with the command that you ran"
        ));
    }));
}

fn version() -> String {
    let backends: Vec<String> = wgpu::Instance::enabled_backend_features().iter_names().map(|(name, _)| name.to_lowercase()).collect();
    format!(
        "{}\ntarget    {} {}{}\nbuild     {}\nfeatures  {}\nbackends  {}, cpu\nwgpu      {WGPU}",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::ARCH,
        std::env::consts::OS,
        if cfg!(target_env = "musl") { " musl" } else { "" },
        if cfg!(debug_assertions) { "debug" } else { "release" },
        features(),
        backends.join(", "),
    )
}

fn features() -> String {
    let built = [("app", cfg!(feature = "app")), ("mpi", cfg!(feature = "mpi")), ("parquet", cfg!(feature = "parquet"))];
    let names: Vec<&str> = built.iter().filter(|(_, here)| *here).map(|(name, _)| *name).collect();
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clap_accepts_the_declaration() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_version_of_wgpu_is_that_of_the_build() {
        let lock: toml::Table = include_str!("../../Cargo.lock").parse().expect("TOML");
        let packages = lock["package"].as_array().expect("packages");
        let wgpu = packages.iter().find(|p| p["name"].as_str() == Some("wgpu")).expect("wgpu");
        assert_eq!(wgpu["version"].as_str(), Some(WGPU));
    }

    #[test]
    fn errors_have_a_place_and_a_way_out() {
        let error = Error::input("rows.jsonl:3", "broken JSON", "first\nsecond");
        assert_eq!(describe(&error), "error: rows.jsonl:3: broken JSON\nhelp: first\n      second");
        assert_eq!(describe(&Error::usage("no", "")), "error: no");
    }
}
