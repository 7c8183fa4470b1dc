//! The trainer: one step after the other, told by events, stopped by a word, resumable to the bit.
//!
//! [`Trainer::run`] is the whole run for a terminal. A face that does other things between steps (a window that pauses, a page)
//! calls [`Trainer::begin`], [`Trainer::advance`] until the run has ended, and [`Trainer::conclude`].

mod among;
mod finish;
mod open;
mod output;
mod step;

pub use self::among::options;

use self::among::Among;
use self::output::Output;
use self::step::Pending;
use super::checkpoint::CheckpointState;
use super::config::RunConfig;
use super::event::{Event, Summary};
use super::program::Program;
use super::schedule::Schedule;
use super::writer::Written;
use super::{heldout, resolve, state};
use crate::adapter::Spec;
use crate::adapter::files::Tensor;
use crate::data::{Dataset, Order};
use crate::device::{Device, Ledger, Session};
use crate::error::Result;
use crate::model::Source;
use crate::model::weights::Site;
use std::collections::{BTreeMap, VecDeque};
use web_time::Instant;

/// How a run ended.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Outcome {
    /// Steps done in all.
    pub steps: u64,
    /// Whether it was stopped before its end.
    pub interrupted: bool,
    /// The lowest held-out loss.
    pub best_eval_loss: Option<f64>,
    /// The held-out loss of the last step.
    pub last_eval_loss: Option<f64>,
    /// Seconds of this sitting's steps.
    pub seconds: f64,
    /// Tokens of this sitting.
    pub tokens: u64,
}

/// Whether a run has more to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// There is another step.
    Running,
    /// It came to its end, or was stopped early by its patience.
    Ended,
}

/// A run, ready to go.
pub struct Trainer {
    pub(super) run: RunConfig,
    pub(super) source: Source,
    pub(super) spec: Spec,
    pub(super) program: Program,
    pub(super) session: Session,
    /// Where PiSSA started; empty for every other method.
    pub(super) start: Vec<Tensor>,
    device: Device,
    data: Dataset,
    held_out: Option<Dataset>,
    order: Order,
    /// What it writes; of several ranks the first one's alone.
    output: Option<Output>,
    among: Among,
    schedule: Schedule,
    done: CheckpointState,
    last_eval_loss: Option<f64>,
    pending: VecDeque<Pending>,
    /// When the last step's metrics were read.
    last_time: Instant,
    /// When this sitting began.
    begun: Instant,
    /// Steps and tokens before this sitting.
    before: (u64, u64),
    /// The step of the newest checkpoint.
    saved: u64,
    flow: Flow,
    /// Norms of the frozen weights' cells, computed once; see [`super::inspect`].
    pub(super) weight_norms: BTreeMap<Site, Vec<f32>>,
}

impl Trainer {
    /// What is about to run.
    pub fn summary(&self) -> Summary {
        Summary {
            device: self.device.name(),
            model: format!("{} ({:?})", self.run.model.display(), self.source.config.architecture),
            method: resolve::describe(&self.spec),
            trainable: self.program.arena.trainable(),
            parameters: self.source.config.num_parameters(),
            first_step: self.done.step,
            steps: self.schedule.total,
            rows: self.data.len() as u64,
            eval_rows: self.held_out.as_ref().map_or(0, |d| d.len() as u64),
            memory: self.program.estimate().total(),
            out: self.run.out.clone(),
            ranks: self.among.ranks.count(),
            summed: if self.among.several() { 4 * among::numbers(&self.program) } else { 0 },
        }
    }

    /// Bytes that the device holds, and the estimate.
    pub fn memory(&self) -> (Ledger, Ledger) {
        (*self.session.ledger(), self.program.estimate())
    }

    /// Options as they were resolved.
    pub fn config(&self) -> &RunConfig {
        &self.run
    }

    /// Steps done in all.
    pub fn steps_done(&self) -> u64 {
        self.done.step
    }

    /// Where it computes.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Runs to the end, or until `stop` says so; then the step is finished and saved. Waits on this thread.
    ///
    /// # Errors
    /// Where a number stops being one, the device is lost, or a file cannot be written. The last checkpoint stays whole.
    pub fn run(&mut self, events: &mut dyn FnMut(Event), stop: &dyn Fn() -> bool) -> Result<Outcome> {
        pollster::block_on(async {
            let mut flow = self.begin(events).await?;
            while flow == Flow::Running {
                // Ranks stop after the same step: the one in which they hear of it.
                let asked = stop();
                let stops = if self.among.several() { self.among.stop } else { asked };
                if stops {
                    break;
                }
                flow = self.advance_or_stop(asked, events).await?;
            }
            self.conclude(events).await
        })
    }

    /// Says what is about to run, and scores and shows the model as it is before its first step.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn begin(&mut self, events: &mut dyn FnMut(Event)) -> Result<Flow> {
        let summary = self.summary();
        if let Some(output) = &self.output {
            output.folder.write_summary(&summary)?;
        }
        events(Event::Started(summary));
        self.begun = Instant::now();
        self.before = (self.done.step, self.done.tokens);
        if self.held_out.is_some() && self.done.step == 0 {
            self.evaluate(events).await?;
        }
        if self.done.step == 0 {
            self.write_sample(events).await?;
        }
        self.last_time = Instant::now();
        self.flow = if self.done.step < self.schedule.total { Flow::Running } else { Flow::Ended };
        Ok(self.flow)
    }

    /// One optimiser step, and what is due after it: held-out loss, sample text, checkpoint.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn advance(&mut self, events: &mut dyn FnMut(Event)) -> Result<Flow> {
        self.advance_or_stop(false, events).await
    }

    /// As [`Self::advance`]; `stop` is whether this rank was asked to stop, which the step tells the others.
    async fn advance_or_stop(&mut self, stop: bool, events: &mut dyn FnMut(Event)) -> Result<Flow> {
        if self.flow == Flow::Ended {
            return Ok(self.flow);
        }
        self.step(stop).await?;
        let (step, total) = (self.done.step, self.schedule.total);
        let last = step == total;
        let mut save = last || step.is_multiple_of(self.run.save_interval(total));
        let mut early = false;
        if self.held_out.is_some() && (last || step.is_multiple_of(self.run.eval_interval(total))) {
            let held_back = self.drain(events, true).await?;
            let better = self.evaluate(events).await?;
            if let Some(mut m) = held_back {
                m.eval_loss = self.last_eval_loss;
                m.eval_perplexity = self.last_eval_loss.map(f64::exp);
                self.emit(m, events)?;
            }
            save |= better;
            early = self.run.patience.is_some_and(|p| self.done.evals_without_improvement >= p);
            self.last_time = Instant::now();
        } else {
            self.collect(events).await?;
        }
        if self.output.as_ref().is_some_and(|o| o.writer.is_some()) && (last || step.is_multiple_of(self.run.sample_interval(total))) {
            self.drain(events, false).await?;
            self.write_sample(events).await?;
            self.last_time = Instant::now();
        }
        if save || early {
            self.checkpoint(events).await?;
        }
        if early {
            let evaluations = self.done.evals_without_improvement;
            events(Event::note(format!("stopped early: no better held-out loss in {evaluations} evaluations")));
        }
        if early || last {
            self.flow = Flow::Ended;
        }
        Ok(self.flow)
    }

    /// Reports every step that was submitted. For a face that pauses: what it shows is then what was done.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn settle(&mut self, events: &mut dyn FnMut(Event)) -> Result<()> {
        self.drain(events, false).await.map(|_| ())
    }

    /// After a pause: the next step is timed from now.
    pub fn after_pause(&mut self) {
        self.last_time = Instant::now();
    }

    /// Writes a checkpoint of the steps done, where there is none yet.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn checkpoint(&mut self, events: &mut dyn FnMut(Event)) -> Result<()> {
        self.drain(events, false).await?;
        if self.saved == self.done.step {
            return Ok(());
        }
        let tensors = state::everything(&mut self.session, &self.program).await?;
        self.among.agree_on(&tensors)?;
        self.saved = self.done.step;
        if let Some(output) = &self.output {
            output.sync()?;
            let path = output.folder.checkpoints().save(&self.done, |folder| state::save(&tensors, folder))?;
            events(Event::Checkpoint { step: self.done.step, path });
        }
        Ok(())
    }

    /// Lets others have the run folder. What was trained can still be looked at.
    pub fn release(&mut self) {
        if let Some(output) = &mut self.output {
            output.folder.unlock();
        }
    }

    /// Ends this sitting: a run that came to its end writes its result, one that did not is saved so that it can go on.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn conclude(&mut self, events: &mut dyn FnMut(Event)) -> Result<Outcome> {
        let interrupted = self.flow == Flow::Running;
        self.checkpoint(events).await?;
        if let (true, Some(output)) = (interrupted, &self.output) {
            let step = self.done.step;
            events(Event::note(format!("stopped at step {step}; go on with: {}", output.folder.resume_command())));
        }
        let seconds = self.begun.elapsed().as_secs_f64();
        if let Some(output) = &self.output {
            output.sync()?;
        }
        if self.among.several() {
            events(Event::note(self.among.report(&self.program, seconds)));
        }
        if !interrupted {
            self.finish(events).await?;
        }
        let (steps, best_eval_loss, path) = (self.done.step, self.done.best_eval_loss, self.run.out.clone());
        events(Event::Finished { steps, best_eval_loss, seconds, path, interrupted });
        Ok(Outcome {
            steps: self.done.step,
            interrupted,
            best_eval_loss: self.done.best_eval_loss,
            last_eval_loss: self.last_eval_loss,
            seconds,
            tokens: self.done.tokens - self.before.1,
        })
    }

    /// Scores the held-out rows; whether that was the best so far.
    async fn evaluate(&mut self, events: &mut dyn FnMut(Event)) -> Result<bool> {
        let Some(held_out) = &self.held_out else { return Ok(false) };
        let (rows, ranks) = (self.run.batch_size, self.among.ranks.as_mut());
        let loss = heldout::loss_among(&mut self.session, &self.program, held_out, rows, ranks).await?.mean();
        let best = self.done.best_eval_loss.is_none_or(|b| loss < b);
        if best {
            self.done.best_eval_loss = Some(loss);
            self.done.best_step = Some(self.done.step);
            self.done.evals_without_improvement = 0;
        } else {
            self.done.evals_without_improvement += 1;
        }
        self.last_eval_loss = Some(loss);
        events(Event::Eval { step: self.done.step, loss, perplexity: loss.exp(), best });
        Ok(best && self.done.step > 0)
    }

    /// Lets the model continue the run's sample prompt.
    async fn write_sample(&mut self, events: &mut dyn FnMut(Event)) -> Result<()> {
        let (Some(Output { writer: Some(writer), folder, .. }), Some(decoding)) = (&self.output, &mut self.program.decoding) else {
            return Ok(());
        };
        let Written { step, prompt, text } = writer.write(&mut self.session, decoding, self.done.step, folder.path()).await?;
        events(Event::Sample { step, prompt, text });
        Ok(())
    }
}
