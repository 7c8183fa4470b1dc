//! SentencePiece's kind of tokenizer, as Llama 2, Mistral, Gemma and Phi-3 have it: characters are merged by score, blanks are `▁`, and
//! what is not known is written in bytes.

use super::parts::{Model, Parts};
use super::{BLANK, Kind, Table, UNMADE, first_merges, is_byte};
use crate::model::gguf::{Metadata, Value};

/// llama.cpp's model `llama`. It joins any two neighbours that are a token, the highest score first; tokenizer.json has merges instead,
/// whose rank is such a score turned round.
pub(super) fn describe(parts: &Parts, table: &mut Table, notes: &mut Vec<String>) -> Metadata {
    let Model::Bpe { merges, .. } = &parts.model else { return Metadata::new() };
    let first = first_merges(merges);
    let mut scores = Vec::with_capacity(table.tokens.len());
    for (token, kind) in &mut table.tokens {
        if *kind == Kind::Normal && is_byte(token) {
            *kind = Kind::Byte;
        }
        // A single character is made by no merge, and needs no score.
        let single = token.chars().nth(1).is_none();
        scores.push(match first.get(token) {
            Some(rank) if *kind == Kind::Normal => -(*rank as f32),
            None if *kind == Kind::Byte || (*kind == Kind::Normal && single) => 0.0,
            _ => UNMADE,
        });
        // These are looked for in the text as it is.
        if *kind == Kind::UserDefined {
            *token = token.replace(BLANK, " ");
        }
    }
    if let Some(id) = parts.unknown() {
        table.set_kind(id, Kind::Unknown);
    }
    if !table.tokens.iter().any(|token| token.1 == Kind::Byte) {
        notes.push("the tokenizer has no tokens for bytes: llama.cpp stops with an error at a character that it does not know".into());
    }
    let (prefix, understood) = blanks(parts);
    if !understood {
        let what = "the tokenizer treats texts otherwise than SentencePiece (normalizer and pre_tokenizer in tokenizer.json): some texts \
                    will become other tokens in llama.cpp";
        notes.push(what.into());
    }
    vec![
        ("tokenizer.ggml.model".into(), Value::Text("llama".into())),
        ("tokenizer.ggml.pre".into(), Value::Text("default".into())),
        ("tokenizer.ggml.add_space_prefix".into(), Value::Bool(prefix)),
        ("tokenizer.ggml.scores".into(), Value::F32s(scores)),
    ]
}

/// Whether a blank is put before a text, and whether that and the writing of blanks is all that is done to it.
fn blanks(parts: &Parts) -> (bool, bool) {
    let (mut prefix, mut replaced, mut other) = (false, false, false);
    for step in parts.normalizers() {
        match step["type"].as_str() {
            Some("Prepend") if step["prepend"] == BLANK => prefix = true,
            Some("Replace") if step["pattern"]["String"] == " " && step["content"] == BLANK => replaced = true,
            _ => other = true,
        }
    }
    for step in parts.pre_tokenizers() {
        match step["type"].as_str() {
            Some("Metaspace") if step["replacement"] == BLANK => {
                // Older files have a switch in place of the three schemes.
                let scheme = step["prepend_scheme"].as_str();
                prefix |= scheme.map_or(step["add_prefix_space"] != false, |scheme| scheme != "never");
                replaced = true;
            }
            // Gemma's: there are no blanks left to cut at.
            Some("Split") if replaced && step["pattern"]["String"] == " " => {}
            _ => other = true,
        }
    }
    (prefix, replaced && !other)
}
