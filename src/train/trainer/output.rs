//! What a run leaves in its folder while it goes. Of several ranks only the first one has it.

use crate::error::Result;
use crate::train::checkpoint::CheckpointDir;
use crate::train::config::RunConfig;
use crate::train::event::Event;
use crate::train::logs::Logs;
use crate::train::metrics::{MetricsLog, StepMetrics};
use crate::train::run_folder::RunFolder;
use crate::train::writer::{self, Writer};

/// The run folder, and what is open in it.
pub(super) struct Output {
    pub folder: RunFolder,
    pub writer: Option<Writer>,
    log: MetricsLog,
    logs: Logs,
}

impl Output {
    /// Makes the folder, or takes it over with what it holds; the newest checkpoint of a run that goes on.
    pub fn open(run: &RunConfig, writer: Option<Writer>, events: &mut dyn FnMut(Event)) -> Result<(Self, Option<CheckpointDir>)> {
        let folder = RunFolder::create(&run.out, run.resume)?;
        let mut warn = |text: String| events(Event::Warning { text });
        let checkpoint = if run.resume { folder.checkpoints().latest(&mut warn)? } else { None };
        if let Some(checkpoint) = &checkpoint {
            folder.check_resumable(run, &checkpoint.state.fingerprint)?;
        }
        folder.write_config(run)?;
        let resumed = run.resume.then(|| checkpoint.as_ref().map_or(0, |c| c.state.step));
        let log = MetricsLog::open(folder.path(), resumed)?;
        let steps = if run.log.is_empty() { Vec::new() } else { MetricsLog::read(&folder.metrics_path())? };
        let logs = Logs::open(folder.path(), &run.log, &steps)?;
        writer::forget_after(folder.path(), resumed)?;
        Ok((Self { folder, writer, log, logs }, checkpoint))
    }

    /// Keeps a step's numbers.
    pub fn write(&mut self, metrics: &StepMetrics) -> Result<()> {
        self.log.write(metrics)?;
        self.logs.write(metrics)
    }

    /// Makes sure that a power cut cannot lose what was kept.
    pub fn sync(&self) -> Result<()> {
        self.log.sync()
    }

    /// Which checkpoint there is, for a run that fails.
    pub fn newest(&self) -> Result<String> {
        let latest = self.folder.checkpoints().latest(|_| ())?;
        Ok(latest.map_or("there is no checkpoint yet".to_string(), |c| format!("the checkpoint of step {} is whole", c.state.step)))
    }
}
