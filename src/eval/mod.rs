//! Scoring a model: loss, perplexity and exact match on rows of text; final numbers of worked answers; multiple choice by likelihood.

mod answers;
mod choices;
mod interval;
mod likelihood;
pub mod numbers;

pub use answers::FinalNumbers;
pub use choices::{ChoiceScore, Choices};
pub use interval::{Share, mean_interval};

use crate::adapter::AdapterFile;
use crate::data::template::chatting::AUTO;
use crate::data::{Begin, Chatting, Dataset, Options as DataOptions, Reading, Rows, Tokenizer, TooLong, TrainOn, training_eos};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::model::Source;
use crate::train::validate::MOST_ROWS;
use crate::train::{Event, rows};
use std::path::PathBuf;

/// How rows are scored.
#[derive(Clone, Debug)]
pub struct Options {
    /// How the rows are read.
    pub reading: Reading,
    /// `auto`, `model`, `none` or a file; see [`Chatting::new`].
    pub chat_template: String,
    /// Which parts of a row are scored.
    pub train_on: TrainOn,
    /// The begin token before what no template writes. [`crate::train::adapters::begin_token`] knows what an adapter's rows had.
    pub begin_token: Begin,
    /// Rows are cut to so many tokens; the length of a text's windows.
    pub seq_len: usize,
    /// Rows that go through the model together.
    pub batch_size: usize,
    /// The longest answer in tokens; without one, what the row's completion can need. 0: no answers, the loss alone.
    pub max_new_tokens: Option<usize>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            reading: Reading::default(),
            chat_template: AUTO.into(),
            train_on: TrainOn::Assistant,
            begin_token: Begin::Auto,
            seq_len: 512,
            batch_size: 8,
            max_new_tokens: None,
        }
    }
}

impl Options {
    /// What stands before these rows' prompts.
    fn begin_ids(&self, source: &Source, tokenizer: &Tokenizer, chat: &Chatting, rows: &Rows) -> Result<Vec<u32>> {
        if chat.writes(rows) { Ok(Vec::new()) } else { self.begin_token.ids(tokenizer, &source.folder, source.config.bos_token_id) }
    }
}

/// What a model scores on rows of text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scores {
    /// Samples: rows, or windows of a text.
    pub rows: u64,
    /// Tokens that were predicted.
    pub targets: u64,
    /// Mean loss over the targets, in nats.
    pub loss: f64,
    /// Its exponential.
    pub perplexity: f64,
    /// The perplexity's 95 % interval, of at least two rows; see [`mean_interval`].
    pub perplexity_interval: Option<(f64, f64)>,
    /// How often the greedy answer is the completion, blanks at both ends aside, where rows have prompts and completions.
    pub exact_match: Option<Share>,
}

/// What is scored, and where.
#[derive(Clone, Copy)]
struct Model<'a> {
    device: &'a Device,
    source: &'a Source,
    adapter: Option<&'a AdapterFile>,
}

/// Scores a model, with an adapter if one is given, on the rows of files.
///
/// # Errors
/// Names the file and the row that is wrong, or what does not fit on the device.
pub async fn evaluate(
    device: &Device,
    source: &Source,
    adapter: Option<&AdapterFile>,
    files: &[PathBuf],
    options: &Options,
    events: &mut dyn FnMut(Event),
) -> Result<Scores> {
    let (tokenizer, chat) = opened(source, options)?;
    let model = Model { device, source, adapter };
    let eos = training_eos(&source.folder, &tokenizer, &source.config.eos_token_id)?;
    let begin = options.begin_token.ids(&tokenizer, &source.folder, source.config.bos_token_id)?;
    let how = DataOptions { seq_len: options.seq_len, eos, begin, too_long: TooLong::Cut, chat: chat.clone() };
    let mut data = Dataset { samples: Vec::new() };
    for file in files {
        data.samples.extend(rows::build(file, &options.reading, &tokenizer, &how, events)?.samples);
    }
    rows::beyond_context(data.longest_row(), source.config.max_position_embeddings).into_iter().for_each(&mut *events);
    let (loss, each) = likelihood::losses(&model, &data, options.batch_size, options.seq_len, "scoring loss", events).await?;
    let exact_match = match options.max_new_tokens {
        Some(0) => None,
        _ => answers::exact_match(&model, &tokenizer, &chat, files, options, events).await?,
    };
    let mean = loss.mean();
    let perplexity_interval = mean_interval(&each).map(|(low, high)| (low.exp(), high.exp()));
    Ok(Scores { rows: data.len() as u64, targets: loss.targets, loss: mean, perplexity: mean.exp(), perplexity_interval, exact_match })
}

/// How often the model's answers end in the numbers that the rows' answers end in, as in GSM8K; see [`numbers`].
///
/// # Errors
/// As [`evaluate`], and where a row has no question or no number.
pub async fn final_numbers(
    device: &Device,
    source: &Source,
    adapter: Option<&AdapterFile>,
    files: &[PathBuf],
    options: &Options,
    events: &mut dyn FnMut(Event),
) -> Result<FinalNumbers> {
    let (tokenizer, chat) = opened(source, options)?;
    answers::final_numbers(&Model { device, source, adapter }, &tokenizer, &chat, files, options, events).await
}

/// Multiple choice by likelihood, on rows as [`crate::data::choices`] knows them.
///
/// # Errors
/// As [`evaluate`], and where a row has no candidates or none of them is right.
pub async fn multiple_choice(
    device: &Device,
    source: &Source,
    adapter: Option<&AdapterFile>,
    files: &[PathBuf],
    options: &Options,
    events: &mut dyn FnMut(Event),
) -> Result<Choices> {
    let (tokenizer, chat) = opened(source, options)?;
    choices::score(&Model { device, source, adapter }, &tokenizer, &chat, files, options, events).await
}

/// What every way of scoring needs of the model's folder.
fn opened(source: &Source, options: &Options) -> Result<(Tokenizer, Chatting)> {
    if !(1..=MOST_ROWS).contains(&options.batch_size) {
        return Err(Error::usage(format!("--batch-size {}: must be from 1 to {MOST_ROWS}", options.batch_size), ""));
    }
    if options.seq_len < 2 {
        let what = format!("--seq-len {}: must be at least 2 (a token to read and one to predict)", options.seq_len);
        return Err(Error::usage(what, ""));
    }
    let tokenizer = Tokenizer::from_dir(&source.folder)?;
    tokenizer.check_against(source.config.vocab_size)?;
    let chat = Chatting::new(&options.chat_template, &source.folder, options.train_on)?;
    Ok((tokenizer, chat))
}
