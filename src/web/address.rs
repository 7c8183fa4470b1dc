//! A run's options and the open page as the part of an address behind the `#`, so that a lesson or a bug report is a link.
//!
//! ```text
//! #model=/demo/model&data=/demo/train.jsonl&blocks=16&steps=200&view=train
//! ```
//!
//! Keys are those of `run.toml`; those that have their defaults are left out.

use crate::error::{Error, Result};
use crate::train::RunConfig;
use serde::Deserialize;
use serde_json::{Map, Value};

/// The key of the page that is open.
const VIEW: &str = "view";
const HINT: &str = "correct the link, or open the page without what stands behind the #";

/// The options that differ from their defaults, and the name of the page.
pub fn write(run: &RunConfig, view: &str) -> String {
    let (Ok(Value::Object(run)), Value::Object(defaults)) = (serde_json::to_value(run), defaults()) else { return String::new() };
    let differ = run.into_iter().filter(|(key, value)| defaults.get(key) != Some(value));
    let mut parts: Vec<String> = differ.map(|(key, value)| format!("{key}={}", encode(&text(&value, &defaults[&key])))).collect();
    parts.push(format!("{VIEW}={}", encode(view)));
    parts.join("&")
}

/// What an address says: options, and the name of the page if there is one. `None` where it says nothing.
///
/// # Errors
/// Names the part that is wrong.
pub fn read(address: &str) -> Result<Option<(RunConfig, Option<String>)>> {
    let address = address.trim_start_matches('#');
    if address.is_empty() {
        return Ok(None);
    }
    let Value::Object(defaults) = defaults() else { return Ok(None) };
    let (mut run, mut view) = (Map::new(), None);
    for part in address.split('&').filter(|part| !part.is_empty()) {
        let wrong = |what: &str| Error::input("the address", format!("{part:?} {what}"), HINT);
        let (key, value) = part.split_once('=').ok_or_else(|| wrong("is no key=value"))?;
        let value = decode(value).ok_or_else(|| wrong("is not encoded as addresses are"))?;
        if key == VIEW {
            view = Some(value);
            continue;
        }
        let default = defaults.get(key).ok_or_else(|| wrong("is no option of a run"))?;
        run.insert(key.into(), if default.is_string() { Value::String(value) } else { value_of(value) });
    }
    let run = RunConfig::deserialize(Value::Object(run)).map_err(|e| Error::input("the address", e.to_string(), HINT))?;
    Ok(Some((run, view)))
}

fn defaults() -> Value {
    serde_json::to_value(RunConfig::default()).unwrap_or_default()
}

/// A value as people write it. A text is in quotes only where it would be read as something else.
fn text(value: &Value, default: &Value) -> String {
    match value {
        Value::String(text) if default.is_string() || value_of(text.clone()).is_string() => text.clone(),
        other => other.to_string(),
    }
}

/// What is no JSON is a text.
fn value_of(text: String) -> Value {
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}

fn encode(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' | b',' | b':' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::Files;
    use crate::train::config::Method;

    #[test]
    fn what_is_written_is_read() {
        let demo = Files { folder: "/demo".into() }.config(Method::Diablo, 16, "0");
        let odd =
            RunConfig { sample_prompt: Some("5".into()), model: "/a b/ü&=#%".into(), targets: vec!["q_proj".into()], ..demo.clone() };
        for run in [RunConfig::default(), demo.clone(), odd, RunConfig { sample_prompt: Some("null".into()), ..demo }] {
            let address = write(&run, "Train");
            assert!(!address.contains(['#', ' ', '"']), "{address}");
            assert_eq!(read(&format!("#{address}")).expect("reads"), Some((run, Some("Train".into()))), "{address}");
        }
        assert_eq!(write(&RunConfig::default(), "Train"), "view=Train");
    }

    #[test]
    fn what_people_write_is_read_and_faults_are_named() {
        let (run, view) = read("#steps=3&device=0&sample_prompt=Where%20is%20it?").expect("reads").expect("says something");
        assert_eq!((run.steps, run.device.as_str(), run.sample_prompt.as_deref()), (Some(3), "0", Some("Where is it?")));
        assert_eq!((view, read("").expect("reads"), read("#").expect("reads")), (None, None, None));
        let fault = |address: &str| read(address).expect_err(address).to_string();
        assert!(fault("stesp=3").contains("\"stesp=3\" is no option of a run"));
        assert!(fault("steps").contains("is no key=value"));
        assert!(fault("model=%f").contains("is not encoded"));
        assert!(fault("steps=many").contains("the address"));
    }
}
