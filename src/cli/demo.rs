//! `diablo demo`

use super::common_args::{DeviceArgs, OutputArgs, say};
use super::interrupt::{self, Interrupt};
use super::output::{self, grouped, table};
use super::progress::{Look, Reporter};
use crate::demo::{self, Files, Taught};
use crate::error::Result;
use crate::eval::Scores;
use crate::model::Source;
use crate::quoting;
use crate::train::Event;
use crate::train::config::Method;
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

const AFTER_HELP: &str = "\
The bundled model has read stories about animals and has never seen a question.
DiaBlo teaches it to answer; LoRA with as many trained numbers learns the same
rows beside it. The scored questions are about animals that no trained question
is about.

Example:
  diablo demo --out runs/demo";

/// The command's options.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// Where the demo's files and runs go
    #[arg(long, value_name = "DIR", default_value = "runs/demo")]
    out: PathBuf,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs the command.
///
/// # Errors
/// Where the folder cannot be written, or a run fails.
pub fn run(args: Args) -> Result<ExitCode> {
    let begun = Instant::now();
    let device = args.device.open()?;
    let request = args.device.request("auto");
    let files = Files::write(&args.out)?;
    let source = Source::open(&files.model())?;
    let interrupt = Interrupt::install(true)?;
    let rows = demo::samples(&files)?;
    let tell = |text: &str| say(&args.output, text);
    tell(&format!("model   {} parameters, on {}", grouped(source.config.num_parameters()), device.name()));
    tell("task    answer questions about the animals it has read of; scored on animals it was never asked about\n");
    let before = demo::score(&device, &source, None, &files)?;
    let said = demo::answers(&device, &source, None, &rows)?;

    let mut reporter = Reporter::new(Look::choose(args.output.quiet || args.output.json, false));
    let mut taught: Vec<Taught> = Vec::new();
    for method in [Method::Diablo, Method::Lora] {
        tell(&format!("\ntraining {}", if method == Method::Lora { "LoRA" } else { "DiaBlo" }));
        let mut events = |event: Event| {
            // The table at the end says what a run's own closing notes would.
            if !matches!(event, Event::Note { .. } | Event::Checkpoint { .. } | Event::Eval { .. }) {
                reporter.report(&event);
            }
        };
        match demo::teach(&files, &source, &device, &request, method, &rows, &mut events, &|| interrupt.requested())? {
            Some(result) => taught.push(result),
            None => {
                drop(reporter);
                tell("stopped; begin anew with: diablo demo");
                return Ok(ExitCode::from(interrupt::EXIT_CODE as u8));
            }
        }
    }
    drop(reporter);
    let plot = demo::plot(&files)?;
    if args.output.json {
        output::print_json(&json!({
            "before": scores_json(&before),
            "runs": taught.iter().map(|t| json!({
                "method": name(t.method).to_lowercase(),
                "size": t.size,
                "trainable": t.trainable,
                "seconds": t.seconds,
                "after": scores_json(&t.scores),
            })).collect::<Vec<_>>(),
            "seconds": begun.elapsed().as_secs_f64(),
            "plot": plot,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = String::from("\nWhat the model says, always taking the most likely token:\n\n");
    for (i, row) in rows.iter().enumerate() {
        text.push_str(&format!("  {}\n    before  {}\n", row.prompt, said[i]));
        for t in &taught {
            let right = if t.answers[i] == row.completion.trim() { "right" } else { "wrong" };
            text.push_str(&format!("    {:<6}  {}  ({right})\n", name(t.method), t.answers[i]));
        }
    }
    let mut lines = vec![["", "trained", "share", "held-out loss", "exact match", "seconds"].map(String::from).to_vec()];
    let exact = |s: &Scores| s.exact_match.map_or("-".into(), |e| format!("{} of {}", e.right, e.of));
    let whole = source.config.num_parameters();
    lines.push(vec!["before".into(), "-".into(), "-".into(), format!("{:.3}", before.loss), exact(&before), "-".into()]);
    for t in &taught {
        let size = if t.method == Method::Lora { format!("rank {}", t.size) } else { format!("{} blocks", t.size) };
        lines.push(vec![
            format!("{}, {size}", name(t.method)),
            grouped(t.trainable),
            format!("{:.1}%", 100.0 * t.trainable as f64 / whole as f64),
            format!("{:.3}", t.scores.loss),
            exact(&t.scores),
            format!("{:.1}", t.seconds),
        ]);
    }
    text.push('\n');
    text.push_str(&table(&lines).lines().map(|l| format!("  {l}\n")).collect::<String>());
    let [model, adapter, merged] = [files.model(), files.run(Method::Diablo), args.out.join("merged")].map(|path| quoting::path(&path));
    text.push_str(&format!(
        "\n{:.0} s in all. The losses are drawn in {}.\n\nGo on:\n  diablo generate --model {model} --adapter {adapter} --prompt {}\n  \
         diablo export --model {model} --adapter {adapter} --out {merged}\n",
        begun.elapsed().as_secs_f64(),
        plot.display(),
        quoting::word(rows.first().map_or("", |r| &r.prompt)),
    ));
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn name(method: Method) -> &'static str {
    if method == Method::Lora { "LoRA" } else { "DiaBlo" }
}

fn scores_json(scores: &Scores) -> serde_json::Value {
    json!({
        "loss": scores.loss,
        "perplexity": scores.perplexity,
        "exact_match": scores.exact_match.map(|e| e.share()),
    })
}
