//! A sweep: one run for each combination of some options' values, below one folder.
//!
//! | file | what it is |
//! | --- | --- |
//! | `points.rs` | options, values, and the runs that follow |
//! | `folder.rs` | the sweep's folder: what was asked for, and what came of it |
//! | `mod.rs` | doing the runs one after the other |
//! | `runner.rs` | taking one run further, with what the runs share |
//!
//! Everything is read back from the runs' own folders, so a sweep that was killed at any moment goes on: runs that ended are left alone,
//! and one that was cut off resumes to the same bytes.

mod folder;
pub mod points;
pub mod runner;

pub use folder::{Asked, PLOT_FILE, STATE_FILE, Sweep, refuse_changes};
pub use points::{Axis, Point};
pub use runner::{Runner, Went};

use super::event::Event;
use super::record::RunRecord;
use super::run_folder::CONFIG_FILE;
use crate::error::Result;
use crate::files;
use runner::target;

/// With halving, how far all runs, then the better half of them, and then the better half of those go.
const RUNGS: [f64; 3] = [0.25, 0.5, 1.0];

impl Sweep {
    /// Does what is left to do. `Ok(true)` where it was stopped before its end.
    ///
    /// With halving a run that waits is stopped and resumed: its schedule is that of its whole length from the start.
    ///
    /// # Errors
    /// As [`super::Trainer::run`]; but a run whose loss stops being a number is noted, and the others go on.
    pub fn run(&mut self, events: &mut dyn FnMut(Event), stop: &dyn Fn() -> bool) -> Result<bool> {
        let mut runner = Runner::default();
        let mut alive: Vec<usize> = (0..self.points.len()).collect();
        let rungs = if self.asked.halving { &RUNGS[..] } else { &RUNGS[2..] };
        for share in rungs {
            for (number, i) in alive.iter().enumerate() {
                if stop() {
                    return Ok(true);
                }
                let upto = if *share < 1.0 { format!(", to {share} of its steps") } else { String::new() };
                let title = format!("\npoint {} of {}{upto}: {}", number + 1, alive.len(), self.points[*i].name);
                if self.go(*i, *share, &title, &mut runner, events, stop)? {
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
        runner: &mut Runner,
        events: &mut dyn FnMut(Event),
        stop: &dyn Fn() -> bool,
    ) -> Result<bool> {
        let point = &self.points[i];
        if self.failed.contains_key(&point.name) || self.is_there(i, share)? {
            return Ok(false);
        }
        events(Event::note(title));
        let went = runner.take(&point.run, share, events, stop)?;
        if let Went::Diverged(why) = &went {
            self.failed.insert(point.name.clone(), why.clone());
        }
        self.write()?;
        Ok(went == Went::Stopped)
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
