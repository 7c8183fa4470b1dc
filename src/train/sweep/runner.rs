//! Taking one of many runs further. What they share is made once: the devices, and the rows where they are the same.

use crate::device::Device;
use crate::error::{Error, Result};
use crate::train::RunConfig;
use crate::train::event::Event;
use crate::train::rows::{self, Loaded};
use crate::train::trainer::{Flow, Trainer};
use std::collections::HashMap;

/// How far a run came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Went {
    /// As far as it was to go.
    There,
    /// It was stopped before that, and saved.
    Stopped,
    /// Its loss stopped being a number; what was said then.
    Diverged(String),
}

/// What runs one after the other share.
#[derive(Default)]
pub struct Runner {
    devices: HashMap<String, Device>,
    /// The rows of the last run, and the options that made them.
    rows: Option<(Vec<String>, Loaded)>,
}

/// How far a run is to go now, of so many steps.
pub(super) fn target(total: u64, share: f64) -> u64 {
    ((total as f64 * share).ceil() as u64).clamp(1, total.max(1))
}

impl Runner {
    /// Begins a run, or goes on with it, up to a share of its steps. One that is to wait there is stopped and can be resumed.
    ///
    /// # Errors
    /// As [`Trainer::run`]; but a loss that stops being a number is told as [`Went::Diverged`].
    pub fn take(&mut self, run: &RunConfig, share: f64, events: &mut dyn FnMut(Event), stop: &dyn Fn() -> bool) -> Result<Went> {
        // A folder without a run in it is begun.
        let run = RunConfig { resume: true, ..run.clone() };
        let device = self.device(&run.device)?;
        let name = run.out.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let went = pollster::block_on(async {
            let source = Trainer::source(&run)?;
            let rows = self.rows(&run, &source, events)?;
            let mut trainer = Trainer::on_rows(run, source, Some(device), Some(rows), events).await?;
            let total = trainer.summary().steps;
            let target = target(total, share);
            if share < 1.0 && trainer.config().eval_interval(total) > target {
                let what = format!("--halving: after {target} of {total} steps no held-out loss has been measured yet");
                return Err(Error::usage(what, "lower --eval-every"));
            }
            let mut flow = trainer.begin(events).await?;
            while flow == Flow::Running && trainer.steps_done() < target && !stop() {
                flow = trainer.advance(events).await?;
            }
            let waits = flow == Flow::Running;
            // How a run that waits goes on is told by whoever makes it wait.
            let mut said = |event: Event| {
                if !waits || !matches!(event, Event::Note { .. } | Event::Finished { .. }) {
                    events(event);
                }
            };
            trainer.conclude(&mut said).await?;
            Ok(if !waits || trainer.steps_done() >= target { Went::There } else { Went::Stopped })
        });
        match went {
            Err(error @ Error::Diverged { .. }) => {
                events(Event::warning(format!("{name}: {error}")));
                Ok(Went::Diverged(error.to_string()))
            }
            went => went,
        }
    }

    /// The device of a run, opened once.
    ///
    /// # Errors
    /// Where there is no such device.
    pub fn device(&mut self, request: &str) -> Result<Device> {
        if let Some(device) = self.devices.get(request) {
            return Ok(device.clone());
        }
        let device = Device::open(request)?;
        Ok(self.devices.entry(request.to_owned()).or_insert(device).clone())
    }

    /// The rows of a run, read and tokenised where the run before had others.
    fn rows(&mut self, run: &RunConfig, source: &crate::model::Source, events: &mut dyn FnMut(Event)) -> Result<Loaded> {
        let made_of = rows::made_of(run);
        match &self.rows {
            Some((before, rows)) if *before == made_of => Ok(rows.clone()),
            _ => {
                let rows = rows::load(run, source, events)?;
                self.rows = Some((made_of, rows.clone()));
                Ok(rows)
            }
        }
    }
}
