//! A conversation with a model, turn by turn: its template, its history, and a cache that keeps what has not changed.

use super::{Decoder, Sampler};
use crate::data::{ChatTemplate, DecodeStream, Tokenizer};
use crate::error::{Error, Result};
use serde_json::{Value, json};

/// What a turn needs besides the conversation.
pub struct Speaker<'a> {
    /// The loaded model.
    pub decoder: Decoder,
    /// Tokens that fit it.
    pub capacity: usize,
    /// Its tokenizer.
    pub tokenizer: &'a Tokenizer,
    /// Its chat template. Without one each turn is continued as it stands, and earlier ones are not seen.
    pub template: Option<ChatTemplate>,
    /// Ids that end an answer.
    pub stop: Vec<u32>,
    /// What stands before a text that no template writes.
    pub begin: Vec<u32>,
    /// What each of the decoder's voices has in its cache.
    pub cached: Vec<Vec<u32>>,
}

/// How an answer ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// Its text.
    pub text: String,
    /// Its tokens.
    pub tokens: usize,
    /// Whether the model ended it.
    pub ended: bool,
    /// Earlier turns that no longer fitted and were forgotten.
    pub forgotten: usize,
}

/// What was said so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// What the system says, if anything.
    pub system: Option<String>,
    turns: Vec<Value>,
}

impl History {
    /// Nothing was said, except by the system.
    pub fn new(system: Option<String>) -> Self {
        Self { system, turns: Vec::new() }
    }

    /// Adds a turn of the person's.
    pub fn ask(&mut self, text: &str) {
        self.turns.push(json!({"role": "user", "content": text}));
    }

    /// Adds the model's answer.
    pub fn answer(&mut self, text: &str) {
        self.turns.push(json!({"role": "assistant", "content": text}));
    }

    /// Takes back the last turn, and the question before it where it was an answer. That question.
    pub fn take_back(&mut self) -> Option<String> {
        let mut last = self.turns.pop()?;
        if last["role"] == "assistant" {
            last = self.turns.pop()?;
        }
        last["content"].as_str().map(str::to_owned)
    }

    /// Forgets every turn; what the system says stays.
    pub fn clear(&mut self) {
        self.turns.clear();
    }

    /// The turns as templates take them.
    pub fn messages(&self) -> Vec<Value> {
        let system = self.system.iter().map(|text| json!({"role": "system", "content": text}));
        system.chain(self.turns.iter().cloned()).collect()
    }

    /// Forgets the oldest question and its answer. Whether there was one besides the last.
    fn forget_oldest(&mut self) -> bool {
        let next = self.turns.iter().skip(1).position(|turn| turn["role"] == "user").map(|at| at + 1);
        next.is_some_and(|at| self.turns.drain(..at).count() > 0)
    }
}

impl Speaker<'_> {
    /// Answers the last turn of the history, which stays as it is but for turns that no longer fit. `print` gets each piece of text as it
    /// comes and may end the answer by returning false.
    ///
    /// # Errors
    /// Where the template refuses the conversation, the last turn alone is too long, or the device was lost.
    pub async fn reply(
        &mut self,
        history: &mut History,
        voice: usize,
        sampler: &mut Sampler,
        most: usize,
        print: &mut dyn FnMut(&str) -> bool,
    ) -> Result<Answer> {
        let mut answer = Answer::default();
        let prompt = loop {
            let ids = self.ids(history)?;
            if ids.is_empty() {
                return Err(Error::usage("the text has no tokens", "write something"));
            }
            // Room for a quarter of an answer at least, unless the turn stands alone.
            let wanted = if answer.forgotten == 0 { most.min(self.capacity / 4).max(1) } else { 1 };
            if ids.len() + wanted <= self.capacity {
                break ids;
            }
            if history.forget_oldest() {
                answer.forgotten += 1;
            } else if ids.len() < self.capacity {
                break ids;
            } else {
                let what = format!("{} tokens leave no room in a context of {} tokens", ids.len(), self.capacity);
                return Err(Error::usage(what, "say it shorter"));
            }
        };
        let cached = self.cached.get_mut(voice).ok_or_else(|| Error::usage("nobody speaks under that number", ""))?;
        self.decoder.switch(voice);
        // The last token is always fed: what follows it is what is wanted.
        let same = cached.iter().zip(&prompt).take_while(|(a, b)| a == b).count().min(prompt.len() - 1);
        self.decoder.keep(same);
        cached.truncate(same);
        let mut logits = self.decoder.feed(&prompt[same..]).await?;
        cached.extend_from_slice(&prompt[same..]);
        let mut stream = DecodeStream::new(self.tokenizer, true);
        let most = most.min(self.capacity - prompt.len());
        let mut listens = true;
        while answer.tokens < most && listens {
            let id = sampler.pick(&mut logits);
            if self.stop.contains(&id) {
                answer.ended = true;
                break;
            }
            answer.tokens += 1;
            if let Some(piece) = stream.push(id)? {
                answer.text.push_str(&piece);
                listens = print(&piece);
            }
            if answer.tokens < most && listens {
                logits = self.decoder.feed(&[id]).await?;
                cached.push(id);
            }
        }
        if let Some(piece) = stream.finish()? {
            answer.text.push_str(&piece);
            print(&piece);
        }
        Ok(answer)
    }

    fn ids(&self, history: &History) -> Result<Vec<u32>> {
        let messages = history.messages();
        match &self.template {
            Some(template) => self.tokenizer.encode(&template.render(&messages, None, true)?),
            None => {
                let text = messages.last().and_then(|m| m["content"].as_str()).unwrap_or_default();
                let ids = self.tokenizer.encode(text)?;
                Ok(if ids.is_empty() { ids } else { [&self.begin[..], &ids].concat() })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_forgets_from_its_front() {
        let mut h = History::new(Some("s".into()));
        h.ask("a");
        assert!(!h.forget_oldest());
        h.answer("b");
        h.ask("c");
        assert_eq!(h.messages().len(), 4);
        assert!(h.forget_oldest());
        assert_eq!(h.messages(), [json!({"role": "system", "content": "s"}), json!({"role": "user", "content": "c"})]);
        h.answer("d");
        assert_eq!((h.take_back().as_deref(), h.take_back(), h.messages().len()), (Some("c"), None, 1));
    }
}
