//! The folder of a run: who may write into it, and where everything in it lies.

use super::checkpoint::{CHECKPOINTS, Checkpoints};
use super::config::RunConfig;
use super::event::Summary;
use super::metrics::METRICS_FILE;
use crate::error::{Error, Result};
use crate::files::{self, Lock, Locked, atomic_write_bytes};
use crate::quoting;
use std::path::{Path, PathBuf};

/// The resolved options of the run.
pub const CONFIG_FILE: &str = "run.toml";
/// What ran: model, method, device, sizes.
pub const SUMMARY_FILE: &str = "summary.json";
/// Its loss as a picture.
pub const PLOT_FILE: &str = "loss.svg";
const LOCK_FILE: &str = ".diablo.lock";

/// A run folder that belongs to this process until it is dropped; a killed process holds nothing.
#[derive(Debug)]
pub struct RunFolder {
    dir: PathBuf,
    checkpoints: Checkpoints,
    /// Held, never read.
    lock: Option<Lock>,
}

impl RunFolder {
    /// Makes or takes over the folder `out`.
    ///
    /// A folder with a run in it is refused unless `resume`; one with a model in it always is. With `resume`, what kills left
    /// half done is cleared up. A folder without a run may be resumed too: the run was killed before its first file.
    pub fn create(out: &Path, resume: bool) -> Result<Self> {
        if files::exists(out) && !files::is_dir(out) {
            return Err(Error::usage(format!("--out {}: is a file", out.display()), "name a folder"));
        }
        let run = [CONFIG_FILE, METRICS_FILE, CHECKPOINTS, "adapter_config.json"].iter().find(|name| files::exists(&out.join(name)));
        let model = ["config.json", "model.safetensors", "tokenizer.json"].iter().find(|name| files::exists(&out.join(name)));
        // Before anything is put into it: a model's folder may be anybody's.
        if let (None, Some(found)) = (run, model) {
            let what = format!("--out {}: holds a model ({found}), which the run would write over", out.display());
            return Err(Error::usage(what, "name another folder with --out"));
        }
        files::create_dir_all(out).map_err(Error::io(out))?;
        let lock = lock(out)?;
        if let Some(found) = run.filter(|_| !resume) {
            let hint = format!("go on with it: {}\nor name another folder with --out", resume_command(out));
            return Err(Error::usage(format!("--out {}: holds a run already ({found})", out.display()), hint));
        }
        clear_up(out, run.is_some())?;
        let checkpoints = Checkpoints::open(&out.join(CHECKPOINTS))?;
        Ok(Self { dir: out.to_path_buf(), checkpoints, lock: Some(lock) })
    }

    /// Lets another process or another run have the folder.
    pub fn unlock(&mut self) {
        self.lock = None;
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// Its checkpoints.
    pub fn checkpoints(&self) -> &Checkpoints {
        &self.checkpoints
    }

    /// Where the plot goes.
    pub fn plot_path(&self) -> PathBuf {
        self.dir.join(PLOT_FILE)
    }

    /// Where the metrics go.
    pub fn metrics_path(&self) -> PathBuf {
        self.dir.join(METRICS_FILE)
    }

    /// Writes `run.toml`; call it with [`RunConfig::resolved`] options.
    pub fn write_config(&self, config: &RunConfig) -> Result<()> {
        let (path, text) = (self.dir.join(CONFIG_FILE), config.to_toml_string()?);
        atomic_write_bytes(&path, text.as_bytes())
    }

    /// Writes what is about to run, for whoever compares runs later.
    pub fn write_summary(&self, summary: &Summary) -> Result<()> {
        let text = serde_json::to_string_pretty(summary).unwrap_or_default() + "\n";
        atomic_write_bytes(&self.dir.join(SUMMARY_FILE), text.as_bytes())
    }

    /// Reads `run.toml`, if the folder has one.
    pub fn read_config(&self) -> Result<Option<RunConfig>> {
        let path = self.dir.join(CONFIG_FILE);
        if files::is_file(&path) { RunConfig::from_toml_file(&path).map(Some) } else { Ok(None) }
    }

    /// Refuses to go on with a run whose checkpoints were made under other options, and names them.
    pub fn check_resumable(&self, config: &RunConfig, fingerprint: &str) -> Result<()> {
        if config.fingerprint() == fingerprint {
            return Ok(());
        }
        let stored = self.read_config()?;
        let differing = stored.map(|s| config.differences(&s)).unwrap_or_default();
        let which =
            if differing.is_empty() { "it had other options".to_owned() } else { format!("it had another {}", differing.join(", ")) };
        let hint = format!("go on as it was: {}\nor begin anew with another --out", resume_command(&self.dir));
        Err(Error::usage(format!("{}: cannot go on with this run: {which}", self.dir.display()), hint))
    }

    /// The command that goes on with this run.
    pub fn resume_command(&self) -> String {
        resume_command(&self.dir)
    }
}

fn resume_command(out: &Path) -> String {
    format!("diablo train --resume --out {}", quoting::path(out))
}

/// Removes files that a kill left half written, here and in the model of a run that trained a whole one. Of a folder that holds no run yet
/// only its options can be such a file; whatever else is there is somebody else's.
fn clear_up(out: &Path, holds_run: bool) -> Result<()> {
    for folder in [out.to_path_buf(), out.join("model")] {
        let names = match files::names(&folder) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            names => names.map_err(Error::io(&folder))?,
        };
        let left = |name: &&String| files::is_unfinished(name) && (holds_run || name.starts_with(&format!(".{CONFIG_FILE}.")));
        names.iter().filter(left).try_for_each(|name| files::remove(&folder.join(name)))?;
    }
    Ok(())
}

fn lock(out: &Path) -> Result<Lock> {
    let path = out.join(LOCK_FILE);
    match files::lock(&path).map_err(Error::io(&path))? {
        Locked::Ours(lock) => Ok(lock),
        Locked::Theirs(who) => {
            let who = who.map(|pid| format!(" (process {pid})")).unwrap_or_default();
            let hint = "wait for it, stop it, or name another folder with --out";
            Err(Error::usage(format!("another diablo{who} is training in {}", out.display()), hint))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::blocks::Blocks;
    use std::process::{Command, Stdio};
    use std::time::Duration;

    fn refused(out: &Path, resume: bool) -> Error {
        RunFolder::create(out, resume).expect_err("refused")
    }

    #[test]
    fn a_run_is_never_written_over() {
        let dir = tempfile::tempdir().expect("a folder");
        let out = dir.path().join("deep/run 1");
        let folder = RunFolder::create(&out, false).expect("made");
        // Killed before its first file: nothing stands in the way of either.
        drop(folder);
        drop(RunFolder::create(&out, false).expect("empty"));
        let folder = RunFolder::create(&out, true).expect("empty");
        folder.write_config(&RunConfig { seed: 7, ..RunConfig::default() }.resolved()).expect("writes");
        drop(folder);
        let e = refused(&out, false);
        assert!(e.to_string().contains("run.toml") && e.exit_code() == 2, "{e}");
        assert!(e.hint().is_some_and(|h| h.contains("--resume --out \"")), "{:?}", e.hint());
        let folder = RunFolder::create(&out, true).expect("resumes");
        let stored = folder.read_config().expect("reads").expect("is there");
        assert_eq!((stored.seed, stored.lr, stored.epochs), (7, Some(1e-3), Some(1.0)));
    }

    #[test]
    fn what_kills_left_half_written_is_removed() {
        let dir = tempfile::tempdir().expect("a folder");
        let put = |name: &str| std::fs::write(dir.path().join(name), "half").expect("writes");
        let names = || {
            let mut names = files::names(dir.path()).expect("names");
            names.sort();
            names
        };
        let (theirs, options, adapter) = (".theirs.tmp-1-1", ".run.toml.tmp-1-1", ".adapter_model.safetensors.tmp-1-1");
        [theirs, options].into_iter().for_each(put);
        let folder = RunFolder::create(dir.path(), false).expect("no run yet");
        assert_eq!(names(), [LOCK_FILE, theirs]);
        folder.write_config(&RunConfig::default().resolved()).expect("writes");
        drop(folder);
        std::fs::create_dir(dir.path().join("model")).expect("a folder");
        [options, adapter, "model/.model.safetensors.tmp-1-1", "model/model.safetensors"].into_iter().for_each(put);
        drop(RunFolder::create(dir.path(), true).expect("resumes"));
        assert_eq!(names(), [LOCK_FILE, "model", "run.toml"]);
        assert_eq!(files::names(&dir.path().join("model")).expect("names"), ["model.safetensors"]);
    }

    #[test]
    fn other_options_cannot_go_on() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = RunFolder::create(dir.path(), false).expect("made");
        let config = RunConfig { blocks: Some(Blocks::One(4)), ..RunConfig::default() };
        folder.write_config(&config).expect("writes");
        folder.check_resumable(&RunConfig { steps: Some(9), ..config.clone() }, &config.fingerprint()).expect("longer is fine");
        let e = folder.check_resumable(&RunConfig { seed: 1, ..config.clone() }, &config.fingerprint()).expect_err("refused");
        assert!(e.to_string().ends_with("it had another seed (42, not 1)"), "{e}");
    }

    #[test]
    fn models_and_files_are_left_alone() {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::write(dir.path().join("config.json"), "{}").expect("writes");
        assert!(refused(dir.path(), false).to_string().contains("holds a model"));
        assert!(refused(dir.path(), true).to_string().contains("holds a model"));
        assert!(refused(&dir.path().join("config.json"), false).to_string().contains("is a file"));
    }

    #[test]
    fn two_handles_contend() {
        let dir = tempfile::tempdir().expect("a folder");
        let first = RunFolder::create(dir.path(), false).expect("made");
        for resume in [false, true] {
            let e = refused(dir.path(), resume);
            assert!(e.to_string().contains("another diablo") && e.to_string().contains("is training in"), "{e}");
        }
        drop(first);
        RunFolder::create(dir.path(), false).expect("free again");
    }

    /// Not a test of its own: the process that the next test starts and kills.
    #[test]
    fn lock_holder() {
        let Some(dir) = std::env::var_os("DIABLO_TEST_LOCK_DIR") else { return };
        let _folder = RunFolder::create(Path::new(&dir), false).expect("made");
        std::fs::write(Path::new(&dir).join("held"), "").expect("writes");
        std::thread::sleep(Duration::from_secs(60));
    }

    #[test]
    fn a_killed_process_holds_nothing() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut other = Command::new(std::env::current_exe().expect("this test"))
            .args(["lock_holder", "--nocapture"])
            .env("DIABLO_TEST_LOCK_DIR", dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        let began = std::time::Instant::now();
        while !dir.path().join("held").exists() && began.elapsed().as_secs() < 30 {
            std::thread::sleep(Duration::from_millis(10));
        }
        let e = refused(dir.path(), false);
        other.kill().expect("kills");
        other.wait().expect("ends");
        assert!(e.to_string().contains("another diablo"), "{e}");
        #[cfg(unix)]
        assert!(e.to_string().contains(&format!("(process {})", other.id())), "{e}");
        RunFolder::create(dir.path(), false).expect("free again");
    }
}
