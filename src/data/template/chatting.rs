//! Whether and how rows go through a chat template.

use super::{ChatTemplate, Learned, TrainOn};
use crate::data::conversations::is_assistant;
use crate::data::rows::{Chat, Row, Rows};
use crate::data::tokenizer::Tokenizer;
use crate::error::{Error, Result};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

/// The words of `--chat-template`; anything else is a file.
pub const AUTO: &str = "auto";
const MODEL: &str = "model";
const NONE: &str = "none";

/// What becomes of conversations, and from which parts of a row is learned.
#[derive(Clone, Debug, Default)]
pub struct Chatting {
    template: Option<Arc<ChatTemplate>>,
    /// Why the model's own template cannot be used. It is told once a row needs it.
    fault: Option<Arc<Error>>,
    /// Whether prompt and completion go through the template too.
    pairs: bool,
    /// From which parts of a row is learned.
    pub train_on: TrainOn,
}

impl Chatting {
    /// As `--chat-template` says: `auto` is the model's template for conversations and instructions, and prompt and completion as they
    /// are; `model` the model's, or a file's, for both; `none` is none.
    ///
    /// # Errors
    /// Where the template that is asked for is not there or is no template.
    pub fn new(word: &str, folder: &Path, train_on: TrainOn) -> Result<Self> {
        let plain = Self { train_on, ..Self::default() };
        let with = |template: ChatTemplate, pairs| Self { template: Some(Arc::new(template)), pairs, ..plain.clone() };
        match word {
            AUTO => Ok(match ChatTemplate::of_model(folder) {
                Ok(Some(template)) => with(template, false),
                Ok(None) => plain,
                Err(error) => Self { fault: Some(Arc::new(error)), ..plain },
            }),
            NONE => Ok(plain),
            MODEL => match ChatTemplate::of_model(folder)? {
                Some(template) => Ok(with(template, true)),
                None => Err(no_template(folder.display().to_string())),
            },
            file => Ok(with(ChatTemplate::from_file(Path::new(file), folder)?, true)),
        }
    }

    /// The template, if there is one.
    pub fn template(&self) -> Option<&ChatTemplate> {
        self.template.as_deref()
    }

    /// The template, taken out; none where there is none.
    ///
    /// # Errors
    /// Where the model has one that cannot be used.
    pub fn into_template(self) -> Result<Option<ChatTemplate>> {
        match (&self.fault, self.template) {
            (Some(fault), _) => Err(Error::input(fault.place(), fault.what(), fault.hint().unwrap_or_default())),
            (None, template) => Ok(template.map(Arc::unwrap_or_clone)),
        }
    }

    /// A row of two texts as a conversation, where it is to be one.
    fn pair(&self, row: &Row) -> Option<(&ChatTemplate, Chat)> {
        let template = self.template().filter(|_| self.pairs && !row.prompt.is_empty())?;
        let messages = vec![json!({"role": "user", "content": row.prompt}), json!({"role": "assistant", "content": row.completion})];
        Some((template, Chat { learned: vec![true; messages.len()], messages, tools: None, plain: None, line: row.line }))
    }

    /// The ids of a row of two texts. Apart from a template they are tokenised apart and joined, `begin` before and `eos` behind them.
    pub(in crate::data) fn row(&self, row: &Row, tokenizer: &Tokenizer, begin: &[u32], eos: u32, place: &str) -> Result<Learned> {
        if let Some((template, chat)) = self.pair(row) {
            return template.tokens(&chat, tokenizer, self.train_on, place);
        }
        self.plain(&row.prompt, &row.completion, tokenizer, begin, eos)
    }

    fn plain(&self, prompt: &str, completion: &str, tokenizer: &Tokenizer, begin: &[u32], eos: u32) -> Result<Learned> {
        let (mut ids, mut mask) = (begin.to_vec(), vec![false; begin.len()]);
        ids.extend(tokenizer.encode(prompt)?);
        mask.resize(ids.len(), self.train_on == TrainOn::All);
        ids.extend(tokenizer.encode(completion)?);
        ids.push(eos);
        mask.resize(ids.len(), true);
        Ok(Learned { ids, mask })
    }

    /// The ids of a conversation.
    pub(in crate::data) fn chat(&self, chat: &Chat, tokenizer: &Tokenizer, begin: &[u32], eos: u32, place: &str) -> Result<Learned> {
        match (self.template(), &chat.plain) {
            (Some(template), _) => template.tokens(chat, tokenizer, self.train_on, place),
            (None, Some((prompt, completion))) => self.plain(prompt, completion, tokenizer, begin, eos),
            (None, None) => Err(self.missing(place)),
        }
    }

    /// What a row needs the template for cannot be done.
    fn missing(&self, place: &str) -> Error {
        match &self.fault {
            Some(fault) => Error::input(fault.place(), fault.what(), fault.hint().unwrap_or_default()),
            None => no_template(place.to_owned()),
        }
    }

    /// What rows ask and what is to be answered: a prompt's ids, and the completion or the assistant's last words.
    ///
    /// # Errors
    /// As for the rows themselves.
    pub fn questions(&self, rows: &Rows, tokenizer: &Tokenizer) -> Result<Vec<(Vec<u32>, String)>> {
        let asked = |template: &ChatTemplate, chat: &Chat| -> Result<Option<(Vec<u32>, String)>> {
            let Some(last) = chat.messages.iter().rposition(is_assistant) else { return Ok(None) };
            let text = template.render(&chat.messages[..last], chat.tools.as_ref(), true)?;
            let (fitted, _) = template.fitted(&chat.messages[last..=last]);
            let answer = fitted.first().and_then(|m| m.get("content")).and_then(Value::as_str).unwrap_or_default();
            Ok(Some((tokenizer.encode(&text)?, answer.to_owned())))
        };
        let plain = |prompt: &str, completion: &str| Ok((!prompt.is_empty()).then_some((tokenizer.encode(prompt)?, completion.to_owned())));
        let mut out = Vec::new();
        match rows {
            Rows::Pairs(rows) => {
                for row in rows {
                    let pair = self.pair(row);
                    out.extend(match &pair {
                        Some((template, chat)) => asked(template, chat)?,
                        None => plain(&row.prompt, &row.completion)?,
                    });
                }
            }
            Rows::Chats(chats) => {
                for chat in chats {
                    out.extend(match (self.template(), &chat.plain) {
                        (Some(template), _) => asked(template, chat)?,
                        (None, Some((prompt, completion))) => plain(prompt, completion)?,
                        (None, None) => return Err(self.missing("the rows")),
                    });
                }
            }
            Rows::Text(_) => {}
        }
        Ok(out)
    }

    /// Whether rows go through a template, so that it is the template that joins what is asked and what is answered.
    pub fn writes(&self, rows: &Rows) -> bool {
        let used = match rows {
            Rows::Pairs(_) => self.pairs,
            Rows::Chats(_) => true,
            Rows::Text(_) => false,
        };
        used && self.template.is_some()
    }

    /// A sentence on what rows go through, for a run's notes; none where the template plays no part.
    pub fn describe(&self, rows: &Rows) -> Option<String> {
        let template = self.template().filter(|_| self.writes(rows))?;
        let how = match (self.train_on, template.marks_turns()) {
            (TrainOn::All, _) => "every token is learned",
            (TrainOn::Last, _) => "the assistant's last turn is learned",
            (TrainOn::Assistant, true) => "what it marks as generated is learned",
            (TrainOn::Assistant, false) => "the assistant's turns are learned",
        };
        let changed = match rows {
            Rows::Chats(chats) => chats.iter().any(|chat| template.fitted(&chat.messages).1),
            _ => false,
        };
        let tools = if changed { "; it knows no tools: calls are written as text, answers as the user's" } else { "" };
        Some(format!("through the chat template {}: {how}{tools}", template.place()))
    }
}

fn no_template(place: String) -> Error {
    let hint = "name a file with one: --chat-template FILE";
    Error::input(place, "conversations need a chat template, and the model has none", hint)
}
