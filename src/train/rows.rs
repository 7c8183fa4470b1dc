//! A run's rows: read, tokenised, cut, split.

use super::compare::alike::ROWS;
use super::config::{RunConfig, TooLong};
use super::event::Event;
use super::names;
use crate::data::{self, Chatting, Dataset, Found, Options, Reading, Report, Rows, Tokenizer, packed, read_file, training_eos};
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::model::{ModelConfig, Source};
use std::path::Path;

/// Sequence lengths that a run is laid out for, at most.
pub const BUCKETS: usize = 4;

/// The training rows, and the held-out ones where there are any.
pub type Loaded = (Dataset, Option<Dataset>);

/// The options, with their values, that rows are made of: runs in which these are the same have the same rows. `seed` draws a file's rows
/// where its weight is no whole number.
pub fn made_of(run: &RunConfig) -> Vec<String> {
    let values = run.values();
    let whole = run.data.0.iter().all(|file| file.weight.fract() == 0.0);
    let keys = ROWS.iter().copied().chain(["packing"]).chain((!whole).then_some("seed"));
    keys.map(|key| format!("{key}={}", values.get(key).unwrap_or(&serde_json::Value::Null))).collect()
}

/// The training rows and the held-out ones.
///
/// # Errors
/// Names the file and the row that does not fit.
pub fn load(run: &RunConfig, source: &Source, events: &mut dyn FnMut(Event)) -> Result<Loaded> {
    let (train, held_out) = load_apart(run, source, events)?;
    if !run.packing {
        return Ok((train, held_out));
    }
    let (rows, tokens) = (train.len(), train.lengths().iter().sum::<usize>());
    let train = packed(train, run.seq_len);
    let full = 100.0 * tokens as f64 / (train.len() * run.seq_len) as f64;
    events(Event::note(format!("{rows} rows packed into {} sequences of {} tokens, {full:.0}% full", train.len(), run.seq_len)));
    Ok((train, held_out.map(|held_out| packed(held_out, run.seq_len))))
}

/// How a run's rows become samples.
///
/// # Errors
/// Where the chat template or the begin token that is asked for is not there, or the checkpoint names no end token.
pub fn options(run: &RunConfig, folder: &Path, config: &ModelConfig, tokenizer: &Tokenizer) -> Result<Options> {
    Ok(Options {
        seq_len: run.seq_len,
        eos: training_eos(folder, tokenizer, &config.eos_token_id)?,
        begin: run.begin_token.ids(tokenizer, folder, config.bos_token_id)?,
        too_long: match run.too_long {
            TooLong::Cut => data::TooLong::Cut,
            TooLong::Drop => data::TooLong::Drop,
            TooLong::Error => data::TooLong::Error,
        },
        chat: Chatting::new(&run.chat_template, folder, run.train_on)?,
    })
}

fn load_apart(run: &RunConfig, source: &Source, events: &mut dyn FnMut(Event)) -> Result<Loaded> {
    let tokenizer = Tokenizer::from_dir(&source.folder)?;
    tokenizer.check_against(source.config.vocab_size)?;
    let options = options(run, &source.folder, &source.config, &tokenizer)?;
    let reading = run.reading();
    let (mut train, mut held_out) = (Vec::new(), Vec::new());
    for (index, file) in names::data(run, events)?.0.iter().enumerate() {
        // Each file gives its own tail, before its rows are taken more than once: none is learned and held out.
        let (rows, tail) = build(&file.path, &reading, &tokenizer, &options, events)?.split_held_out(run.eval_split.unwrap_or(0.0))?;
        let weighted = rows.weighted(file.weight, run.seed.wrapping_add(index as u64));
        if file.weight != 1.0 {
            let (of, taken) = (rows.len(), weighted.len());
            events(Event::note(format!("{}: {taken} rows a pass, by its weight of {} ({of} rows)", file.path.display(), file.weight)));
        }
        train.extend(weighted.samples);
        held_out.extend(tail.samples);
    }
    if train.is_empty() {
        return Err(Error::usage(format!("--data {}: no row is taken", run.data), "give it a larger weight"));
    }
    let train = Dataset { samples: train };
    if let Some(path) = &run.eval_data {
        let mut held_out = Vec::new();
        for path in names::files_of(path, &names::HELD_OUT, events)? {
            held_out.extend(build(&path, &reading, &tokenizer, &options, events)?.samples);
        }
        return Ok((train, Some(Dataset { samples: held_out })));
    }
    Ok((train, (!held_out.is_empty()).then_some(Dataset { samples: held_out })))
}

/// One file's rows as samples, with notes of what it was found to be and of what was cut or left out.
///
/// # Errors
/// Names the file and the row that does not fit.
pub fn build(path: &Path, reading: &Reading, tokenizer: &Tokenizer, options: &Options, events: &mut dyn FnMut(Event)) -> Result<Dataset> {
    let found = read_file(path, reading)?;
    events(Event::note(described(&found, path, &options.chat)));
    let rows = found.rows;
    let place = path.display().to_string();
    let (dataset, report) = tokenise(&rows, tokenizer, options, &place, events)?;
    for text in notes(&report, &place, options.seq_len) {
        events(Event::Warning { text });
    }
    Ok(dataset)
}

/// `rows.jsonl: JSON lines, prompt and completion (question, answer), 12 rows`
fn described(found: &Found, path: &Path, chat: &Chatting) -> String {
    let rows = match &found.rows {
        Rows::Text(_) => String::new(),
        rows => format!(", {} rows", rows.len()),
    };
    let how = chat.describe(&found.rows).map(|how| format!("; {how}")).unwrap_or_default();
    format!("{}: {}{rows}{how}", path.display(), found.describe())
}

/// Tokenising runs on many threads; events go out from this one.
#[cfg(not(target_arch = "wasm32"))]
fn tokenise(
    rows: &Rows,
    tokenizer: &Tokenizer,
    options: &Options,
    place: &str,
    events: &mut dyn FnMut(Event),
) -> Result<(Dataset, Report)> {
    let (send, receive) = std::sync::mpsc::channel();
    let built = std::thread::scope(|scope| {
        let worker = scope.spawn(|| {
            let send = std::sync::Mutex::new(send);
            Dataset::build(rows, tokenizer, options, place, &|done, total| {
                if let Ok(send) = send.lock() {
                    // The receiver outlives this thread.
                    let _ = send.send((done as u64, total as u64));
                }
            })
        });
        for (done, total) in receive {
            events(Event::Tokenizing { done, total });
        }
        worker.join()
    });
    match built {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// The events go out while the rows are read, from the thread that may send them: this one. The pool's other threads, where the
/// program has any, tell nothing.
#[cfg(target_arch = "wasm32")]
fn tokenise(
    rows: &Rows,
    tokenizer: &Tokenizer,
    options: &Options,
    place: &str,
    events: &mut dyn FnMut(Event),
) -> Result<(Dataset, Report)> {
    struct Here<'a> {
        thread: Option<usize>,
        events: std::cell::RefCell<&'a mut dyn FnMut(Event)>,
    }
    // SAFETY: the events are touched on the thread alone that made this value.
    unsafe impl Sync for Here<'_> {}
    impl Here<'_> {
        fn tell(&self, event: Event) {
            if rayon::current_thread_index() == self.thread {
                (self.events.borrow_mut())(event);
            }
        }
    }
    let events = Here { thread: rayon::current_thread_index(), events: events.into() };
    Dataset::build(rows, tokenizer, options, place, &|done, total| {
        events.tell(Event::Tokenizing { done: done as u64, total: total as u64 });
    })
}

fn notes(report: &Report, place: &str, seq_len: usize) -> Vec<String> {
    let mut notes = Vec::new();
    let mut note = |count: usize, what: &str| {
        if count > 0 {
            notes.push(format!("{place}: {count} of {} rows {what}", report.rows));
        }
    };
    let longest = format!("(the longest has {})", report.longest);
    let fate = match report {
        Report { dropped: 1.., .. } => format!(" and were left out {longest}"),
        Report { emptied: 0, .. } => format!(" and were cut {longest}"),
        Report { cut, emptied, .. } => format!(" {longest}: {cut} were cut, {emptied} had nothing left to learn and were left out"),
    };
    note(report.too_long, &format!("are longer than {seq_len} tokens{fate}"));
    note(report.without_targets - report.emptied, "have nothing to learn from and were left out");
    notes
}

/// A word for rows, by which a checkpoint knows them again: how many there are, and a digest.
pub fn word(data: &Dataset) -> String {
    let mut digest = Digest::default();
    data.feed(&mut digest);
    format!("{} {:016x}", data.len(), digest.word())
}

/// What is to be said about rows of so many tokens, where the model was made for fewer.
pub fn beyond_context(tokens: usize, context: usize) -> Option<Event> {
    (tokens > context)
        .then(|| Event::warning(format!("rows have up to {tokens} tokens, and the model was made for {context}: lower --seq-len")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_became_of_long_rows_is_counted_in_full() {
        let report = Report { rows: 200, too_long: 200, cut: 31, without_targets: 170, emptied: 169, longest: 900, ..Report::default() };
        assert_eq!(
            notes(&report, "r", 64),
            [
                "r: 200 of 200 rows are longer than 64 tokens (the longest has 900): 31 were cut, 169 had nothing left to learn and were left out",
                "r: 1 of 200 rows have nothing to learn from and were left out",
            ]
        );
        let report = Report { rows: 3, too_long: 2, cut: 2, longest: 70, ..Report::default() };
        assert_eq!(notes(&report, "r", 64), ["r: 2 of 3 rows are longer than 64 tokens and were cut (the longest has 70)"]);
        let report = Report { rows: 3, too_long: 2, dropped: 2, longest: 70, ..Report::default() };
        assert_eq!(notes(&report, "r", 64), ["r: 2 of 3 rows are longer than 64 tokens and were left out (the longest has 70)"]);
    }

    #[test]
    fn rows_are_the_same_where_nothing_that_makes_them_differs() {
        let run = RunConfig { data: "a.jsonl".into(), ..RunConfig::default() };
        let other = RunConfig { lr: Some(1.0), rank: 3, seed: 7, out: "o".into(), ..run.clone() };
        assert_eq!(made_of(&run), made_of(&other));
        for other in [
            RunConfig { data: "b.jsonl".into(), ..run.clone() },
            RunConfig { seq_len: 64, ..run.clone() },
            RunConfig { packing: true, ..run.clone() },
            RunConfig { eval_split: Some(0.1), ..run.clone() },
            RunConfig { data: "a.jsonl=2".into(), ..run.clone() },
        ] {
            assert_ne!(made_of(&run), made_of(&other));
        }
        // Which half of a file is taken follows from the seed.
        let half = RunConfig { data: "a.jsonl=0.5".into(), ..run };
        assert_ne!(made_of(&half), made_of(&RunConfig { seed: 7, ..half.clone() }));
    }
}
