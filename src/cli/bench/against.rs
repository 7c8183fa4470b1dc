//! What an earlier run of `diablo bench --json` printed.

use crate::error::{Error, Result};
use crate::files;
use serde_json::Value;
use std::path::Path;

/// The rates of an earlier run by name.
pub struct Earlier(Vec<(String, f64)>);

impl Earlier {
    /// Reads it.
    ///
    /// # Errors
    /// Where the file cannot be read or is none of ours.
    pub fn open(path: &Path) -> Result<Self> {
        let bytes = files::read(path).map_err(Error::io(path))?;
        let place = path.display().to_string();
        let hint = "give a file that diablo bench --json wrote";
        let value: Value = serde_json::from_slice(&bytes).map_err(|e| Error::input(&place, format!("is no JSON: {e}"), hint))?;
        let lists = value.as_object().into_iter().flat_map(|o| o.values()).filter_map(Value::as_array).flatten();
        let rate = |row: &Value| Some((row.get("name")?.as_str()?.to_owned(), row.get("rate")?.as_f64().filter(|r| *r > 0.0)?));
        let rates: Vec<(String, f64)> = lists.filter_map(rate).collect();
        if rates.is_empty() {
            return Err(Error::input(place, "holds no measurement", hint));
        }
        Ok(Self(rates))
    }

    /// The rate of that name.
    pub fn rate(&self, name: &str) -> Option<f64> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, rate)| *rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_found_and_other_files_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("before.json");
        let open = |text: &str| {
            std::fs::write(&path, text).expect("writes");
            Earlier::open(&path)
        };
        let earlier = open(r#"{"device": "CPU", "steps": [{"name": "a", "rate": 2.5}, {"name": "b"}]}"#).expect("reads");
        assert_eq!((earlier.rate("a"), earlier.rate("b")), (Some(2.5), None));
        for (text, part) in [("{", "no JSON"), ("{}", "no measurement"), ("[1]", "no measurement"), (r#"{"steps": 3}"#, "no measurement")] {
            let error = open(text).err().map(|e| e.to_string()).unwrap_or_default();
            assert!(error.contains(part) && error.contains("before.json"), "{text}: {error}");
        }
    }
}
