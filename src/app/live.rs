//! What is known of the run that goes on: everything that its pages draw, kept up to date by the engine.

use super::jobs::Progress;
use super::shared::{RunState, RunStatus};
use crate::error::Error;
use crate::model::weights::Site;
use crate::train::driver::{News, State};
use crate::train::event::Summary;
use crate::train::inspect::{CellValues, SiteChange};
use crate::train::metrics::StepMetrics;
use crate::train::writer::Written;
use crate::train::{Event, Outcome, RunConfig, RunRecord};

/// Steps whose time tells how long the rest will take.
const RECENT: usize = 50;

/// A line that the run said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Whether it is probably not meant.
    pub warning: bool,
    /// The text.
    pub text: String,
}

/// The run that goes on, or the last one.
#[derive(Default)]
pub struct Live {
    /// Its options.
    pub run: RunConfig,
    /// What it does.
    pub state: Option<State>,
    /// What is being read or laid out.
    pub progress: Progress,
    /// What runs, once it does.
    pub summary: Option<Summary>,
    /// A step each, those of earlier sittings included.
    pub metrics: Vec<StepMetrics>,
    /// Held-out losses by step.
    pub held_out: Vec<(u64, f64)>,
    /// Texts that the model wrote.
    pub written: Vec<Written>,
    /// What it said.
    pub said: Vec<Said>,
    /// Why it failed.
    pub error: Option<Error>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// How far each layer has moved, and after which step.
    pub changes: Vec<SiteChange>,
    /// The step of [`Self::changes`].
    pub changes_at: u64,
    /// A cell that was asked for.
    pub cell: Option<CellValues>,
    /// The cell that is being asked for.
    pub asked: Option<(Site, (usize, usize))>,
}

impl Live {
    /// A run that is about to begin.
    pub fn new(run: RunConfig) -> Self {
        Self { run, state: Some(State::Preparing), ..Self::default() }
    }

    /// What an earlier sitting of the run left.
    pub fn take_record(&mut self, record: RunRecord) {
        self.held_out = record.metrics.iter().filter_map(|m| Some((m.step, m.eval_loss?))).collect();
        self.metrics = record.metrics;
        self.written = record.written;
    }

    /// Steps done.
    pub fn step(&self) -> u64 {
        self.metrics.last().map_or(0, |m| m.step)
    }

    /// Whether it still does something.
    pub fn is_active(&self) -> bool {
        self.state.is_some_and(|s| s != State::Ended)
    }

    /// Whether there is something to look at.
    pub fn has_begun(&self) -> bool {
        self.state.is_some()
    }

    /// Takes over what the run said.
    pub fn hear(&mut self, news: News) {
        match news {
            News::State(state) => self.state = Some(state),
            News::Event(event) => self.event(event),
            News::Changes(changes) => {
                self.changes = changes;
                self.changes_at = self.step();
            }
            News::Cell(cell) => {
                self.asked = None;
                self.cell = Some(*cell);
            }
            News::Failed(error) => {
                self.asked = None;
                self.error = Some(error);
            }
            News::Ended(outcome) => self.outcome = Some(outcome),
        }
    }

    fn event(&mut self, event: Event) {
        let progress = |what: String, done, total| Progress { what, done, total };
        match event {
            Event::Loading { what, done, total } => self.progress = progress(format!("loading {what}"), done, total),
            Event::Tokenizing { done, total } => self.progress = progress("tokenising".into(), done, total),
            Event::Progress { what, done, total } => self.progress = progress(what, done, total),
            Event::Note { text } => self.said.push(Said { warning: false, text }),
            Event::Warning { text } => self.said.push(Said { warning: true, text }),
            Event::Started(summary) => {
                // A resumed run does the steps after its checkpoint again.
                self.metrics.retain(|m| m.step <= summary.first_step);
                self.held_out.retain(|h| h.0 <= summary.first_step);
                self.written.retain(|w| w.step <= summary.first_step);
                self.summary = Some(summary);
            }
            Event::Step(m) => self.metrics.push(m),
            Event::Eval { step, loss, .. } => self.held_out.push((step, loss)),
            Event::Sample { step, prompt, text } => self.written.push(Written { step, prompt, text }),
            Event::Checkpoint { .. } | Event::Finished { .. } => {}
        }
    }

    /// Seconds to go, by the median of the newest steps.
    pub fn seconds_left(&self) -> Option<f64> {
        let steps = self.summary.as_ref()?.steps;
        let recent = &self.metrics[self.metrics.len().saturating_sub(RECENT)..];
        let mut seconds: Vec<f64> = recent.iter().map(StepMetrics::seconds).collect();
        seconds.sort_by(f64::total_cmp);
        Some(seconds.get(seconds.len() / 2)? * steps.saturating_sub(self.step()) as f64)
    }

    /// What the status bar and the title say.
    pub fn status(&self) -> RunStatus {
        let state = match self.state {
            None | Some(State::Ended) => RunState::Idle,
            Some(State::Preparing) => RunState::Preparing,
            Some(State::Running) => RunState::Running,
            Some(State::Paused) => RunState::Paused,
            Some(State::Saving) => RunState::Stopping,
        };
        let s = self.summary.as_ref();
        RunStatus {
            state,
            name: self.run.out.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default(),
            step: self.step(),
            steps: s.map_or(0, |s| s.steps),
            loss: self.metrics.last().map(|m| m.loss),
            seconds_left: if state == RunState::Running { self.seconds_left() } else { None },
            memory: s.filter(|_| state.is_active()).map(|s| s.memory),
            device: s.filter(|_| state.is_active()).map(|s| s.device.clone()),
        }
    }
}
