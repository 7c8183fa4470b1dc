//! One optimiser step: submitted, and its numbers read when they are there.

use super::Trainer;
use crate::device::{Ticket, View};
use crate::error::{Error, Result};
use crate::kernels::metrics;
use crate::model::inputs::Scalars;
use crate::random::Random;
use crate::ranks;
use crate::train::config::MixedPrecision;
use crate::train::event::Event;
use crate::train::feed::MicroBatch;
use crate::train::metrics::StepMetrics;
use web_time::Instant;

/// Steps whose metrics may be on their way while the next ones run.
const IN_FLIGHT: usize = 3;

/// A step that was submitted.
#[derive(Clone, Copy)]
pub(super) struct Submitted {
    step: u64,
    lr: f32,
    tokens: u64,
    epoch: f64,
}

/// A step whose metrics have not been read.
pub(super) struct Pending {
    what: Submitted,
    ticket: Ticket,
}

impl Trainer {
    /// Submits one optimiser step; its metrics are on their way. Of several ranks each does its own part of the micro-batches, and the
    /// update waits for all of them. `stop` is whether this rank was asked to end the run.
    pub(super) async fn step(&mut self, stop: bool) -> Result<()> {
        let (rows, step, all) = (self.run.batch_size, self.done.step, self.run.accumulate);
        let place = |i: usize| self.done.position + i as u64;
        let indices: Vec<usize> = (0..all * rows).map(place).map(|at| self.order.sample_index(at)).collect();
        // Every rank has all rows, so the divisor of the whole step needs no message.
        let samples = indices.iter().map(|i| &self.data.samples[*i]);
        let (targets, tokens) = samples.fold((0, 0), |(targets, tokens), s| (targets + s.targets(), tokens + s.ids.len() as u64));
        let own = ranks::part(all, self.among.ranks.rank(), self.among.ranks.count());
        let batches: Vec<MicroBatch> = indices
            .chunks(rows)
            .skip(own.start)
            .take(own.len())
            .map(|indices| MicroBatch::new(&self.data, indices, rows, &self.program.buckets))
            .collect();
        let t = (step + 1) as f64;
        let lr = self.schedule.lr_at(step);
        let mut random = Random::new(self.run.seed ^ step).stream("dropout");
        // A micro-batch has the same dropout whoever does it.
        let seeds: Vec<u32> = (0..all).map(|_| random.next() as u32).collect();
        let program = &self.program;
        self.session.run(program.begin, 0)?;
        for (batch, seed) in batches.iter().zip(&seeds[own]) {
            let scalars = Scalars {
                inverse_targets: 1.0 / targets.max(1) as f32,
                lr,
                correction1: (1.0 - self.run.beta1.powf(t)) as f32,
                correction2: (1.0 - self.run.beta2.powf(t)).sqrt() as f32,
                seed: *seed,
            };
            batch.upload(&mut self.session, program, scalars)?;
            self.session.run(program.train[batch.bucket], batch.active_rows())?;
        }
        if self.among.several() {
            self.among.add_up(&mut self.session, program, stop).await?;
        }
        self.session.run(program.update.expect("a training program updates"), 0)?;
        let ticket = self.session.request(View { len: crate::kernels::METRIC_WORDS, ..program.inputs.metrics })?;
        self.done.step += 1;
        self.done.position += (rows * all) as u64;
        self.done.tokens += tokens;
        let epoch = self.done.position as f64 / self.data.len() as f64;
        self.pending.push_back(Pending { what: Submitted { step: self.done.step, lr, tokens, epoch }, ticket });
        Ok(())
    }

    /// Reports the steps whose metrics are here; waits only where too many are on their way.
    pub(super) async fn collect(&mut self, events: &mut dyn FnMut(Event)) -> Result<()> {
        let mut arrived = Vec::new();
        while let Some(pending) = self.pending.pop_front() {
            let words = if self.pending.len() >= IN_FLIGHT {
                self.session.finish(pending.ticket).await?
            } else {
                match self.session.collect(pending.ticket)? {
                    Ok(words) => words,
                    Err(ticket) => {
                        self.pending.push_front(Pending { ticket, ..pending });
                        break;
                    }
                }
            };
            arrived.push((pending.what, words));
        }
        self.report(arrived, false, events).map(|_| ())
    }

    /// Reports every step; with `keep_last` the last one is returned instead.
    pub(super) async fn drain(&mut self, events: &mut dyn FnMut(Event), keep_last: bool) -> Result<Option<StepMetrics>> {
        let mut arrived = Vec::new();
        while let Some(pending) = self.pending.pop_front() {
            arrived.push((pending.what, self.session.finish(pending.ticket).await?));
        }
        self.report(arrived, keep_last, events)
    }

    /// Reports steps whose metrics have arrived; with `keep_last` the last one is returned instead. Those that arrived together
    /// share the time since the last ones: when each of them was done, only the device knows.
    fn report(
        &mut self,
        arrived: Vec<(Submitted, Vec<u32>)>,
        keep_last: bool,
        events: &mut dyn FnMut(Event),
    ) -> Result<Option<StepMetrics>> {
        let count = arrived.len();
        if count == 0 {
            return Ok(None);
        }
        let now = Instant::now();
        let seconds = now.duration_since(self.last_time).as_secs_f64().max(1e-9) / count as f64;
        self.last_time = now;
        for (i, (what, words)) in arrived.into_iter().enumerate() {
            let m = self.measured(what, seconds, &words)?;
            if keep_last && i + 1 == count {
                return Ok(Some(m));
            }
            self.emit(m, events)?;
        }
        Ok(None)
    }

    fn measured(&self, what: Submitted, seconds: f64, words: &[u32]) -> Result<StepMetrics> {
        let Submitted { step, lr, tokens, epoch } = what;
        let value = |i: usize| f32::from_bits(words[i]);
        let (loss, grad_norm) = (value(metrics::LOSS), value(metrics::GRAD_NORM));
        if value(metrics::CLIP) < 0.0 {
            return Err(Error::Diverged {
                step,
                what: format!("the loss is {loss} and the gradient's norm {grad_norm}: nothing was updated"),
                hint: self.way_out(step)?,
            });
        }
        Ok(StepMetrics { step, loss, grad_norm, lr, tokens, tokens_per_second: tokens as f64 / seconds, epoch, ..StepMetrics::default() })
    }

    /// What to do about a loss that is no number. The first step's is that of the model as it was given.
    fn way_out(&self, step: u64) -> Result<String> {
        if step == 1 {
            let given = if self.run.init_adapter.is_some() { "the weights or the adapter it began with" } else { "the model's weights" };
            let half = match self.run.mixed_precision {
                MixedPrecision::Fp16 => "\nor half the bits are too few for it: leave --mixed-precision out",
                MixedPrecision::No => "",
            };
            return Ok(format!(
                "before anything was learned: {given} hold values that are not finite, or overflow; no rate mends that{half}"
            ));
        }
        match &self.output {
            Some(output) => output.way_out(step),
            None => Ok("rank 0 knows the last checkpoint".into()),
        }
    }

    pub(super) fn emit(&mut self, m: StepMetrics, events: &mut dyn FnMut(Event)) -> Result<()> {
        if let Some(output) = &mut self.output {
            output.write(&m)?;
        }
        events(Event::Step(m));
        Ok(())
    }
}
