//! By which name llama.cpp knows the rule that cuts a text into words.
//!
//! The names are those of `llama_vocab::impl::load` in llama-vocab.cpp; tokenizer.json has the rules themselves.

use super::parts::{Model, Parts};
use serde_json::Value;

/// GPT-4's rule with up to `{1,3}` figures of a number together.
const THREE: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// The same with each figure alone.
const ONE: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// The same with marks that belong to letters.
const MARKS: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Mistral's later rule: words begin at capitals.
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// GPT-4o's: the same, with English endings and three figures.
const GPT4O: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// llama.cpp's name of the rule, and whether it then takes whole words of the vocabulary as this tokenizer does: as they are, or merged.
/// `None` where it has no name.
pub(super) fn name(parts: &Parts) -> Option<(&'static str, bool)> {
    let Model::Bpe { merges, ignore_merges, .. } = &parts.model else { return None };
    let steps = parts.pre_tokenizers();
    let (last, before) = steps.split_last()?;
    if last["type"] != "ByteLevel" || last["add_prefix_space"] == true {
        return None;
    }
    // Tokens that are never joined are the same in words of any kind.
    if merges.is_empty() && before.is_empty() {
        return Some(("gpt-2", true));
    }
    let own_rule = last.get("use_regex").is_none_or(|own| own == true);
    let found = match before {
        [] if own_rule => "gpt-2",
        [digits] if own_rule && digits["type"] == "Digits" && digits["individual_digits"] == true => "smollm",
        [split] if !own_rule => match split_rule(split)? {
            // Whole words of the vocabulary are taken as they are under the first name, and are not under the second.
            THREE if *ignore_merges => "llama-bpe",
            THREE => "dbrx",
            ONE => "qwen2",
            MARKS => "qwen35",
            TEKKEN => "tekken",
            GPT4O => "gpt-4o",
            _ => return None,
        },
        _ => return None,
    };
    let takes_whole_words = ["llama-bpe", "tekken"].contains(&found);
    Some((found, takes_whole_words == *ignore_merges))
}

/// The rule of a step that cuts by one and keeps all.
fn split_rule(step: &Value) -> Option<&str> {
    let keeps = step["type"] == "Split" && step["behavior"] == "Isolated" && step["invert"] != true;
    step["pattern"]["Regex"].as_str().filter(|_| keeps)
}
