//! `diablo compare --paper`

use super::common_args::set_threads;
use super::compare::Args;
use super::interrupt::{self, Interrupt};
use super::output::{self, grouped, table};
use super::progress::{Look, Reporter};
use crate::device::human_bytes;
use crate::error::{Error, Result};
use crate::paper::{self, Asked, BASE_FILE, BUNDLED, Line, PLOT_FILE, Paper, STATE_FILE, results};
use crate::quoting;
use crate::train::choice::Choice;
use crate::train::compare::sibling::rate;
use crate::train::config::Method;
use std::path::PathBuf;
use std::process::ExitCode;

/// Where it goes unless --out says otherwise.
const OUT: &str = "runs/paper";
/// Seeds unless --seeds says otherwise.
const SEEDS: u64 = 3;

/// Runs the comparison, or what is left of it, and prints its table.
///
/// # Errors
/// Everything that a run can fail of, but for a loss that stops being a number.
pub fn run(mut args: Args) -> Result<ExitCode> {
    let out = args.train.out.get_or_insert_with(|| PathBuf::from(OUT)).clone();
    let given = &args.train;
    let bundled = given.model.is_none() && given.data.is_none() && given.config.is_none();
    let asked = if args.train.resume {
        let before = Paper::asked(&out)?;
        args.train.config.get_or_insert(out.join(BASE_FILE));
        Asked {
            methods: methods(args.methods.as_deref())?.unwrap_or(before.methods),
            seeds: args.seeds.unwrap_or(before.seeds),
            exact_match: before.exact_match || args.exact_match,
        }
    } else {
        Paper::refuse_used(&out)?;
        if bundled {
            let path = out.join(BUNDLED).join("run.toml");
            crate::files::atomic_write_bytes(&path, paper::bundled(&out)?.to_toml_string()?.as_bytes())?;
            args.train.config = Some(path);
        }
        Asked {
            methods: methods(args.methods.as_deref())?.unwrap_or_else(|| vec![Method::Diablo, Method::Lora, Method::Full]),
            seeds: args.seeds.unwrap_or(SEEDS),
            exact_match: bundled || args.exact_match,
        }
    };
    // The option says how this sitting starts; the file of options is not that of a run.
    let resume = std::mem::take(&mut args.train.resume);
    let base = args.train.into_config()?;
    set_threads(base.threads)?;
    let quiet = args.output.quiet || args.output.json;
    let mut reporter = Reporter::new(Look::choose(quiet, false));
    let mut paper = Paper::open(base, asked, resume, &mut |event| reporter.report(&event))?;
    let interrupt = Interrupt::install(true)?;
    let stopped = paper.run(&mut |event| reporter.report(&event), &|| interrupt.requested())?;
    drop(reporter);
    paper.write()?;
    let lines = paper.lines()?;
    results::draw(&lines, &paper.folder().join(PLOT_FILE))?;
    if let Some(path) = &args.svg {
        results::draw(&lines, path)?;
    }
    if args.output.json {
        output::print(&crate::files::read_text(&paper.folder().join(STATE_FILE), u64::MAX)?)?;
    } else {
        output::print(&format!("\n{}", text(&lines)))?;
    }
    for (name, why) in paper.failed() {
        output::complain(&format!("note: {name} came to no end: {why}"));
    }
    for line in lines.iter().filter(|line| !line.settled && !stopped) {
        let why = match line.best {
            Some(_) => "the best rate is the last that was tried; begin elsewhere with --lr",
            None => "no rate came to an end; begin lower with --lr",
        };
        output::complain(&format!("warning: {}: {why}", results::called(line.method)));
    }
    if stopped {
        output::complain(&format!("stopped; go on with: diablo compare --paper --resume --out {}", quoting::path(paper.folder())));
        return Ok(ExitCode::from(interrupt::EXIT_CODE as u8));
    }
    Ok(ExitCode::SUCCESS)
}

/// The methods by their words, each once.
fn methods(words: Option<&[String]>) -> Result<Option<Vec<Method>>> {
    let Some(words) = words else { return Ok(None) };
    let mut all = Vec::new();
    for word in words {
        let known = || format!("known: {}", Method::WORDS.join(", "));
        let method = Method::from_word(word).ok_or_else(|| Error::usage(format!("--methods: '{word}' is no method"), known()))?;
        if !all.contains(&method) {
            all.push(method);
        }
    }
    Ok(Some(all))
}

/// The table, the rates that were tried, and what the numbers are.
fn text(lines: &[Line]) -> String {
    let asked = lines.iter().any(|line| line.exact_match().is_some());
    let mut head = ["", "trained", "memory", "step", "rate", "held-out loss"].map(String::from).to_vec();
    head.extend(asked.then(|| "exact match".to_owned()));
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".into());
    let cells = |line: &Line| {
        let facts = line.facts();
        let f = facts.as_ref();
        let share = |share: Option<f64>| share.map_or_else(String::new, |s| format!(" ({:.2}%)", 100.0 * s));
        let mut cells = vec![
            facts.as_ref().map_or_else(|| results::called(line.method).to_owned(), |f| f.method.clone()),
            or_dash(f.and_then(|f| Some(grouped(f.trainable?) + &share(f.share)))),
            or_dash(f.and_then(|f| f.memory).map(human_bytes)),
            or_dash(line.seconds_per_step().map(|s| format!("{:.1} ms", 1e3 * s))),
            or_dash(line.best.map(rate)),
            or_dash(line.held_out().map(|s| s.text(4))),
        ];
        if asked {
            cells.push(or_dash(line.exact_match().map(|(s, of)| format!("{} of {of}", s.text(1)))));
        }
        cells
    };
    let mut text = table(&std::iter::once(head).chain(lines.iter().map(cells)).collect::<Vec<_>>());
    let seeds: Vec<String> = lines
        .iter()
        .map(|l| &l.runs)
        .max_by_key(|r| r.len())
        .map_or_else(Vec::new, |r| r.iter().map(|(r, _)| r.config.seed.to_string()).collect());
    if let Some(first) = seeds.first() {
        text += &format!("\nseeds {}; mean ± sample standard deviation; rates tried with seed {first}:\n", seeds.join(", "));
    } else {
        text += "\nrates tried:\n";
    }
    for line in lines {
        let tried = line.rates.iter().map(|(lr, loss)| {
            let mark = if Some(*lr) == line.best { "*" } else { "" };
            format!("{} {}{mark}", rate(*lr), loss.map_or_else(|| "diverged".to_owned(), |l| format!("{l:.4}")))
        });
        text += &format!("  {:<6}  {}\n", results::called(line.method), tried.collect::<Vec<_>>().join(", "));
    }
    text
}
