//! `diablo eval`

use super::common_args::{DeviceArgs, OutputArgs, open_adapter, word};
use super::located;
use super::output::{self, grouped};
use super::progress::{Look, Reporter};
use crate::data::{Begin, Columns, Format, Reading, TrainOn};
use crate::error::{Error, Result};
use crate::eval::{Choices, FinalNumbers, Options, Scores, Share, evaluate, final_numbers, multiple_choice};
use crate::model::Source;
use crate::train::adapters::{begin_token, weights};
use crate::train::choice::choice;
use crate::train::config::WeightsFormat;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

const AFTER_HELP: &str = "\
--task rows: loss (in nats for a token) and perplexity are over completions and
their end tokens, or over the whole of a plain text. Where rows have a prompt,
the model also answers it (always the most likely token), and exact match is
the share of answers that are the completion, blanks at both ends aside.
--task gsm8k: rows of question and answer. The model answers; its last number,
and the one behind ####, are compared with the number that the row's answer
ends in.
--task choice: the candidate with the highest likelihood is the model's choice,
by the sum over its tokens and by that for a byte of it. Rows have question,
choices and answer; or the instruction and answer of LLM-Adapters' commonsense
sets.
What stands behind 95% are the ends of a confidence interval (Wilson's for
shares).

Examples:
  diablo eval --model models/SmolLM2-135M --data test.jsonl
  diablo eval --model models/SmolLM2-135M --adapter runs/first --data test.jsonl --json
  diablo eval --model models/SmolLM2-135M --data qa.jsonl --prompt-column q --completion-column a
  diablo eval --model models/Qwen3-0.6B --data openai/gsm8k:main --task gsm8k --chat-template model
  diablo eval --model models/SmolLM2-135M --adapter runs/first --data boolq/test.json --task choice";

choice! {
    /// What is scored.
    Task {
        /// Loss, perplexity and exact match.
        Rows = "rows",
        /// Final numbers of worked answers.
        Gsm8k = "gsm8k",
        /// Multiple choice by likelihood.
        Choice = "choice",
    }
}

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
    /// How the model's matrices are held: f32, bf16, f16, int8 or nf4 [default: as in the adapter's run, else as the checkpoint has them]
    #[arg(long, value_parser = word::<WeightsFormat>(), hide_possible_values = true)]
    weights: Option<WeightsFormat>,
    /// Rows to score: JSON, JSONL, CSV, Parquet or plain text, or a dataset on the hub (owner/name, owner/name:subset)
    #[arg(long, value_name = "FILE|NAME")]
    data: PathBuf,
    /// What is scored: rows (loss, perplexity, exact match), gsm8k (final numbers) or choice (multiple choice by likelihood)
    #[arg(long, value_parser = word::<Task>(), default_value = "rows", hide_possible_values = true)]
    task: Task,
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
    /// Longest answer in tokens [default: what the row's completion can need; gsm8k: 256]; 0: no answers, the loss alone
    #[arg(long, value_name = "N")]
    max_new_tokens: Option<usize>,
    /// Begin token before rows that no template writes; auto: as the rows of the adapter's run had it, else as the tokenizer says; on: also where it puts none
    #[arg(long, value_parser = word::<Begin>(), default_value = "auto")]
    begin_token: Begin,
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
    match (args.task, args.max_new_tokens) {
        (Task::Choice, Some(_)) => return Err(Error::usage("--max-new-tokens: with --task choice nothing is written", "leave it out")),
        (Task::Gsm8k, Some(0)) => return Err(Error::usage("--max-new-tokens 0: with --task gsm8k the answers are what is scored", "")),
        _ => {}
    }
    let quiet = args.output.quiet || args.output.json;
    let files = located::rows(&args.data, &args.split, quiet)?;
    let weights = weights(args.weights, args.adapter.as_deref());
    let source = Source::open(&located::model(&args.model, quiet)?)?.held_in(weights.map(Into::into));
    let adapter = args.adapter.as_deref().map(|folder| open_adapter(folder, &source.config)).transpose()?;
    let device = args.device.open()?;
    let mut reading = Reading { format: args.data_format, columns: args.columns };
    reading.columns.set("prompt", &args.prompt_column);
    reading.columns.set("completion", &args.completion_column);
    let options = Options {
        reading,
        chat_template: args.chat_template,
        train_on: args.train_on,
        begin_token: begin_token(args.begin_token, &source.folder, args.adapter.as_deref()),
        seq_len: args.seq_len,
        batch_size: args.batch_size,
        max_new_tokens: args.max_new_tokens,
    };
    let mut reporter = Reporter::new(Look::choose(quiet, false));
    let mut events = |event| reporter.report(&event);
    let (adapter, begun) = (adapter.as_ref(), Instant::now());
    let (mut json, text) = match args.task {
        Task::Rows => said_of_rows(&pollster::block_on(evaluate(&device, &source, adapter, &files, &options, &mut events))?),
        Task::Gsm8k => said_of_numbers(&pollster::block_on(final_numbers(&device, &source, adapter, &files, &options, &mut events))?),
        Task::Choice => said_of_choices(&pollster::block_on(multiple_choice(&device, &source, adapter, &files, &options, &mut events))?),
    };
    drop(reporter);
    if args.output.json {
        json["task"] = args.task.to_string().into();
        json["seconds"] = begun.elapsed().as_secs_f64().into();
        json["device"] = device.name().into();
        output::print_json(&json)?;
    } else {
        output::print(&text)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn said_of_rows(scores: &Scores) -> (Value, String) {
    let exact = scores.exact_match;
    let json = json!({
        "rows": scores.rows,
        "targets": scores.targets,
        "loss": scores.loss,
        "perplexity": scores.perplexity,
        "perplexity_interval": scores.perplexity_interval.map(|(low, high)| [low, high]),
        "exact_match": exact.map(|e| e.share()),
        "exact_match_right": exact.map(|e| e.right),
        "exact_match_of": exact.map(|e| e.of),
        "exact_match_interval": exact.map(ends),
    });
    let interval = scores.perplexity_interval.map(|(low, high)| format!("  95%: {low:.2} to {high:.2}")).unwrap_or_default();
    let mut text = format!(
        "rows         {}\ntargets      {} tokens\nloss         {:.4}\nperplexity   {:.2}{interval}\n",
        grouped(scores.rows),
        grouped(scores.targets),
        scores.loss,
        scores.perplexity
    );
    if let Some(e) = exact {
        text.push_str(&format!("exact match  {}\n", shown(e)));
    }
    (json, text)
}

fn said_of_numbers(scores: &FinalNumbers) -> (Value, String) {
    let FinalNumbers { strict, flexible } = *scores;
    let json = json!({
        "rows": flexible.of,
        "flexible": flexible.share(),
        "flexible_right": flexible.right,
        "flexible_interval": ends(flexible),
        "strict": strict.share(),
        "strict_right": strict.right,
        "strict_interval": ends(strict),
    });
    let rows = [
        vec!["rows".into(), grouped(flexible.of)],
        vec!["last number".into(), shown(flexible)],
        vec!["number behind ####".into(), shown(strict)],
    ];
    (json, output::table(&rows))
}

fn said_of_choices(scores: &Choices) -> (Value, String) {
    let (sum, byte, chance) = (scores.accuracy(), scores.accuracy_by_byte(), scores.chance());
    let json = json!({
        "rows": sum.of,
        "candidates": scores.candidates(),
        "accuracy": sum.share(),
        "accuracy_right": sum.right,
        "accuracy_interval": ends(sum),
        "accuracy_by_byte": byte.share(),
        "accuracy_by_byte_right": byte.right,
        "accuracy_by_byte_interval": ends(byte),
        "chance": chance,
    });
    let rows = [
        vec!["rows".into(), grouped(sum.of)],
        vec!["candidates".into(), grouped(scores.candidates())],
        vec!["accuracy".into(), shown(sum)],
        vec!["accuracy, by byte".into(), shown(byte)],
        vec!["chance".into(), format!("{:.1}%", 100.0 * chance)],
    ];
    (json, output::table(&rows))
}

/// `75.0% (3 of 4)  95%: 30.1% to 95.4%`
fn shown(share: Share) -> String {
    let (low, high) = share.interval();
    let (right, of) = (grouped(share.right), grouped(share.of));
    format!("{:.1}% ({right} of {of})  95%: {:.1}% to {:.1}%", 100.0 * share.share(), 100.0 * low, 100.0 * high)
}

fn ends(share: Share) -> [f64; 2] {
    let (low, high) = share.interval();
    [low, high]
}
