//! `diablo eval`

use super::common_args::{DeviceArgs, OutputArgs, open_adapter, word};
use super::located;
use super::output::{self, grouped};
use super::progress::{Look, Reporter};
use crate::data::{Columns, Format, Reading, TrainOn};
use crate::error::Result;
use crate::eval::{Options, evaluate};
use crate::model::Source;
use crate::train::config::WeightsFormat;
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

const AFTER_HELP: &str = "\
Loss (in nats for a token) and perplexity are over completions and their end tokens, or over the
whole of a plain text. Where rows have a prompt, the model also answers it (always the most likely
token), and exact match is the share of answers that are the completion, blanks at both ends aside.

Examples:
  diablo eval --model models/SmolLM2-135M --data test.jsonl
  diablo eval --model models/SmolLM2-135M --adapter runs/first --data test.jsonl --json
  diablo eval --model models/SmolLM2-135M --data qa.jsonl --prompt-column q --completion-column a";

/// The command's options.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// Folder of the model, or its name on the hub
    #[arg(long, value_name = "DIR|NAME")]
    model: PathBuf,
    /// Adapter to put on it: a run folder, or one that peft wrote
    #[arg(long, value_name = "DIR")]
    adapter: Option<PathBuf>,
    /// How the model's matrices are held: f32, bf16, f16, int8 or nf4 [default: as the checkpoint has them]
    #[arg(long, value_parser = word::<WeightsFormat>(), hide_possible_values = true)]
    weights: Option<WeightsFormat>,
    /// Rows to score: JSON, JSONL, CSV, Parquet or plain text, or a dataset on the hub (owner/name, owner/name:subset)
    #[arg(long, value_name = "FILE|NAME")]
    data: PathBuf,
    /// Split of a dataset on the hub whose name says none
    #[arg(long, value_name = "NAME", default_value = "test")]
    split: String,
    /// Format of the rows: auto, pairs, alpaca, sharegpt, messages or text
    #[arg(long, value_parser = word::<Format>(), default_value = "auto", hide_possible_values = true)]
    data_format: Format,
    /// Names of columns that are called otherwise than usual, as in instruction=task,output=answer
    #[arg(long, value_name = "ROLE=NAME,..", default_value = "", hide_default_value = true)]
    columns: Columns,
    /// Chat template: auto (the model's, for conversations and instructions), model (for prompt and completion too), none, or a file
    #[arg(long, value_name = "auto|model|none|FILE", default_value = "auto")]
    chat_template: String,
    /// What is scored: assistant (all its turns, or the completion), last (its last turn) or all
    #[arg(long, value_parser = word::<TrainOn>(), default_value = "assistant", hide_possible_values = true, value_name = "PART")]
    train_on: TrainOn,
    /// Column of what the model reads
    #[arg(long, value_name = "KEY", default_value = "prompt")]
    prompt_column: String,
    /// Column of what it should write
    #[arg(long, value_name = "KEY", default_value = "completion")]
    completion_column: String,
    /// Longest row in tokens; what is longer is cut
    #[arg(long, value_name = "T", default_value_t = 512)]
    seq_len: usize,
    /// Rows that go through the model together
    #[arg(long, value_name = "B", default_value_t = 8)]
    batch_size: usize,
    /// Longest answer in tokens [default: what the row's completion can need]; 0: no answers, the loss alone
    #[arg(long, value_name = "N")]
    max_new_tokens: Option<usize>,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs the command.
///
/// # Errors
/// Where the model or the rows cannot be read, or do not fit on the device.
pub fn run(args: Args) -> Result<ExitCode> {
    let quiet = args.output.quiet || args.output.json;
    let files = located::rows(&args.data, &args.split, quiet)?;
    let source = Source::open(&located::model(&args.model, quiet)?)?.held_in(args.weights.map(Into::into));
    let adapter = args.adapter.as_deref().map(|folder| open_adapter(folder, &source.config)).transpose()?;
    let device = args.device.open()?;
    let mut reading = Reading { format: args.data_format, columns: args.columns };
    reading.columns.set("prompt", &args.prompt_column);
    reading.columns.set("completion", &args.completion_column);
    let options = Options {
        reading,
        chat_template: args.chat_template,
        train_on: args.train_on,
        seq_len: args.seq_len,
        batch_size: args.batch_size,
        max_new_tokens: args.max_new_tokens,
    };
    let mut reporter = Reporter::new(Look::choose(quiet, false));
    let begun = Instant::now();
    let scores = pollster::block_on(evaluate(&device, &source, adapter.as_ref(), &files, &options, &mut |event| reporter.report(&event)))?;
    drop(reporter);
    let exact = scores.exact_match;
    if args.output.json {
        output::print_json(&json!({
            "rows": scores.rows,
            "targets": scores.targets,
            "loss": scores.loss,
            "perplexity": scores.perplexity,
            "exact_match": exact.map(|e| e.share()),
            "exact_match_right": exact.map(|e| e.right),
            "exact_match_of": exact.map(|e| e.of),
            "seconds": begun.elapsed().as_secs_f64(),
            "device": device.name(),
        }))?;
    } else {
        let mut text = format!(
            "rows         {}\ntargets      {} tokens\nloss         {:.4}\nperplexity   {:.2}\n",
            grouped(scores.rows),
            grouped(scores.targets),
            scores.loss,
            scores.perplexity
        );
        if let Some(e) = exact {
            text.push_str(&format!("exact match  {:.1}% ({} of {})\n", 100.0 * e.share(), grouped(e.right), grouped(e.of)));
        }
        output::print(&text)?;
    }
    Ok(ExitCode::SUCCESS)
}
