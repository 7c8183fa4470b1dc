//! Scoring a model on rows of text: loss, perplexity, and how often its greedy answer is the row's completion.

use crate::adapter::{AdapterFile, Spec};
use crate::data::template::chatting::AUTO;
use crate::data::{self, Chatting, Options as DataOptions, Reading, Tokenizer, TooLong, TrainOn, read_rows, stop_ids, training_eos};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::generate::{Decoder, Sampler, Sampling};
use crate::kernels::adamw::AdamW;
use crate::model::Source;
use crate::train::heldout::{self, Loss};
use crate::train::program::{Program, Shape};
use crate::train::resolve::{self, Room};
use crate::train::{Event, rows};
use std::path::Path;

/// How rows are scored.
#[derive(Clone, Debug)]
pub struct Options {
    /// How the rows are read.
    pub reading: Reading,
    /// `auto`, `model`, `none` or a file; see [`Chatting::new`].
    pub chat_template: String,
    /// Which parts of a row are scored.
    pub train_on: TrainOn,
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
            seq_len: 512,
            batch_size: 8,
            max_new_tokens: None,
        }
    }
}

/// How often the greedy answer was the completion, blanks at both ends aside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExactMatch {
    /// Answers that were.
    pub right: u64,
    /// Rows with a prompt and a completion.
    pub of: u64,
}

impl ExactMatch {
    /// The share that was right, 0 to 1.
    pub fn share(self) -> f64 {
        self.right as f64 / self.of.max(1) as f64
    }
}

/// What a model scores.
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
    /// Where rows have prompts and completions.
    pub exact_match: Option<ExactMatch>,
}

/// Scores a model, with an adapter if one is given, on the rows of a file.
///
/// # Errors
/// Names the file and the row that is wrong, or what does not fit on the device.
pub async fn evaluate(
    device: &Device,
    source: &Source,
    adapter: Option<&AdapterFile>,
    file: &Path,
    options: &Options,
    events: &mut dyn FnMut(Event),
) -> Result<Scores> {
    if options.batch_size == 0 {
        return Err(Error::usage("--batch-size 0: must be at least 1", ""));
    }
    let tokenizer = Tokenizer::from_dir(&source.folder)?;
    tokenizer.check_against(source.config.vocab_size)?;
    let chat = Chatting::new(&options.chat_template, &source.folder, options.train_on)?;
    let (rows, loss) = score_loss(device, source, adapter, &tokenizer, file, &chat, options, events).await?;
    let exact_match = if options.max_new_tokens == Some(0) {
        None
    } else {
        let asked = chat.questions(&read_rows(file, &options.reading)?, &tokenizer)?;
        score_answers(device, source, adapter, &tokenizer, asked, options, events).await?
    };
    let mean = loss.mean();
    Ok(Scores { rows, targets: loss.targets, loss: mean, perplexity: mean.exp(), exact_match })
}

/// The number of samples, and the loss over their targets.
async fn score_loss(
    device: &Device,
    source: &Source,
    adapter: Option<&AdapterFile>,
    tokenizer: &Tokenizer,
    file: &Path,
    chat: &Chatting,
    options: &Options,
    events: &mut dyn FnMut(Event),
) -> Result<(u64, Loss)> {
    let config = &source.config;
    let eos = training_eos(&source.folder, tokenizer, &config.eos_token_id)?;
    let how = DataOptions { seq_len: options.seq_len, eos, bos: None, too_long: TooLong::Cut, chat: chat.clone() };
    let data = rows::build(file, &options.reading, tokenizer, &how, events)?;
    let shape = Shape {
        batch_size: options.batch_size,
        buckets: data::buckets(&data.lengths(), options.batch_size, options.seq_len, rows::BUCKETS),
        trains: false,
        recompute: false,
        adamw: AdamW { beta1: 0.0, beta2: 0.0, eps: 0.0, weight_decay: 0.0, rate: 1.0 },
        max_grad_norm: 0.0,
        writes: 0,
    };
    let none = Spec::none();
    let spec = Spec { dropout: 0.0, ..adapter.map_or(&none, |a| &a.spec).clone() };
    let formats = source.formats()?;
    let limits = device.limits();
    let program = Program::new(config, &formats, &spec, &shape, limits)?;
    let free = device.is_cpu().then(resolve::available_memory).flatten();
    resolve::check_fit(&program, free.map(|bytes| Room { bytes, given: false }), config, &formats, &spec, &shape, limits)?;
    let mut session = device.load(&program.layout, &program.plans).await?;
    source.load(&mut session, &program.weights, 0, &mut |done, total| {
        events(Event::Loading { what: "weights".into(), done, total });
    })?;
    if let Some(adapter) = adapter {
        adapter.upload(&mut session, &program.arena, "the adapter")?;
    }
    program.inputs.upload_rope(&mut session, config)?;
    let loss = heldout::loss(&mut session, &program, &data, options.batch_size, &mut |done, total| {
        events(Event::Progress { what: "scoring loss".into(), done: done as u64, total: total as u64 });
    })
    .await?;
    Ok((data.len() as u64, loss))
}

/// A row's prompt in tokens, what is to come, and the most tokens that may come.
struct Question {
    prompt: Vec<u32>,
    answer: String,
    most: usize,
}

/// How often the greedy continuation, up to a token that ends it, is the completion.
async fn score_answers(
    device: &Device,
    source: &Source,
    adapter: Option<&AdapterFile>,
    tokenizer: &Tokenizer,
    asked: Vec<(Vec<u32>, String)>,
    options: &Options,
    events: &mut dyn FnMut(Event),
) -> Result<Option<ExactMatch>> {
    let context = source.config.max_position_embeddings;
    let mut questions = Vec::new();
    for (prompt, answer) in asked {
        if prompt.is_empty() {
            continue;
        }
        // The same text may take other tokens than the tokenizer's own; twice as many leave room for that.
        let most = options.max_new_tokens.unwrap_or(2 * tokenizer.encode(&answer)?.len() + 8);
        let most = most.min(context.saturating_sub(prompt.len()));
        questions.push(Question { prompt, answer: answer.trim().to_owned(), most });
    }
    if questions.is_empty() {
        return Ok(None);
    }
    let unanswered = questions.iter().filter(|q| q.most == 0).count();
    if unanswered > 0 {
        let what = format!("{unanswered} prompts leave no room in the model's context of {context} tokens and count as wrong");
        events(Event::warning(what));
    }
    let capacity = questions.iter().map(|q| if q.most == 0 { 1 } else { q.prompt.len() + q.most }).max().unwrap_or(1);
    let stop = stop_ids(&source.folder, tokenizer, &source.config.eos_token_id)?;
    let mut decoder = Decoder::new(device, source, adapter, capacity, &mut |_, _| ()).await?;
    let mut score = ExactMatch { right: 0, of: questions.len() as u64 };
    for (i, question) in questions.iter().enumerate() {
        score.right += u64::from(answers(&mut decoder, tokenizer, question, &stop).await?);
        events(Event::Progress { what: "scoring answers".into(), done: i as u64 + 1, total: score.of });
    }
    Ok(Some(score))
}

/// Whether the greedy continuation is the answer. It is not followed further once it cannot be.
async fn answers(decoder: &mut Decoder, tokenizer: &Tokenizer, question: &Question, stop: &[u32]) -> Result<bool> {
    if question.most == 0 {
        return Ok(false);
    }
    let mut so_far = String::new();
    let mut sampler = Sampler::new(Sampling::GREEDY);
    let mut watch = |piece: &str| {
        so_far.push_str(piece);
        question.answer.starts_with(so_far.trim())
    };
    let out = decoder.continue_tokens(tokenizer, &question.prompt, question.most, stop, &mut sampler, &mut watch).await?;
    Ok(out.text.trim() == question.answer)
}
