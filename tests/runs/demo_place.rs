//! The demo's model and rows in a folder of their own, for short runs.
#![allow(dead_code, missing_docs, clippy::unwrap_used)]

use crate::common::{Ended, line, text};
use diablo::demo::Files;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The demo's model and rows.
pub struct Place {
    pub folder: tempfile::TempDir,
    pub files: Files,
}

impl Place {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::write(&folder.path().join("demo")).unwrap();
        Self { folder, files }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Options of a short run with held-out rows.
    pub fn options(&self, steps: u64) -> String {
        let (model, data, held_out) = (self.files.model(), self.files.train(), self.held_out());
        format!(
            "--model {} --data {} --eval-data {} --steps {steps} --batch-size 4 --seq-len 64 --eval-every 2 --save-every 3",
            text(&model),
            text(&data),
            text(&held_out)
        )
    }

    /// A few of the held-out rows, so that measuring is quick.
    pub fn held_out(&self) -> PathBuf {
        let path = self.path("held.jsonl");
        let rows = std::fs::read_to_string(self.files.held_out()).unwrap();
        std::fs::write(&path, rows.lines().take(8).map(|l| format!("{l}\n")).collect::<String>()).unwrap();
        path
    }

    pub fn train(&self, out: &str, more: &str) {
        line(&format!("train {} --out {} --quiet {more}", self.options(6), text(&self.path(out)))).good();
    }

    pub fn sweep(&self, out: &str, steps: u64, more: &str) -> Ended {
        line(&format!("sweep {} --out {} --quiet {more}", self.options(steps), text(&self.path(out))))
    }
}

/// The lowest held-out loss in `metrics.jsonl`, and its step.
pub fn best(run: &Path) -> (f64, u64) {
    let metrics = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let lines = metrics.lines().map(|l| serde_json::from_str::<Value>(l).unwrap());
    let measured = lines.filter_map(|m| Some((m["eval_loss"].as_f64()?, m["step"].as_u64()?)));
    measured.min_by(|a, b| a.0.total_cmp(&b.0)).unwrap()
}
