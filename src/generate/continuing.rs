//! Texts continued, as many at a time as a cache has rows: each gets its prompt read and then a token a turn, beside the others. A row
//! whose text has ended takes the next one.

use super::Sampler;
use crate::data::{DecodeStream, Tokenizer};
use crate::device::Session;
use crate::error::{Error, Result};
use crate::model::Decoding;

/// A continuation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Continuation {
    /// The tokens, without the one that ended it.
    pub ids: Vec<u32>,
    /// Their text.
    pub text: String,
    /// Whether it ended by itself.
    pub ended: bool,
}

/// A text to be continued.
pub struct Request<'a> {
    /// Its tokens.
    pub prompt: &'a [u32],
    /// The most tokens that may come.
    pub most: usize,
    /// How they are drawn.
    pub sampler: &'a mut Sampler,
}

/// A text on its way, in a row of the cache.
struct Text<'a> {
    /// Its place among the requests.
    place: usize,
    row: usize,
    most: usize,
    sampler: &'a mut Sampler,
    stream: Option<DecodeStream<'a>>,
    out: Continuation,
}

impl Text<'_> {
    /// The next token, drawn from what follows the last one; none where the text ends. `print` may end it by returning false.
    fn go_on(&mut self, logits: &mut [f32], stop: &[u32], print: &mut dyn FnMut(usize, &str) -> bool) -> Result<Option<u32>> {
        if self.out.ids.len() < self.most {
            let id = self.sampler.pick(logits);
            self.out.ended = stop.contains(&id);
            if !self.out.ended {
                self.out.ids.push(id);
                if let Some(piece) = self.stream.as_mut().map_or(Ok(None), |stream| stream.push(id))? {
                    self.out.text.push_str(&piece);
                    if !print(self.place, &piece) {
                        return Ok(None);
                    }
                }
                if self.out.ids.len() < self.most {
                    return Ok(Some(id));
                }
            }
        }
        if let Some(piece) = self.stream.take().map_or(Ok(None), DecodeStream::finish)? {
            self.out.text.push_str(&piece);
            print(self.place, &piece);
        }
        Ok(None)
    }
}

/// Continues every request; the continuations in their order. `print` gets a text's place and each piece as it comes, and may end that
/// text by returning false; `done` gets the number of texts that have ended.
///
/// # Errors
/// Where a prompt is empty or longer than the cache, or the device was lost.
pub async fn continue_all<'a>(
    session: &mut Session,
    decoding: &mut Decoding,
    tokenizer: &'a Tokenizer,
    requests: Vec<Request<'a>>,
    stop: &[u32],
    print: &mut dyn FnMut(usize, &str) -> bool,
    done: &mut dyn FnMut(usize),
) -> Result<Vec<Continuation>> {
    let mut ended = 0;
    let mut out = vec![Continuation::default(); requests.len()];
    let mut end = |text: Text<'_>| {
        out[text.place] = text.out;
        ended += 1;
        done(ended);
        text.row
    };
    let mut free: Vec<usize> = (0..decoding.rows()).rev().collect();
    let mut waiting = requests.into_iter().enumerate();
    let mut going: Vec<(Text<'a>, u32)> = Vec::new();
    loop {
        while let Some(row) = free.pop() {
            let Some((place, Request { prompt, most, sampler })) = waiting.next() else {
                free.push(row);
                break;
            };
            if prompt.is_empty() {
                return Err(Error::usage("the prompt has no tokens", "give some text with --prompt"));
            }
            decoding.keep(row, 0);
            let mut logits = decoding.feed(session, row, prompt).await?;
            let stream = Some(DecodeStream::new(tokenizer, true));
            let mut text = Text { place, row, most, sampler, stream, out: Continuation::default() };
            match text.go_on(&mut logits, stop, print)? {
                Some(id) => going.push((text, id)),
                None => free.push(end(text)),
            }
        }
        if going.is_empty() {
            break;
        }
        let tokens: Vec<(usize, u32)> = going.iter().map(|(text, id)| (text.row, *id)).collect();
        let mut logits = decoding.step(session, &tokens).await?;
        let width = logits.len() / tokens.len();
        let mut still = Vec::with_capacity(going.len());
        for ((mut text, _), logits) in going.into_iter().zip(logits.chunks_mut(width)) {
            match text.go_on(logits, stop, print)? {
                Some(id) => still.push((text, id)),
                None => free.push(end(text)),
            }
        }
        going = still;
    }
    Ok(out)
}

/// Continues `prompt` (token ids) by at most `max_new_tokens`. `print` gets each piece of text as it comes and may stop it by
/// returning false.
///
/// # Errors
/// Where the prompt is empty or longer than the cache, or the device was lost.
pub async fn continue_tokens(
    session: &mut Session,
    decoding: &mut Decoding,
    tokenizer: &Tokenizer,
    prompt: &[u32],
    max_new_tokens: usize,
    stop: &[u32],
    sampler: &mut Sampler,
    print: &mut dyn FnMut(&str) -> bool,
) -> Result<Continuation> {
    let one = vec![Request { prompt, most: max_new_tokens, sampler }];
    let mut print = |_: usize, piece: &str| print(piece);
    let all = continue_all(session, decoding, tokenizer, one, stop, &mut print, &mut |_| ()).await?;
    Ok(all.into_iter().next().unwrap_or_default())
}
