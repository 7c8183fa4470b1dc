//! Which tokens of a conversation are learned.
//!
//! A template that marks what the assistant says (`{% generation %}`) decides by itself, as in transformers. Of others the turn is
//! found by rendering: it begins where the conversation before it ends when an answer is asked for, and ends where the conversation up
//! to it ends. White space behind the token that ends a turn is not learned: nobody waits for it.

use super::{BEGIN, ChatTemplate, END};
use crate::choice::choice;
use crate::data::conversations::is_assistant;
use crate::data::rows::Chat;
use crate::data::tokenizer::Tokenizer;
use crate::error::{Error, Result};
use serde_json::{Value, json};
use std::ops::Range;

choice! {
    /// From which parts of a row is learned.
    TrainOn {
        /// Everything that the assistant says; of prompt and completion, the completion.
        Assistant = "assistant",
        /// The assistant's last turn alone.
        Last = "last",
        /// Every token.
        All = "all",
    }
}

#[allow(clippy::derivable_impls)] // The macro that makes the enum marks no default.
impl Default for TrainOn {
    fn default() -> Self {
        Self::Assistant
    }
}

/// The ids of a row, and what becomes of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Learned {
    /// The ids.
    pub ids: Vec<u32>,
    /// For each, whether it is learned.
    pub mask: Vec<bool>,
}

/// See [`ChatTemplate::tokens`].
pub(super) fn tokens(template: &ChatTemplate, chat: &Chat, tokenizer: &Tokenizer, train_on: TrainOn, place: &str) -> Result<Learned> {
    let in_row = |e: Error| match e {
        Error::Input { place: at, what, hint } => Error::input(format!("{place} ({at})"), what, hint),
        other => other,
    };
    let (messages, _) = template.fitted(&chat.messages);
    let shown = messages.iter().chain(&chat.tools).any(|part| part.to_string().contains([BEGIN, END]));
    if shown {
        return Err(Error::input(place, "the row holds U+FDD0 or U+FDD1, which are no characters", "take them out"));
    }
    let row = Conversation { template, messages: &messages, tools: chat.tools.as_ref(), chat };
    let marked = row.write(messages.len(), false).map_err(in_row)?;
    let (text, blocks) = unmarked(&marked);
    let (ids, offsets) = tokenizer.encode_offsets(&text)?;
    let mut mask = vec![train_on == TrainOn::All; ids.len()];
    if train_on != TrainOn::All {
        let spans = if template.generation { row.marked(blocks, train_on) } else { row.found(&text, train_on) };
        let spans = spans.map_err(in_row)?;
        for span in &spans {
            let first = offsets.partition_point(|token| token.end <= span.start);
            let mut last = offsets.partition_point(|token| token.start < span.end);
            if !template.generation {
                last = without_tail(tokenizer, &ids, &offsets, &text, first..last);
            }
            mask[first..last.max(first)].fill(true);
        }
    }
    Ok(Learned { ids, mask })
}

/// The end of a turn without the white space behind the special token that ends it.
fn without_tail(tokenizer: &Tokenizer, ids: &[u32], offsets: &[Range<usize>], text: &str, tokens: Range<usize>) -> usize {
    let blank = |at: usize| text.get(offsets[at].clone()).is_some_and(|part| part.trim().is_empty());
    let mut end = tokens.end;
    while end > tokens.start && blank(end - 1) && !tokenizer.is_special(ids[end - 1]) {
        end -= 1;
    }
    if end > tokens.start && tokenizer.is_special(ids[end - 1]) { end } else { tokens.end }
}

/// The text without the marks, and where the marked parts are. Marks within marked parts add nothing.
fn unmarked(marked: &str) -> (String, Vec<Range<usize>>) {
    let (mut text, mut spans, mut open) = (String::with_capacity(marked.len()), Vec::new(), Vec::new());
    for c in marked.chars() {
        match c {
            BEGIN => open.push(text.len()),
            END => {
                if let (Some(start), true) = (open.pop(), open.is_empty()) {
                    spans.push(start..text.len());
                }
            }
            c => text.push(c),
        }
    }
    (text, spans)
}

/// A row with its template.
struct Conversation<'a> {
    template: &'a ChatTemplate,
    messages: &'a [Value],
    tools: Option<&'a Value>,
    chat: &'a Chat,
}

impl Conversation<'_> {
    fn write(&self, upto: usize, begin_answer: bool) -> Result<String> {
        self.template.write(&self.messages[..upto], self.tools, begin_answer)
    }

    fn plain(&self, upto: usize, begin_answer: bool) -> Result<String> {
        self.write(upto, begin_answer).map(|text| unmarked(&text).0)
    }

    /// The assistant's turns that are to be learned.
    fn turns(&self, train_on: TrainOn) -> Vec<usize> {
        let mut all = (0..self.messages.len()).filter(|i| is_assistant(&self.messages[*i]) && self.chat.learned.get(*i) != Some(&false));
        match train_on {
            TrainOn::Last => all.next_back().into_iter().collect(),
            _ => all.collect(),
        }
    }

    /// The parts that the template has marked; of them those of the turns that are to be learned.
    fn marked(&self, blocks: Vec<Range<usize>>, train_on: TrainOn) -> Result<Vec<Range<usize>>> {
        let of_assistant = (0..self.messages.len()).filter(|i| is_assistant(&self.messages[*i]));
        let turns = self.turns(train_on);
        if turns.len() == of_assistant.clone().count() {
            return Ok(blocks);
        }
        // Which turn a part belongs to is told by how many there are before it.
        let mut out = Vec::new();
        for turn in turns {
            let count = |upto: usize| self.write(upto, false).map(|text| unmarked(&text).1.len());
            let (before, after) = (count(turn)?, count(turn + 1)?);
            let Some(own) = blocks.get(before..after) else { return Err(self.lost(turn)) };
            out.extend_from_slice(own);
        }
        Ok(out)
    }

    /// Where the turns are in the text of the whole conversation.
    fn found(&self, text: &str, train_on: TrainOn) -> Result<Vec<Range<usize>>> {
        let mut out: Vec<Range<usize>> = Vec::new();
        for turn in self.turns(train_on) {
            let span = self.by_prefix(text, turn).map_or_else(|| self.by_stand_in(text, turn), Ok)?;
            let from = out.last().map_or(0, |before| before.end);
            if span.start < from {
                return Err(self.lost(turn));
            }
            out.push(span);
        }
        Ok(out)
    }

    /// Where a turn is, if the text before it is the same as without what follows.
    fn by_prefix(&self, text: &str, turn: usize) -> Option<Range<usize>> {
        let after = if turn + 1 == self.messages.len() { text.to_owned() } else { self.plain(turn + 1, false).ok()? };
        if !text.starts_with(&after) {
            return None;
        }
        let asked = self.plain(turn, true).ok()?;
        let start = if after.starts_with(&asked) {
            asked.len()
        } else {
            // What is written to ask for an answer may go on, as with a thought that is to be thought: up to where both agree.
            let common = common_prefix(&after, &asked);
            let before = self.plain(turn, false).ok()?;
            if common < before.len() || !text.starts_with(&before) {
                return None;
            }
            common
        };
        Some(start..after.len())
    }

    /// Where a turn is that is written otherwise once others follow (without its thoughts, say): what changes with its content, and the
    /// special token behind that, which the turn's own end names.
    fn by_stand_in(&self, text: &str, turn: usize) -> Result<Range<usize>> {
        let write = |content: &str| {
            let mut messages = self.messages.to_vec();
            messages[turn] = json!({"role": "assistant", "content": content});
            self.template.write(&messages, self.tools, false).map(|text| unmarked(&text).0)
        };
        const STAND_IN: &str = "\u{fdd2}";
        let other = write(STAND_IN)?;
        let (Some(start), 1) = (other.find(STAND_IN), other.matches(STAND_IN).count()) else { return Err(self.lost(turn)) };
        let tail = &other[start + STAND_IN.len()..];
        if !text.starts_with(&other[..start]) || !text.ends_with(tail) || text.len() < start + tail.len() {
            return Err(self.lost(turn));
        }
        let end = text.len() - tail.len();
        // What ends a turn: what the conversation up to here writes behind the stand-in.
        let mut upto = self.messages[..=turn].to_vec();
        upto[turn] = json!({"role": "assistant", "content": STAND_IN});
        let own = self.template.write(&upto, self.tools, false).map(|text| unmarked(&text).0)?;
        let closing = own.rsplit(STAND_IN).next().unwrap_or_default();
        Ok(start..end + common_prefix(tail, closing))
    }

    fn lost(&self, turn: usize) -> Error {
        let what = format!("turn {} of the assistant is written otherwise once others follow, so what is learned cannot be told", turn + 1);
        let hint = "use a template with {% generation %} (--chat-template FILE), or --train-on last or all";
        Error::input(self.template.place(), what, hint)
    }
}

/// Bytes that two texts have in common at their beginnings, whole characters.
fn common_prefix(a: &str, b: &str) -> usize {
    a.char_indices().zip(b.chars()).find(|((_, x), y)| x != y).map_or(a.len().min(b.len()), |((at, _), _)| at)
}
