//! Text from a model: decoding with a cache of keys and values, and how the next token is drawn.

pub mod chat;
pub mod decoder;
pub mod sample;
pub mod together;

pub use decoder::Decoder;
pub use sample::{Sampler, Sampling};

use crate::data::{DecodeStream, Tokenizer};
use crate::device::Session;
use crate::error::{Error, Result};
use crate::model::Decoding;

/// A continuation.
#[derive(Clone, Debug, PartialEq)]
pub struct Continuation {
    /// The tokens, without the one that ended it.
    pub ids: Vec<u32>,
    /// Their text.
    pub text: String,
    /// Whether it ended by itself.
    pub ended: bool,
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
    if prompt.is_empty() {
        return Err(Error::usage("the prompt has no tokens", "give some text with --prompt"));
    }
    decoding.reset();
    let mut stream = DecodeStream::new(tokenizer, true);
    let mut out = Continuation { ids: Vec::new(), text: String::new(), ended: false };
    let mut logits = decoding.feed(session, prompt).await?;
    while out.ids.len() < max_new_tokens {
        let id = sampler.pick(&mut logits);
        if stop.contains(&id) {
            out.ended = true;
            break;
        }
        out.ids.push(id);
        if let Some(piece) = stream.push(id)? {
            out.text.push_str(&piece);
            if !print(&piece) {
                return Ok(out);
            }
        }
        if out.ids.len() < max_new_tokens {
            logits = decoding.feed(session, &[id]).await?;
        }
    }
    if let Some(piece) = stream.finish()? {
        out.text.push_str(&piece);
        print(&piece);
    }
    Ok(out)
}
