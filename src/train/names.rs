//! Names on the hub among a run's options: fixed to a commit, so that `run.toml` gives the same run later, and what they stand for here.

use super::config::RunConfig;
use super::event::Event;
use super::run_folder::CONFIG_FILE;
use crate::data::{DataFile, DataFiles};
use crate::error::{Error, Result};
use crate::files;
use crate::hub::{self, Name, Told};
use crate::quoting;
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
    refuse_a_run(&run.model)?;
    run.model = marked(&hub::model(&run.model, weights, &mut |told| events(told.into()))?.name);
    for file in &mut run.data.0 {
        file.path = marked(&hub::dataset(&file.path, &[&run.split], &mut |told| events(told.into()))?.name);
    }
    if let Some(path) = &mut run.eval_data {
        *path = marked(&hub::dataset(path, &HELD_OUT, &mut |told| events(told.into()))?.name);
    }
    Ok(run)
}

/// A path as a run writes it down: what could be read as a name on the hub begins with `./`, so that nobody asks the hub for it where the
/// path leads nowhere, as from another working directory. A name that was fetched has its commit.
pub fn marked(path: &Path) -> PathBuf {
    match path.to_str().and_then(Name::parse) {
        Some(Name { revision: None, .. }) => Path::new(".").join(path),
        _ => path.to_path_buf(),
    }
}

/// Puts another path in the place of each one that may be a name on the hub.
pub(super) fn each_path(run: &mut RunConfig, other: impl Fn(&Path) -> PathBuf) {
    run.model = other(&run.model);
    for file in &mut run.data.0 {
        file.path = other(&file.path);
    }
    if let Some(path) = &mut run.eval_data {
        *path = other(path);
    }
}

/// Refuses a run's folder in a model's place, and says how its result is named.
fn refuse_a_run(given: &Path) -> Result<()> {
    let has = |name: &str| files::is_file(&given.join(name));
    if has("config.json") || !(has(CONFIG_FILE) || has("adapter_config.json")) {
        return Ok(());
    }
    let (name, whole) = (given.display(), given.join("model"));
    if files::is_file(&whole.join("config.json")) {
        let hint = format!("the model that it trained lies in it: --model {}", quoting::path(&whole));
        return Err(Error::usage(format!("--model {name}: is the folder of a run"), hint));
    }
    let base = RunConfig::from_toml_file(&given.join(CONFIG_FILE)).map_or_else(|_| "BASE".into(), |run| quoting::path(&run.model));
    let hint = format!("an adapter is put on its model: --model {base} --adapter {}", quoting::path(given));
    Err(Error::usage(format!("--model {name}: is the folder of a run, which holds an adapter and no model"), hint))
}

/// Refuses a run's stored options whose local files are not where they say, and tells where they were looked for. `hint` says what else can
/// be done.
///
/// # Errors
/// Names the file that holds the options, and the path that leads nowhere.
pub fn refuse_absent(stored: &Path, option: &str, path: &Path, hint: &str) -> Result<()> {
    if path.as_os_str().is_empty() || files::exists(path) || path.to_str().and_then(Name::parse).is_some() {
        return Ok(());
    }
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    if whole == path {
        return Err(Error::input(stored.display().to_string(), format!("its {option} {} is not there", path.display()), hint));
    }
    let what = format!("its {option} {} is not there: it was looked for at {}", path.display(), whole.display());
    let start = "start the command in the folder in which the run was started";
    let hint = if hint.is_empty() { start.to_owned() } else { format!("{start}, or {hint}") };
    Err(Error::input(stored.display().to_string(), what, hint))
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
    refuse_a_run(given)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_paths_are_no_names() {
        for (path, written) in [
            ("models/Small", "./models/Small"),
            ("a/b:c", "./a/b:c"),
            ("Qwen/Qwen3-0.6B@0f", "Qwen/Qwen3-0.6B@0f"),
            ("models/deep/Small", "models/deep/Small"),
            ("rows.jsonl", "rows.jsonl"),
            ("/m", "/m"),
            ("", ""),
        ] {
            assert_eq!(marked(Path::new(path)), Path::new(written), "{path}");
            assert_eq!(marked(Path::new(written)), Path::new(written), "{path}");
        }
    }

    #[test]
    fn a_run_is_no_model() {
        let dir = tempfile::tempdir().expect("a folder");
        let run = RunConfig { model: "/m".into(), ..RunConfig::default() };
        std::fs::write(dir.path().join(CONFIG_FILE), run.to_toml_string().expect("text")).expect("writes");
        let e = model(dir.path(), true, &mut |_| ()).expect_err("an adapter");
        assert!(e.hint().is_some_and(|h| h.contains("--model /m --adapter ")), "{:?}", e.hint());
        std::fs::create_dir(dir.path().join("model")).expect("a folder");
        std::fs::write(dir.path().join("model/config.json"), "{}").expect("writes");
        let e = model(dir.path(), true, &mut |_| ()).expect_err("a run of full training");
        assert!(e.hint().is_some_and(|h| h.ends_with("/model")), "{:?}", e.hint());
    }

    #[test]
    fn what_a_run_names_and_is_not_there_is_told() {
        let look = |path: &str| refuse_absent(Path::new("r/run.toml"), "model", Path::new(path), "say where it is with --model");
        look("owner/name@0f").expect("the hub has it");
        look("").expect("said elsewhere");
        let e = look("./models/Small").expect_err("it is not there");
        assert!(e.to_string().starts_with("r/run.toml: its model ./models/Small is not there: it was looked for at /"), "{e}");
        assert!(e.hint().is_some_and(|h| h.contains("in which the run was started, or say where")), "{:?}", e.hint());
    }
}
