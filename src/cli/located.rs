//! Models and rows by path or by name on the hub, fetched with a bar.

use super::progress::{Look, Reporter};
use crate::error::Result;
use crate::train::names;
use std::path::{Path, PathBuf};

/// The model's folder. What is fetched is shown, unless the command is to be quiet.
///
/// # Errors
/// Where it is neither here nor on the hub.
pub fn model(given: &Path, quiet: bool) -> Result<PathBuf> {
    let mut reporter = Reporter::new(Look::choose(quiet, false));
    names::model(given, true, &mut |event| reporter.report(&event))
}

/// The files of rows: of a dataset those of one split.
///
/// # Errors
/// Where they are neither here nor on the hub, or it is not clear which ones are meant.
pub fn rows(given: &Path, split: &str, quiet: bool) -> Result<Vec<PathBuf>> {
    let mut reporter = Reporter::new(Look::choose(quiet, false));
    names::files_of(given, &[split], &mut |event| reporter.report(&event))
}
