//! `metrics.jsonl`: a line for each step, whole or not there at all.

use crate::error::{Error, Result};
use crate::files::{self, Appender, atomic_write};
use serde::{Deserialize, Deserializer, Serialize};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The file's name in a run folder.
pub const METRICS_FILE: &str = "metrics.jsonl";

/// The numbers of one optimiser step. Loss, norm and rate are f32 as the device has them, so that they print short.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StepMetrics {
    /// The optimiser step, counted from 1.
    pub step: u64,
    /// Mean loss over the step's targets.
    #[serde(deserialize_with = "null_is_nan")]
    pub loss: f32,
    /// The gradient's norm before clipping.
    #[serde(deserialize_with = "null_is_nan")]
    pub grad_norm: f32,
    /// The learning rate.
    pub lr: f32,
    /// Tokens the step worked on, padding left out.
    pub tokens: u64,
    /// Tokens a second of this step.
    pub tokens_per_second: f64,
    /// Passes over the rows so far.
    pub epoch: f64,
    /// Held-out loss, where it was measured after this step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eval_loss: Option<f64>,
    /// Held-out perplexity, beside the loss.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eval_perplexity: Option<f64>,
}

impl StepMetrics {
    /// Seconds that the step took.
    pub fn seconds(&self) -> f64 {
        if self.tokens_per_second > 0.0 { self.tokens as f64 / self.tokens_per_second } else { 0.0 }
    }
}

/// JSON has no NaN: it is written as null and must come back.
fn null_is_nan<'de, D: Deserializer<'de>>(d: D) -> std::result::Result<f32, D::Error> {
    Ok(Option::<f32>::deserialize(d)?.unwrap_or(f32::NAN))
}

/// The open log of a run.
#[derive(Debug)]
pub struct MetricsLog {
    path: PathBuf,
    file: Appender,
}

impl MetricsLog {
    /// Opens the log of the run folder `dir`.
    ///
    /// `None` begins a new one. `Some(step)` goes on after the checkpoint of that step: lines of later steps, which will be made
    /// again, and a last line torn by a kill are removed first, in one atomic replacement.
    pub fn open(dir: &Path, resume_at_step: Option<u64>) -> Result<Self> {
        let path = dir.join(METRICS_FILE);
        match resume_at_step {
            None => atomic_write(&path, |_| Ok(()))?,
            Some(step) => truncate_after(&path, step)?,
        }
        let file = Appender::open(&path).map_err(Error::io(&path))?;
        Ok(Self { path, file })
    }

    /// Appends a line. It is handed to the system before this returns, so only a power cut can lose it.
    pub fn write(&mut self, metrics: &StepMetrics) -> Result<()> {
        let mut line = serde_json::to_string(metrics).map_err(|e| Error::input(self.path.display().to_string(), e.to_string(), ""))?;
        line.push('\n');
        self.file.append(line.as_bytes()).map_err(Error::io(&self.path))
    }

    /// Makes sure that a power cut cannot lose the lines either; called with each checkpoint.
    pub fn sync(&self) -> Result<()> {
        self.file.sync().map_err(Error::io(&self.path))
    }

    /// Reads a log. A torn last line (a run that was killed, or is writing just now) is left out; a broken line before it is an
    /// error with its number.
    pub fn read(path: &Path) -> Result<Vec<StepMetrics>> {
        let bytes = files::read(path).map_err(Error::io(path))?;
        Ok(lines(path, &bytes)?.into_iter().map(|(m, _)| m).collect())
    }
}

/// Every whole line with its bytes.
fn lines<'a>(path: &Path, bytes: &'a [u8]) -> Result<Vec<(StepMetrics, &'a [u8])>> {
    let mut out = Vec::new();
    for (i, line) in bytes.split_inclusive(|b| *b == b'\n').enumerate() {
        if !line.ends_with(b"\n") {
            // Even if it parses: "12" may be the beginning of "123".
            break;
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        match serde_json::from_slice(line) {
            Ok(metrics) => out.push((metrics, line)),
            Err(e) => {
                let place = format!("{}: line {}", path.display(), i + 1);
                return Err(Error::input(place, format!("is no line of metrics: {e}"), "remove the line; nothing else depends on it"));
            }
        }
    }
    Ok(out)
}

fn truncate_after(path: &Path, step: u64) -> Result<()> {
    let bytes = match files::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(Error::io(path)(e)),
    };
    let kept: Vec<&[u8]> = lines(path, &bytes)?.into_iter().filter(|(m, _)| m.step <= step).map(|(_, line)| line).collect();
    if kept.iter().map(|l| l.len()).sum::<usize>() == bytes.len() {
        return Ok(());
    }
    atomic_write(path, |w| kept.iter().try_for_each(|line| w.write_all(line)).map_err(Error::io(path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(step: u64) -> StepMetrics {
        StepMetrics {
            step,
            loss: 3.25,
            grad_norm: 0.5,
            lr: 0.002,
            tokens: 1024,
            tokens_per_second: 2048.0,
            epoch: 0.1,
            ..StepMetrics::default()
        }
    }

    fn steps(path: &Path) -> Vec<u64> {
        MetricsLog::read(path).expect("reads").iter().map(|m| m.step).collect()
    }

    #[test]
    fn lines_hold_the_promised_keys() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut log = MetricsLog::open(dir.path(), None).expect("opens");
        log.write(&step(1)).expect("writes");
        log.write(&StepMetrics { eval_loss: Some(1.0), eval_perplexity: Some(1f64.exp()), ..step(2) }).expect("writes");
        let text = std::fs::read_to_string(dir.path().join(METRICS_FILE)).expect("reads");
        let first = text.lines().next().expect("a line");
        assert_eq!(first, r#"{"step":1,"loss":3.25,"grad_norm":0.5,"lr":0.002,"tokens":1024,"tokens_per_second":2048.0,"epoch":0.1}"#);
        let back = MetricsLog::read(&dir.path().join(METRICS_FILE)).expect("reads");
        assert_eq!((back[1].eval_loss, back[0].seconds()), (Some(1.0), 0.5));
    }

    #[test]
    fn resume_cuts_what_will_be_made_again() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join(METRICS_FILE);
        let mut log = MetricsLog::open(dir.path(), None).expect("opens");
        (1..=5).for_each(|i| log.write(&step(i)).expect("writes"));
        drop(log);
        let whole = std::fs::read(&path).expect("reads");
        // A kill at every byte of the last line.
        let last = whole[..whole.len() - 1].iter().rposition(|b| *b == b'\n').expect("lines") + 1;
        for cut in last..whole.len() {
            std::fs::write(&path, &whole[..cut]).expect("writes");
            assert_eq!(steps(&path), [1, 2, 3, 4], "cut at {cut}");
            let mut log = MetricsLog::open(dir.path(), Some(4)).expect("opens");
            log.write(&step(5)).expect("writes");
            assert_eq!(std::fs::read(&path).expect("reads"), whole, "cut at {cut}");
        }
        MetricsLog::open(dir.path(), Some(2)).expect("opens");
        assert_eq!(steps(&path), [1, 2]);
        MetricsLog::open(dir.path(), Some(0)).expect("opens");
        assert_eq!(std::fs::read(&path).expect("reads"), b"");
    }

    #[test]
    fn a_broken_inner_line_is_named() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join(METRICS_FILE);
        let line = serde_json::to_string(&step(1)).expect("writes");
        std::fs::write(&path, format!("{line}\n{{\"step\": 2, \n{line}\n")).expect("writes");
        let e = MetricsLog::read(&path).expect_err("refused");
        assert!(e.to_string().contains("metrics.jsonl: line 2"), "{e}");
        assert!(MetricsLog::open(dir.path(), Some(9)).is_err());
    }

    #[test]
    fn a_loss_that_is_no_number_survives() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut log = MetricsLog::open(dir.path(), None).expect("opens");
        log.write(&StepMetrics { loss: f32::NAN, grad_norm: f32::INFINITY, ..step(1) }).expect("writes");
        let back = MetricsLog::read(&dir.path().join(METRICS_FILE)).expect("reads");
        assert!(back[0].loss.is_nan() && back[0].grad_norm.is_nan());
    }

    #[test]
    fn a_log_that_is_not_there_begins() {
        let dir = tempfile::tempdir().expect("a folder");
        MetricsLog::open(dir.path(), Some(3)).expect("opens").write(&step(4)).expect("writes");
        assert_eq!(steps(&dir.path().join(METRICS_FILE)), [4]);
        assert!(MetricsLog::read(&dir.path().join("none")).is_err());
    }
}
