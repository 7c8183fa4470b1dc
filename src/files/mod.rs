//! The one room that touches files. Everything else asks it, so the same library runs where there is no file system.
//!
//! | file | what it is |
//! | --- | --- |
//! | `disk.rs` | the system's files: atomic replacement, locks, mapping |
//! | `links.rs` | links, and the space that is left; the system's alone |
//! | `memory/` | a tree of files in memory with a list of what changed, for a browser, which keeps it in its own storage |
//!
//! Both have the same functions with the same errors; `tests.rs` runs on both. What is written is whole or not there at all.

use crate::error::{Error, Result};
use std::path::Path;

#[cfg(not(target_arch = "wasm32"))]
mod disk;
#[cfg(not(target_arch = "wasm32"))]
mod links;
#[cfg(any(target_arch = "wasm32", test))]
pub mod memory;
#[cfg(test)]
mod tests;

#[cfg(not(target_arch = "wasm32"))]
pub use disk::*;
#[cfg(not(target_arch = "wasm32"))]
pub use links::*;
#[cfg(target_arch = "wasm32")]
pub use memory::*;

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// A plain file: no folder, pipe or device.
    pub is_file: bool,
    /// A folder.
    pub is_dir: bool,
    /// Bytes of a file.
    pub len: u64,
}

/// How an attempt to take a lock ended.
#[derive(Debug)]
pub enum Locked<L> {
    /// It is held until the value is dropped.
    Ours(L),
    /// Somebody else holds it: the process with this number, where that is known.
    Theirs(Option<u32>),
}

/// [`atomic_write`] of bytes that are already in memory.
///
/// # Errors
/// As [`atomic_write`].
pub fn atomic_write_bytes(path: &Path, bytes: &[u8]) -> Result<()> {
    atomic_write(path, |writer| writer.write_all(bytes).map_err(Error::io(path)))
}

/// Whether a name is one that [`atomic_write`] gives a file until it is whole. Where nobody writes, a kill left it behind.
pub fn is_unfinished(name: &str) -> bool {
    name.starts_with('.') && name.contains(".tmp-")
}

/// Adds a line to a file, which is made where it is not there.
pub fn append_line(path: &Path, line: &str) -> Result<()> {
    Appender::open(path).and_then(|mut file| file.append(format!("{line}\n").as_bytes())).map_err(Error::io(path))
}

/// Whether something is there. A link that leads nowhere is not.
pub fn exists(path: &Path) -> bool {
    metadata(path).is_ok()
}

/// Whether a plain file is there.
pub fn is_file(path: &Path) -> bool {
    metadata(path).is_ok_and(|m| m.is_file)
}

/// Whether a folder is there.
pub fn is_dir(path: &Path) -> bool {
    metadata(path).is_ok_and(|m| m.is_dir)
}

/// Removes a file, or a folder with everything in it. What is not there is no error.
///
/// # Errors
/// Where the system refuses.
pub fn remove(path: &Path) -> Result<()> {
    match if is_dir(path) { remove_dir_all(path) } else { remove_file(path) } {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io(path)(e)),
        _ => Ok(()),
    }
}

/// A name for a file that can be written.
fn file_name(path: &Path) -> Result<&std::ffi::OsStr> {
    path.file_name().ok_or_else(|| Error::input(path.display().to_string(), "is not the name of a file", "give a file name, not a folder"))
}

fn not_plain(path: &Path) -> Error {
    Error::input(path.display().to_string(), "is not a plain file", "")
}

/// Bytes as text, where they are not too many.
fn text(path: &Path, limit: u64, bytes: Vec<u8>) -> Result<String> {
    let place = || path.display().to_string();
    if bytes.len() as u64 > limit {
        return Err(Error::input(place(), format!("is larger than {limit} bytes, too large for a file of this kind"), ""));
    }
    String::from_utf8(bytes).map_err(|error| {
        Error::input(place(), format!("is not UTF-8 text (byte {})", error.utf8_error().valid_up_to()), "the file may be damaged")
    })
}
