//! Text out of ids one at a time, as generation gives them.

use super::tokenizer::Tokenizer;
use crate::error::Result;

/// Turns ids into text as they come; joined, the parts are what [`Tokenizer::decode`] makes of all ids.
///
/// One id's text depends on its neighbours: a character may be spread over several ids, and a blank before a word is dropped
/// at the start of a text only. So a short window is decoded twice, without and with the new ids, and the difference is
/// given out, once it ends in a whole character.
pub struct DecodeStream<'a> {
    tokenizer: &'a Tokenizer,
    skip_special: bool,
    ids: Vec<u32>,
    /// `ids[..read]` was given out and is context for what follows.
    read: usize,
}

/// What a decoder writes for bytes that are not (yet) a character.
const BROKEN: char = '\u{fffd}';

impl<'a> DecodeStream<'a> {
    /// An empty stream; `skip_special` leaves special tokens out.
    pub fn new(tokenizer: &'a Tokenizer, skip_special: bool) -> Self {
        Self { tokenizer, skip_special, ids: Vec::new(), read: 0 }
    }

    /// Adds an id. Gives the text that is complete now, if there is any.
    pub fn push(&mut self, id: u32) -> Result<Option<String>> {
        self.ids.push(id);
        let (before, now) = self.texts()?;
        if now.ends_with(BROKEN) || now.len() <= before.len() {
            return Ok(None);
        }
        // What was new is the context of what follows; what was context is needed no longer.
        self.ids.drain(..self.read);
        self.read = self.ids.len();
        Ok(Some(added(&before, &now)))
    }

    /// The rest, at the end of the generation: an unfinished character is given out as `U+FFFD`.
    pub fn finish(self) -> Result<Option<String>> {
        let (before, now) = self.texts()?;
        let rest = added(&before, &now);
        Ok((!rest.is_empty()).then_some(rest))
    }

    fn texts(&self) -> Result<(String, String)> {
        let before = self.tokenizer.decode(&self.ids[..self.read], self.skip_special)?;
        Ok((before, self.tokenizer.decode(&self.ids, self.skip_special)?))
    }
}

/// What `now` has beyond `before`. A decoder that rewrites what came before cannot be undone: then it is what is longer.
fn added(before: &str, now: &str) -> String {
    match now.strip_prefix(before) {
        Some(rest) => rest.to_string(),
        None => now.chars().skip(before.chars().count()).collect(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::tokenizer::tests::small;
    use super::*;

    #[test]
    fn special_tokens_and_unknown_ids_give_nothing() {
        let t = small("");
        let mut stream = DecodeStream::new(&t, true);
        assert_eq!(stream.push(2).unwrap(), None);
        assert_eq!(stream.push(3).unwrap().as_deref(), Some("a"));
        assert_eq!(stream.push(12345).unwrap(), None);
        assert_eq!(stream.push(4).unwrap().as_deref(), Some("b"));
        assert_eq!(stream.finish().unwrap(), None);
        let mut stream = DecodeStream::new(&t, false);
        assert_eq!(stream.push(2).unwrap().as_deref(), Some("</s>"));
    }

    #[test]
    fn a_decoder_that_rewrites_does_not_panic() {
        assert_eq!(added("añ", "ab c"), " c");
        assert_eq!(added("abc", "a"), "");
    }
}
