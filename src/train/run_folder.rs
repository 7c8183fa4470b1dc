//! The folder of a run: who may write into it, and where everything in it lies.

use super::checkpoint::{CHECKPOINTS, Checkpoints};
use super::config::{Method, RunConfig};
use super::event::Summary;
use super::metrics::{METRICS_FILE, MetricsLog};
use crate::adapter::files::CONFIG_FILE as ADAPTER_FILE;
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
        Self::look(out, resume)?;
        files::create_dir_all(out).map_err(Error::io(out))?;
        let lock = lock(out)?;
        // Somebody may have been faster.
        refuse_a_run(out, resume)?;
        clear_up(out, a_run(out).is_some())?;
        let checkpoints = Checkpoints::open(&out.join(CHECKPOINTS))?;
        Ok(Self { dir: out.to_path_buf(), checkpoints, lock: Some(lock) })
    }

    /// Refuses what [`Self::create`] would, and puts nothing into the folder, which may be anybody's.
    ///
    /// # Errors
    /// Where the folder is none, holds a model or a run that is not to go on, or another process trains in it.
    pub fn look(out: &Path, resume: bool) -> Result<()> {
        if files::exists(out) && !files::is_dir(out) {
            return Err(Error::usage(format!("--out {}: is a file", out.display()), "name a folder"));
        }
        if files::is_listed(out) && !files::exists(out) {
            let what = format!("--out {}: is a link that leads nowhere", out.display());
            return Err(Error::usage(what, "make the folder that it names, or name another one"));
        }
        let model = ["config.json", "model.safetensors", "tokenizer.json"].iter().find(|name| files::exists(&out.join(name)));
        if let (None, Some(found)) = (a_run(out), model) {
            let what = format!("--out {}: holds a model ({found}), which the run would write over", out.display());
            return Err(Error::usage(what, "name another folder with --out"));
        }
        if files::exists(&out.join(LOCK_FILE)) {
            drop(lock(out)?);
        }
        refuse_a_run(out, resume)
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
        // Runs of older versions had local paths without the mark that tells them from names on the hub.
        if config.fingerprint() == fingerprint || config.unmarked().fingerprint() == fingerprint {
            return Ok(());
        }
        let stored = self.read_config()?;
        let differing = stored.map(|s| config.differences(&s)).unwrap_or_default();
        if differing.is_empty() {
            let which = format!("{CONFIG_FILE} is not as it was when the checkpoint was made, in an option that checkpoints depend on");
            return Err(self.cannot_go_on(&which, "undo what was changed there, or begin anew with another --out"));
        }
        let hint = format!("go on as it was: {}\nor begin anew with another --out", resume_command(&self.dir));
        Err(self.cannot_go_on(&format!("it had another {}", differing.join(", ")), hint))
    }

    /// Refuses to go on with more or fewer rows than the checkpoint was made with: its place among them would mean nothing. As many others
    /// are told, for people: a chat template that writes today's date makes such ones tomorrow. See [`super::rows::word`].
    pub fn check_rows(&self, rows: &str, kept: &str) -> Result<Option<String>> {
        if kept.is_empty() || rows == kept {
            return Ok(None);
        }
        let count = |word: &str| word.split_once(' ').map_or(word, |(count, _)| count).to_owned();
        let (now, then) = (count(rows), count(kept));
        if now == then {
            let place = self.dir.display();
            return Ok(Some(format!(
                "{place}: the rows are as many as those that the checkpoint was made with, and not the same: it goes on with these"
            )));
        }
        let hint = "bring the rows back as they were, or begin anew with another --out";
        Err(self.cannot_go_on(&format!("there are {now} rows, and the checkpoint was made with {then}"), hint))
    }

    /// Refuses other options for a run that has no step left to make: its record would tell of what never was.
    pub fn check_over(&self, config: &RunConfig, step: u64, total: u64) -> Result<()> {
        let changed = self.read_config()?.map(|stored| config.changes(&stored)).unwrap_or_default();
        if changed.is_empty() {
            return Ok(());
        }
        let options = changed.iter().map(|key| format!("--{}", key.replace('_', "-"))).collect::<Vec<_>>().join(", ");
        let done = if step > total {
            format!("it has made {step} steps, and {total} are asked for")
        } else {
            format!("all its {total} steps are made")
        };
        let what = format!("{}: {done}: {options} would change nothing", self.dir.display());
        Err(Error::usage(what, format!("let it make more, as with --steps {}, or begin anew with another --out", step.saturating_mul(2))))
    }

    /// What a run without a checkpoint begins again with, for people. One that came to its end before is refused: what it learned would be lost.
    pub fn check_anew(&self, config: &RunConfig) -> Result<Option<String>> {
        let learned = [ADAPTER_FILE, "model/config.json"].iter().find(|name| files::exists(&self.dir.join(name)));
        if let Some(found) = learned {
            let which = format!("it has a result ({found}) and no checkpoint, so it would begin again and write over it");
            let more = match config.method {
                Method::Full => format!("--model {}", quoting::path(&self.dir.join("model"))),
                _ => format!("--init-adapter {}", quoting::path(&self.dir)),
            };
            return Err(self.cannot_go_on(&which, format!("begin with what it learned: {more} with another --out")));
        }
        let metrics = if files::is_file(&self.metrics_path()) { MetricsLog::read(&self.metrics_path())? } else { Vec::new() };
        let last = metrics.last().map(|m| m.step);
        Ok(last.map(|step| format!("{}: there is no checkpoint of its {step} steps: it begins again at step 1", self.dir.display())))
    }

    fn cannot_go_on(&self, which: &str, hint: impl Into<String>) -> Error {
        Error::usage(format!("{}: cannot go on with this run: {which}", self.dir.display()), hint)
    }

    /// The command that goes on with this run.
    pub fn resume_command(&self) -> String {
        resume_command(&self.dir)
    }
}

/// The file by which a folder is known to hold a run, or what one learned.
fn a_run(out: &Path) -> Option<&'static str> {
    [CONFIG_FILE, METRICS_FILE, CHECKPOINTS, ADAPTER_FILE].into_iter().find(|name| files::exists(&out.join(name)))
}

fn refuse_a_run(out: &Path, resume: bool) -> Result<()> {
    let Some(found) = a_run(out).filter(|_| !resume) else { return Ok(()) };
    let hint = format!("go on with it: {}\nor name another folder with --out", resume_command(out));
    Err(Error::usage(format!("--out {}: holds a run already ({found})", out.display()), hint))
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
        // As where somebody edited run.toml: the checkpoint knows that something differs, not what.
        let e = folder.check_resumable(&config, "0123").expect_err("refused");
        assert!(e.to_string().contains("run.toml is not as it was"), "{e}");
        let rows = |now: &str, then: &str| folder.check_rows(now, then).map(|told| told.is_some());
        assert!(!rows("7 a", "").expect("an older version did not tell"));
        assert!(!rows("7 a", "7 a").expect("the same"));
        assert!(rows("7 b", "7 a").expect("as many"));
        let e = rows("8 b", "7 a").expect_err("refused");
        assert!(e.to_string().ends_with("there are 8 rows, and the checkpoint was made with 7"), "{e}");
    }

    #[test]
    fn a_run_that_is_over_keeps_its_record() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = RunFolder::create(dir.path(), false).expect("made");
        let config = RunConfig { steps: Some(6), ..RunConfig::default() }.resolved();
        folder.write_config(&config).expect("writes");
        let elsewhere = RunConfig { device: "cpu".into(), threads: Some(1), ..config.clone() };
        folder.check_over(&elsewhere, 6, 6).expect("where it computes is no matter");
        let e = folder.check_over(&RunConfig { lr: Some(5.0), ..config.clone() }, 6, 6).expect_err("refused");
        assert!(e.to_string().ends_with("all its 6 steps are made: --lr would change nothing"), "{e}");
        assert!(e.hint().is_some_and(|h| h.contains("--steps 12")), "{:?}", e.hint());
        let e = folder.check_over(&RunConfig { steps: Some(5), ..config }, 6, 5).expect_err("refused");
        assert!(e.to_string().ends_with("it has made 6 steps, and 5 are asked for: --steps would change nothing"), "{e}");
    }

    #[test]
    fn a_run_without_its_checkpoints_is_not_begun_over_its_result() {
        let dir = tempfile::tempdir().expect("a folder");
        let (config, path) = (RunConfig::default(), dir.path());
        let folder = RunFolder::create(path, false).expect("made");
        assert_eq!(folder.check_anew(&config).expect("killed before its first step"), None);
        let mut log = MetricsLog::open(path, None).expect("opens");
        log.write(&crate::train::metrics::StepMetrics { step: 1, ..Default::default() }).expect("writes");
        let said = folder.check_anew(&config).expect("killed before its first checkpoint");
        assert!(said.is_some_and(|s| s.contains("it begins again at step 1")));
        std::fs::write(path.join(ADAPTER_FILE), "{}").expect("writes");
        let e = folder.check_anew(&config).expect_err("refused");
        assert!(e.to_string().contains("adapter_config.json") && e.hint().is_some_and(|h| h.contains("--init-adapter")), "{e}");
    }

    #[test]
    fn a_refused_folder_is_left_as_it_was() {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::write(dir.path().join(ADAPTER_FILE), "{}").expect("writes");
        assert!(refused(dir.path(), false).to_string().contains("holds a run already"));
        assert_eq!(std::fs::read_dir(dir.path()).expect("reads").count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_that_leads_nowhere_is_named() {
        let dir = tempfile::tempdir().expect("a folder");
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(dir.path().join("gone"), &link).expect("a link");
        assert!(refused(&link, false).to_string().contains("is a link that leads nowhere"));
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
