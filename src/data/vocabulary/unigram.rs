//! SentencePiece's unigram kind of tokenizer: of all ways to write a text in tokens the one whose scores add up highest.
//!
//! llama.cpp searches the same way, over the whole text. It differs in what is done to a text before, and knows no bytes; what would become
//! other tokens there is refused, but for characters that the tokenizer does not know.

use super::parts::{Model, Parts};
use super::{BLANK, Kind, Table, UNMADE, is_byte};
use crate::model::gguf::{Metadata, Value};

/// llama.cpp's model `t5`.
///
/// # Errors
/// Says in what llama.cpp differs.
pub(super) fn describe(parts: &Parts, table: &mut Table, notes: &mut Vec<String>) -> Result<Metadata, String> {
    let Model::Unigram { vocab, unknown, byte_fallback } = &parts.model else { return Ok(Metadata::new()) };
    let Some(unknown) = *unknown else {
        return Err(
            "the Unigram tokenizer names no token for what it does not know (unk_id): llama.cpp would take one of its own choice".into()
        );
    };
    let prefix = prefix(parts)?;
    let mut scores = vec![UNMADE; table.tokens.len()];
    for (place, (_, score)) in scores.iter_mut().zip(vocab) {
        *place = *score as f32;
    }
    table.set_kind(unknown, Kind::Unknown);
    for (token, kind) in &mut table.tokens {
        match kind {
            Kind::Normal if *byte_fallback && is_byte(token) => *kind = Kind::Byte,
            // These are looked for in the text as it is.
            Kind::UserDefined => *token = token.replace(BLANK, " "),
            _ => {}
        }
    }
    // What is not known costs ten more than the lowest score: of all tokens here, of the plain ones there.
    let plain = table.tokens.iter().zip(vocab).filter(|(token, _)| token.1 == Kind::Normal).map(|(_, own)| own.1);
    if plain.fold(f64::INFINITY, f64::min) > vocab.iter().map(|own| own.1).fold(f64::INFINITY, f64::min) {
        return Err("a special token has the lowest score of the Unigram tokenizer, which llama.cpp does not look at".into());
    }
    if *byte_fallback {
        let what = "the tokenizer writes characters that it does not know in bytes, which llama.cpp does not do for Unigram: they become \
                    the unknown token there";
        notes.push(what.into());
    }
    Ok(vec![
        ("tokenizer.ggml.model".into(), Value::Text("t5".into())),
        ("tokenizer.ggml.pre".into(), Value::Text("default".into())),
        ("tokenizer.ggml.add_space_prefix".into(), Value::Bool(prefix)),
        ("tokenizer.ggml.remove_extra_whitespaces".into(), Value::Bool(false)),
        ("tokenizer.ggml.scores".into(), Value::F32s(scores)),
    ])
}

/// Whether a blank is put before every text; an error where texts are treated otherwise than llama.cpp can.
fn prefix(parts: &Parts) -> Result<bool, String> {
    let (mut prefix, mut replaced, mut cut) = (false, false, false);
    let other = |step: &serde_json::Value| {
        let name = step["type"].as_str().unwrap_or("without a type");
        let why = match name {
            "Precompiled" => "takes whole characters with their marks, and llama.cpp the longest stretch that its table has",
            "Strip" | "WhitespaceSplit" => "takes line ends for blanks, and llama.cpp does not",
            _ => "is nothing that llama.cpp does",
        };
        Err(format!("the Unigram tokenizer's step {name} (normalizer or pre_tokenizer in tokenizer.json) {why}"))
    };
    for step in parts.normalizers() {
        match step["type"].as_str() {
            Some("Prepend") if step["prepend"] == BLANK => prefix = true,
            Some("Replace") if step["pattern"]["String"] == " " && step["content"] == BLANK => replaced = true,
            _ => return other(step),
        }
    }
    for step in parts.pre_tokenizers() {
        match step["type"].as_str() {
            Some("Metaspace") if step["replacement"] == BLANK => {
                // Older files have a switch in place of the three schemes.
                let scheme = step["prepend_scheme"].as_str();
                let puts = scheme.map_or(step["add_prefix_space"] != false, |scheme| scheme != "never");
                if puts && !prefix {
                    return Err(
                        "the Unigram tokenizer puts a blank before a text that has none (Metaspace in tokenizer.json), and llama.cpp \
                                before every text"
                            .into(),
                    );
                }
                replaced = true;
                cut |= step["split"] != false;
            }
            _ => return other(step),
        }
    }
    if !replaced {
        return Err(
            "the Unigram tokenizer keeps blanks as they are (no Metaspace or Replace in tokenizer.json), and llama.cpp does not".into()
        );
    }
    let inside = |token: &str| token.chars().skip(1).any(|c| BLANK.starts_with(c));
    match parts.vocab().into_iter().find(|(token, _)| cut && inside(token)) {
        Some((token, _)) => {
            Err(format!("the Unigram tokenizer cuts texts before blanks, and has {token:?} across them: llama.cpp would use it"))
        }
        None => Ok(prefix),
    }
}
