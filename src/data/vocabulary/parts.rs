//! What of a tokenizer.json is needed to tell it in GGUF.

use crate::error::{Error, Result};
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashMap;
use std::path::Path;

/// The parts of a tokenizer.json.
#[derive(Debug, Deserialize)]
pub(super) struct Parts {
    #[serde(default, rename = "added_tokens")]
    pub added: Vec<Added>,
    #[serde(default)]
    pub normalizer: Value,
    #[serde(default)]
    pub pre_tokenizer: Value,
    pub model: Model,
}

/// A token beside the model's own, or one of them that is looked for first.
#[derive(Debug, Deserialize)]
pub(super) struct Added {
    pub id: u32,
    pub content: String,
    #[serde(default)]
    pub special: bool,
    #[serde(default)]
    pub rstrip: bool,
}

/// How words become tokens.
#[derive(Debug, Deserialize)]
#[serde(from = "AnyModel")]
pub(super) enum Model {
    /// Pairs are merged, the earliest merge first.
    Bpe { vocab: HashMap<String, u32>, merges: Vec<(String, String)>, unknown: Option<String>, byte_fallback: bool, ignore_merges: bool },
    /// Every token has a score, and the highest sum wins.
    Unigram { vocab: Vec<(String, f64)>, unknown: Option<u32>, byte_fallback: bool },
    /// Anything else.
    Other,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum AnyModel {
    Bpe {
        vocab: HashMap<String, u32>,
        merges: Vec<Merge>,
        #[serde(default)]
        unk_token: Option<String>,
        #[serde(default)]
        byte_fallback: bool,
        #[serde(default)]
        ignore_merges: bool,
    },
    Unigram {
        vocab: Vec<(String, f64)>,
        #[serde(default)]
        unk_id: Option<u32>,
        #[serde(default)]
        byte_fallback: bool,
    },
    Other(serde::de::IgnoredAny),
}

/// Two tokens; older files have them in one text with a blank between.
#[derive(Deserialize)]
#[serde(untagged)]
enum Merge {
    Pair(String, String),
    Line(String),
}

impl From<AnyModel> for Model {
    fn from(model: AnyModel) -> Self {
        let pair = |merge| match merge {
            Merge::Pair(left, right) => (left, right),
            Merge::Line(line) => line.split_once(' ').map_or_else(|| (line.clone(), String::new()), |(l, r)| (l.into(), r.into())),
        };
        match model {
            AnyModel::Bpe { vocab, merges, unk_token, byte_fallback, ignore_merges } => {
                Self::Bpe { vocab, merges: merges.into_iter().map(pair).collect(), unknown: unk_token, byte_fallback, ignore_merges }
            }
            AnyModel::Unigram { vocab, unk_id, byte_fallback } => Self::Unigram { vocab, unknown: unk_id, byte_fallback },
            AnyModel::Other(_) => Self::Other,
        }
    }
}

impl Parts {
    /// Reads the file.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = crate::files::read(path).map_err(Error::io(path))?;
        let fault = |e| Error::input(path.display().to_string(), format!("not a tokenizer: {e}"), "download the file again");
        serde_json::from_slice(&bytes).map_err(fault)
    }

    /// The model's own tokens with their ids.
    pub fn vocab(&self) -> Vec<(&str, u32)> {
        match &self.model {
            Model::Bpe { vocab, .. } => vocab.iter().map(|(token, id)| (token.as_str(), *id)).collect(),
            Model::Unigram { vocab, .. } => (0..).zip(vocab).map(|(id, (token, _))| (token.as_str(), id)).collect(),
            Model::Other => Vec::new(),
        }
    }

    /// The id of a token, added tokens first.
    pub fn id(&self, token: &str) -> Option<u32> {
        let added = self.added.iter().find(|added| added.content == token).map(|added| added.id);
        added.or_else(|| match &self.model {
            Model::Bpe { vocab, .. } => vocab.get(token).copied(),
            _ => self.vocab().into_iter().find(|own| own.0 == token).map(|own| own.1),
        })
    }

    /// The id for what is not known.
    pub fn unknown(&self) -> Option<u32> {
        match &self.model {
            Model::Bpe { unknown: Some(token), .. } => self.id(token),
            Model::Unigram { unknown, .. } => *unknown,
            _ => None,
        }
    }

    /// The pre-tokenizers, one after the other.
    pub fn pre_tokenizers(&self) -> Vec<&Value> {
        steps(&self.pre_tokenizer, "pretokenizers")
    }

    /// The normalizers, one after the other.
    pub fn normalizers(&self) -> Vec<&Value> {
        steps(&self.normalizer, "normalizers")
    }

    /// Whether texts are taken as bytes.
    pub fn is_byte_level(&self) -> bool {
        self.pre_tokenizers().iter().any(|step| step["type"] == "ByteLevel")
    }
}

/// One step, or a sequence of them.
fn steps<'a>(value: &'a Value, list: &str) -> Vec<&'a Value> {
    match (value, value.get(list).and_then(Value::as_array)) {
        (Value::Null, _) => Vec::new(),
        (_, Some(all)) => all.iter().collect(),
        (one, None) => vec![one],
    }
}
