//! What the model answers, always by the most likely token: compared as a whole, or by the number that it ends in.

use super::interval::Share;
use super::numbers::{final_number, last_number, marked_number};
use super::{Model, Options};
use crate::data::{Chatting, Rows, Tokenizer, read_rows, stop_ids};
use crate::error::{Error, Result};
use crate::generate::{Decoder, Request, Sampler, Sampling};
use crate::train::Event;
use std::path::PathBuf;

/// Tokens of an answer that ends in a number, where none are given: as many as lm-evaluation-harness allows.
const WORKING: usize = 256;

/// How often the answer's final number is the row's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FinalNumbers {
    /// Answers whose number behind `####` is right.
    pub strict: Share,
    /// Answers whose last number is right.
    pub flexible: Share,
}

/// A prompt in tokens, what is to come, and the most tokens that may come.
struct Question {
    prompt: Vec<u32>,
    answer: String,
    most: usize,
}

/// How often the greedy continuation, up to a token that ends it, is the completion, blanks at both ends aside. None without prompts.
pub(super) async fn exact_match(
    model: &Model<'_>,
    tokenizer: &Tokenizer,
    chat: &Chatting,
    files: &[PathBuf],
    options: &Options,
    events: &mut dyn FnMut(Event),
) -> Result<Option<Share>> {
    let mut questions = Vec::new();
    for file in files {
        for row in read_rows(file, &options.reading)?.apart() {
            let begin = options.begin_ids(model.source, tokenizer, chat, &row)?;
            for (prompt, answer) in chat.questions(&row, tokenizer)?.into_iter().filter(|(prompt, _)| !prompt.is_empty()) {
                // The same text may take other tokens than the tokenizer's own; twice as many leave room for that.
                let most = options.max_new_tokens.unwrap_or(2 * tokenizer.encode(&answer)?.len() + 8);
                questions.push(Question { prompt: [&begin[..], &prompt].concat(), answer: answer.trim().to_owned(), most });
            }
        }
    }
    // An answer is not followed further once it cannot be the one.
    let could_be = |question: &Question, so_far: &str| question.answer.starts_with(so_far.trim());
    let texts = continued(model, tokenizer, &mut questions, options.batch_size, &could_be, events).await?;
    let right = questions.iter().zip(&texts).map(|(question, text)| text.as_ref().is_some_and(|text| text.trim() == question.answer));
    Ok((!questions.is_empty()).then(|| Share::count(right)))
}

/// How often the greedy continuation ends in the number that the row's answer ends in.
///
/// # Errors
/// Where a row has no question, or no number.
pub(super) async fn final_numbers(
    model: &Model<'_>,
    tokenizer: &Tokenizer,
    chat: &Chatting,
    files: &[PathBuf],
    options: &Options,
    events: &mut dyn FnMut(Event),
) -> Result<FinalNumbers> {
    let mut questions = Vec::new();
    for file in files {
        let rows = read_rows(file, &options.reading)?;
        let hint = "rows have a question and an answer that ends in a number, such as \"... #### 18\"";
        if matches!(rows, Rows::Text(_)) {
            return Err(Error::input(file.display().to_string(), "plain text asks nothing", hint));
        }
        for row in rows.apart() {
            let place = || format!("{}:{}", file.display(), row.line(0));
            let (prompt, answer) = chat
                .questions(&row, tokenizer)?
                .into_iter()
                .find(|(prompt, _)| !prompt.is_empty())
                .ok_or_else(|| Error::input(place(), "the row asks nothing", hint))?;
            let number = final_number(&answer).ok_or_else(|| Error::input(place(), "the row's answer has no final number", hint))?;
            let prompt = [options.begin_ids(model.source, tokenizer, chat, &row)?, prompt].concat();
            questions.push(Question { prompt, answer: number, most: options.max_new_tokens.unwrap_or(WORKING) });
        }
    }
    let texts = continued(model, tokenizer, &mut questions, options.batch_size, &|_, _| true, events).await?;
    let share = |number: fn(&str) -> Option<String>| {
        let right = |(question, text): (&Question, &Option<String>)| text.as_deref().and_then(number).as_ref() == Some(&question.answer);
        Share::count(questions.iter().zip(&texts).map(right))
    };
    Ok(FinalNumbers { strict: share(marked_number), flexible: share(last_number) })
}

/// The greedy continuation of each prompt; none where the model's context has no room for one. `goes_on` gets a question and its answer
/// so far, and ends it by returning false. Up to `batch_size` answers are written beside each other.
async fn continued(
    model: &Model<'_>,
    tokenizer: &Tokenizer,
    questions: &mut [Question],
    batch_size: usize,
    goes_on: &dyn Fn(&Question, &str) -> bool,
    events: &mut dyn FnMut(Event),
) -> Result<Vec<Option<String>>> {
    let Model { device, source, adapter } = *model;
    if questions.is_empty() {
        return Ok(Vec::new());
    }
    let context = source.config.max_position_embeddings;
    for question in questions.iter_mut() {
        question.most = question.most.min(context.saturating_sub(question.prompt.len()));
    }
    let unanswered = questions.iter().filter(|q| q.most == 0).count();
    if unanswered > 0 {
        let what = format!("{unanswered} prompts leave no room in the model's context of {context} tokens and count as wrong");
        events(Event::warning(what));
    }
    let capacity = questions.iter().map(|q| if q.most == 0 { 1 } else { q.prompt.len() + q.most }).max().unwrap_or(1);
    let stop = stop_ids(&source.folder, tokenizer, &source.config.eos_token_id)?;
    let asked: Vec<usize> = (0..questions.len()).filter(|i| questions[*i].most > 0).collect();
    let (rows, total) = (batch_size.min(asked.len()), asked.len() as u64);
    let mut decoder = Decoder::with_rows(device, source, adapter, rows, capacity, &mut |_, _| ()).await?;
    let mut samplers = vec![Sampler::new(Sampling::GREEDY); asked.len()];
    let questions: &[Question] = questions;
    let each = asked.iter().zip(&mut samplers);
    let requests =
        each.map(|(i, sampler)| Request { prompt: &questions[*i].prompt, most: questions[*i].most, sampler }).collect::<Vec<_>>();
    let mut so_far = vec![String::new(); asked.len()];
    let mut watch = |place: usize, piece: &str| {
        so_far[place].push_str(piece);
        goes_on(&questions[asked[place]], &so_far[place])
    };
    let mut done = |done: usize| events(Event::Progress { what: "scoring answers".into(), done: done as u64, total });
    let out = decoder.continue_all(tokenizer, requests, &stop, &mut watch, &mut done).await?;
    let mut texts = vec![None; questions.len()];
    for (i, out) in asked.into_iter().zip(out) {
        texts[i] = Some(out.text);
    }
    Ok(texts)
}
