//! The comparison's folder.
//!
//! | file | what it is |
//! | --- | --- |
//! | `paper.toml` | the options that all runs share |
//! | `paper.json` | what was asked for, and the table |
//! | `paper.svg` | the losses at the best rates |
//! | `diablo/`, `lora/`, `full/` | run folders, named by rate and seed |
//! | `bundled/` | the bundled model and rows, where nothing else was given |

use super::results::Line;
use super::{Asked, Paper, results};
use crate::error::{Error, Result};
use crate::eval::Share;
use crate::files::{self, atomic_write_bytes, read_text};
use crate::quoting;
use crate::train::event::Event;
use crate::train::sweep::refuse_changes;
use crate::train::{RunConfig, names};
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;

/// The options that all runs share.
pub const BASE_FILE: &str = "paper.toml";
/// What was asked for, and what came of it.
pub const STATE_FILE: &str = "paper.json";
/// The losses as a picture.
pub const PLOT_FILE: &str = "paper.svg";
/// The folder of the bundled model and rows.
pub const BUNDLED: &str = "bundled";
/// In a run folder: how many answers were right.
const ANSWERS_FILE: &str = "exact_match.json";

const STATE_LIMIT: u64 = 64 << 20;

#[derive(Deserialize)]
struct State {
    #[serde(flatten)]
    asked: Asked,
    #[serde(default)]
    failed: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Answers {
    right: u64,
    of: u64,
}

fn read<T: serde::de::DeserializeOwned>(path: &Path, what: &str) -> Result<Option<T>> {
    if !files::is_file(path) {
        return Ok(None);
    }
    let broken = |e: serde_json::Error| Error::input(path.display().to_string(), format!("is no {what}: {e}"), "");
    serde_json::from_str(&read_text(path, STATE_LIMIT)?).map(Some).map_err(broken)
}

impl Paper {
    /// What an earlier sitting was asked for.
    ///
    /// # Errors
    /// Where the folder holds no comparison.
    pub fn asked(folder: &Path) -> Result<Asked> {
        read::<State>(&folder.join(STATE_FILE), "comparison")?.map(|state| state.asked).ok_or_else(|| {
            let what = format!("--resume: {} holds no comparison ({STATE_FILE} is not there)", folder.display());
            Error::usage(what, "name the folder that it was given with --out")
        })
    }

    /// Refuses a folder that a new comparison would write over.
    ///
    /// # Errors
    /// Says what is there.
    pub fn refuse_used(folder: &Path) -> Result<()> {
        let name = folder.display();
        if files::is_file(&folder.join(STATE_FILE)) {
            let hint = format!(
                "go on with it: diablo compare --paper --resume --out {}\nor name another folder with --out",
                quoting::path(folder)
            );
            return Err(Error::usage(format!("--out {name}: holds a comparison already"), hint));
        }
        if files::is_file(folder) {
            return Err(Error::usage(format!("--out {name}: is a file"), "name a folder"));
        }
        // A kill may have come behind the bundled files.
        if files::is_dir(folder) && files::names(folder).map_err(Error::io(folder))?.iter().any(|n| n != BUNDLED) {
            return Err(Error::usage(format!("--out {name}: is not empty and holds no comparison"), "name another folder with --out"));
        }
        Ok(())
    }
}

/// The options with their names on the hub fixed, and what failed in an earlier sitting. Options that changed since are refused.
pub(super) fn settled(base: RunConfig, resume: bool, events: &mut dyn FnMut(Event)) -> Result<(RunConfig, BTreeMap<String, String>)> {
    let folder = base.out.clone();
    if !resume {
        Paper::refuse_used(&folder)?;
    }
    let failed = read::<State>(&folder.join(STATE_FILE), "comparison")?.map(|state| state.failed).unwrap_or_default();
    let path = folder.join(BASE_FILE);
    let kept = if resume && files::is_file(&path) { Some(RunConfig::from_toml_file(&path)?) } else { None };
    let mut base = RunConfig { resume: false, ..base };
    if let Some(kept) = &kept {
        names::keep_commits(&mut base, kept);
    }
    let base = names::settle(base, events)?;
    if let Some(kept) = &kept {
        refuse_changes(&base, kept, "comparison", "diablo compare --paper --resume")?;
    }
    Ok((base, failed))
}

/// Writes `paper.json`, whose presence marks the folder, and `paper.toml`.
pub(super) fn write(paper: &Paper, lines: &[Line]) -> Result<()> {
    let Asked { methods, seeds, exact_match } = &paper.asked;
    let mut all = results::json(lines);
    if let Some(all) = all.as_object_mut() {
        let asked = json!({ "methods": methods, "seeds": seeds, "exact_match": exact_match, "failed": paper.failed });
        all.extend(asked.as_object().cloned().unwrap_or_default());
    }
    let text = serde_json::to_string_pretty(&all).unwrap_or_default() + "\n";
    atomic_write_bytes(&paper.folder.join(STATE_FILE), text.as_bytes())?;
    atomic_write_bytes(
        &paper.folder.join(BASE_FILE),
        paper.base.to_toml_shared("comparison", "diablo compare --paper --resume")?.as_bytes(),
    )
}

/// How many of a run's answers were right, where they were asked for.
pub(super) fn answers(run: &Path) -> Result<Option<Share>> {
    Ok(read::<Answers>(&run.join(ANSWERS_FILE), "count of answers")?.map(|a| Share { right: a.right, of: a.of }))
}

pub(super) fn keep_answers(run: &Path, share: Share) -> Result<()> {
    let text = json!({ "right": share.right, "of": share.of }).to_string() + "\n";
    atomic_write_bytes(&run.join(ANSWERS_FILE), text.as_bytes())
}
