//! Checkpoints: whole or not there, whatever happens while one is written.
//!
//! ```text
//! checkpoints/step-00000100/state.json   where the run stood, and the names and sizes of the files beside it
//! checkpoints/step-00000100/...          what the trainer writes: values and moments
//! checkpoints/best.json                  which of them had the lowest held-out loss
//! ```
//! A checkpoint is written into a folder with another name, brought to the disk, and renamed. The newest two and the best stay.

use crate::error::{Error, Result};
use crate::files::{self, atomic_write_bytes, remove};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The folder's name in a run folder.
pub const CHECKPOINTS: &str = "checkpoints";
/// The version of `state.json` that this program writes, and the newest that it reads.
pub const STATE_VERSION: u32 = 1;

const STATE: &str = "state.json";
const BEST: &str = "best.json";
const STEP: &str = "step-";
/// Being written; worthless after a kill.
const NEW: &str = ".new-";
/// Being replaced; the only copy if the kill came between the two renames.
const OLD: &str = ".old-";
const KEEP_NEWEST: usize = 2;

/// Where a run stood after a step.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CheckpointState {
    /// [`STATE_VERSION`] of the writer; filled in by [`Checkpoints::save`].
    pub version: u32,
    /// Optimiser steps done.
    pub step: u64,
    /// The place in the endless sequence of samples: rows used, over all passes.
    pub position: u64,
    /// Tokens trained on.
    pub tokens: u64,
    /// The lowest held-out loss so far.
    #[serde(with = "exact")]
    pub best_eval_loss: Option<f64>,
    /// The step of that loss.
    pub best_step: Option<u64>,
    /// Evaluations since then.
    pub evals_without_improvement: u32,
    /// Of the options it was made under.
    pub fingerprint: String,
    /// The rows' word ([`super::rows::word`]); empty in checkpoints of older versions, which did not tell.
    #[serde(default)]
    pub rows: String,
    /// What trains, in the order of the arena.
    pub layout: Vec<TensorLayout>,
    /// The files beside this one with their sizes in bytes; filled in by [`Checkpoints::save`].
    #[serde(default)]
    pub files: BTreeMap<String, u64>,
}

/// One trainable tensor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TensorLayout {
    /// Its name.
    pub name: String,
    /// Its sides.
    pub shape: Vec<usize>,
}

/// A number as the text of its shortest exact form, which losses have too that JSON cannot write: a resumed run must compare with the very
/// same one.
mod exact {
    use super::*;

    pub fn serialize<S: Serializer>(value: &Option<f64>, s: S) -> std::result::Result<S::Ok, S::Error> {
        value.map(|v| v.to_string()).serialize(s)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> std::result::Result<Option<f64>, D::Error> {
        let text = Option::<String>::deserialize(d)?;
        text.map(|t| t.parse().map_err(|_| serde::de::Error::custom(format!("'{t}' is no number")))).transpose()
    }
}

/// A checkpoint on disk, found whole.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckpointDir {
    /// Its folder.
    pub path: PathBuf,
    /// Its state.
    pub state: CheckpointState,
}

#[derive(Serialize, Deserialize)]
struct Best {
    folder: String,
    step: u64,
    #[serde(with = "exact")]
    eval_loss: Option<f64>,
}

/// The checkpoints of a run. Only the holder of the run folder's lock may have one.
#[derive(Debug)]
pub struct Checkpoints {
    dir: PathBuf,
}

impl Checkpoints {
    /// Clears up what kills left half done. The folder itself is made by the first checkpoint.
    pub(super) fn open(dir: &Path) -> Result<Self> {
        let this = Self { dir: dir.to_path_buf() };
        for name in this.names()? {
            let path = dir.join(&name);
            if name.starts_with(NEW) || files::is_unfinished(&name) {
                remove(&path)?;
            } else if let Some(real) = name.strip_prefix(OLD).map(|n| dir.join(n)) {
                if files::exists(&real) { remove(&path)? } else { rename(&path, &real)? }
            }
        }
        Ok(this)
    }

    /// Writes a checkpoint and removes those no longer needed.
    ///
    /// `write_files` puts the trainer's files into the folder it is given. The checkpoint counts as the best one if its
    /// `best_step` is its own step. A checkpoint of the same step is replaced.
    pub fn save(&self, state: &CheckpointState, write_files: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        files::create_dir_all(&self.dir).map_err(Error::io(&self.dir))?;
        let name = folder_name(state.step);
        let (new, old, path) = (self.dir.join(format!("{NEW}{name}")), self.dir.join(format!("{OLD}{name}")), self.dir.join(&name));
        remove(&new)?;
        let written = fill(&new, state, write_files);
        if written.is_err() {
            // A full disk above all: give its space back; the earlier checkpoints are untouched.
            let _ = remove(&new);
        }
        written?;
        if files::exists(&path) {
            rename(&path, &old)?;
        }
        rename(&new, &path)?;
        files::sync_folder(&self.dir).map_err(Error::io(&self.dir))?;
        remove(&old)?;
        if state.best_step == Some(state.step) {
            self.write_best(&name, state)?;
        }
        self.prune(state.step)?;
        Ok(path)
    }

    /// The newest whole checkpoint. Each broken one that is passed over is told to `warn`; if none is whole, that is an error.
    pub fn latest(&self, mut warn: impl FnMut(String)) -> Result<Option<CheckpointDir>> {
        let mut broken = None;
        for name in self.step_names()?.into_iter().rev() {
            let path = self.dir.join(&name);
            match load(&path)? {
                Ok(state) => {
                    // A kill may have come between the checkpoint and its mark.
                    if state.best_step == Some(state.step) && self.best_name()?.as_deref() != Some(name.as_str()) {
                        self.write_best(&name, &state)?;
                    }
                    return Ok(Some(CheckpointDir { path, state }));
                }
                Err(why) => {
                    warn(format!("{}: broken checkpoint ({why}); looking for an older one", path.display()));
                    broken.get_or_insert((path, why));
                }
            }
        }
        match broken {
            None => Ok(None),
            Some((path, why)) => {
                let hint = "there is no older one: begin anew with another --out, or without this folder";
                Err(Error::input(path.display().to_string(), format!("broken checkpoint: {why}"), hint))
            }
        }
    }

    /// The steps that there are checkpoints of, the newest first, whole or not.
    pub fn steps(&self) -> Result<Vec<u64>> {
        Ok(self.step_names()?.iter().rev().filter_map(|name| step_of(name)).collect())
    }

    /// The folder of a step's checkpoint.
    pub fn path(&self, step: u64) -> PathBuf {
        self.dir.join(folder_name(step))
    }

    /// The checkpoint with the lowest held-out loss, if one was measured and it is whole.
    pub fn best(&self) -> Result<Option<CheckpointDir>> {
        let Some(name) = self.best_name()? else { return Ok(None) };
        let path = self.dir.join(name);
        Ok(load(&path)?.ok().map(|state| CheckpointDir { path, state }))
    }

    fn write_best(&self, name: &str, state: &CheckpointState) -> Result<()> {
        let path = self.dir.join(BEST);
        let text = json(&path, &Best { folder: name.to_owned(), step: state.step, eval_loss: state.best_eval_loss })?;
        atomic_write_bytes(&path, text.as_bytes())
    }

    /// The folder that `best.json` names. A mark that cannot be read is no mark, and one that points elsewhere is not followed.
    fn best_name(&self) -> Result<Option<String>> {
        let path = self.dir.join(BEST);
        match files::read(&path) {
            Ok(bytes) => Ok(serde_json::from_slice::<Best>(&bytes).ok().map(|b| b.folder).filter(|n| step_of(n).is_some())),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::io(&path)(e)),
        }
    }

    /// Keeps the newest two whole ones up to `step` and the best. What is broken or newer was passed over by a resume.
    fn prune(&self, step: u64) -> Result<()> {
        let best = self.best_name()?;
        let mut kept = 0;
        for name in self.step_names()?.into_iter().rev() {
            let path = self.dir.join(&name);
            let good = step_of(&name).is_some_and(|s| s <= step) && kept < KEEP_NEWEST && load(&path)?.is_ok();
            if good {
                kept += 1;
            } else if best.as_deref() != Some(name.as_str()) {
                remove(&path)?;
            }
        }
        Ok(())
    }

    fn names(&self) -> Result<Vec<String>> {
        match files::names(&self.dir) {
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            names => names.map_err(Error::io(&self.dir)),
        }
    }

    /// The names of finished checkpoints, oldest first.
    fn step_names(&self) -> Result<Vec<String>> {
        let mut names: Vec<String> = self.names()?.into_iter().filter(|n| step_of(n).is_some()).collect();
        names.sort_by_key(|n| step_of(n));
        Ok(names)
    }
}

fn folder_name(step: u64) -> String {
    format!("{STEP}{step:08}")
}

/// The step of a checkpoint's name; other names are not ours to touch.
fn step_of(name: &str) -> Option<u64> {
    let step = name.strip_prefix(STEP)?.parse().ok()?;
    (folder_name(step) == name).then_some(step)
}

fn json(path: &Path, value: &impl Serialize) -> Result<String> {
    serde_json::to_string_pretty(value).map(|t| t + "\n").map_err(|e| Error::input(path.display().to_string(), e.to_string(), ""))
}

/// Everything into the new folder and onto the disk. `state.json` comes last: it knows the others' sizes.
fn fill(new: &Path, state: &CheckpointState, write_files: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    files::create_dir(new).map_err(Error::io(new))?;
    write_files(new)?;
    let mut state = CheckpointState { version: STATE_VERSION, files: BTreeMap::new(), ..state.clone() };
    for name in files::names(new).map_err(Error::io(new))? {
        let path = new.join(&name);
        let len = files::sync_file(&path).map_err(Error::io(&path))?;
        state.files.insert(name, len);
    }
    let path = new.join(STATE);
    atomic_write_bytes(&path, json(&path, &state)?.as_bytes())?;
    files::sync_folder(new).map_err(Error::io(new))
}

/// The state of a checkpoint, or why it is broken. An error only where a broken one must not be passed over.
fn load(path: &Path) -> Result<std::result::Result<CheckpointState, String>> {
    let file = path.join(STATE);
    let bytes = match files::read(&file) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Err(format!("no {STATE}"))),
        Err(e) => return Err(Error::io(&file)(e)),
    };
    // The version first: a newer state may have other fields, and going on from an older checkpoint would lose work silently.
    let version = serde_json::from_slice::<serde_json::Value>(&bytes).ok().and_then(|v| v.get("version")?.as_u64());
    if let Some(version) = version.filter(|v| *v > u64::from(STATE_VERSION)) {
        let what = format!("was written by a newer diablo (version {version}, this one reads {STATE_VERSION})");
        return Err(Error::input(file.display().to_string(), what, "update diablo"));
    }
    let state: CheckpointState = match serde_json::from_slice(&bytes) {
        Ok(state) => state,
        Err(e) => return Ok(Err(format!("{STATE}: {e}"))),
    };
    if path.file_name().and_then(|n| n.to_str()).and_then(step_of) != Some(state.step) {
        return Ok(Err(format!("{STATE} is of step {}", state.step)));
    }
    for (name, want) in &state.files {
        match files::metadata(&path.join(name)) {
            Ok(m) if m.len == *want => {}
            Ok(m) => return Ok(Err(format!("{name} has {} bytes instead of {want}", m.len))),
            Err(_) => return Ok(Err(format!("{name} is missing"))),
        }
    }
    Ok(Ok(state))
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    files::rename(from, to).map_err(Error::io(from))
}

#[cfg(test)]
#[path = "checkpoint_tests.rs"]
mod tests;
