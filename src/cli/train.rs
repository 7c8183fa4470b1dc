//! `diablo train`

use super::common_args::{OutputArgs, set_threads};
use super::interrupt::{self, Interrupt};
use super::output;
use super::progress::{Look, Reporter};
use super::train_args::TrainArgs;
use crate::digest::Digest;
use crate::error::Result;
use crate::quoting;
use crate::ranks::{self, Ranks};
use crate::train::config::Method;
use crate::train::trainer::options;
use crate::train::{Event, RunConfig, Trainer};
use std::num::NonZero;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

const AFTER_HELP: &str = "\
Rows are JSON, JSONL, CSV or Parquet: {\"prompt\": …, \"completion\": …} (the
completion is learned), {\"text\": …}, instructions or conversations. A file of
plain text is learned as a whole.

The run folder gets run.toml (these options), metrics.jsonl (a line for each
step), loss.svg, checkpoints/, and at the end the adapter (--method full:
model/).

Ctrl-C finishes the step, saves and exits with code 130; a second one stops
at once.

Examples:
  diablo train --model models/SmolLM2-135M --data train.jsonl --out runs/first
  diablo train --model models/SmolLM2-135M --data train.jsonl --out runs/lora --method lora --rank 8
  diablo train --model models/SmolLM2-135M --data book.txt --out runs/book --eval-split 0.1
  diablo train --model Qwen/Qwen3-0.6B --data openai/gsm8k:main --out runs/hub
Go on with a run that was stopped, or run it once more:
  diablo train --resume --out runs/first
  diablo train --config runs/first/run.toml --out runs/again
On many GPUs and machines, built with --features mpi (docs/many-gpus.md):
  mpirun -n 4 diablo train --model models/SmolLM2-135M --data train.jsonl --accumulate 4 --out runs/four";

/// The command's options.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    #[command(flatten)]
    train: TrainArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// How long another rank than the first one waits before it tells its own error: mostly the first one has the same.
const FIRST_SPEAKS: Duration = Duration::from_secs(3);

/// Runs the command, as one of several ranks where `mpirun` started it.
///
/// # Errors
/// Everything that a run can fail of.
pub fn run(args: Args) -> Result<ExitCode> {
    let ranks = ranks::join()?;
    if ranks.count() == 1 {
        return train(args, ranks);
    }
    let rank = ranks.rank();
    match train(args, ranks) {
        Ok(code) => {
            // Whoever leaves before the first rank has written everything would have it killed.
            ranks::leave();
            Ok(code)
        }
        Err(error) => {
            if rank > 0 {
                std::thread::sleep(FIRST_SPEAKS);
            }
            output::complain(&format!("rank {rank}: {}", super::describe(&error)));
            ranks::abort(error.exit_code());
            Err(error)
        }
    }
}

fn train(args: Args, mut ranks: Box<dyn Ranks>) -> Result<ExitCode> {
    let first = ranks.rank() == 0;
    let given = args.train.clone();
    let own = if first { Some(args.train.into_run()?) } else { None };
    if let Some(config) = &own {
        config.validate()?;
    }
    let config = options(own, ranks.as_mut())?;
    set_threads(config.threads.or_else(|| threads_of_rank(ranks.as_mut())))?;
    let mut reporter = Reporter::new(Look::choose(args.output.quiet, args.output.json));
    let mut report = |event: Event| {
        if first {
            reporter.report(&event);
        }
    };
    given.idle(config.method).into_iter().for_each(|text| report(Event::warning(text)));
    let mut trainer = Trainer::prepare_among(config, ranks, &mut report)?;
    // Only from here on is there something to save: until now an interrupt ends the program as it ends any other.
    let interrupt = Interrupt::install(first)?;
    let outcome = trainer.run(&mut report, &|| interrupt.requested())?;
    if !outcome.interrupted {
        report(Event::note(format!("try it: {}", try_it(trainer.config()))));
    }
    reporter.end()?;
    Ok(if outcome.interrupted { ExitCode::from(interrupt::EXIT_CODE as u8) } else { ExitCode::SUCCESS })
}

/// A rank's threads: those processors that it may use, shared with the ranks of its machine that may use the same ones. A process alone
/// has what it has.
fn threads_of_rank(ranks: &mut dyn Ranks) -> Option<usize> {
    if ranks.count() == 1 {
        return None;
    }
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    // Launchers may bind each rank to processors of its own. Where the system does not tell which, all may use all.
    let mut own = Digest::default();
    own.take_bytes(&crate::files::read(Path::new("/proc/self/status")).map(|text| bound_to(&text).to_vec()).unwrap_or_default());
    own.take_bytes(&crate::files::read(Path::new("/etc/hostname")).unwrap_or_default());
    let alike = ranks.gather(own.word()).into_iter().filter(|word| *word == own.word()).count();
    Some((processors / alike.min(ranks.here().count)).max(1))
}

/// The processors that `/proc/self/status` says this process may use.
fn bound_to(status: &[u8]) -> &[u8] {
    status.split(|b| *b == b'\n').find(|line| line.starts_with(b"Cpus_allowed:")).unwrap_or_default()
}

/// The command that shows what was learned.
fn try_it(run: &RunConfig) -> String {
    match run.method {
        Method::Full => format!("diablo generate --model {} --prompt '…'", quoting::path(&run.out.join("model"))),
        _ => format!("diablo generate --model {} --adapter {} --prompt '…'", quoting::path(&run.model), quoting::path(&run.out)),
    }
}
