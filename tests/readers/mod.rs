//! Every reader of foreign bytes as a function of bytes that anybody may have written: what `fuzz/` runs on bytes that nobody wrote, and
//! `tests/foreign.rs` on those that once were too much for it.
//!
//! A reader may refuse what it is given, but not panic, hang, or take memory out of proportion; and what it has read, written and read
//! again, is the same. What reads several files takes them from one input, with [`BETWEEN`] between them.
#![allow(dead_code, missing_docs, clippy::unwrap_used)]

mod adapter;
mod checkpoint;
mod config;
mod hub;
mod names;
#[cfg(feature = "fuzzing")]
mod page;
#[cfg(feature = "parquet")]
mod parquet;
mod rows;
mod run_folder;
mod run_toml;
mod safetensors;
pub mod seeds;
mod template;
mod tokenizer;
mod torch;

use diablo::error::Result;
use diablo::model::ModelConfig;
use std::path::Path;
use std::sync::OnceLock;

/// Takes a folder that it may write into, and the bytes.
pub type Reader = fn(&Path, &[u8]);

/// All readers, by the names of their targets.
pub const READERS: &[(&str, Reader)] = &[
    ("adapter", adapter::read),
    ("checkpoint", checkpoint::read),
    ("config", config::read),
    ("names", names::read),
    #[cfg(feature = "parquet")]
    ("parquet", parquet::read),
    ("rows", rows::read),
    ("run_folder", run_folder::read),
    ("run_toml", run_toml::read),
    ("safetensors", safetensors::read),
    ("template", template::read),
    ("tokenizer", tokenizer::read),
    ("torch", torch::read),
];

/// What stands between the files of one input.
pub const BETWEEN: &[u8] = b"\n%%%%\n";

/// The files of an input. Those that it has not are none; what is left over belongs to the last.
fn parts<const N: usize>(bytes: &[u8]) -> [Option<&[u8]>; N] {
    let mut rest = Some(bytes);
    std::array::from_fn(|at| {
        let here = rest?;
        let cut = if at + 1 < N { here.windows(BETWEEN.len()).position(|w| w == BETWEEN) } else { None };
        rest = cut.map(|cut| &here[cut + BETWEEN.len()..]);
        Some(&here[..cut.unwrap_or(here.len())])
    })
}

/// Files of an input in a folder; those that it has not, or that are empty, are not there.
fn put<const N: usize>(folder: &Path, names: [&str; N], bytes: &[u8]) {
    for (name, part) in names.into_iter().zip(parts::<N>(bytes)) {
        let path = folder.join(name);
        match part.filter(|part| !part.is_empty()) {
            Some(part) => std::fs::write(path, part).unwrap(),
            None => drop(std::fs::remove_file(path)),
        }
    }
}

/// What was read, or nothing: an error must be one that can be shown.
fn told<T>(result: Result<T>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) => {
            assert!(!error.to_string().is_empty());
            let _ = (error.hint(), error.place(), error.what());
            None
        }
    }
}

/// A model of few numbers.
fn tiny() -> &'static ModelConfig {
    static TINY: OnceLock<ModelConfig> = OnceLock::new();
    TINY.get_or_init(|| ModelConfig::from_json(TINY_JSON, "config.json").unwrap())
}

const TINY_JSON: &str = r#"{"architectures":["LlamaForCausalLM"],"vocab_size":8,"hidden_size":8,"intermediate_size":12,"num_hidden_layers":1,
"num_attention_heads":2,"num_key_value_heads":1,"tie_word_embeddings":true,"torch_dtype":"float32"}"#;
