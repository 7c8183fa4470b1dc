//! A page: files are those that its visitor brings.

use super::{Model, Name, Rows, Told};
use crate::error::{Error, Result};
use std::path::{Path, PathBuf};

/// The model at a path.
///
/// # Errors
/// For a name on the hub.
pub fn model(given: &Path, _: bool, _: &mut dyn FnMut(Told)) -> Result<Model> {
    refuse(given, "folder").map(|()| Model::here(given))
}

/// The rows at a path.
///
/// # Errors
/// For a name on the hub.
pub fn dataset(given: &Path, _: &[&str], _: &mut dyn FnMut(Told)) -> Result<Rows> {
    refuse(given, "file").map(|()| Rows::here(given))
}

/// The path as it is.
pub fn local(given: &Path) -> PathBuf {
    given.into()
}

fn refuse(given: &Path, what: &str) -> Result<()> {
    match Name::of(given) {
        Some(name) => {
            let hint = format!("download the {what} and bring it here, or give the name to diablo on a desktop");
            Err(Error::usage(format!("{name}: a page fetches nothing from the hub"), hint))
        }
        None => Ok(()),
    }
}
