//! Samples: what is fed, and from where it is learned.

use std::ops::Range;
use std::sync::Mutex;

use rayon::prelude::*;

use super::lines::lines;
use super::rows::{Chat, Row, Rows};
use super::template::{Chatting, Learned};
use super::tokenizer::Tokenizer;
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::random::Random;

/// A row in a sequence that holds several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Document {
    /// Its first position in the sequence.
    pub start: u32,
    /// The first position in the sequence whose token is a target.
    pub learn_from: u32,
}

/// One sequence to train on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// The tokens, the end token included.
    pub ids: Vec<u32>,
    /// The first position whose token is a target. At least 1: nothing predicts the first token.
    pub learn_from: u32,
    /// Which row (or, of a text, which window) it is, from 0 in file order.
    pub row: usize,
    /// Rows that were put behind the first one.
    pub behind: Vec<Document>,
    /// Positions behind the first target that are none all the same (what others say in a conversation), in rising order.
    pub skipped: Vec<Range<u32>>,
}

impl Sample {
    /// Its rows, the first one included, in order.
    pub fn documents(&self) -> impl Iterator<Item = Document> + '_ {
        std::iter::once(Document { start: 0, learn_from: self.learn_from }).chain(self.behind.iter().copied())
    }

    /// Where each row begins and ends, and its first position whose token is a target: never the row's first.
    pub fn spans(&self) -> impl Iterator<Item = (Range<usize>, usize)> + '_ {
        let ends = self.behind.iter().map(|d| d.start as usize).chain([self.ids.len()]);
        self.documents().zip(ends).map(|(d, end)| (d.start as usize..end, (d.learn_from as usize).max(d.start as usize + 1)))
    }

    /// How many of its tokens are learned.
    pub fn targets(&self) -> usize {
        let all: usize = self.spans().map(|(span, learn_from)| span.end.saturating_sub(learn_from)).sum();
        all - self.skipped.iter().map(ExactSizeIterator::len).sum::<usize>()
    }

    /// Keeps its first `length` tokens.
    pub fn truncate(&mut self, length: usize) {
        self.ids.truncate(length);
        let end = self.ids.len() as u32;
        self.skipped.retain(|range| range.start < end);
        self.skipped.iter_mut().for_each(|range| range.end = range.end.min(end));
    }

    /// A row of which the mask tells what is learned. (The first token never is: nothing predicts it.)
    fn masked(Learned { ids, mask }: Learned, row: usize) -> Self {
        let learned = |at: usize| mask.get(at) == Some(&true);
        let first = (1..ids.len()).find(|at| learned(*at)).unwrap_or(ids.len().max(1));
        let mut skipped: Vec<Range<u32>> = Vec::new();
        for at in (first..ids.len()).filter(|at| !learned(*at)) {
            match skipped.last_mut() {
                Some(last) if last.end == at as u32 => last.end += 1,
                _ => skipped.push(at as u32..at as u32 + 1),
            }
        }
        Self { ids, learn_from: first as u32, row, behind: Vec::new(), skipped }
    }
}

/// What to do with a row of more than `seq_len` tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TooLong {
    /// Keep its first `seq_len` tokens; its end token goes with the rest.
    #[default]
    Cut,
    /// Leave it out.
    Drop,
    /// Stop.
    Error,
}

/// How rows become samples.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The most tokens of a sample, and the length of a text's windows.
    pub seq_len: usize,
    /// Put after every completion.
    pub eos: u32,
    /// Put before every row that no chat template writes, and before every window of a text; see [`super::Begin`]. Never learned.
    pub begin: Vec<u32>,
    /// For rows beyond `seq_len`.
    pub too_long: TooLong,
    /// How conversations are written, and what is learned of a row.
    pub chat: Chatting,
}

/// What became of the rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Rows in the file; of a text: windows.
    pub rows: usize,
    /// Samples made of them.
    pub samples: usize,
    /// Tokens in the samples.
    pub tokens: usize,
    /// Tokens that are learned.
    pub targets: usize,
    /// Rows longer than `seq_len`, whatever became of them.
    pub too_long: usize,
    /// Of those, rows that were cut and kept.
    pub cut: usize,
    /// Rows left out as too long.
    pub dropped: usize,
    /// Rows left out because they have no target, or none was left: the prompt alone fills `seq_len`.
    pub without_targets: usize,
    /// Of those, rows that were cut.
    pub emptied: usize,
    /// Tokens of a text after its last whole window; they are left out.
    pub remainder: usize,
    /// Tokens of the longest row, before any cutting.
    pub longest: usize,
    /// Rows by their length before any cutting: entry `b` counts lengths above `2^(b-1)` up to `2^b`.
    pub histogram: Vec<usize>,
}

/// Samples in file order.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// The samples; never empty as [`Dataset::build`] gives them.
    pub samples: Vec<Sample>,
}

/// How many rows or lines a thread takes at a time; progress is told as often.
const CHUNK: usize = 64;

impl Dataset {
    /// Tokenises rows and makes samples of them.
    ///
    /// - **Pairs**: prompt and completion are tokenised apart and joined, the end token follows. The completion and the end
    ///   token are learned.
    /// - **Chats**: the chat template writes them, and the whole is tokenised. The assistant's turns are learned.
    /// - **Text**: it is tokenised line by line, line ends kept, and cut into consecutive windows of `seq_len` tokens; what is
    ///   left after the last is dropped. Every token but a window's first is learned. A text shorter than one window is one
    ///   short sample. Begin tokens count as the window's.
    ///
    /// `progress` is told how many of how many rows (or lines) are tokenised, in rising order, from whatever thread.
    /// `place` names the file in errors.
    pub fn build(
        rows: &Rows,
        tokenizer: &Tokenizer,
        options: &Options,
        place: &str,
        progress: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<(Self, Report)> {
        if options.seq_len < 2 {
            return Err(Error::usage(format!("--seq-len {}: leaves nothing to learn", options.seq_len), "take at least 2"));
        }
        let (samples, mut report) = match rows {
            Rows::Pairs(all) => {
                let encode = |row: &Row| options.chat.row(row, tokenizer, &options.begin, options.eos, &format!("{place}:{}", row.line));
                rows_apart(all, encode, |row| row.line, options, place, progress)?
            }
            Rows::Chats(all) => {
                let encode =
                    |chat: &Chat| options.chat.chat(chat, tokenizer, &options.begin, options.eos, &format!("{place}:{}", chat.line));
                rows_apart(all, encode, |chat| chat.line, options, place, progress)?
            }
            Rows::Text(text) => windows(&text_ids(text, tokenizer, progress)?, options, place)?,
        };
        report.samples = samples.len();
        report.tokens = samples.iter().map(|s| s.ids.len()).sum();
        report.targets = samples.iter().map(Sample::targets).sum();
        Ok((Self { samples }, report))
    }

    /// Splits off the last `fraction` of the samples, rounded down, but at least one and never all: `(train, held out)`.
    ///
    /// With a fraction of 0, or a single sample, nothing is held out.
    pub fn split_held_out(mut self, fraction: f64) -> Result<(Self, Self)> {
        if !(0.0..1.0).contains(&fraction) {
            return Err(Error::usage(format!("cannot hold out a fraction of {fraction}"), "it must be at least 0 and less than 1"));
        }
        let n = self.samples.len();
        let tail = self.samples.split_off(n - held_out(n, fraction));
        Ok((self, Self { samples: tail }))
    }

    /// Takes each sample `weight` times, one after the other; of a fraction that is left, a random choice by `seed`, in order.
    pub fn weighted(&self, weight: f64, seed: u64) -> Self {
        let n = self.samples.len();
        let whole = weight.max(0.0).floor();
        let more = ((weight - whole) * n as f64).round() as usize;
        let mut chosen: Vec<usize> = (0..n).collect();
        let mut random = Random::new(seed);
        // The first `more` of a shuffle.
        for at in 0..more.min(n) {
            let other = at + random.below((n - at) as u64) as usize;
            chosen.swap(at, other);
        }
        chosen.truncate(more);
        chosen.sort_unstable();
        let mut indices: Vec<usize> = (0..whole as usize).flat_map(|_| 0..n).collect();
        indices.extend(chosen);
        Self { samples: indices.into_iter().map(|i| self.samples[i].clone()).collect() }
    }

    /// How many samples there are.
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// Tokens of the longest row; several may share a sample.
    pub fn longest_row(&self) -> usize {
        self.samples.iter().flat_map(|s| s.spans().map(|(span, _)| span.len())).max().unwrap_or(0)
    }

    /// Gives all that is learned from to a digest.
    pub fn feed(&self, digest: &mut Digest) {
        for sample in &self.samples {
            digest.take([sample.ids.len() as u32, sample.learn_from]);
            digest.take(sample.ids.iter().copied());
            digest.take(sample.behind.iter().flat_map(|d| [d.start, d.learn_from]));
            digest.take(sample.skipped.iter().flat_map(|s| [s.start, s.end]));
        }
    }

    /// The samples' lengths in tokens, for choosing buckets.
    pub fn lengths(&self) -> Vec<usize> {
        self.samples.iter().map(|s| s.ids.len()).collect()
    }
}

/// How many of `n` samples are held out as this fraction of them.
pub fn held_out(n: usize, fraction: f64) -> usize {
    // 0.29 * 100 is 28.999...: a product this close to a whole number is meant to be it.
    let held = (n as f64 * fraction + 1e-9 * n as f64).floor() as usize;
    if fraction > 0.0 && n >= 2 { held.clamp(1, n - 1) } else { 0 }
}

/// Runs `work` on chunks of `items`, tells the progress, and gives the results in order.
fn tokenise<T: Sync, R: Send>(
    items: &[T],
    progress: &(dyn Fn(usize, usize) + Sync),
    work: impl Fn(&[T]) -> Result<Vec<R>> + Sync,
) -> Result<Vec<R>> {
    let done = Mutex::new(0);
    let chunks: Vec<Result<Vec<R>>> = items
        .par_chunks(CHUNK)
        .map(|chunk| {
            let results = work(chunk)?;
            // A thread that died while it held the count has already ended the run.
            let mut done = done.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            *done += chunk.len();
            progress(*done, items.len());
            Ok(results)
        })
        .collect();
    let mut out = Vec::with_capacity(items.len());
    // In order, so that of several faults the first is told.
    for chunk in chunks {
        out.append(&mut chunk?);
    }
    Ok(out)
}

/// Samples of rows that stand for themselves.
fn rows_apart<T: Sync>(
    rows: &[T],
    encode: impl Fn(&T) -> Result<Learned> + Sync,
    line: impl Fn(&T) -> usize,
    options: &Options,
    place: &str,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<(Vec<Sample>, Report)> {
    let encoded = tokenise(rows, progress, |chunk| chunk.iter().map(&encode).collect())?;
    let mut report = Report { rows: rows.len(), ..Report::default() };
    let mut samples = Vec::with_capacity(rows.len());
    for (row, learned) in encoded.into_iter().enumerate() {
        let length = learned.ids.len();
        count_length(&mut report, length);
        if u32::try_from(length).is_err() {
            return Err(Error::input(
                format!("{place}:{}", line(&rows[row])),
                "the row has more tokens than can be counted",
                "take it out",
            ));
        }
        let mut sample = Sample::masked(learned, row);
        let too_long = length > options.seq_len;
        report.too_long += usize::from(too_long);
        if too_long {
            match options.too_long {
                TooLong::Cut => sample.truncate(options.seq_len),
                TooLong::Drop => {
                    report.dropped += 1;
                    continue;
                }
                TooLong::Error => {
                    let place = format!("{place}:{}", line(&rows[row]));
                    let what = format!("the row has {length} tokens, more than the sequence length of {}", options.seq_len);
                    return Err(Error::input(place, what, "give a larger --seq-len, or have long rows cut or left out (--too-long)"));
                }
            }
        }
        if sample.targets() == 0 {
            report.without_targets += 1;
            report.emptied += usize::from(too_long);
            continue;
        }
        report.cut += usize::from(too_long);
        samples.push(sample);
    }
    if samples.is_empty() {
        let what = format!(
            "nothing is left to learn: of {} rows {} were dropped as longer than {} tokens, {} had no target within them",
            report.rows, report.dropped, options.seq_len, report.without_targets
        );
        return Err(Error::input(place, what, format!("the longest row has {} tokens: give a larger --seq-len", report.longest)));
    }
    Ok((samples, report))
}

/// The ids of a text, line by line.
fn text_ids(text: &str, tokenizer: &Tokenizer, progress: &(dyn Fn(usize, usize) + Sync)) -> Result<Vec<u32>> {
    let parts = tokenise(&lines(text), progress, |chunk| {
        let mut ids = Vec::new();
        for line in chunk {
            tokenizer.encode_into(line, &mut ids)?;
        }
        Ok(vec![ids])
    })?;
    Ok(parts.concat())
}

fn windows(ids: &[u32], options: &Options, place: &str) -> Result<(Vec<Sample>, Report)> {
    let mut report = Report::default();
    let (begin, seq_len) = (&options.begin, options.seq_len.saturating_sub(options.begin.len()));
    if seq_len < 2 {
        let what = format!("--seq-len {}: leaves nothing to learn beside the begin token", options.seq_len);
        return Err(Error::usage(what, "take a larger one"));
    }
    if ids.len() < 2 {
        return Err(Error::input(place, format!("the text has {} tokens", ids.len()), "at least 2 are needed to learn one"));
    }
    let window = seq_len.min(ids.len());
    let whole = ids.chunks_exact(window);
    report.remainder = whole.remainder().len();
    // Nothing foretells where a window begins, so its first token is not learned from the begin token either.
    let learn_from = begin.len() as u32 + 1;
    let sample = |(row, w): (usize, &[u32])| Sample { ids: [&begin[..], w].concat(), learn_from, row, ..Sample::default() };
    let samples: Vec<_> = whole.enumerate().map(sample).collect();
    report.rows = samples.len();
    samples.iter().for_each(|s| count_length(&mut report, s.ids.len()));
    Ok((samples, report))
}

fn count_length(report: &mut Report, length: usize) {
    report.longest = report.longest.max(length);
    let bin = length.next_power_of_two().trailing_zeros() as usize;
    if report.histogram.len() <= bin {
        report.histogram.resize(bin + 1, 0);
    }
    report.histogram[bin] += 1;
}

#[cfg(test)]
#[path = "dataset_tests.rs"]
mod tests;
