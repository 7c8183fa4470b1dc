//! Which files of a model are wanted: its shape, its tokenizer, and its weights once.

use super::shelf::Kind;
use super::visit::{Hub, Visit};
use super::{Model, Name, Told};
use crate::error::Result;
use crate::model::shard_files;

const CONFIG: &str = "config.json";
const TOKENIZER: &str = "tokenizer.json";
const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// What is taken where it is there: how texts become tokens and conversations texts, and where answers end.
const COMPANIONS: [&str; 8] = [
    CONFIG,
    TOKENIZER,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "generation_config.json",
    "chat_template.jinja",
    "chat_template.json",
];

/// Brings a model into the cache.
pub(super) fn bring(hub: &Hub, name: &Name, weights: bool, tell: &mut dyn FnMut(Told)) -> Result<Model> {
    let visit = hub.visit(Kind::Model, name, tell)?;
    // Of what is here nobody knows whether it is all: what no model is without must be among it.
    if !visit.complete {
        for needed in [CONFIG, TOKENIZER] {
            if !visit.has(needed) {
                return Err(visit.missing(needed));
            }
        }
    }
    if !visit.has(CONFIG) {
        return Err(visit.lacks("holds no config.json, so it is no model in Hugging Face layout", hint(&visit.list)));
    }
    let small: Vec<String> = COMPANIONS.iter().filter(|file| visit.has(file)).map(|file| (*file).to_owned()).collect();
    visit.bring(&small, tell)?;
    if weights {
        bring_weights(&visit, tell)?;
    }
    visit.warn(tell);
    Ok(Model { name: visit.pinned(), folder: visit.folder() })
}

/// The one file, or else those that the index names: as [`crate::model::Checkpoint::open`] takes them.
fn bring_weights(visit: &Visit<'_>, tell: &mut dyn FnMut(Told)) -> Result<()> {
    if visit.has(SINGLE) {
        return visit.bring(&[SINGLE.into()], tell);
    }
    if !visit.has(INDEX) {
        return Err(match visit.complete {
            true => visit.lacks("holds no model.safetensors and no index of shards", hint(&visit.list)),
            false => visit.missing(SINGLE),
        });
    }
    visit.bring(&[INDEX.into()], tell)?;
    let shards = shard_files(&visit.path(INDEX))?;
    if let Some(absent) = shards.iter().find(|shard| !visit.has(shard)) {
        return Err(match visit.complete {
            true => visit.lacks(format!("{INDEX} names {absent}, which it does not hold"), "tell its owner"),
            false => visit.missing(absent),
        });
    }
    visit.bring(&shards, tell)
}

/// What a repository that cannot be used is, as far as its files tell.
fn hint(list: &[String]) -> &'static str {
    let ends = |end: &str| list.iter().any(|file| file.ends_with(end));
    if ends(".gguf") {
        "its weights are GGUF, for llama.cpp: name the model that they were made of"
    } else if ends("adapter_config.json") {
        "it is an adapter: download it, and give its folder with --adapter"
    } else if ends(".bin") || ends(".pt") || ends(".pth") {
        "its weights are pickled: in Python, AutoModelForCausalLM.from_pretrained(NAME).save_pretrained(FOLDER) writes safetensors"
    } else {
        "name a model with config.json, tokenizer.json and safetensors"
    }
}
