//! A model's folder: configuration, index and shards.

use super::{put, told};
use diablo::model::{Source, shard_files};
use std::path::Path;

const INDEX: &str = "model.safetensors.index.json";

pub fn read(folder: &Path, bytes: &[u8]) {
    put(folder, ["config.json", INDEX, "a.safetensors", "b.safetensors", "model.safetensors"], bytes);
    for name in told(shard_files(&folder.join(INDEX))).into_iter().flatten() {
        assert_eq!(folder.join(&name).parent(), Some(folder), "{name:?} leads out of the folder");
    }
    let Some(source) = told(Source::open(folder)) else { return };
    let checkpoint = source.checkpoint().expect("opened with one");
    let resolved = checkpoint.resolve(&source.config).expect("resolved before");
    assert_eq!(source.formats().expect("formats").len(), resolved.len());
    for (spec, stored) in resolved {
        let values = stored.read().expect("is there").to_f32();
        assert_eq!(values.len() as u64, spec.elements(), "{}", spec.name);
    }
}
