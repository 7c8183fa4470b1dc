//! A tokenizer as GGUF tells it: tokens with their kinds, and what llama.cpp joins them by.
//!
//! | file | what it knows |
//! | --- | --- |
//! | `parts.rs` | what of a tokenizer.json is needed |
//! | `byte_level.rs` | GPT-2's kind: merges of bytes |
//! | `pre_tokenizer.rs` | by which name llama.cpp knows the rule that cuts a text into words |
//! | `sentence_piece.rs` | Llama's first kind: merges of characters by score, bytes for what is not known |
//! | `unigram.rs` | SentencePiece's other kind: the tokens whose scores add up highest |
//!
//! GGUF has no place for tokenizer.json's rules as they are; llama.cpp has the common ones under names. What it cannot be told is refused
//! or noted.

mod byte_level;
mod parts;
mod pre_tokenizer;
mod sentence_piece;
mod unigram;

use super::special::{stop_ids, training_bos, training_eos};
use super::template::ChatTemplate;
use super::tokenizer::Tokenizer;
use crate::error::{Error, Result};
use crate::model::ModelConfig;
use crate::model::gguf::{Metadata, Value};
use parts::{Model, Parts};
use std::collections::HashMap;
use std::path::Path;

/// llama.cpp's kinds of tokens (`enum llama_token_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Normal = 1,
    Unknown = 2,
    Control = 3,
    /// Found in a text before anything else, and shown.
    UserDefined = 4,
    Unused = 5,
    Byte = 6,
}

/// A tokenizer's keys, and what was found on the way.
#[derive(Clone, Debug)]
pub struct Vocabulary {
    /// `tokenizer.*`.
    pub metadata: Metadata,
    /// The tokens at which an answer ends.
    pub stops: Vec<String>,
    /// Whether the model has a chat template.
    pub has_template: bool,
    /// Whether white space behind special tokens belongs to them, as in Phi-3.
    pub strips_behind_special: bool,
}

impl Vocabulary {
    /// Reads the tokenizer and the chat template in a model's folder. `notes` gets what a person should know.
    ///
    /// # Errors
    /// Where a file is broken, no end token is named, or llama.cpp has no tokenizer of this kind.
    pub fn of_model(folder: &Path, config: &ModelConfig, notes: &mut Vec<String>) -> Result<Self> {
        let tokenizer = Tokenizer::from_dir(folder)?;
        tokenizer.check_against(config.vocab_size)?;
        let parts = Parts::read(tokenizer.path())?;
        let stops = stop_ids(folder, &tokenizer, &config.eos_token_id)?;
        let mut table = Table::new(&parts, config.vocab_size);
        let own = match &parts.model {
            Model::Bpe { byte_fallback: true, .. } => sentence_piece::describe(&parts, &mut table, notes),
            Model::Bpe { .. } if parts.is_byte_level() => byte_level::describe(&parts, &mut table, notes),
            Model::Unigram { .. } => unigram::describe(&parts, &mut table, notes).map_err(|what| refused(&tokenizer, &what))?,
            _ => {
                let what = "the tokenizer is neither of bytes (as GPT-2's) nor of SentencePiece's kinds; no other kind is written";
                return Err(refused(&tokenizer, what));
            }
        };
        for id in &stops {
            table.set_kind(*id, Kind::Control);
        }
        let mut metadata = own;
        let texts = table.tokens.iter().map(|token| token.0.clone()).collect();
        metadata.push(("tokenizer.ggml.tokens".into(), Value::Texts(texts)));
        metadata.push(("tokenizer.ggml.token_type".into(), Value::I32s(table.tokens.iter().map(|token| token.1 as i32).collect())));
        metadata.extend(special(folder, config, &tokenizer, &parts, &stops, notes)?);
        let template = ChatTemplate::source_of_model(folder)?.map(|(source, _)| source);
        let has_template = template.is_some();
        metadata.extend(template.map(|source| ("tokenizer.chat_template".to_owned(), Value::Text(source))));
        let stops = stops.into_iter().filter_map(|id| table.tokens.get(id as usize)).map(|token| token.0.clone()).collect();
        let strips_behind_special = parts.added.iter().any(|token| token.special && token.rstrip);
        Ok(Self { metadata, stops, has_template, strips_behind_special })
    }
}

/// What stands for a blank in tokens of SentencePiece's kinds.
const BLANK: &str = "▁";
/// Below every other score: of tokens that no text becomes by its score.
const UNMADE: f32 = -1e6;

/// `<0x0A>`.
fn is_byte(token: &str) -> bool {
    let figures = token.strip_prefix("<0x").and_then(|rest| rest.strip_suffix('>'));
    figures.is_some_and(|figures| figures.len() == 2 && u8::from_str_radix(figures, 16).is_ok())
}

fn refused(tokenizer: &Tokenizer, what: &str) -> Error {
    Error::input(tokenizer.path().display().to_string(), what, "leave --format gguf out: transformers loads the merged folder")
}

/// The ids of special tokens, and whether some stand around every text.
fn special(
    folder: &Path,
    config: &ModelConfig,
    tokenizer: &Tokenizer,
    parts: &Parts,
    stops: &[u32],
    notes: &mut Vec<String>,
) -> Result<Metadata> {
    let mut out = Metadata::new();
    let mut put = |key: &str, value: Value| out.push((format!("tokenizer.ggml.{key}"), value));
    // Cut-down models keep the ids of the large one.
    let there = |id: &u32| (*id as usize) < config.vocab_size;
    let bos = training_bos(folder, tokenizer, config.bos_token_id).ok().filter(there);
    // Without one, llama.cpp would end texts at a token of its own choice.
    let eos = training_eos(folder, tokenizer, &config.eos_token_id)?;
    let of_config = |key: &str| config.raw.get(key).and_then(serde_json::Value::as_u64).and_then(|id| u32::try_from(id).ok());
    if let Some(id) = bos {
        put("bos_token_id", Value::U32(id));
    }
    put("eos_token_id", Value::U32(eos));
    // The end of a turn beside that of a document: llama.cpp has a place for one more.
    if let Some(id) = stops.iter().find(|id| **id != eos && there(id)) {
        put("eot_token_id", Value::U32(*id));
    }
    if let Some(id) = parts.unknown() {
        put("unknown_token_id", Value::U32(id));
    }
    if let Some(id) = of_config("pad_token_id").filter(there) {
        put("padding_token_id", Value::U32(id));
    }
    let (before, behind) = tokenizer.around()?;
    let begins = bos.is_some_and(|id| before == [id]);
    let ends = behind == [eos];
    if !(begins || before.is_empty()) || !(ends || behind.is_empty()) {
        notes.push("the tokenizer puts other tokens around every text than one begin and one end token: GGUF cannot say so".into());
    }
    put("add_bos_token", Value::Bool(begins));
    put("add_eos_token", Value::Bool(ends));
    Ok(out)
}

/// Every id's token and kind; what the embedding has beyond the tokenizer is named and unused.
struct Table {
    tokens: Vec<(String, Kind)>,
}

impl Table {
    fn new(parts: &Parts, rows: usize) -> Self {
        let mut table = Self { tokens: (0..rows).map(|id| (format!("[PAD{id}]"), Kind::Unused)).collect() };
        for (token, id) in parts.vocab() {
            table.set(id, token.to_owned(), Kind::Normal);
        }
        for token in &parts.added {
            table.set(token.id, token.content.clone(), if token.special { Kind::Control } else { Kind::UserDefined });
        }
        table
    }

    fn set(&mut self, id: u32, token: String, kind: Kind) {
        if let Some(place) = self.tokens.get_mut(id as usize) {
            *place = (token, kind);
        }
    }

    fn set_kind(&mut self, id: u32, kind: Kind) {
        if let Some(place) = self.tokens.get_mut(id as usize) {
            place.1 = kind;
        }
    }
}

/// By which merge each token is made first.
fn first_merges(merges: &[(String, String)]) -> HashMap<String, usize> {
    let mut first = HashMap::with_capacity(merges.len());
    for (rank, (left, right)) in merges.iter().enumerate() {
        first.entry(format!("{left}{right}")).or_insert(rank);
    }
    first
}

#[cfg(test)]
mod tests;
