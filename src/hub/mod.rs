//! Models and datasets by their name on the Hugging Face hub.
//!
//! | file | what it is |
//! | --- | --- |
//! | `name.rs` | `owner/name@revision:part`, and which paths stay where they belong |
//! | `settings.rs` | `HF_ENDPOINT`, `HF_TOKEN`, `HF_HOME`, `HF_HUB_OFFLINE` and their like |
//! | `client.rs` | requests: redirects, what each status means, when another try is made |
//! | `shelf.rs` | one repository in the cache that Python's `huggingface_hub` shares: blobs, refs, snapshots |
//! | `download.rs` | one file: lock, part, resume, checks |
//! | `visit.rs` | a repository at a commit: asked of the hub, or of the cache where the hub cannot be asked |
//! | `model.rs`, `dataset.rs` | which of its files are wanted |
//!
//! The crate hf-hub 0.5 gives the routes and the places in the cache. Its transfers are not used: they take no `HF_TOKEN`, no
//! `HF_HUB_OFFLINE` and no `HF_HUB_CACHE`; append the whole file to a part where a server ignores `Range`; check neither size nor
//! hash; lose `Retry-After`; panic where a redirect names no place; and do not find what is cached under a commit. They are ureq's
//! here too.
//!
//! A page in a browser fetches nothing: there is only the name, so that it can say so.

#[cfg(not(target_arch = "wasm32"))]
mod client;
#[cfg(not(target_arch = "wasm32"))]
mod dataset;
#[cfg(not(target_arch = "wasm32"))]
mod download;
#[cfg(target_arch = "wasm32")]
mod elsewhere;
#[cfg(not(target_arch = "wasm32"))]
mod model;
mod name;
#[cfg(not(target_arch = "wasm32"))]
mod settings;
#[cfg(not(target_arch = "wasm32"))]
mod shelf;
#[cfg(not(target_arch = "wasm32"))]
mod visit;

#[cfg(target_arch = "wasm32")]
pub use elsewhere::{dataset, local, model};
pub use name::Name;
#[cfg(not(target_arch = "wasm32"))]
pub use native::{dataset, local, model};
#[cfg(not(target_arch = "wasm32"))]
pub use settings::Settings;

use std::path::{Path, PathBuf};

/// The files of rows that a hub's answer about a dataset leads to: what a fetch asks of it, without a hub.
///
/// # Errors
/// Says what is wrong with the answer, or lists the choices where there are several.
#[cfg(all(feature = "fuzzing", not(target_arch = "wasm32")))]
pub fn read_answer(name: &Name, splits: &[&str], text: &str) -> crate::error::Result<Vec<String>> {
    dataset::chosen_of(&visit::answer(text, "the hub")?.1, name, splits)
}

/// Whether a path stays inside the folder that it is below.
#[cfg(feature = "fuzzing")]
pub fn is_inside(path: &str) -> bool {
    name::is_inside(path)
}

/// What is said while files are fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// A file is on its way; `done == total` ends it.
    Bytes {
        /// Its name.
        what: String,
        /// Bytes so far.
        done: u64,
        /// Bytes in all.
        total: u64,
    },
    /// Something worth knowing.
    Note(String),
    /// Something that is probably not meant.
    Warning(String),
}

/// A model's folder, by whatever it was named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// What to write down to find the same again: the path as it was given, or the hub's name with the commit.
    pub name: PathBuf,
    /// Where it lies.
    pub folder: PathBuf,
}

/// Files of rows, by whatever they were named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows {
    /// What to write down to find the same again: the path as it was given, or the hub's name with the commit.
    pub name: PathBuf,
    /// Where they lie.
    pub files: Vec<PathBuf>,
    /// What was chosen of a dataset, for people.
    pub choice: Option<String>,
}

impl Model {
    fn here(path: &Path) -> Self {
        Self { name: path.into(), folder: path.into() }
    }
}

impl Rows {
    fn here(path: &Path) -> Self {
        Self { name: path.into(), files: vec![path.into()], choice: None }
    }
}

/// A short name for people: a hub's without its owner and commit, else the path's own.
pub fn short(path: &Path) -> String {
    match Name::of(path) {
        Some(name) => name.short().to_owned(),
        None => path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default(),
    }
}

/// What other tools call the model: a hub's `owner/name` without the commit, else the path.
pub fn repository(path: &Path) -> String {
    Name::of(path).map_or_else(|| path.display().to_string(), |name| name.repository)
}

/// `asked`, unless `kept` is the same thing at a fixed commit and `asked` names no revision: then that.
pub fn same_commit(asked: &Path, kept: &Path) -> PathBuf {
    match (Name::of(asked), Name::of(kept)) {
        (Some(a), Some(k)) if a.revision.is_none() && a.repository == k.repository && a.part == k.part => kept.into(),
        _ => asked.into(),
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod native {
    use super::visit::Hub;
    use super::{Model, Name, Rows, Settings, Told, dataset as choosing, model as choosing_model};
    use crate::error::{Error, Result};
    use crate::files;
    use std::path::{Path, PathBuf};

    /// The model that a path or a hub's name stands for, fetched where it is not here. `weights`: whether those are needed.
    ///
    /// # Errors
    /// Says what was tried, what is missing and what to do.
    pub fn model(given: &Path, weights: bool, tell: &mut dyn FnMut(Told)) -> Result<Model> {
        match named(given, "folder")? {
            None => Ok(Model::here(given)),
            Some(name) if name.part.is_some() => {
                Err(Error::usage(format!("{name}: a model has no parts"), format!("write {}", Name { part: None, ..name })))
            }
            Some(name) => choosing_model::bring(&Hub::new(Settings::from_env()?), &name, weights, tell),
        }
    }

    /// The files of rows that a path or a hub's name stands for, fetched where they are not here. Of a dataset the first of `splits`
    /// that it has, unless the name says more.
    ///
    /// # Errors
    /// Says what was tried, what is missing and what to do; lists the choices where there are several.
    pub fn dataset(given: &Path, splits: &[&str], tell: &mut dyn FnMut(Told)) -> Result<Rows> {
        match named(given, "file")? {
            None => Ok(Rows::here(given)),
            Some(name) => choosing::bring(&Hub::new(Settings::from_env()?), &name, splits, tell),
        }
    }

    /// The folder of a model that is here already, without asking anybody; else the path as it is.
    pub fn local(given: &Path) -> PathBuf {
        let Some(name) = Name::of(given) else { return given.into() };
        let Ok(settings) = Settings::from_env() else { return given.into() };
        let hub = Hub::new(Settings { offline: true, ..settings });
        choosing_model::bring(&hub, &name, false, &mut |_| ()).map_or_else(|_| given.into(), |model| model.folder)
    }

    fn named(given: &Path, what: &str) -> Result<Option<Name>> {
        if files::exists(given) {
            return Ok(None);
        }
        given.to_str().and_then(Name::parse).map(Some).ok_or_else(|| {
            let hint = "is the path right? A relative one starts at the working directory";
            Error::input(given.display().to_string(), format!("there is no such {what}, and it is no name on the hub (owner/name)"), hint)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_for_people_and_for_tools() {
        let pinned = Path::new("Owner/Model-1B@0123456789012345678901234567890123456789");
        assert_eq!((short(pinned).as_str(), repository(pinned).as_str()), ("Model-1B", "Owner/Model-1B"));
        assert_eq!((short(Path::new("runs/a/model")).as_str(), repository(Path::new("runs/a/model")).as_str()), ("model", "runs/a/model"));
    }

    #[test]
    fn a_commit_is_kept_where_no_other_is_asked_for() {
        for (asked, kept, found) in [
            ("a/b", "a/b@0", "a/b@0"),
            ("a/b@1", "a/b@0", "a/b@1"),
            ("a/c", "a/b@0", "a/c"),
            ("a/b:x", "a/b@0:y", "a/b:x"),
            ("a/b:x", "a/b@0:x", "a/b@0:x"),
            ("rows.jsonl", "a/b@0", "rows.jsonl"),
        ] {
            assert_eq!(same_commit(Path::new(asked), Path::new(kept)), Path::new(found), "{asked}");
        }
    }
}
