//! Logs for other programs beside `metrics.jsonl`: `metrics.csv`, and a file of events that TensorBoard shows.
//!
//! | file | what it is |
//! | --- | --- |
//! | `csv.rs` | a line for each step |
//! | `events.rs` | a step as TensorBoard's events |
//! | `records.rs` | the frame around each event, with its checksums |
//!
//! Both follow from `metrics.jsonl`. Where a run goes on they are made anew from it, so that they hold each step once, whatever was cut
//! off or will be done again.

mod csv;
mod events;
mod records;

pub use csv::CSV_FILE;
pub use events::EVENTS_FILE;

use super::choice::choice;
use super::metrics::StepMetrics;
use crate::error::{Error, Result};
use crate::files::{Appender, atomic_write_bytes};
use std::path::{Path, PathBuf};
use web_time::{SystemTime, UNIX_EPOCH};

choice! {
    /// A log for other programs.
    LogKind {
        /// Events that TensorBoard shows.
        Tensorboard = "tensorboard",
        /// A table that any program reads.
        Csv = "csv",
    }
}

impl LogKind {
    fn file(self) -> &'static str {
        match self {
            Self::Tensorboard => EVENTS_FILE,
            Self::Csv => CSV_FILE,
        }
    }

    /// What a file begins with.
    fn head(self, now: f64) -> Vec<u8> {
        match self {
            Self::Tensorboard => events::head(now),
            Self::Csv => csv::head(),
        }
    }

    /// A step, done at a time in seconds since 1970.
    fn step(self, m: &StepMetrics, time: f64) -> Vec<u8> {
        match self {
            Self::Tensorboard => events::step(m, time),
            Self::Csv => csv::step(m),
        }
    }
}

/// The open logs of a run.
#[derive(Debug)]
pub struct Logs {
    open: Vec<(LogKind, PathBuf, Appender)>,
}

impl Logs {
    /// Opens these logs in a run folder, with the steps that the run has done. Those that an earlier sitting was asked for and this one is not
    /// stay as they are.
    ///
    /// When earlier steps were done is not kept: they are dated by how long they took, as if the run had not paused.
    ///
    /// # Errors
    /// Where a file cannot be written.
    pub fn open(folder: &Path, kinds: &[LogKind], done: &[StepMetrics]) -> Result<Self> {
        let mut open = Vec::new();
        for kind in kinds.iter().copied() {
            let path = folder.join(kind.file());
            let mut time = now() - done.iter().map(StepMetrics::seconds).sum::<f64>();
            let mut bytes = kind.head(time);
            for m in done {
                time += m.seconds();
                bytes.extend(kind.step(m, time));
            }
            atomic_write_bytes(&path, &bytes)?;
            let file = Appender::open(&path).map_err(Error::io(&path))?;
            open.push((kind, path, file));
        }
        Ok(Self { open })
    }

    /// Adds a step.
    ///
    /// # Errors
    /// Where a file cannot be written.
    pub fn write(&mut self, m: &StepMetrics) -> Result<()> {
        for (kind, path, file) in &mut self.open {
            file.append(&kind.step(m, now())).map_err(Error::io(path))?;
        }
        Ok(())
    }
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn going_on_leaves_each_step_once() {
        let dir = tempfile::tempdir().expect("a folder");
        let step = |i| StepMetrics { step: i, loss: 2.5, tokens: 10, tokens_per_second: 5.0, ..StepMetrics::default() };
        let both = [LogKind::Csv, LogKind::Tensorboard];
        let mut logs = Logs::open(dir.path(), &both, &[]).expect("opens");
        (1..=4).for_each(|i| logs.write(&step(i)).expect("writes"));
        // Killed after step 4, and going on after step 2.
        let mut logs = Logs::open(dir.path(), &both, &[step(1), step(2)]).expect("opens");
        logs.write(&step(3)).expect("writes");
        let text = std::fs::read_to_string(dir.path().join(CSV_FILE)).expect("reads");
        let steps: Vec<&str> = text.lines().map(|l| l.split(',').next().unwrap_or_default()).collect();
        assert_eq!(steps, ["step", "1", "2", "3"]);
        // Steps of 2 seconds each.
        let times = records::tests::read(&std::fs::read(dir.path().join(EVENTS_FILE)).expect("reads"));
        let times: Vec<f64> = times.iter().map(|e| f64::from_le_bytes(e[1..9].try_into().expect("8 bytes"))).collect();
        assert!((times[2] - times[1] - 2.0).abs() < 1e-6 && times.is_sorted() && times[3] <= now(), "{times:?}");
    }
}
