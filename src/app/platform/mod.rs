//! Everything that differs between a desktop and a page: files, threads, dialogs, clocks. No other file of the app touches them.
//!
//! | file | where |
//! | --- | --- |
//! | `native.rs` | a desktop: threads, the system's dialogs and folders |
//! | `page.rs` | a browser: one thread, files that the page's script brings |
//!
//! Both have the same functions.

use crate::error::{Error, Result};
use crate::files;
use std::path::{Path, PathBuf};

#[cfg(not(target_arch = "wasm32"))]
mod native;
#[cfg(target_arch = "wasm32")]
mod page;

#[cfg(not(target_arch = "wasm32"))]
pub use native::*;
#[cfg(target_arch = "wasm32")]
pub use page::*;

/// The name under which the system knows the app: its data folder is called so too.
pub const APP_ID: &str = "diablo";

/// What a dialog asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// A folder that is there.
    Folder,
    /// A file that is there.
    File,
}

/// The first of `folder/name`, `folder/name-2`, ... that is not there.
pub fn free_folder(folder: &Path, name: &str) -> PathBuf {
    let first = folder.join(name);
    if !files::exists(&first) {
        return first;
    }
    (2..).map(|n| folder.join(format!("{name}-{n}"))).find(|path| !files::exists(path)).unwrap_or(first)
}

/// Whether this is a folder that is there.
pub fn is_folder(path: &Path) -> bool {
    files::is_dir(path)
}

/// Bytes of a file, if it is there.
pub fn file_size(path: &Path) -> Option<u64> {
    files::metadata(path).ok().filter(|m| m.is_file).map(|m| m.len)
}

/// Makes a folder, or takes one that is empty.
///
/// # Errors
/// Where it holds something already, or cannot be made.
pub fn make_empty(folder: &Path) -> Result<()> {
    if files::names(folder).is_ok_and(|names| !names.is_empty()) {
        return Err(Error::usage(format!("{}: the folder is not empty", folder.display()), "name a new folder"));
    }
    files::create_dir_all(folder).map_err(Error::io(folder))
}
