//! A run's folder as a stranger may hand it on: options, metrics, checkpoint, summary, what the model wrote, and a sweep's state.

use super::{put, told};
use diablo::train::compare::export::{Axes, Format, bytes as exported};
use diablo::train::compare::{Compared, stamp};
use diablo::train::logs::{LogKind, Logs};
use diablo::train::metrics::MetricsLog;
use diablo::train::run_folder::RunFolder;
use diablo::train::sweep::Sweep;
use std::path::Path;

const FILES: [&str; 7] = [
    "run.toml",
    "metrics.jsonl",
    "checkpoints/step-00000002/state.json",
    "checkpoints/best.json",
    "summary.json",
    "samples.jsonl",
    "sweep.json",
];

pub fn read(folder: &Path, bytes: &[u8]) {
    std::fs::create_dir_all(folder.join("checkpoints/step-00000002")).unwrap();
    put(folder, FILES, bytes);
    stamp(folder);
    told(Sweep::asked(folder));
    let compared = told(Compared::open(folder));
    if let Some(run) = &compared {
        let runs = [("run".to_owned(), 0, run)];
        for format in [Format::Table, Format::Steps, Format::Svg] {
            told(exported(format, &runs, Axes::default()));
        }
        let (_, _, _) = (run.record.ended(), run.record.seconds_per_step(), run.record.best_eval());
        told(Logs::open(folder, &[LogKind::Csv, LogKind::Tensorboard], &run.record.metrics));
    }
    let Some(run) = told(RunFolder::create(folder, true)) else { return };
    let config = told(run.read_config()).flatten();
    let latest = told(run.checkpoints().latest(|_| ())).flatten();
    told(run.checkpoints().best());
    let Some(latest) = latest else { return };
    if let Some(config) = config {
        told(run.check_resumable(&config, &latest.state.fingerprint));
    }
    if told(MetricsLog::open(folder, Some(latest.state.step))).is_some() {
        let kept = MetricsLog::read(&run.metrics_path()).expect("reads what it left");
        assert!(kept.iter().all(|m| m.step <= latest.state.step));
    }
}
