//! Writing to the terminal without ever dying of it.

use crate::error::{Error, Result};
use std::io::{ErrorKind, Write};
use std::path::Path;

/// Whether whoever reads standard output still does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// It was written.
    Listening,
    /// The pipe is closed, as `| head` does: no fault, but nothing more needs to be written.
    Gone,
}

/// Writes to standard output at once.
///
/// # Errors
/// Where standard output is a file that cannot be written, such as on a full disk.
pub fn write(text: &str) -> Result<Reader> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(Reader::Listening),
        Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(e) => Err(Error::io(Path::new("standard output"))(e)),
    }
}

/// Writes a text that ends in one line end.
///
/// # Errors
/// As [`write()`].
pub fn print(text: &str) -> Result<()> {
    write(&format!("{}\n", text.trim_end())).map(|_| ())
}

/// Writes a value as one line of JSON.
///
/// # Errors
/// As [`write()`].
pub fn print_json(value: &serde_json::Value) -> Result<()> {
    print(&value.to_string())
}

/// Writes to standard error. If nobody can read it, nothing can be done.
pub fn complain(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Rows of text in columns, two blanks apart; the first row is the head.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |c: usize| rows.iter().filter_map(|r| r.get(c)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, w)| format!("{cell:<w$}")).collect();
        cells.join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

/// 1234567 as `1,234,567`.
pub fn grouped(n: u64) -> String {
    indicatif::HumanCount(n).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [vec!["a".to_owned(), "bb".to_owned()], vec!["ccc".to_owned(), "d".to_owned()]];
        assert_eq!(table(&rows), "a    bb\nccc  d\n");
    }
}
