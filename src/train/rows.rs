//! A run's rows: read, tokenised, cut, split.

use super::config::{RunConfig, TooLong};
use super::event::Event;
use crate::data::{self, Columns, Dataset, Options, Report, Rows, Tokenizer, packed, read_rows, training_eos};
use crate::error::Result;
use crate::model::Source;
use std::path::Path;

/// Sequence lengths that a run is laid out for, at most.
pub const BUCKETS: usize = 4;

/// The training rows and the held-out ones.
///
/// # Errors
/// Names the file and the row that does not fit.
pub fn load(run: &RunConfig, source: &Source, events: &mut dyn FnMut(Event)) -> Result<(Dataset, Option<Dataset>)> {
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

fn load_apart(run: &RunConfig, source: &Source, events: &mut dyn FnMut(Event)) -> Result<(Dataset, Option<Dataset>)> {
    let tokenizer = Tokenizer::from_dir(&source.folder)?;
    tokenizer.check_against(source.config.vocab_size)?;
    let eos = training_eos(&source.folder, &tokenizer, &source.config.eos_token_id)?;
    let options = Options {
        seq_len: run.seq_len,
        eos,
        bos: None,
        too_long: match run.too_long {
            TooLong::Cut => data::TooLong::Cut,
            TooLong::Drop => data::TooLong::Drop,
            TooLong::Error => data::TooLong::Error,
        },
    };
    let columns = Columns { prompt: run.prompt_column.clone(), completion: run.completion_column.clone() };
    let train = build(&run.data, &columns, &tokenizer, &options, events)?;
    if let Some(path) = &run.eval_data {
        let held_out = build(path, &columns, &tokenizer, &options, events)?;
        return Ok((train, Some(held_out)));
    }
    match run.eval_split {
        None => Ok((train, None)),
        Some(share) => {
            let (train, held_out) = train.split_held_out(share)?;
            Ok((train, (!held_out.is_empty()).then_some(held_out)))
        }
    }
}

/// One file's rows as samples, with notes of what was cut or left out.
///
/// # Errors
/// Names the file and the row that does not fit.
pub fn build(path: &Path, columns: &Columns, tokenizer: &Tokenizer, options: &Options, events: &mut dyn FnMut(Event)) -> Result<Dataset> {
    let rows = read_rows(path, columns)?;
    let place = path.display().to_string();
    let (dataset, report) = tokenise(&rows, tokenizer, options, &place, events)?;
    for text in notes(&report, &place, options.seq_len) {
        events(Event::Warning { text });
    }
    Ok(dataset)
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
    note(report.cut, &format!("are longer than {seq_len} tokens and were cut (the longest has {})", report.longest));
    note(report.dropped, &format!("are longer than {seq_len} tokens and were left out (the longest has {})", report.longest));
    note(report.without_targets, "had nothing to learn from after cutting and were left out");
    notes
}
