//! `diablo compare`

use super::common_args::OutputArgs;
use super::output::{self, grouped, table};
use super::train_args::TrainArgs;
use crate::device::human_bytes;
use crate::error::{Error, Result};
use crate::files::{self, atomic_write_bytes};
use crate::train::compare::sibling::rate;
use crate::train::compare::{Against, Column, Compared, Facts, Measure, differences, export, names};
use crate::train::plot::Picture;
use crate::train::run_folder::CONFIG_FILE;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const AFTER_HELP: &str = "\
The run with the lowest held-out loss comes first; * marks the lowest of all.
Times are those of the median step, the loss is the training loss at the end,
smoothed. A run that goes on, or was stopped, is compared as far as it came. A
folder of runs, such as a sweep's, stands for all runs in it. Losses are
comparable where runs read the same rows in the same way: where they did not,
it is said.

--paper makes the runs that it compares: DiaBlo, LoRA of as many trained
numbers, and full training, on the bundled model and rows or on --model and
--data, with the same steps, batches and rows. For each method learning rates
are tried with one seed: a usual one, a quarter and four times of it, further
ones while the best is the first or the last, then half and twice the best. At
the best rate it runs with three seeds. Held-out rows decide, so --eval-data or
--eval-split is needed beside --data. The options below are those of `diablo
train`; --lr is where DiaBlo's rates begin. --out (runs/paper) gets the runs,
paper.json (the table) and paper.svg; --resume goes on after Ctrl-C or a kill.

Examples:
  diablo compare runs/first runs/lora
  diablo compare runs/* --svg compare.svg
  diablo compare sweeps/first --json
  diablo compare --paper
  diablo compare --paper --model models/SmolLM2-135M --data train.jsonl --eval-split 0.05 --steps 200 \\
                 --methods diablo,lora --out runs/paper-135m";

/// The command's options.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// Run folders, or folders of them
    #[arg(required_unless_present = "paper", value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// Train DiaBlo, LoRA and all weights at equal budgets, each at its best learning rate, and compare them
    #[arg(long, help_heading = "Paper")]
    paper: bool,
    /// Methods to compare [default: diablo,lora,full]
    #[arg(long, value_delimiter = ',', value_name = "NAMES", requires = "paper", help_heading = "Paper")]
    pub(super) methods: Option<Vec<String>>,
    /// Runs at the best rate, with seeds from --seed on [default: 3]
    #[arg(long, value_name = "N", requires = "paper", help_heading = "Paper")]
    pub(super) seeds: Option<u64>,
    /// Answer the held-out prompts too, and count the answers that are right (on the bundled rows this is always done)
    #[arg(long, requires = "paper", help_heading = "Paper")]
    pub(super) exact_match: bool,
    /// Draw all losses into this file
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(super) svg: Option<PathBuf>,
    #[command(flatten)]
    pub(super) output: OutputArgs,
    #[command(flatten)]
    pub(super) train: TrainArgs,
}

/// Runs the command.
///
/// # Errors
/// Names the folder that holds no run, or the file of it that is broken.
pub fn run(args: Args) -> Result<ExitCode> {
    if args.paper {
        if let Some(run) = args.runs.first() {
            let what = format!("{}: --paper makes the runs that it compares", run.display());
            return Err(Error::usage(what, "leave the folder out, or --paper; where the runs go is --out"));
        }
        return super::paper::run(args);
    }
    let given = &args.train;
    if given.config.is_some() || given.clone().into_config()? != TrainArgs::default().into_config()? {
        return Err(Error::usage("options of a run are for --paper: these runs were made already", "leave them out, or add --paper"));
    }
    let mut folders = Vec::new();
    for given in &args.runs {
        for folder in runs_in(given)? {
            if !folders.contains(&folder) {
                folders.push(folder);
            }
        }
    }
    let runs = folders.iter().map(|folder| Compared::open(folder)).collect::<Result<Vec<_>>>()?;
    let runs = Table::new(runs, &|_| false);
    if args.output.json {
        output::print_json(&runs.json())?;
    } else {
        output::print(&runs.text())?;
    }
    for line in runs.notes() {
        output::complain(&line);
    }
    if let Some(path) = &args.svg {
        runs.draw(path)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The run in a folder, or those in the folders in it, by name.
fn runs_in(given: &Path) -> Result<Vec<PathBuf>> {
    let is_run = |folder: &Path| files::is_file(&folder.join(CONFIG_FILE));
    if is_run(given) {
        return Ok(vec![given.into()]);
    }
    if !files::is_dir(given) {
        let what = if files::exists(given) { "is a file, not the folder of a run" } else { "there is no such folder" };
        return Err(Error::input(given.display().to_string(), what, "name the folder that a run was given with --out"));
    }
    let mut inside = files::names(given).map_err(Error::io(given))?;
    inside.sort();
    let found: Vec<PathBuf> = inside.into_iter().map(|name| given.join(name)).filter(|folder| is_run(folder)).collect();
    if found.is_empty() {
        let what = format!("no run: neither it nor a folder in it holds {CONFIG_FILE}");
        return Err(Error::input(given.display().to_string(), what, "name the folder that a run was given with --out"));
    }
    Ok(found)
}

/// Runs beside each other, the one with the lowest held-out loss first.
pub struct Table {
    runs: Vec<(String, Compared)>,
    /// Names of those that came last whatever their loss: they are over, though not at their end.
    over: Vec<String>,
}

impl Table {
    /// Each with its name. Those that `last` says come behind all others.
    pub fn new(runs: Vec<Compared>, last: &dyn Fn(&Compared) -> bool) -> Self {
        let names = names(runs.iter().map(|run| run.record.folder.as_path()));
        let mut runs: Vec<(String, Compared)> = names.into_iter().zip(runs).collect();
        runs.sort_by(|a, b| Column::HeldOut.order(&a.1.facts, &b.1.facts, false));
        runs.sort_by_key(|(_, run)| last(run));
        let over = runs.iter().filter(|(_, run)| last(run)).map(|(name, _)| name.clone()).collect();
        Self { runs, over }
    }

    /// A line for each run.
    pub fn text(&self) -> String {
        let head =
            ["run", "method", "trained", "memory", "step", "tokens/s", "rate", "steps", "loss", "best held-out", "at"].map(String::from);
        let best = Column::HeldOut.best(self.runs.iter().map(|(_, run)| &run.facts));
        let lines = self.runs.iter().map(|(name, run)| cells(name, &run.facts, best));
        table(&std::iter::once(head.to_vec()).chain(lines).collect::<Vec<_>>())
    }

    /// What is to be known beside it.
    pub fn notes(&self) -> Vec<String> {
        let differing = differences(self.runs.iter().map(|(name, run)| (name.as_str(), &run.record)));
        let mut notes = Vec::new();
        if !differing.is_empty() {
            notes.push("warning: the losses are not of the same rows, or not of the same model:".to_owned());
            notes.extend(differing.iter().map(|line| format!("  {line}")));
        }
        let unfinished: Vec<&str> =
            self.runs.iter().filter(|(name, run)| !run.facts.ended && !self.over.contains(name)).map(|(name, _)| name.as_str()).collect();
        if !unfinished.is_empty() {
            notes.push(format!("note: not at their end yet: {}", unfinished.join(", ")));
        }
        notes
    }

    /// All of it for another program.
    pub fn json(&self) -> Value {
        let runs: Vec<Value> = self.runs.iter().map(|(name, run)| Value::Object(export::json(name, &run.facts))).collect();
        json!({ "runs": runs, "differences": differences(self.runs.iter().map(|(name, run)| (name.as_str(), &run.record))) })
    }

    /// Draws training and held-out losses into an SVG file.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn draw(&self, path: &Path) -> Result<()> {
        let mut series = Vec::new();
        for (colour, (name, run)) in self.runs.iter().enumerate() {
            series.push(run.track.series(name, colour, Measure::Training, Against::Steps));
            if !run.track.held_out.is_empty() {
                series.push(run.track.series(&format!("{name}, held out"), colour, Measure::HeldOut, Against::Steps));
            }
        }
        let picture = Picture { x: "steps".into(), y: "loss".into(), series, ..Picture::default() };
        let cannot = |e: Box<dyn std::error::Error>| Error::input(path.display().to_string(), format!("the plot cannot be drawn: {e}"), "");
        atomic_write_bytes(path, picture.svg().map_err(cannot)?.as_bytes())
    }
}

fn cells(name: &str, f: &Facts, best: Option<f64>) -> Vec<String> {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".into());
    let share = f.share.map_or_else(String::new, |s| format!(" ({:.2}%)", 100.0 * s));
    let steps = match f.planned.filter(|planned| f.steps < *planned) {
        Some(planned) if f.ended => format!("{} of {planned}, early", f.steps),
        Some(planned) => format!("{} of {planned}", f.steps),
        None => f.steps.to_string(),
    };
    let mark = if f.held_out.is_some() && f.held_out == best { "*" } else { "" };
    vec![
        name.to_owned(),
        f.method.clone(),
        or_dash(f.trainable.map(|n| grouped(n) + &share)),
        or_dash(f.memory.map(human_bytes)),
        or_dash(f.seconds_per_step.map(|s| format!("{:.1} ms", 1e3 * s))),
        or_dash(f.tokens_per_second.map(|n| grouped(n.round() as u64))),
        rate(f.lr),
        steps,
        or_dash(f.loss.map(|l| format!("{l:.4}"))),
        or_dash(f.held_out.map(|l| format!("{l:.4}{mark}"))),
        or_dash(f.held_out_step.map(|s| s.to_string())),
    ]
}
