//! `diablo sweep`

use super::common_args::{OutputArgs, set_threads};
use super::compare::Table;
use super::interrupt::{self, Interrupt};
use super::output;
use super::progress::{Look, Reporter};
use super::train_args::TrainArgs;
use crate::error::{Error, Result};
use crate::quoting;
use crate::train::compare::Compared;
use crate::train::run_folder::CONFIG_FILE;
use crate::train::sweep::{Asked, Axis, PLOT_FILE, STATE_FILE, Sweep};
use std::process::ExitCode;

const AFTER_HELP: &str = "\
Every combination of the values is a run in a folder of its own below --out.
Held-out rows decide, so --eval-split or --eval-data is needed. At the end the
runs are compared as `diablo compare` does; --out gets sweep.json (the same for
programs) and sweep.svg (the losses).

Ctrl-C finishes the step and saves; --resume goes on, also after a kill: runs
that ended are left alone, one that was cut off goes on where it was. With
--resume values may be added by --set.

--halving trains all runs for a quarter of their steps, the better half of them
to half of their steps, and the better half of those to the end; what was left
behind can be taken up with `diablo train --resume --out RUN`. Schedules are
those of whole runs from the start.

Examples:
  diablo sweep --config run.toml --set lr=1e-4,3e-4,1e-3 --set rank=8,16 --out sweeps/first
  diablo sweep --model models/SmolLM2-135M --data train.jsonl --eval-split 0.05 --steps 200 \\
               --set lr=5e-4,1e-3,2e-3,4e-3 --set blocks=4,8,16 --random 6 --out sweeps/second
  diablo sweep --resume --out sweeps/first";

/// The command's options.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// A key of run.toml with the values to try. Give it again for more keys
    #[arg(long, value_name = "KEY=VALUE,..", required_unless_present = "resume", help_heading = "Sweep")]
    set: Vec<String>,
    /// Only so many combinations, drawn by --seed
    #[arg(long, value_name = "N", help_heading = "Sweep")]
    random: Option<usize>,
    /// Let only the better half go on after a quarter, and again after half of the steps
    #[arg(long, help_heading = "Sweep")]
    halving: bool,
    #[command(flatten)]
    train: TrainArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs the command.
///
/// # Errors
/// Everything that a run can fail of, but for a loss that stops being a number.
pub fn run(mut args: Args) -> Result<ExitCode> {
    let resume = args.train.resume;
    let mut asked = Asked { set: args.set, random: args.random, halving: args.halving };
    if resume {
        let out = args.train.out.clone().ok_or_else(|| Error::usage("--out is needed", "name the folder of the sweep"))?;
        let before = Sweep::asked(&out)?;
        if asked.set.is_empty() {
            asked.random = asked.random.or(before.random);
        } else if let (None, Some(n)) = (asked.random, before.random) {
            let what = format!("--set: this sweep took {n} combinations at random, and more values make more of them");
            return Err(Error::usage(what, "say with --random how many of all of them"));
        }
        asked.set = Axis::added(&before.set, &asked.set)?;
        asked.halving |= before.halving;
        args.train.config.get_or_insert(Sweep::base_file(&out));
    }
    let base = args.train.into_run()?;
    set_threads(base.threads)?;
    let quiet = args.output.quiet || args.output.json;
    let mut reporter = Reporter::new(Look::choose(quiet, false));
    let mut sweep = Sweep::open(base, asked, resume, &mut |event| reporter.report(&event))?;
    let interrupt = Interrupt::install(true)?;
    let stopped = sweep.run(&mut |event| reporter.report(&event), &|| interrupt.requested())?;
    drop(reporter);
    sweep.write()?;
    let table = table(&sweep)?;
    table.draw(&sweep.folder().join(PLOT_FILE))?;
    if args.output.json {
        output::print(&crate::files::read_text(&sweep.folder().join(STATE_FILE), u64::MAX)?)?;
    } else {
        output::print(&format!("\n{}", table.text()))?;
    }
    for line in table.notes() {
        output::complain(&line);
    }
    for (name, why) in sweep.failed() {
        output::complain(&format!("warning: {name} came to no end: {why}"));
    }
    if stopped {
        output::complain(&format!("stopped; go on with: diablo sweep --resume --out {}", quoting::path(sweep.folder())));
        return Ok(ExitCode::from(interrupt::EXIT_CODE as u8));
    }
    if sweep.failed().len() == sweep.points().len() {
        output::complain("error: every run diverged\nhelp: sweep over smaller values of lr, into another --out");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// The runs that have begun, those that came to no end last.
fn table(sweep: &Sweep) -> Result<Table> {
    let begun = sweep.points().iter().filter(|point| crate::files::is_file(&point.run.out.join(CONFIG_FILE)));
    let runs = begun.map(|point| Compared::open(&point.run.out)).collect::<Result<Vec<_>>>()?;
    Ok(Table::new(runs, &|run| sweep.failed().contains_key(&run.record.name())))
}
