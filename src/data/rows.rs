//! Files of examples: what a row is, and how a file's rows are found.

use super::formats::{self, Columns, Format};
use super::records::{self, Container, Content};
use crate::error::Result;
use serde_json::Value;
use std::path::Path;

/// One example of two texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// What the model is given. Empty for a `{"text": ...}` row.
    pub prompt: String,
    /// What it learns to answer.
    pub completion: String,
    /// The row's line in its file (in Parquet: its number), from 1.
    pub line: usize,
}

/// One conversation, as chat templates take it.
#[derive(Clone, Debug, PartialEq)]
pub struct Chat {
    /// Objects with `role`, `content` (a string) and whatever else the file has.
    pub messages: Vec<Value>,
    /// For each message, whether the file wants it learned (where it is the assistant's).
    pub learned: Vec<bool>,
    /// Descriptions of the tools that may be called.
    pub tools: Option<Value>,
    /// The same example as two texts, for a model without a chat template. Not every conversation is one.
    pub plain: Option<(String, String)>,
    /// The row's line in its file (in Parquet: its number), from 1.
    pub line: usize,
}

/// What a file holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Rows {
    /// Examples of two texts, in file order.
    Pairs(Vec<Row>),
    /// Conversations, in file order.
    Chats(Vec<Chat>),
    /// One text. Line ends are `\n`, whatever the file had.
    Text(String),
}

impl Rows {
    /// How many there are; a text is one.
    pub fn len(&self) -> usize {
        match self {
            Self::Pairs(rows) => rows.len(),
            Self::Chats(chats) => chats.len(),
            Self::Text(_) => 1,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Each row by itself; a text is none.
    pub fn apart(self) -> Vec<Self> {
        match self {
            Self::Pairs(rows) => rows.into_iter().map(|row| Self::Pairs(vec![row])).collect(),
            Self::Chats(chats) => chats.into_iter().map(|chat| Self::Chats(vec![chat])).collect(),
            Self::Text(_) => Vec::new(),
        }
    }

    /// A row's line in its file; 0 where it has none.
    pub fn line(&self, row: usize) -> usize {
        match self {
            Self::Pairs(rows) => rows.get(row).map_or(0, |r| r.line),
            Self::Chats(chats) => chats.get(row).map_or(0, |c| c.line),
            Self::Text(_) => 0,
        }
    }
}

/// How a file's rows are read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// The format; `Auto` looks at the first row.
    pub format: Format,
    /// The names of columns that are called something else than usual.
    pub columns: Columns,
}

impl Reading {
    /// Two columns, whatever they are called.
    pub fn pair(prompt: &str, completion: &str) -> Self {
        Self { format: Format::Auto, columns: Columns::pair(prompt, completion) }
    }
}

/// A file's rows, and what they were found to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The rows.
    pub rows: Rows,
    /// Their format; never `Auto`.
    pub format: Format,
    /// What the file is written in.
    pub container: Container,
    /// The columns that were read.
    pub columns: Vec<String>,
}

impl Found {
    /// `JSON lines, prompt and completion (question, answer)`.
    pub fn describe(&self) -> String {
        if self.container == Container::Text {
            return "plain text".into();
        }
        format!("{}, {} ({})", self.container.name(), self.format.name(), self.columns.join(", "))
    }
}

/// Reads a file's rows.
///
/// What it is written in is told by its name: `.jsonl`, `.ndjson` and `.json` are JSON (lines, an array, or an object that holds
/// one), `.csv` and `.tsv` have a heading, `.parquet` is Parquet, `.txt`, `.text` and `.md` plain text. With any other name it is
/// JSON if the first byte that is not blank is `{` or `[`, else plain text. Blank lines, a byte-order mark and Windows line ends
/// are accepted.
///
/// # Errors
/// Names the file, the line and the key that is not as it must be.
pub fn read_file(path: &Path, reading: &Reading) -> Result<Found> {
    let place = path.display().to_string();
    let as_records = !matches!(reading.format, Format::Auto | Format::Text);
    let (container, content) = records::read(path, reading.format == Format::Text, as_records)?;
    match content {
        Content::Text(text) => Ok(Found { rows: Rows::Text(text), format: Format::Text, container, columns: Vec::new() }),
        Content::Records(records) => formats::rows(records, reading, container, &place),
    }
}

/// As [`read_file`], the rows alone.
///
/// # Errors
/// As there.
pub fn read_rows(path: &Path, reading: &Reading) -> Result<Rows> {
    read_file(path, reading).map(|found| found.rows)
}

#[cfg(test)]
#[path = "rows_tests.rs"]
mod tests;
