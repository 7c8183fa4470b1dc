//! The keys of a config.json, read with errors that name file and key.

use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// The keys of one JSON object, read with errors that name file and key. A `null` counts as absent.
pub(super) struct Keys<'a> {
    pub place: &'a str,
    /// The object's own path within the file, with a dot after it; empty for the file itself.
    pub prefix: &'a str,
    pub map: &'a Map<String, Value>,
}

impl<'a> Keys<'a> {
    pub fn get(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    pub fn error(&self, key: &str, what: impl Into<String>, hint: &str) -> Error {
        Error::input(format!("{}: {}{key}", self.place, self.prefix), what, hint)
    }

    pub fn missing(&self, key: &str) -> Error {
        self.error(key, "is missing", "take the config.json that came with the model")
    }

    pub fn size(&self, key: &str, default: Option<usize>, most: usize) -> Result<usize> {
        let Some(value) = self.get(key) else { return default.ok_or_else(|| self.missing(key)) };
        match value.as_u64().and_then(|size| usize::try_from(size).ok()) {
            Some(size) if (1..=most).contains(&size) => Ok(size),
            _ => Err(self.error(key, format!("must be a whole number from 1 to {most}, not {}", brief(value)), "")),
        }
    }

    pub fn number(&self, key: &str, default: Option<f64>, least: f64, most: f64) -> Result<f64> {
        let Some(value) = self.get(key) else { return default.ok_or_else(|| self.missing(key)) };
        match value.as_f64() {
            // A range test that NaN fails.
            Some(number) if (least..=most).contains(&number) => Ok(number),
            _ => Err(self.error(key, format!("must be a number from {least:e} to {most:e}, not {}", brief(value)), "")),
        }
    }

    /// False where absent.
    pub fn bool(&self, key: &str) -> Result<bool> {
        self.bool_or(key, false)
    }

    pub fn bool_or(&self, key: &str, default: bool) -> Result<bool> {
        let Some(value) = self.get(key) else { return Ok(default) };
        value.as_bool().ok_or_else(|| self.error(key, format!("must be true or false, not {}", brief(value)), ""))
    }

    pub fn text(&self, key: &str) -> Result<Option<&'a str>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        value.as_str().map(Some).ok_or_else(|| self.error(key, format!("must be a text, not {}", brief(value)), ""))
    }

    pub fn object(&self, key: &str) -> Result<Option<&'a Map<String, Value>>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        value.as_object().map(Some).ok_or_else(|| self.error(key, format!("must be an object, not {}", brief(value)), ""))
    }

    pub fn token(&self, key: &str, value: &Value) -> Result<u32> {
        let id = value.as_u64().and_then(|id| u32::try_from(id).ok());
        id.ok_or_else(|| self.error(key, format!("must be a token id, not {}", brief(value)), ""))
    }
}

/// A value short enough for an error line.
pub(super) fn brief(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= 60 { text } else { text.chars().take(57).chain("...".chars()).collect() }
}
