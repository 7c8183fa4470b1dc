//! `model.safetensors.index.json`: which file of a split checkpoint holds which tensor.

use std::path::Path;

use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::files::read_text;

/// The largest index that is read; that of a model with 100,000 tensors holds ten megabytes.
const INDEX_LIMIT: u64 = 100_000_000;

/// The names of the files that an index names, each once.
///
/// # Errors
/// Names the entry that is no file beside the index.
pub fn shard_files(path: &Path) -> Result<Vec<String>> {
    Index::read(path).map(|index| index.files)
}

/// A checked index.
pub(super) struct Index {
    /// Names of files beside the index, each once, in order of first mention.
    pub files: Vec<String>,
    /// Tensor name, and the place of its file in `files`.
    pub tensors: Vec<(String, usize)>,
}

impl Index {
    /// Reads an index. Every file it names is a plain name beside it: it cannot lead out of the folder.
    ///
    /// A file that is itself a link is fine; that is how Hugging Face's cache lays out its folders.
    pub fn read(path: &Path) -> Result<Self> {
        let place = path.display().to_string();
        let text = read_text(path, INDEX_LIMIT)?;
        if text.starts_with("version https://git-lfs") {
            return Err(Error::input(place, "is a Git LFS pointer, not the file itself", "run `git lfs pull` in the model's folder"));
        }
        Self::parse(&text, &place)
    }

    fn parse(text: &str, place: &str) -> Result<Self> {
        let raw: Map<String, Value> = serde_json::from_str(text)
            .map_err(|error| Error::input(place, format!("is not a JSON object: {error}"), "download the index again"))?;
        let Some(map) = raw.get("weight_map").and_then(Value::as_object).filter(|map| !map.is_empty()) else {
            return Err(Error::input(place, "has no weight_map, or an empty one", "download the index again"));
        };
        let mut index = Self { files: Vec::new(), tensors: Vec::with_capacity(map.len()) };
        let mut known = std::collections::HashMap::new();
        for (tensor, file) in map {
            let Some(file) = file.as_str().filter(|file| is_plain_name(file)) else {
                return Err(Error::input(
                    format!("{place}: weight_map: {tensor:?}"),
                    format!("{file} is not the name of a .safetensors file beside the index"),
                    "the index must name files in its own folder, without any path",
                ));
            };
            let at = *known.entry(file).or_insert_with(|| {
                index.files.push(file.to_owned());
                index.files.len() - 1
            });
            index.tensors.push((tensor.clone(), at));
        }
        Ok(index)
    }
}

/// One path component on every system: no separators, no drive, no `..`.
fn is_plain_name(name: &str) -> bool {
    name.len() <= 255
        && name.ends_with(".safetensors")
        && !name.contains("..")
        && !name.chars().any(|c| matches!(c, '/' | '\\' | ':') || c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_read() {
        let index = Index::parse(
            r#"{"metadata":{"total_size":1},"weight_map":{"a":"y.safetensors","b":"x.safetensors","c":"y.safetensors"}}"#,
            "i",
        )
        .expect("valid");
        assert_eq!(index.files, ["y.safetensors", "x.safetensors"]);
        assert_eq!(index.tensors, [("a".into(), 0), ("b".into(), 1), ("c".into(), 0)]);
    }

    #[test]
    fn files_elsewhere_are_refused() {
        for file in [
            r#""/etc/x.safetensors""#,
            r#""../x.safetensors""#,
            r#""a/../../x.safetensors""#,
            r#""a/x.safetensors""#,
            r#""a\\x.safetensors""#,
            r#""C:x.safetensors""#,
            r#""x\u0000.safetensors""#,
            r#""..safetensors""#,
            r#""pytorch_model.bin""#,
            r#""""#,
            "7",
            "null",
        ] {
            let error = Index::parse(&format!(r#"{{"weight_map":{{"t":{file}}}}}"#), "i").err().expect(file).to_string();
            assert!(error.contains("i: weight_map: \"t\"") && error.contains("beside the index"), "{error}");
        }
        for text in ["", "{}", "[]", r#"{"weight_map":{}}"#, r#"{"weight_map":[]}"#] {
            assert!(Index::parse(text, "i").is_err(), "{text}");
        }
    }
}
