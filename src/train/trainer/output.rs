//! What a run leaves in its folder while it goes. Of several ranks only the first one has it.

use crate::error::Result;
use crate::quoting;
use crate::train::checkpoint::CheckpointDir;
use crate::train::config::RunConfig;
use crate::train::event::Event;
use crate::train::logs::Logs;
use crate::train::metrics::{MetricsLog, StepMetrics};
use crate::train::run_folder::RunFolder;
use crate::train::writer::{self, Writer};
use std::collections::BTreeMap;

/// A loss of so many times the first one has left what was learned.
const LEFT: f32 = 2.0;

/// The run folder, and what is open in it.
pub(super) struct Output {
    pub folder: RunFolder,
    pub writer: Option<Writer>,
    log: MetricsLog,
    logs: Logs,
}

impl Output {
    /// Makes the folder, or takes it over with what it holds; the newest checkpoint of a run that goes on.
    /// `total` are the steps of the whole run, `rows` the word of what it trains on.
    pub fn open(
        run: &RunConfig,
        writer: Option<Writer>,
        total: u64,
        rows: &str,
        events: &mut dyn FnMut(Event),
    ) -> Result<(Self, Option<CheckpointDir>)> {
        let folder = RunFolder::create(&run.out, run.resume)?;
        let mut warn = |text: String| events(Event::Warning { text });
        let checkpoint = if run.resume { folder.checkpoints().latest(&mut warn)? } else { None };
        if let Some(checkpoint) = &checkpoint {
            folder.check_resumable(run, &checkpoint.state.fingerprint)?;
            if let Some(text) = folder.check_rows(rows, &checkpoint.state.rows)? {
                events(Event::Warning { text });
            }
            if checkpoint.state.step >= total {
                folder.check_over(run, checkpoint.state.step, total)?;
            }
        } else if run.resume
            && let Some(text) = folder.check_anew(run)?
        {
            events(Event::Warning { text });
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

    /// What to do about a loss that stopped being a number at `step`. A checkpoint from which the loss had left already is no way out.
    pub fn way_out(&self, step: u64) -> Result<String> {
        let losses: BTreeMap<u64, f32> = MetricsLog::read(&self.folder.metrics_path())?.into_iter().map(|m| (m.step, m.loss)).collect();
        let checkpoints = self.folder.checkpoints();
        let steps = checkpoints.steps()?;
        let Some(newest) = steps.first() else {
            return Ok("there is no checkpoint yet: begin anew in another folder with a smaller --lr, or --warmup".into());
        };
        let first = losses.values().next().copied().unwrap_or(f32::INFINITY);
        // The loss after a checkpoint is the loss of what it holds.
        let sound = |at: &&u64| **at + 1 < step && losses.get(&(**at + 1)).is_some_and(|loss| *loss <= first.max(1.0) * LEFT);
        let go_on = "use a smaller --lr and go on with --resume";
        Ok(match steps.iter().find(sound) {
            Some(good) if good == newest => format!("the checkpoint of step {good} is whole: {go_on}"),
            Some(good) => format!(
                "the checkpoint of step {newest} leads there again, that of step {good} does not\nremove {}, {go_on}",
                steps.iter().take_while(|at| *at != good).map(|at| quoting::path(&checkpoints.path(*at))).collect::<Vec<_>>().join(" ")
            ),
            None => {
                format!("the checkpoint of step {newest} leads there again: begin anew in another folder with a smaller --lr, or --warmup")
            }
        })
    }
}
