//! Files of examples: JSON lines with a prompt and a completion, or plain text.

use std::path::Path;

use serde_json::{Map, Value};

use super::tokenizer::{is_lfs_pointer, lfs_error};
use crate::error::{Error, Result};

/// One example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// What the model is given. Empty for a `{"text": ...}` row.
    pub prompt: String,
    /// What it learns to answer.
    pub completion: String,
    /// The row's line in its file, from 1.
    pub line: usize,
}

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rows {
    /// Examples, in file order.
    Pairs(Vec<Row>),
    /// One text. Line ends are `\n`, whatever the file had.
    Text(String),
}

/// The keys of a row that hold the prompt and the completion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns {
    /// The prompt's key.
    pub prompt: String,
    /// The completion's key.
    pub completion: String,
}

impl Default for Columns {
    fn default() -> Self {
        Self { prompt: "prompt".into(), completion: "completion".into() }
    }
}

/// Reads a file.
///
/// Its kind is told by its extension: `.jsonl`, `.ndjson` and `.json` are JSON lines, `.txt`, `.text` and `.md` plain text.
/// With any other extension it is JSON lines if the first byte that is not blank is `{`, else plain text.
///
/// A row of JSON lines has the two keys of `columns`, or the one key `text` (learned as a whole, with an empty prompt). Blank
/// lines, a byte-order mark and Windows line ends are accepted.
pub fn read_rows(path: &Path, columns: &Columns) -> Result<Rows> {
    let bytes = crate::files::read(path).map_err(Error::io(path))?;
    if is_lfs_pointer(&bytes) {
        return Err(lfs_error(path));
    }
    let place = path.display().to_string();
    let text = text_of(bytes, &place)?;
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or("").to_ascii_lowercase();
    let json_lines = match extension.as_str() {
        "jsonl" | "ndjson" | "json" => true,
        "txt" | "text" | "md" => false,
        _ => text.trim_start().starts_with('{'),
    };
    if text.trim().is_empty() {
        return Err(Error::input(place, "no rows: the file is empty", "it must hold JSON lines or plain text"));
    }
    if json_lines { pairs(&text, &place, columns).map(Rows::Pairs) } else { Ok(Rows::Text(plain_line_ends(text))) }
}

/// The file as text, without a byte-order mark.
fn text_of(bytes: Vec<u8>, place: &str) -> Result<String> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(Error::input(place, "the text is UTF-16, not UTF-8", "save it as UTF-8"));
    }
    let text = String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        let line = 1 + e.as_bytes()[..at].iter().filter(|b| **b == b'\n').count();
        Error::input(place, format!("not UTF-8 at byte {at} (line {line})"), "save the file as UTF-8")
    })?;
    Ok(match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_string(),
        None => text,
    })
}

/// `\r\n` and `\r` become `\n`: the same text from another system gives the same tokens.
fn plain_line_ends(text: String) -> String {
    if text.contains('\r') { text.replace("\r\n", "\n").replace('\r', "\n") } else { text }
}

fn pairs(text: &str, place: &str, columns: &Columns) -> Result<Vec<Row>> {
    if text.trim_start().starts_with('[') {
        let hint = "one object a line is wanted (JSON lines): `jq -c '.[]' file.json > file.jsonl` makes it so";
        return Err(Error::input(place, "a JSON array, not JSON lines", hint));
    }
    let mut rows = Vec::new();
    for (index, line) in text.split('\n').enumerate() {
        if !line.trim().is_empty() {
            rows.push(row(line, index + 1, &format!("{place}:{}", index + 1), columns)?);
        }
    }
    Ok(rows)
}

fn row(json: &str, line: usize, place: &str, columns: &Columns) -> Result<Row> {
    let value: Value = serde_json::from_str(json).map_err(|e| {
        let said = e.to_string();
        // The parser counts lines within the row, where there is but one; the column is what helps.
        let said = said.split(" at line ").next().unwrap_or(&said).to_string();
        Error::input(format!("{place}:{}", e.column()), format!("broken JSON: {said}"), "one whole JSON object a line is wanted")
    })?;
    let Value::Object(map) = value else {
        return Err(Error::input(place, format!("the row is {}, not an object", kind(&value)), "one JSON object a line is wanted"));
    };
    let as_text = map.contains_key("text") && !map.contains_key(&columns.prompt) && !map.contains_key(&columns.completion);
    let (prompt, completion, key) = if as_text {
        (String::new(), string(&map, "text", place)?, "text")
    } else {
        (string(&map, &columns.prompt, place)?, string(&map, &columns.completion, place)?, columns.completion.as_str())
    };
    if completion.is_empty() {
        return Err(Error::input(place, format!("{key:?} is empty: there is nothing to learn"), "fill it or take the row out"));
    }
    Ok(Row { prompt, completion, line })
}

fn string(map: &Map<String, Value>, key: &str, place: &str) -> Result<String> {
    match map.get(key) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(other) => Err(Error::input(place, format!("{key:?} is {}, not a string", kind(other)), "")),
        None => {
            let keys: Vec<_> = map.keys().map(|k| format!("{k:?}")).collect();
            let has = if keys.is_empty() { "no key".to_string() } else { keys.join(", ") };
            let hint = "name the keys of your rows as the prompt's and the completion's column, or rename them";
            Err(Error::input(place, format!("no key {key:?}: the row has {has}"), hint))
        }
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(name: &str, bytes: impl AsRef<[u8]>) -> Result<Rows> {
        read_with(name, bytes, &Columns::default())
    }

    fn read_with(name: &str, bytes: impl AsRef<[u8]>, columns: &Columns) -> Result<Rows> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        read_rows(&path, columns)
    }

    fn row(prompt: &str, completion: &str, line: usize) -> Row {
        Row { prompt: prompt.into(), completion: completion.into(), line }
    }

    #[test]
    fn reads_what_is_right() {
        let two = "\u{feff}\r\n{\"prompt\":\"a\",\"completion\":\"b\",\"id\":1}\r\n  \n{\"text\":\"c\\nd\"}";
        let want = Rows::Pairs(vec![row("a", "b", 2), row("", "c\nd", 4)]);
        for name in ["x.jsonl", "x.JSON", "x.ndjson", "x", "x.data"] {
            assert_eq!(read(name, two).unwrap(), want, "{name}");
        }
        assert_eq!(read("x.txt", "{\"a\r\n\rb").unwrap(), Rows::Text("{\"a\n\nb".into()));
        assert_eq!(read("x.dat", "\u{feff}Once").unwrap(), Rows::Text("Once".into()));
        let columns = Columns { prompt: "question".into(), completion: "answer".into() };
        let got = read_with("x.jsonl", r#"{"question":"","answer":"b","text":"c"}"#, &columns).unwrap();
        assert_eq!(got, Rows::Pairs(vec![row("", "b", 1)]));
    }

    #[test]
    fn says_what_is_wrong_and_where() {
        let good = r#"{"prompt":"a","completion":"b"}"#;
        for (rows, said) in [
            ("", "no rows"),
            (" \n\t\r\n\u{feff}", "broken JSON"),
            ("\u{feff} \n\r\n", "no rows"),
            ("GOOD\n{\"prompt\":\"a\",\n\"completion\":\"b\"}", "x.jsonl:2:14: broken JSON: EOF"),
            ("GOOD\n\n{\"prompt\":\"a\" \"completion\":\"b\"}", "x.jsonl:3:15: broken JSON: expected"),
            ("{\"prompt\":\"a\",\"completion\":\"\\ud800\"}", "broken JSON"),
            ("GOOD GOOD", "x.jsonl:1:33: broken JSON: trailing characters"),
            ("GOOD\n{\"question\":\"a\",\"answer\":\"b\"}", "x.jsonl:2: no key \"prompt\": the row has \"question\", \"answer\""),
            ("{\"prompt\":\"a\",\"text\":\"b\"}", "no key \"completion\": the row has \"prompt\", \"text\""),
            ("{}", "no key \"prompt\": the row has no key"),
            ("{\"prompt\":1,\"completion\":\"b\"}", "\"prompt\" is a number"),
            ("{\"prompt\":\"a\",\"completion\":null}", "\"completion\" is null"),
            ("{\"prompt\":\"a\",\"completion\":[\"b\"]}", "\"completion\" is an array"),
            ("{\"text\":{}}", "\"text\" is an object"),
            ("GOOD\n\"text\"", "x.jsonl:2: the row is a string"),
            ("GOOD\n{\"prompt\":\"a\",\"completion\":\"\"}", "x.jsonl:2: \"completion\" is empty"),
            ("{\"text\":\"\"}", "\"text\" is empty"),
            ("[GOOD]", "a JSON array"),
            ("\u{0}\u{0}", "x.jsonl:1:1: broken JSON"),
        ] {
            let got = read("x.jsonl", rows.replace("GOOD", good)).unwrap_err().to_string();
            assert!(got.contains(said), "{rows:?}: {got}, want {said}");
        }
        let said = |bytes: &[u8]| read("x.txt", bytes).unwrap_err().to_string();
        assert!(said(b"ab\ncd\xff\xfe").ends_with("not UTF-8 at byte 5 (line 2)"));
        assert!(said(b"ab\xe2\x82").ends_with("not UTF-8 at byte 2 (line 1)"));
        assert!(said(b"\xff\xfea\0b\0").contains("UTF-16"));
        assert!(said(b"version https://git-lfs.github.com/spec/v1\n").contains("Git LFS pointer"));
        assert!(said(b" \n ").contains("no rows"));
        assert!(matches!(read_rows(Path::new("/no/such.txt"), &Columns::default()), Err(Error::Io { .. })));
    }

    #[test]
    fn huge_and_deep_rows_are_fine_or_refused() {
        let long = "é".repeat(4 << 20);
        let got = read("x.jsonl", format!("{{\"prompt\":\"a\",\"completion\":\"{long}\"}}")).unwrap();
        assert_eq!(got, Rows::Pairs(vec![row("a", &long, 1)]));
        let deep = format!("{{\"prompt\":{}", "[".repeat(1 << 20));
        assert!(read("x.jsonl", deep).unwrap_err().to_string().contains("recursion limit"));
    }
}
