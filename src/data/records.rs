//! From a file to its records, whatever it is written in: JSON lines, a JSON array, CSV or Parquet.

use super::tokenizer::{is_lfs_pointer, lfs_error};
use crate::error::{Error, Result};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;

/// Keys under which a JSON object may hold its rows.
const HOLDERS: [&str; 6] = ["data", "rows", "train", "examples", "conversations", "instances"];
/// What every Parquet file begins with.
const PARQUET: &[u8] = b"PAR1";

/// What a file is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// One JSON object a line.
    JsonLines,
    /// A JSON array of objects, or an object that holds one.
    Json,
    /// Comma- or tab-separated values with a heading.
    Csv,
    /// Parquet.
    Parquet,
    /// Plain text.
    Text,
}

impl Container {
    /// Its name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::JsonLines => "JSON lines",
            Self::Json => "JSON",
            Self::Csv => "CSV",
            Self::Parquet => "Parquet",
            Self::Text => "text",
        }
    }
}

/// One row, before its format is known.
pub(super) struct Record {
    pub(super) map: Map<String, Value>,
    /// Its line in the file; in Parquet, which has no lines, its number. From 1.
    pub(super) line: usize,
}

/// What a file holds, before its format is known.
pub(super) enum Content {
    Records(Vec<Record>),
    Text(String),
}

/// Reads a file. `as_text` and `as_records` overrule what its name says.
pub(super) fn read(path: &Path, as_text: bool, as_records: bool) -> Result<(Container, Content)> {
    let bytes = crate::files::read(path).map_err(Error::io(path))?;
    if is_lfs_pointer(&bytes) {
        return Err(lfs_error(path));
    }
    let place = path.display().to_string();
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or("").to_ascii_lowercase();
    if !as_text && (bytes.starts_with(PARQUET) || ["parquet", "pq"].contains(&extension.as_str())) {
        return Ok((Container::Parquet, Content::Records(parquet(bytes, &place)?)));
    }
    let text = text_of(bytes, &place)?;
    if text.trim().is_empty() {
        return Err(Error::input(place, "no rows: the file is empty", "it must hold rows (JSON, CSV, Parquet) or plain text"));
    }
    let looks_like_json = || text.trim_start().starts_with(['{', '[']);
    match extension.as_str() {
        _ if as_text => {}
        "csv" | "tsv" => return Ok((Container::Csv, Content::Records(csv(&text, extension == "tsv", &place)?))),
        "jsonl" | "ndjson" | "json" => return json(&text, &place),
        "txt" | "text" | "md" if !as_records => {}
        _ if as_records || looks_like_json() => return json(&text, &place),
        _ => {}
    }
    Ok((Container::Text, Content::Text(plain_line_ends(text))))
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

fn json(text: &str, place: &str) -> Result<(Container, Content)> {
    let start = text.trim_start();
    if start.starts_with('[') {
        let rows: Vec<&RawValue> = serde_json::from_str(text).map_err(|e| broken(place, e.line(), &e))?;
        return Ok((Container::Json, Content::Records(elements(text, &rows, place)?)));
    }
    if let Some(rows) = held_rows(text) {
        return Ok((Container::Json, Content::Records(elements(text, &rows, place)?)));
    }
    let mut records = Vec::new();
    for (index, line) in text.split('\n').enumerate() {
        if !line.trim().is_empty() {
            records.push(record(line, index + 1, place)?);
        }
    }
    Ok((Container::JsonLines, Content::Records(records)))
}

/// The rows of an object such as `{"data": [...]}` that is the whole file.
fn held_rows(text: &str) -> Option<Vec<&RawValue>> {
    let map: BTreeMap<String, &RawValue> = serde_json::from_str(text).ok()?;
    // A file of one row with the key "conversations" is that row: its elements are no rows of their own.
    let is_rows = |rows: &Vec<&RawValue>| rows.first().is_some_and(|first| first.get().starts_with('{') && !is_message(first));
    HOLDERS.iter().find_map(|key| serde_json::from_str(map.get(*key)?.get()).ok().filter(is_rows))
}

fn is_message(row: &RawValue) -> bool {
    let keys: serde_json::Result<Map<String, Value>> = serde_json::from_str(row.get());
    keys.is_ok_and(|m| (m.contains_key("role") || m.contains_key("from")) && (m.contains_key("content") || m.contains_key("value")))
}

/// The elements of an array, each with the line that it begins on.
fn elements(text: &str, rows: &[&RawValue], place: &str) -> Result<Vec<Record>> {
    let (mut line, mut counted) = (1, 0);
    let mut records = Vec::with_capacity(rows.len());
    for row in rows {
        // The element is a part of the text: where it begins is known from where it lies.
        let at = (row.get().as_ptr() as usize).saturating_sub(text.as_ptr() as usize).clamp(counted, text.len());
        line += text.as_bytes()[counted..at].iter().filter(|b| **b == b'\n').count();
        counted = at;
        records.push(record(row.get(), line, place)?);
    }
    if records.is_empty() {
        return Err(Error::input(place, "no rows: the array is empty", "it must hold one object a row"));
    }
    Ok(records)
}

fn record(json: &str, line: usize, place: &str) -> Result<Record> {
    let value: Value = serde_json::from_str(json).map_err(|e| broken(place, line, &e))?;
    match value {
        Value::Object(map) => Ok(Record { map, line }),
        other => {
            let what = format!("the row is {}, not an object", kind(&other));
            Err(Error::input(format!("{place}:{line}"), what, "one JSON object a row is wanted"))
        }
    }
}

fn broken(place: &str, line: usize, e: &serde_json::Error) -> Error {
    let said = e.to_string();
    // The parser counts lines within the row; the column is what helps.
    let said = said.split(" at line ").next().unwrap_or(&said).to_string();
    let hint = "one whole JSON object a line is wanted, or one array of objects";
    Error::input(format!("{place}:{line}:{}", e.column()), format!("broken JSON: {said}"), hint)
}

/// What a value is, for people.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

fn csv(text: &str, tabs: bool, place: &str) -> Result<Vec<Record>> {
    let fault = |e: csv::Error| {
        let line = e.position().map(|p| format!(":{}", p.line())).unwrap_or_default();
        Error::input(
            format!("{place}{line}"),
            format!("broken CSV: {e}"),
            "every row needs as many fields as the heading; quote fields with \"",
        )
    };
    let delimiter = if tabs { b'\t' } else { b',' };
    let mut reader = ::csv::ReaderBuilder::new().delimiter(delimiter).from_reader(text.as_bytes());
    let heading: Vec<String> = reader.headers().map_err(fault)?.iter().map(|name| name.trim().to_owned()).collect();
    let mut records = Vec::new();
    let (mut line, mut counted) = (1, 0);
    for row in reader.records() {
        let row = row.map_err(fault)?;
        // The reader's own count is one behind after a Windows line end, whose second half it has not seen yet.
        let start = row.position().map_or(counted, |p| p.byte() as usize).clamp(counted, text.len());
        let start = start + text.as_bytes()[start..].iter().take_while(|b| matches!(b, b'\n' | b'\r')).count();
        line += text.as_bytes()[counted..start].iter().filter(|b| **b == b'\n').count();
        counted = start;
        let map = heading.iter().cloned().zip(row.iter().map(|field| Value::String(field.to_owned()))).collect();
        records.push(Record { map, line });
    }
    if records.is_empty() {
        return Err(Error::input(place, "no rows: there is only a heading", "the first line names the columns, the others are rows"));
    }
    Ok(records)
}

#[cfg(all(feature = "parquet", not(target_arch = "wasm32")))]
fn parquet(bytes: Vec<u8>, place: &str) -> Result<Vec<Record>> {
    super::parquet::read(bytes, place)
}

#[cfg(not(all(feature = "parquet", not(target_arch = "wasm32"))))]
fn parquet(_: Vec<u8>, place: &str) -> Result<Vec<Record>> {
    let hint = "save the rows as JSON lines: in Python, pandas.read_parquet(FILE).to_json(OTHER, orient='records', lines=True)";
    Err(Error::input(place, "Parquet files are not read here", hint))
}
