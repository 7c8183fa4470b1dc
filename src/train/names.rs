//! Names on the hub among a run's options: fixed to a commit, so that `run.toml` gives the same run later, and what they stand for here.

use super::config::RunConfig;
use super::event::Event;
use super::run_folder::CONFIG_FILE;
use crate::data::{DataFile, DataFiles};
use crate::error::Result;
use crate::files;
use crate::hub::{self, Told};
use std::path::{Path, PathBuf};

/// The split that is learned from, unless another one is asked for.
pub const TRAIN: &str = "train";
/// The splits that are held out, the best one first.
pub const HELD_OUT: [&str; 2] = ["validation", "test"];

impl From<Told> for Event {
    fn from(told: Told) -> Self {
        match told {
            Told::Bytes { what, done, total } => Self::Loading { what, done, total },
            Told::Note(text) => Self::Note { text },
            Told::Warning(text) => Self::Warning { text },
        }
    }
}

/// Fetches what the run names and fixes the names to commits. A run that goes on keeps the commits that it had.
///
/// # Errors
/// Where an option is wrong, or something is neither here nor on the hub.
pub fn settle(mut run: RunConfig, events: &mut dyn FnMut(Event)) -> Result<RunConfig> {
    run.validate()?;
    if run.resume {
        let path = run.out.join(CONFIG_FILE);
        // What is wrong with it is said where the run goes on.
        if let Some(kept) = files::is_file(&path).then(|| RunConfig::from_toml_file(&path).ok()).flatten() {
            keep_commits(&mut run, &kept);
        }
    }
    let weights = !run.init_from_config;
    run.model = hub::model(&run.model, weights, &mut |told| events(told.into()))?.name;
    for file in &mut run.data.0 {
        file.path = hub::dataset(&file.path, &[&run.split], &mut |told| events(told.into()))?.name;
    }
    if let Some(path) = &mut run.eval_data {
        *path = hub::dataset(path, &HELD_OUT, &mut |told| events(told.into()))?.name;
    }
    Ok(run)
}

/// Lets names that say no revision stand for the commits that they were in `kept`.
pub fn keep_commits(run: &mut RunConfig, kept: &RunConfig) {
    run.model = hub::same_commit(&run.model, &kept.model);
    for (file, kept) in run.data.0.iter_mut().zip(&kept.data.0) {
        file.path = hub::same_commit(&file.path, &kept.path);
    }
    if let (Some(path), Some(kept)) = (&mut run.eval_data, &kept.eval_data) {
        *path = hub::same_commit(path, kept);
    }
}

/// The folder of a model, fetched where it is not here.
///
/// # Errors
/// Where it is neither here nor on the hub.
pub fn model(given: &Path, weights: bool, events: &mut dyn FnMut(Event)) -> Result<PathBuf> {
    hub::model(given, weights, &mut |told| events(told.into())).map(|model| model.folder)
}

/// The files of rows that a path or a name on the hub stands for, and a note of what was chosen of a dataset.
///
/// # Errors
/// Where it is neither here nor on the hub, or the choice is not clear.
pub fn files_of(given: &Path, splits: &[&str], events: &mut dyn FnMut(Event)) -> Result<Vec<PathBuf>> {
    let found = hub::dataset(given, splits, &mut |told| events(told.into()))?;
    if let Some(choice) = found.choice {
        events(Event::note(choice));
    }
    Ok(found.files)
}

/// The run's files of rows, each name on the hub replaced by its files, with its weight.
///
/// # Errors
/// As [`files_of`].
pub fn data(run: &RunConfig, events: &mut dyn FnMut(Event)) -> Result<DataFiles> {
    let mut all = Vec::with_capacity(run.data.0.len());
    for file in &run.data.0 {
        let files = files_of(&file.path, &[&run.split], events)?;
        all.extend(files.into_iter().map(|path| DataFile { path, weight: file.weight }));
    }
    Ok(DataFiles(all))
}
