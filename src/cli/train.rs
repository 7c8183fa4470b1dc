//! `diablo train`

use super::common_args::{OutputArgs, set_threads};
use super::interrupt::{self, Interrupt};
use super::progress::{Look, Reporter};
use super::train_args::TrainArgs;
use crate::error::Result;
use crate::train::config::Method;
use crate::train::{Event, RunConfig, Trainer};
use std::process::ExitCode;

const AFTER_HELP: &str = "\
Rows are JSONL with {\"prompt\": …, \"completion\": …} on each line (the completion is learned) or
{\"text\": …}; any other text file is learned as a whole.
The run folder gets run.toml (these options), metrics.jsonl (a line for each step), loss.svg,
checkpoints/, and at the end the adapter (--method full: model/).

Ctrl-C finishes the step, saves and exits with code 130; a second one stops at once.

Examples:
  diablo train --model models/SmolLM2-135M --data train.jsonl --out runs/first
  diablo train --model models/SmolLM2-135M --data train.jsonl --out runs/lora --method lora --rank 8
  diablo train --model models/SmolLM2-135M --data book.txt --out runs/book --eval-split 0.1
  diablo train --model Qwen/Qwen3-0.6B --data openai/gsm8k:main --out runs/hub
Go on with a run that was stopped, or run it once more:
  diablo train --resume --out runs/first
  diablo train --config runs/first/run.toml --out runs/again";

/// The command's options.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    #[command(flatten)]
    train: TrainArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs the command.
///
/// # Errors
/// Everything that a run can fail of.
pub fn run(args: Args) -> Result<ExitCode> {
    let config = args.train.into_config()?;
    config.validate()?;
    set_threads(config.threads)?;
    let mut reporter = Reporter::new(Look::choose(args.output.quiet, args.output.json));
    let mut trainer = Trainer::prepare(config, &mut |event| reporter.report(&event))?;
    // Only from here on is there something to save: until now an interrupt ends the program as it ends any other.
    let interrupt = Interrupt::install()?;
    let outcome = trainer.run(&mut |event| reporter.report(&event), &|| interrupt.requested())?;
    if outcome.interrupted {
        return Ok(ExitCode::from(interrupt::EXIT_CODE as u8));
    }
    reporter.report(&Event::note(format!("try it: {}", try_it(trainer.config()))));
    Ok(ExitCode::SUCCESS)
}

/// The command that shows what was learned.
fn try_it(run: &RunConfig) -> String {
    let out = run.out.display();
    match run.method {
        Method::Full => format!("diablo generate --model {out}/model --prompt '…'"),
        _ => format!("diablo generate --model {} --adapter {out} --prompt '…'", run.model.display()),
    }
}
