//! Which of some folders hold an adapter, and whose.

use super::config::{Init, RunConfig, WeightsFormat};
use super::resolve::variant;
use super::run_folder::CONFIG_FILE;
use crate::data::Begin;
use crate::files;
use crate::generate::together::has_adapter;
use std::path::{Path, PathBuf};

/// An adapter that can be spoken with.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Its folder.
    pub folder: PathBuf,
    /// The folder's own name.
    pub name: String,
    /// The options of the run that made it, where it was one of this program's.
    pub run: Option<RunConfig>,
}

/// The options of the run whose folder this is. One that a newer version wrote may be unreadable; its adapter still speaks.
fn run_of(folder: &Path) -> Option<RunConfig> {
    let path = folder.join(CONFIG_FILE);
    if files::is_file(&path) { RunConfig::from_toml_file(&path).ok() } else { None }
}

/// Which begin token is put before a text, where `asked` leaves it open: that of the rows of the run that made the adapter, or the whole
/// model (`model` in a run's folder), since a model continues best what looks like its rows; else the tokenizer's word.
pub fn begin_token(asked: Begin, model: &Path, adapter: Option<&Path>) -> Begin {
    let whole = || if model.ends_with("model") { model.parent() } else { None };
    match (asked, adapter.or_else(whole).and_then(run_of)) {
        (Begin::Auto, Some(run)) => run.begin_token,
        _ => asked,
    }
}

/// How a model's matrices are held, where `asked` leaves it open: as the run held them that made the adapter, which learned to make up for
/// their rounding.
pub fn weights(asked: Option<WeightsFormat>, adapter: Option<&Path>) -> Option<WeightsFormat> {
    asked.or_else(|| adapter.and_then(run_of)?.weights)
}

impl Found {
    /// The adapter in a folder, if one is there.
    pub fn look(folder: &Path) -> Option<Self> {
        if !has_adapter(folder) {
            return None;
        }
        let run = run_of(folder);
        let name = folder.file_name().map_or_else(|| folder.display().to_string(), |n| n.to_string_lossy().into_owned());
        Some(Self { folder: folder.to_path_buf(), name, run })
    }

    /// What made it, for people.
    pub fn method(&self) -> String {
        use super::compare::Size;
        let Some(run) = &self.run else { return "adapter".into() };
        match Size::of(run) {
            Size::Blocks(Some(blocks)) => format!("diablo, {blocks} blocks"),
            Size::Blocks(None) => "diablo".into(),
            Size::Rank(rank) => format!("{}, rank {rank}", variant(run.init == Init::Pissa, run.dora, run.rslora)),
            Size::Whole => "full".into(),
        }
    }

    /// Whether it was made on another model than this one, as far as is known.
    pub fn is_of_another(&self, model: &Path) -> bool {
        self.run.as_ref().is_some_and(|run| run.model != model)
    }
}
