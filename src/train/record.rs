//! A run folder read back: what it was, what it measured, what it wrote. For comparing runs, whoever made them.

use super::config::RunConfig;
use super::event::Summary;
use super::metrics::{METRICS_FILE, MetricsLog, StepMetrics};
use super::run_folder::{CONFIG_FILE, PLOT_FILE, SUMMARY_FILE};
use super::writer::{self, SAMPLES_FILE, Written};
use crate::error::{Error, Result};
use crate::files::{self, read_text};
use std::path::{Path, PathBuf};

const SUMMARY_LIMIT: u64 = 1 << 20;

/// One run, from its folder.
#[derive(Clone, Debug)]
pub struct RunRecord {
    /// The folder.
    pub folder: PathBuf,
    /// Its options.
    pub config: RunConfig,
    /// What ran; absent where the folder was made by an earlier version.
    pub summary: Option<Summary>,
    /// A line for each step.
    pub metrics: Vec<StepMetrics>,
    /// What the model wrote between steps.
    pub written: Vec<Written>,
}

impl RunRecord {
    /// Reads a run folder. A run that is going on may be read too.
    ///
    /// # Errors
    /// Names the file that is missing or broken.
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join(CONFIG_FILE);
        if !files::is_file(&path) {
            return Err(Error::input(
                folder.display().to_string(),
                format!("no run: {CONFIG_FILE} is not here"),
                "choose the folder that a run was given with --out",
            ));
        }
        let config = RunConfig::from_toml_file(&path)?;
        let path = folder.join(SUMMARY_FILE);
        let summary = if files::is_file(&path) {
            let text = read_text(&path, SUMMARY_LIMIT)?;
            let broken = |e: serde_json::Error| Error::input(path.display().to_string(), format!("is no summary of a run: {e}"), "");
            Some(serde_json::from_str(&text).map_err(broken)?)
        } else {
            None
        };
        let path = folder.join(METRICS_FILE);
        let metrics = if files::is_file(&path) { MetricsLog::read(&path)? } else { Vec::new() };
        let path = folder.join(SAMPLES_FILE);
        let written = if files::is_file(&path) { writer::read(&path)? } else { Vec::new() };
        Ok(Self { folder: folder.to_path_buf(), config, summary, metrics, written })
    }

    /// The folder's own name.
    pub fn name(&self) -> String {
        self.folder.file_name().map_or_else(|| self.folder.display().to_string(), |n| n.to_string_lossy().into_owned())
    }

    /// The lowest held-out loss.
    pub fn best_eval_loss(&self) -> Option<f64> {
        self.best_eval().map(|(loss, _)| loss)
    }

    /// The lowest held-out loss, and the step after which it was measured. Of equal ones the first.
    pub fn best_eval(&self) -> Option<(f64, u64)> {
        self.best_eval_until(u64::MAX)
    }

    /// As [`Self::best_eval`], of the steps up to `step`.
    pub fn best_eval_until(&self, step: u64) -> Option<(f64, u64)> {
        let measured = self.metrics.iter().filter(|m| m.step <= step).filter_map(|m| Some((m.eval_loss?, m.step)));
        measured.filter(|(loss, _)| loss.is_finite()).min_by(|a, b| a.0.total_cmp(&b.0))
    }

    /// Whether it came to its end: all its steps, or as many as its patience let it do.
    pub fn ended(&self) -> bool {
        // The plot is the last thing that a run writes. One that goes on to a later end still has that of its first.
        let planned = self.summary.as_ref().map(|s| s.steps).or(self.config.steps);
        let done = self.metrics.last().map_or(0, |m| m.step);
        let enough = planned.is_none_or(|planned| done >= planned) || self.config.patience.is_some();
        enough && files::is_file(&self.folder.join(PLOT_FILE))
    }

    /// The median of the steps' seconds: a pause or a slow first step does not move it.
    pub fn seconds_per_step(&self) -> Option<f64> {
        median(self.metrics.iter().map(StepMetrics::seconds))
    }

    /// The median of the steps' tokens a second, padding left out.
    pub fn tokens_per_second(&self) -> Option<f64> {
        median(self.metrics.iter().map(|m| m.tokens_per_second))
    }
}

/// The median of those above 0.
fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.filter(|x| *x > 0.0).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}
