//! A sweep: one run for each combination of some options' values, below one folder.
//!
//! | file | what it is |
//! | --- | --- |
//! | `points.rs` | options, values, and the runs that follow |
//! | `folder.rs` | the sweep's folder: what was asked for, and what came of it |
//! | `mod.rs` | doing the runs one after the other |
//!
//! Everything is read back from the runs' own folders, so a sweep that was killed at any moment goes on: runs that ended are left alone,
//! and one that was cut off resumes to the same bytes.

mod folder;
pub mod points;

pub use folder::{Asked, PLOT_FILE, STATE_FILE, Sweep};
pub use points::{Axis, Point};

use super::event::Event;
use super::record::RunRecord;
use super::run_folder::CONFIG_FILE;
use super::trainer::{Flow, Trainer};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::files;
use std::collections::HashMap;

/// With halving, how far all runs, then the better half of them, and then the better half of those go.
const RUNGS: [f64; 3] = [0.25, 0.5, 1.0];

/// How far a run is to go now, of so many steps.
fn target(total: u64, share: f64) -> u64 {
    ((total as f64 * share).ceil() as u64).clamp(1, total.max(1))
}

impl Sweep {
    /// Does what is left to do. `Ok(true)` where it was stopped before its end.
    ///
    /// With halving a run that waits is stopped and resumed: its schedule is that of its whole length from the start.
    ///
    /// # Errors
    /// As [`Trainer::run`]; but a run whose loss stops being a number is noted, and the others go on.
    pub fn run(&mut self, events: &mut dyn FnMut(Event), stop: &dyn Fn() -> bool) -> Result<bool> {
        let mut devices = HashMap::new();
        let mut alive: Vec<usize> = (0..self.points.len()).collect();
        let rungs = if self.asked.halving { &RUNGS[..] } else { &RUNGS[2..] };
        for share in rungs {
            for (number, i) in alive.iter().enumerate() {
                if stop() {
                    return Ok(true);
                }
                let upto = if *share < 1.0 { format!(", to {share} of its steps") } else { String::new() };
                let title = format!("\npoint {} of {}{upto}: {}", number + 1, alive.len(), self.points[*i].name);
                if self.go(*i, *share, &title, &mut devices, events, stop)? {
                    return Ok(true);
                }
            }
            if *share < 1.0 {
                alive = self.better_half(alive, *share)?;
                self.waiting = (0..self.points.len()).filter(|i| !alive.contains(i)).collect();
                self.write()?;
            }
        }
        Ok(false)
    }

    /// Takes one run further; whether it was stopped.
    fn go(
        &mut self,
        i: usize,
        share: f64,
        title: &str,
        devices: &mut HashMap<String, Device>,
        events: &mut dyn FnMut(Event),
        stop: &dyn Fn() -> bool,
    ) -> Result<bool> {
        let point = &self.points[i];
        if self.failed.contains_key(&point.name) || self.is_there(i, share)? {
            return Ok(false);
        }
        events(Event::note(title));
        let mut run = point.run.clone();
        // A folder without a run in it is begun.
        run.resume = true;
        let device = match devices.get(&run.device) {
            Some(device) => device.clone(),
            None => {
                let device = Device::open(&run.device)?;
                devices.entry(run.device.clone()).or_insert(device).clone()
            }
        };
        let ended = pollster::block_on(async {
            let source = Trainer::source(&run)?;
            let mut trainer = Trainer::open(run, source, Some(device), events).await?;
            let total = trainer.summary().steps;
            let target = target(total, share);
            if trainer.config().eval_interval(total) > target {
                let what = format!("--halving: after {target} of {total} steps no held-out loss has been measured yet");
                return Err(Error::usage(what, "lower --eval-every"));
            }
            let mut flow = trainer.begin(events).await?;
            while flow == Flow::Running && trainer.steps_done() < target && !stop() {
                flow = trainer.advance(events).await?;
            }
            let waits = flow == Flow::Running;
            // How a run that waits goes on is the sweep's matter.
            let mut said = |event: Event| {
                if !waits || !matches!(event, Event::Note { .. } | Event::Finished { .. }) {
                    events(event);
                }
            };
            trainer.conclude(&mut said).await?;
            Ok(!waits || trainer.steps_done() >= target)
        });
        match ended {
            Ok(ended) => {
                self.write()?;
                Ok(!ended)
            }
            Err(error @ Error::Diverged { .. }) => {
                events(Event::warning(format!("{}: {error}", self.points[i].name)));
                self.failed.insert(self.points[i].name.clone(), error.to_string());
                self.write()?;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// The run as it lies in its folder.
    ///
    /// # Errors
    /// Names the file that is broken.
    pub fn record(&self, i: usize) -> Result<Option<RunRecord>> {
        let folder = &self.points[i].run.out;
        if files::is_file(&folder.join(CONFIG_FILE)) { RunRecord::open(folder).map(Some) } else { Ok(None) }
    }

    /// Whether a run has been as far as it is to go.
    fn is_there(&self, i: usize, share: f64) -> Result<bool> {
        let Some(record) = self.record(i)? else { return Ok(false) };
        let steps = record.metrics.last().map_or(0, |m| m.step);
        // What was measured may be newer than the last checkpoint; going on measures the same again.
        Ok(record.ended() || (share < 1.0 && record.summary.as_ref().is_some_and(|s| steps >= target(s.steps, share))))
    }

    /// Those with the lower held-out losses, as far as all of them went.
    fn better_half(&self, alive: Vec<usize>, share: f64) -> Result<Vec<usize>> {
        let keep = alive.len().div_ceil(2);
        let mut scored = Vec::new();
        for i in alive {
            let Some(record) = self.record(i)?.filter(|_| !self.failed.contains_key(&self.points[i].name)) else { continue };
            let total = record.summary.as_ref().map_or(0, |s| s.steps);
            if let Some((loss, _)) = record.best_eval_until(target(total, share)) {
                scored.push((loss, i));
            }
        }
        scored.sort_by(|a, b| a.0.total_cmp(&b.0));
        scored.truncate(keep);
        let mut better: Vec<usize> = scored.into_iter().map(|(_, i)| i).collect();
        better.sort_unstable();
        Ok(better)
    }
}
