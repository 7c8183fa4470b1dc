//! The formats that rows come in: which one a file has, and from its columns to examples.

use super::conversations::{self, Keys};
use super::records::{Container, Record, kind};
use super::rows::{Chat, Found, Reading, Row, Rows};
use crate::choice::choice;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::str::FromStr;

choice! {
    /// What a row's columns mean.
    Format {
        /// Told by the first row.
        Auto = "auto",
        /// A prompt and its completion, under whatever names; or one `text`.
        Pairs = "pairs",
        /// `instruction`, `input` (may be absent) and `output`.
        Alpaca = "alpaca",
        /// `conversations`: turns with `from` and `value`.
        ShareGpt = "sharegpt",
        /// `messages`: turns with `role` and `content`.
        Messages = "messages",
        /// The file is one text, whatever its name says.
        Text = "text",
    }
}

#[allow(clippy::derivable_impls)] // The macro that makes the enum marks no default.
impl Default for Format {
    fn default() -> Self {
        Self::Auto
    }
}

impl Format {
    /// Its name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "automatic",
            Self::Pairs => "prompt and completion",
            Self::Alpaca => "Alpaca",
            Self::ShareGpt => "ShareGPT",
            Self::Messages => "messages",
            Self::Text => "plain text",
        }
    }
}

/// Everything that a column may be to a row. The columns are called so unless [`Columns`] says otherwise.
pub const ROLES: [&str; 14] = [
    "prompt",
    "completion",
    "text",
    "instruction",
    "input",
    "output",
    "system",
    "history",
    "conversations",
    "from",
    "value",
    "messages",
    "role",
    "content",
];
/// The column of tools, by the same rule.
const TOOLS: &str = "tools";

/// Names of prompt and completion that are found without being told.
const PAIRS: [(&str, &str); 4] = [("prompt", "completion"), ("question", "answer"), ("prompt", "response"), ("query", "response")];

/// Which column is what: `prompt=question,completion=answer`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Columns(BTreeMap<String, String>);

impl Columns {
    /// The names of prompt and completion.
    pub fn pair(prompt: &str, completion: &str) -> Self {
        let mut columns = Self::default();
        columns.set("prompt", prompt);
        columns.set("completion", completion);
        columns
    }

    /// Names a column, unless it has a name already.
    pub fn set(&mut self, role: &str, column: &str) {
        if role != column && !self.has(role) {
            self.0.insert(role.to_owned(), column.to_owned());
        }
    }

    /// Whether a column was named.
    pub fn has(&self, role: &str) -> bool {
        self.0.contains_key(role)
    }

    /// Whether none was.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A column's name.
    pub fn name<'a>(&'a self, role: &'a str) -> &'a str {
        self.0.get(role).map_or(role, String::as_str)
    }

    /// A role that no row has.
    pub fn unknown(&self) -> Option<&str> {
        self.0.keys().map(String::as_str).find(|role| !ROLES.contains(role) && *role != TOOLS)
    }
}

impl FromStr for Columns {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let mut columns = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (role, column) = part.split_once('=').ok_or_else(|| format!("'{part}' has no =, as in prompt=question"))?;
            let (role, column) = (role.trim(), column.trim());
            if !ROLES.contains(&role) && role != TOOLS {
                return Err(format!("'{role}' is none of {}, {TOOLS}", ROLES.join(", ")));
            }
            if column.is_empty() || columns.0.insert(role.to_owned(), column.to_owned()).is_some() {
                return Err(format!("'{role}' needs one column"));
            }
        }
        Ok(columns)
    }
}

impl std::fmt::Display for Columns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.iter().map(|(role, column)| format!("{role}={column}")).collect::<Vec<_>>().join(","))
    }
}

/// Makes examples of records.
pub(super) fn rows(records: Vec<Record>, reading: &Reading, container: Container, place: &str) -> Result<Found> {
    let first = records.first().map(|record| &record.map);
    let (format, columns) = match first {
        Some(map) => detect(map, reading),
        None => (reading.format, reading.columns.clone()),
    };
    let at = |record: &Record| format!("{place}:{}", record.line);
    let rows = match format {
        Format::Alpaca => Rows::Chats(records.iter().map(|r| alpaca(&r.map, &columns, r.line, &at(r))).collect::<Result<_>>()?),
        Format::ShareGpt => {
            let keys = Keys {
                turns: columns.name("conversations"),
                who: columns.name("from"),
                what: columns.name("value"),
                tools: columns.name(TOOLS),
            };
            Rows::Chats(records.iter().map(|r| conversations::chat(&r.map, &keys, &columns, r.line, &at(r))).collect::<Result<_>>()?)
        }
        Format::Messages => {
            let keys = Keys {
                turns: columns.name("messages"),
                who: columns.name("role"),
                what: columns.name("content"),
                tools: columns.name(TOOLS),
            };
            Rows::Chats(records.iter().map(|r| conversations::chat(&r.map, &keys, &columns, r.line, &at(r))).collect::<Result<_>>()?)
        }
        Format::Auto | Format::Pairs | Format::Text => {
            Rows::Pairs(records.iter().map(|r| pair(&r.map, &columns, r.line, &at(r))).collect::<Result<_>>()?)
        }
    };
    let columns = used(format, &columns, first);
    Ok(Found { rows, format, container, columns })
}

/// The columns of the first row that its format reads.
fn used(format: Format, columns: &Columns, first: Option<&Map<String, Value>>) -> Vec<String> {
    let roles: &[&str] = match format {
        Format::Alpaca => &["system", "history", "instruction", "input", "output"],
        Format::ShareGpt => &["conversations", "system", TOOLS],
        Format::Messages => &["messages", "prompt", "completion", "system", TOOLS],
        _ => &["prompt", "completion"],
    };
    let has = |role: &&str| first.is_some_and(|map| map.contains_key(columns.name(role)));
    let names: Vec<String> = roles.iter().filter(|role| has(role)).map(|role| columns.name(role).to_owned()).collect();
    if names.is_empty() { vec![columns.name("text").to_owned()] } else { names }
}

/// The format of a row, and the columns with the names that were found.
fn detect(map: &Map<String, Value>, reading: &Reading) -> (Format, Columns) {
    let mut columns = reading.columns.clone();
    if let Format::Auto | Format::ShareGpt | Format::Messages = reading.format {
        if let Some(format) = detect_turns(map, reading.format, &mut columns) {
            return (format, columns);
        }
        let are_lists = ["prompt", "completion"].iter().all(|role| map.get(columns.name(role)).is_some_and(Value::is_array));
        if reading.format != Format::Auto || are_lists {
            return (if are_lists { Format::Messages } else { reading.format }, columns);
        }
    }
    let told = columns.has("prompt") || columns.has("completion");
    let named = PAIRS.iter().find(|(prompt, completion)| !told && map.contains_key(*prompt) && map.contains_key(*completion));
    let mut three = columns.clone();
    // Dolly's names for the same three.
    for (role, other) in [("input", "context"), ("output", "response")] {
        if !map.contains_key(three.name(role)) && map.contains_key(other) {
            three.set(role, other);
        }
    }
    let has = |role: &str| map.contains_key(three.name(role));
    let is_alpaca = !told && named.is_none() && has("instruction") && has("output");
    if reading.format == Format::Alpaca || (reading.format == Format::Auto && is_alpaca) {
        return (Format::Alpaca, three);
    }
    if let Some((prompt, completion)) = named {
        columns.set("prompt", prompt);
        columns.set("completion", completion);
    }
    (Format::Pairs, columns)
}

/// Turns are known by what they are made of: both formats come under both names.
fn detect_turns(map: &Map<String, Value>, wanted: Format, columns: &mut Columns) -> Option<Format> {
    let told = ["conversations", "messages"].map(|role| columns.name(role).to_owned());
    let names = told.iter().map(String::as_str).chain(["conversations", "messages", "conversation", "dialog"]);
    for name in names {
        let Some(first) = map.get(name).and_then(conversations::list).and_then(|list| list.first().cloned()) else { continue };
        let (format, role) = match (first.get(columns.name("from")), first.get(columns.name("role"))) {
            (Some(_), _) => (Format::ShareGpt, "conversations"),
            (_, Some(_)) => (Format::Messages, "messages"),
            _ => continue,
        };
        if wanted == Format::Auto || wanted == format {
            columns.set(role, name);
            return Some(format);
        }
    }
    None
}

fn pair(map: &Map<String, Value>, columns: &Columns, line: usize, place: &str) -> Result<Row> {
    let (prompt, completion, text) = (columns.name("prompt"), columns.name("completion"), columns.name("text"));
    let as_text = map.contains_key(text) && !map.contains_key(prompt) && !map.contains_key(completion);
    let (prompt, completion, key) = if as_text {
        (String::new(), string(map, text, place)?, text)
    } else {
        (string(map, prompt, place)?, string(map, completion, place)?, completion)
    };
    filled(&completion, key, place)?;
    Ok(Row { prompt, completion, line })
}

fn filled(text: &str, key: &str, place: &str) -> Result<()> {
    if text.is_empty() {
        return Err(Error::input(place, format!("{key:?} is empty: there is nothing to learn"), "fill it or take the row out"));
    }
    Ok(())
}

/// The texts that Stanford Alpaca's models were trained on.
fn alpaca_prompt(instruction: &str, input: &str) -> String {
    if input.is_empty() {
        return format!(
            "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n\
             ### Instruction:\n{instruction}\n\n### Response:\n"
        );
    }
    format!(
        "Below is an instruction that describes a task, paired with an input that provides further context. \
         Write a response that appropriately completes the request.\n\n\
         ### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:\n"
    )
}

pub(super) fn alpaca(map: &Map<String, Value>, columns: &Columns, line: usize, place: &str) -> Result<Chat> {
    let optional = |role: &str| match map.get(columns.name(role)) {
        None | Some(Value::Null) => Ok(String::new()),
        Some(_) => string(map, columns.name(role), place),
    };
    let (instruction, input) = (string(map, columns.name("instruction"), place)?, optional("input")?);
    let output = string(map, columns.name("output"), place)?;
    filled(&output, columns.name("output"), place)?;
    let system = optional("system")?;
    let mut messages = Vec::new();
    if !system.is_empty() {
        messages.push(json!({"role": "system", "content": system}));
    }
    let history = columns.name("history");
    let before = map.get(history).and_then(conversations::list).unwrap_or_default();
    for turn in &before {
        let texts: Option<Vec<&str>> = turn.as_array().map(|pair| pair.iter().filter_map(Value::as_str).collect());
        let Some([asked, answered]) = texts.as_deref() else {
            return Err(Error::input(
                place,
                format!("{history:?} must hold pairs of strings"),
                "each is what was asked and what was answered",
            ));
        };
        messages.push(json!({"role": "user", "content": asked}));
        messages.push(json!({"role": "assistant", "content": answered}));
    }
    let asked = if input.is_empty() { instruction.clone() } else { format!("{instruction}\n{input}") };
    messages.push(json!({"role": "user", "content": asked}));
    messages.push(json!({"role": "assistant", "content": output}));
    let plain = (before.is_empty() && system.is_empty()).then(|| (alpaca_prompt(&instruction, &input), output));
    Ok(Chat { learned: vec![true; messages.len()], messages, tools: None, plain, line })
}

/// A column's text.
pub(super) fn string(map: &Map<String, Value>, key: &str, place: &str) -> Result<String> {
    match map.get(key) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(other) => Err(Error::input(place, format!("{key:?} is {}, not a string", kind(other)), "")),
        None => Err(no_key(map, key, place)),
    }
}

/// The error for a row without a column.
pub(super) fn no_key(map: &Map<String, Value>, key: &str, place: &str) -> Error {
    let keys: Vec<_> = map.keys().map(|k| format!("{k:?}")).collect();
    let has = if keys.is_empty() { "no key".to_string() } else { keys.join(", ") };
    let hint = "known are prompt and completion, question and answer, instruction and output, conversations, messages, text: name other \
                columns with --columns, as in --columns prompt=QUESTION,completion=ANSWER";
    Error::input(place, format!("no key {key:?}: the row has {has}"), hint)
}

#[cfg(test)]
#[path = "formats_tests.rs"]
mod tests;
