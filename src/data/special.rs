//! Which ids end a text, which begin one.

use std::path::Path;

use serde_json::Value;

use super::tokenizer::{Tokenizer, is_lfs_pointer, lfs_error};
use crate::error::{Error, Result};

/// The id that is put after every completion.
///
/// `eos_token` of `tokenizer_config.json` if it names one, else the first of `config_eos` (`eos_token_id` of the model's
/// config), else `eos_token` of `special_tokens_map.json`. The tokenizer's own word comes first because chat models end a
/// turn with another token than a document, and their config may list both.
pub fn training_eos(dir: &Path, tokenizer: &Tokenizer, config_eos: &[u32]) -> Result<u32> {
    if let Some(id) = named(dir, "tokenizer_config.json", "eos_token", tokenizer)? {
        return Ok(id);
    }
    if let Some(id) = config_eos.first() {
        return Ok(*id);
    }
    named(dir, "special_tokens_map.json", "eos_token", tokenizer)?.ok_or_else(|| {
        Error::input(
            dir.display().to_string(),
            "no end token: neither tokenizer_config.json (eos_token) nor config.json (eos_token_id) names one",
            "add \"eos_token\" to tokenizer_config.json",
        )
    })
}

/// The ids at which generation stops: those of the model's config, the one that training puts at the end, and those of
/// `generation_config.json`.
///
/// Empty if the checkpoint names none.
pub fn stop_ids(dir: &Path, tokenizer: &Tokenizer, config_eos: &[u32]) -> Result<Vec<u32>> {
    let mut ids = config_eos.to_vec();
    let own = match named(dir, "tokenizer_config.json", "eos_token", tokenizer)? {
        None if ids.is_empty() => named(dir, "special_tokens_map.json", "eos_token", tokenizer)?,
        own => own,
    };
    ids.extend(own.filter(|id| !config_eos.contains(id)));
    for id in generation_eos(dir)? {
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    Ok(ids)
}

/// The end tokens of `generation_config.json`, which may name more than `config.json`: the end of a turn beside that of a document.
fn generation_eos(dir: &Path) -> Result<Vec<u32>> {
    let Some(json) = read(dir, "generation_config.json")? else { return Ok(Vec::new()) };
    let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
    let place = || dir.join("generation_config.json").display().to_string();
    let wrong = |value: &Value| Error::input(place(), format!("eos_token_id must be an id or a list of ids, not {value}"), "");
    match json.get("eos_token_id") {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(list)) => list.iter().map(|value| id(value).ok_or_else(|| wrong(value))).collect(),
        Some(value) => Ok(vec![id(value).ok_or_else(|| wrong(value))?]),
    }
}

/// The id that may be put before every sample: `bos_token` of `tokenizer_config.json`, else `config_bos`, else
/// `special_tokens_map.json`.
pub fn training_bos(dir: &Path, tokenizer: &Tokenizer, config_bos: Option<u32>) -> Result<u32> {
    if let Some(id) = named(dir, "tokenizer_config.json", "bos_token", tokenizer)?.or(config_bos) {
        return Ok(id);
    }
    named(dir, "special_tokens_map.json", "bos_token", tokenizer)?.ok_or_else(|| {
        let hint = "this model was trained without one: leave it out";
        Error::input(dir.display().to_string(), "no begin token (bos_token)", hint)
    })
}

/// A file's JSON. No file: none.
fn read(dir: &Path, file: &str) -> Result<Option<Value>> {
    let path = dir.join(file);
    let bytes = match crate::files::read(&path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io(&path)(e)),
    };
    if is_lfs_pointer(&bytes) {
        return Err(lfs_error(&path));
    }
    let fault = |e| Error::input(path.display().to_string(), format!("not JSON: {e}"), "download it again");
    serde_json::from_slice(&bytes).map(Some).map_err(fault)
}

/// The id of the token that `key` names in `file`, as a string or as an object with `content`. No file, no key or null: none.
fn named(dir: &Path, file: &str, key: &str, tokenizer: &Tokenizer) -> Result<Option<u32>> {
    let Some(json) = read(dir, file)? else { return Ok(None) };
    let place = || dir.join(file).display().to_string();
    let token = match json.get(key) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(token)) => token.as_str(),
        Some(Value::Object(token)) => match token.get("content") {
            Some(Value::String(token)) => token.as_str(),
            _ => return Err(Error::input(place(), format!("{key} is an object without a string \"content\""), "")),
        },
        Some(other) => return Err(Error::input(place(), format!("{key} must be a string, not {other}"), "")),
    };
    tokenizer.token_to_id(token).map(Some).ok_or_else(|| {
        let what = format!("{key} is {token:?}, which {} does not know", tokenizer.path().display());
        Error::input(place(), what, "the two files are from different models")
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::tokenizer::tests::small;
    use super::*;

    #[test]
    fn the_end_token_is_found_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let t = small("");
        let write = |file: &str, text: &str| std::fs::write(dir.path().join(file), text).unwrap();
        let eos = |config: &[u32]| training_eos(dir.path(), &t, config);
        assert!(eos(&[]).unwrap_err().to_string().contains("no end token"));
        assert!(stop_ids(dir.path(), &t, &[]).unwrap().is_empty());
        assert!(training_bos(dir.path(), &t, None).is_err());
        assert_eq!(eos(&[7, 8]).unwrap(), 7);
        write("special_tokens_map.json", r#"{"eos_token":{"content":"a","lstrip":false},"bos_token":"b"}"#);
        assert_eq!(eos(&[]).unwrap(), 3);
        assert_eq!(eos(&[7, 8]).unwrap(), 7);
        assert_eq!(stop_ids(dir.path(), &t, &[]).unwrap(), [3]);
        assert_eq!(stop_ids(dir.path(), &t, &[7, 8]).unwrap(), [7, 8]);
        assert_eq!(training_bos(dir.path(), &t, None).unwrap(), 4);
        assert_eq!(training_bos(dir.path(), &t, Some(9)).unwrap(), 9);
        write("tokenizer_config.json", r#"{"eos_token":null,"model_max_length":1000000000000000019884624838656}"#);
        assert_eq!(eos(&[7, 8]).unwrap(), 7);
        write("tokenizer_config.json", r#"{"eos_token":"</s>"}"#);
        assert_eq!(eos(&[7, 8]).unwrap(), 2);
        assert_eq!(stop_ids(dir.path(), &t, &[7, 8]).unwrap(), [7, 8, 2]);
        assert_eq!(stop_ids(dir.path(), &t, &[7, 2]).unwrap(), [7, 2]);
        write("generation_config.json", r#"{"eos_token_id":[2,9]}"#);
        assert_eq!(stop_ids(dir.path(), &t, &[7]).unwrap(), [7, 2, 9]);
        write("generation_config.json", r#"{"eos_token_id":"x"}"#);
        assert!(stop_ids(dir.path(), &t, &[7]).unwrap_err().to_string().contains("eos_token_id must be"));
        for (text, said) in [
            (r#"{"eos_token":"<end>"}"#, "\"<end>\", which"),
            (r#"{"eos_token":5}"#, "must be a string, not 5"),
            (r#"{"eos_token":{}}"#, "without a string"),
            ("{", "not JSON"),
        ] {
            write("tokenizer_config.json", text);
            let got = eos(&[7]).unwrap_err().to_string();
            assert!(got.contains(said), "{got}");
        }
    }
}
