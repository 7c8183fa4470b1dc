//! `diablo data`

use super::common_args::word;
use super::output::{self, grouped};
use super::progress::{Look, Reporter};
use super::train_args::TrainArgs;
use crate::choice::choice;
use crate::data::preview::{Fate, Piece, Preview};
use crate::data::summary::{SHARES, duplicates, quantiles};
use crate::data::{Options, Tokenizer, TooLong};
use crate::error::{Error, Result};
use crate::model::ModelConfig;
use crate::train::{Event, RunConfig, names, rows};
use serde_json::{Value, json};
use std::io::IsTerminal;
use std::process::ExitCode;

const AFTER_HELP: &str = "\
Shows rows as a run sees them, token by token: what is learned, what is only
read, what is cut. Takes the options of diablo train that say how rows are
read. Without colours, what is learned stands between ⟦ and ⟧, what is cut
between ⟨ and ⟩. Weights are not needed: the model's folder may hold
config.json and the tokenizer alone.

Examples:
  diablo data --model models/Qwen2-0.5B-Instruct --data conversations.json
  diablo data --model models/SmolLM2-135M --data train.jsonl --seq-len 256 --show 10
  diablo data --model models/SmolLM2-135M --data rows.csv --columns prompt=q,completion=a --json";

choice! {
    /// Whether colours are used.
    Colour {
        /// On a terminal, unless NO_COLOR is set.
        Auto = "auto",
        /// Yes.
        Always = "always",
        /// No.
        Never = "never",
    }
}

/// The command's options.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// Rows to show; 0: the figures alone
    #[arg(long, value_name = "N", default_value_t = 3, help_heading = "Output")]
    show: usize,
    /// First row to show, from 1
    #[arg(long, value_name = "ROW", default_value_t = 1, help_heading = "Output")]
    from: usize,
    /// Colours: auto, always or never
    #[arg(long, value_parser = word::<Colour>(), default_value = "auto", hide_possible_values = true, help_heading = "Output")]
    color: Colour,
    /// Print JSON on standard output
    #[arg(long, help_heading = "Output")]
    json: bool,
    #[command(flatten)]
    train: TrainArgs,
}

/// Tokens of one row that are shown at most.
const MOST: usize = 4096;
/// Duplicates that are named.
const NAMED: usize = 100;

/// What there is to tell.
struct Told {
    run: RunConfig,
    preview: Preview,
    tokenizer: Tokenizer,
    too_long: TooLong,
    same: Vec<(usize, usize)>,
}

/// Runs the command.
///
/// # Errors
/// Where model, options or rows are wrong.
pub fn run(args: Args) -> Result<ExitCode> {
    let (first, last) = (args.from.saturating_sub(1), args.from.saturating_sub(1).saturating_add(args.show));
    if args.from == 0 {
        return Err(Error::usage("--from 0: rows are counted from 1", ""));
    }
    let run = args.train.into_run()?;
    let told = look(run, args.json)?;
    let rows = told.preview.len(told.run.seq_len);
    if args.from > rows && args.show > 0 {
        return Err(Error::usage(format!("--from {}: there are {rows} rows", args.from), format!("--from {rows} shows the last one")));
    }
    let shown = first..last.min(rows).max(first);
    if args.json {
        output::print_json(&told.json(shown)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let colours = match args.color {
        Colour::Always => true,
        Colour::Never => false,
        Colour::Auto => std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()) && std::io::stdout().is_terminal(),
    };
    output::print(&told.text(shown, colours)?)?;
    Ok(ExitCode::SUCCESS)
}

fn look(run: RunConfig, quiet: bool) -> Result<Told> {
    for (missing, option, hint) in [
        (
            run.model.as_os_str().is_empty(),
            "model",
            "name a folder with config.json and tokenizer.json, or a model on the hub (owner/name)",
        ),
        (
            run.data.is_empty(),
            "data",
            "name a file of rows (JSON, JSONL, CSV, Parquet) or of plain text, or a dataset on the hub (owner/name)",
        ),
    ] {
        if missing {
            return Err(Error::usage(format!("--{option} is needed"), hint));
        }
    }
    run.validate_options()?;
    let mut fetching = Reporter::new(Look::choose(quiet, false));
    let folder = names::model(&run.model, false, &mut |event| fetching.report(&event))?;
    let run = RunConfig { data: names::data(&run, &mut |event| fetching.report(&event))?, ..run };
    drop(fetching);
    let config = ModelConfig::from_dir(&folder)?;
    let tokenizer = Tokenizer::from_dir(&folder)?;
    tokenizer.check_against(config.vocab_size)?;
    let options: Options = rows::options(&run, &folder, &config, &tokenizer)?;
    let reporter = std::sync::Mutex::new(Reporter::new(Look::choose(quiet, false)));
    let preview = Preview::read(&run.data, &run.reading(), &tokenizer, &options, &|done, total| {
        if let Ok(mut reporter) = reporter.lock() {
            reporter.report(&Event::Tokenizing { done: done as u64, total: total as u64 });
        }
    })?;
    let same = if preview.is_text() { Vec::new() } else { duplicates(&preview, run.seq_len) };
    Ok(Told { run, preview, tokenizer, too_long: options.too_long, same })
}

impl Told {
    fn line(&self, row: usize) -> Option<usize> {
        self.preview.row(row, self.run.seq_len).and_then(|row| row.line)
    }

    /// A row as people count it, and where it is.
    fn name(&self, row: usize) -> String {
        let file = self.preview.row(row, self.run.seq_len).map_or(0, |row| row.file);
        let of = match self.run.data.0.get(file).filter(|_| self.run.data.0.len() > 1) {
            Some(file) => format!("{}:", file.path.display()),
            None => String::new(),
        };
        match self.line(row) {
            Some(line) => format!("row {} ({of}{}line {line})", row + 1, if of.is_empty() { "" } else { " " }),
            None => format!("window {}", row + 1),
        }
    }

    fn text(&self, shown: std::ops::Range<usize>, colours: bool) -> Result<String> {
        let (seq_len, p) = (self.run.seq_len, &self.preview);
        let counts = p.counts(seq_len, self.too_long);
        let mut lines = Vec::new();
        for (i, (file, found)) in self.run.data.0.iter().zip(p.found()).enumerate() {
            lines.push(format!("{:<12}{file}: {found}", if i == 0 { "data" } else { "" }));
        }
        let unit = if p.is_text() { "windows" } else { "rows" };
        lines.push(format!("{unit:<12}{}, of which a run takes {}", grouped(counts.rows as u64), grouped(counts.samples as u64)));
        let share = 100.0 * counts.targets as f64 / counts.tokens.max(1) as f64;
        let (tokens, targets) = (grouped(counts.tokens as u64), grouped(counts.targets as u64));
        lines.push(format!("tokens      {tokens} a pass, of which {targets} are learned ({share:.0}%)"));
        let lengths = quantiles(&p.lengths(seq_len));
        let named = |(share, length): (&f64, &usize)| match *share {
            0.0 => format!("shortest {length}"),
            1.0 => format!("longest {length}"),
            share => format!("{:.0}% {length}", 100.0 * share),
        };
        lines.push(format!("lengths     {} tokens", SHARES.iter().zip(&lengths).map(named).collect::<Vec<_>>().join(", ")));
        if counts.too_long > 0 {
            let (n, emptied) = (|rows: usize| grouped(rows as u64), counts.emptied);
            let fate = match self.too_long {
                TooLong::Cut if emptied > 0 => {
                    format!(": {} are cut, {} have nothing left to learn and are left out", n(counts.too_long - emptied), n(emptied))
                }
                TooLong::Cut => " and are cut".into(),
                TooLong::Drop => " and are left out".into(),
                TooLong::Error => " and stop the run".into(),
            };
            let (all, longest) = (n(counts.too_long), counts.longest);
            lines.push(format!("too long    {all} rows are longer than --seq-len {seq_len}{fate}; --seq-len {longest} keeps all"));
        }
        if counts.without_targets > counts.emptied {
            let n = grouped((counts.without_targets - counts.emptied) as u64);
            lines.push(format!("empty       {n} rows have nothing to learn from and are left out"));
        }
        if let Some((row, first)) = self.same.first() {
            let n = grouped(self.same.len() as u64);
            lines.push(format!("duplicates  {n} rows repeat an earlier one; the first is {}, as {}", self.name(*row), self.name(*first)));
        } else if !p.is_text() {
            lines.push("duplicates  none".into());
        }
        if !shown.is_empty() {
            let legend = if colours {
                "\x1b[32mlearned\x1b[0m \x1b[2mread only\x1b[0m \x1b[31;9mcut\x1b[0m"
            } else {
                "⟦learned⟧ read only ⟨cut⟩"
            };
            lines.push(format!("colours     {legend}"));
        }
        for at in shown {
            let Some(row) = p.row(at, seq_len) else { break };
            let pieces = row.pieces(&self.tokenizer, self.too_long, MOST)?;
            let learned = (0..row.ids.len()).filter(|i| row.fate(*i, self.too_long) == Fate::Learned).count();
            lines.push(format!("\n{}: {} tokens, {learned} learned", self.name(at), row.ids.len()));
            lines.push(painted(&pieces, colours));
            if row.ids.len() > pieces.len() {
                lines.push(format!("... and {} tokens more", row.ids.len() - pieces.len()));
            }
        }
        Ok(lines.join("\n"))
    }

    fn json(&self, shown: std::ops::Range<usize>) -> Result<Value> {
        let (seq_len, p) = (self.run.seq_len, &self.preview);
        let counts = p.counts(seq_len, self.too_long);
        let lengths = quantiles(&p.lengths(seq_len));
        let lengths: serde_json::Map<String, Value> =
            SHARES.iter().zip(&lengths).map(|(share, n)| (format!("{:.0}%", 100.0 * share), json!(n))).collect();
        let files: Vec<Value> = self
            .run
            .data
            .0
            .iter()
            .zip(p.found())
            .map(|(file, found)| json!({"path": file.path, "weight": file.weight, "format": found}))
            .collect();
        let mut rows = Vec::new();
        for at in shown {
            let Some(row) = p.row(at, seq_len) else { break };
            let word = |fate| match fate {
                Fate::Learned => "learned",
                Fate::Read => "read",
                Fate::Cut => "cut",
            };
            let piece = |piece: Piece| json!({"id": piece.id, "text": piece.text, "special": piece.special, "fate": word(piece.fate)});
            let tokens: Vec<Value> = row.pieces(&self.tokenizer, self.too_long, MOST)?.into_iter().map(piece).collect();
            rows.push(json!({"row": at + 1, "file": row.file + 1, "line": row.line, "length": row.ids.len(), "tokens": tokens}));
        }
        let same = self.same.iter().take(NAMED).map(|(row, first)| json!({"row": row + 1, "repeats": first + 1})).collect::<Vec<_>>();
        Ok(json!({
            "files": files,
            "text": p.is_text(),
            "seq_len": seq_len,
            "rows": counts.rows,
            "taken": counts.samples,
            "tokens": counts.tokens,
            "learned": counts.targets,
            "lengths": lengths,
            "too_long": counts.too_long,
            "without_targets": counts.without_targets,
            "duplicates": self.same.len(),
            "first_duplicates": same,
            "shown": rows,
        }))
    }
}

/// The text of tokens, each in its fate's colour or between its fate's marks.
fn painted(pieces: &[Piece], colours: bool) -> String {
    let mut out = String::new();
    for run in pieces.chunk_by(|a, b| a.fate == b.fate) {
        let text: String = run.iter().flat_map(|piece| piece.text.chars()).map(harmless).collect();
        let (open, close) = match (run[0].fate, colours) {
            (Fate::Learned, true) => ("\x1b[32m", "\x1b[0m"),
            (Fate::Read, true) => ("\x1b[2m", "\x1b[0m"),
            (Fate::Cut, true) => ("\x1b[31;9m", "\x1b[0m"),
            (Fate::Learned, false) => ("⟦", "⟧"),
            (Fate::Read, false) => ("", ""),
            (Fate::Cut, false) => ("⟨", "⟩"),
        };
        out.extend([open, &text, close]);
    }
    out
}

/// Rows may hold what terminals take for orders.
fn harmless(c: char) -> char {
    if c.is_control() && !['\n', '\t'].contains(&c) { '\u{fffd}' } else { c }
}
