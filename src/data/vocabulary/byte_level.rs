//! GPT-2's kind of tokenizer: a text's bytes, written as characters, are merged within words.

use super::parts::{Model, Parts};
use super::pre_tokenizer;
use super::{Kind, Table};
use crate::model::gguf::{Metadata, Value};

/// llama.cpp's model `gpt2`: tokens as tokenizer.json has them, merges in order, and the name of the rule that cuts words.
pub(super) fn describe(parts: &Parts, table: &mut Table, notes: &mut Vec<String>) -> Metadata {
    let Model::Bpe { merges, .. } = &parts.model else { return Metadata::new() };
    let known = pre_tokenizer::name(parts);
    match known {
        None => notes.push(
            "llama.cpp has no name for the way this tokenizer cuts words (pre_tokenizer in tokenizer.json): \"default\" is written, and some \
             texts will become other tokens than here"
                .into(),
        ),
        Some((name, false)) => notes.push(format!(
            "llama.cpp's rule {name} treats words that are tokens otherwise (ignore_merges in tokenizer.json): rare words may become other \
             tokens than here"
        )),
        Some((_, true)) => {}
    }
    // NFC leaves nearly every text as it is, and llama.cpp does without.
    if parts.normalizers().iter().any(|step| step["type"] != "NFC") {
        notes.push("the tokenizer changes texts before it cuts them (normalizer in tokenizer.json), which llama.cpp does not".into());
    }
    if let Some(id) = parts.unknown() {
        table.set_kind(id, Kind::Control);
    }
    let lines = merges.iter().map(|(left, right)| format!("{left} {right}")).collect();
    vec![
        ("tokenizer.ggml.model".into(), Value::Text("gpt2".into())),
        ("tokenizer.ggml.pre".into(), Value::Text(known.map_or("default", |(name, _)| name).into())),
        ("tokenizer.ggml.merges".into(), Value::Texts(lines)),
    ]
}
