//! Whole training steps.

use super::{least, median};
use crate::adapter::Spec;
use crate::data::{Dataset, Sample};
#[cfg(not(target_arch = "wasm32"))]
use crate::device::OpTime;
use crate::device::{Device, Op, Session, View};
use crate::error::Result;
use crate::kernels::adamw::AdamW;
use crate::kernels::{Format, METRIC_WORDS};
use crate::model::inputs::Scalars;
use crate::model::{Activations, ModelConfig, Source};
use crate::random::Random;
use crate::train::feed::MicroBatch;
use crate::train::program::{Program, Shape};
use web_time::{Duration, Instant};

/// What a step is measured with.
#[derive(Clone, Debug)]
pub struct StepCase {
    /// The architecture.
    pub config: ModelConfig,
    /// What trains.
    pub spec: Spec,
    /// How frozen weights are held; in 32 bits without it.
    pub weights: Option<Format>,
    /// Whether activations are recomputed.
    pub recompute: bool,
    /// How activations wait for the backward pass.
    pub activations: Activations,
    /// Whether products round their factors to f16.
    pub half: bool,
    /// Rows of the micro-batch.
    pub rows: usize,
    /// Tokens of a row; every one is learned from.
    pub seq: usize,
    /// Whether clipping and AdamW are part of the step.
    pub update: bool,
}

/// Times of a step.
#[derive(Clone, Debug, serde::Serialize)]
pub struct StepTimes {
    /// Seconds of each measured step, in order.
    pub seconds: Vec<f64>,
    /// Tokens of a step.
    pub tokens: usize,
    /// Bytes the device holds.
    pub memory: u64,
    /// Seconds from the plan to the end of the first step, in which the weights are made too.
    pub first_step: f64,
    /// Operations of a step.
    pub dispatches: usize,
    /// Floating-point operations of a step.
    pub flops: u64,
    /// Bytes that the plan says it takes.
    pub estimate: u64,
}

impl StepTimes {
    /// The fastest step.
    pub fn best(&self) -> f64 {
        least(&self.seconds)
    }

    /// The middle step.
    pub fn median(&self) -> f64 {
        median(&self.seconds)
    }
}

/// A step laid out and loaded.
pub struct LoadedStep {
    program: Program,
    session: Session,
    batch: MicroBatch,
    update: bool,
}

impl LoadedStep {
    /// Lays out and loads a case with weights drawn from a fixed seed and random tokens.
    ///
    /// # Errors
    /// Where the device cannot hold it.
    pub fn new(device: &Device, case: &StepCase) -> Result<Self> {
        let shape = Shape {
            batch_size: case.rows,
            buckets: vec![case.seq],
            trains: true,
            recompute: case.recompute,
            activations: case.activations,
            half: case.half,
            adamw: AdamW { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0, rate: 1.0 },
            max_grad_norm: 1.0,
            writes: 0,
        };
        let source = Source::drawn(case.config.clone()).held_in(case.weights);
        let program = Program::new(&case.config, &source.formats()?, &case.spec, &shape, device.limits())?;
        let mut session = pollster::block_on(device.load(&program.layout, &program.plans))?;
        source.load(&mut session, &program.weights, 1, &mut |_, _| ())?;
        pollster::block_on(program.adapter.initialise(&mut session, &program.weights, 1))?;
        program.inputs.upload_rope(&mut session, &case.config)?;
        let mut random = Random::new(2);
        let samples = (0..case.rows)
            .map(|row| Sample {
                ids: (0..case.seq).map(|_| random.below(case.config.vocab_size as u64) as u32).collect(),
                learn_from: 1,
                row,
                ..Sample::default()
            })
            .collect();
        let data = Dataset { samples };
        let indices: Vec<usize> = (0..case.rows).collect();
        let batch = MicroBatch::new(&data, &indices, case.rows, &program.buckets);
        Ok(Self { program, session, batch, update: case.update })
    }

    /// The most bytes that the device held.
    pub fn memory(&self) -> u64 {
        self.session.ledger().peak()
    }

    /// Runs one step and waits for it; its loss.
    ///
    /// # Errors
    /// Where the device was lost.
    pub fn step(&mut self) -> Result<f32> {
        let (session, program) = (&mut self.session, &self.program);
        let inverse_targets = 1.0 / self.batch.batch.target_count() as f32;
        let scalars = Scalars { inverse_targets, lr: 1e-4, correction1: 0.1, correction2: 0.03, seed: 1 };
        session.run(program.begin, 0)?;
        self.batch.upload(session, program, scalars)?;
        session.run(program.train[0], self.batch.active_rows())?;
        if let (true, Some(update)) = (self.update, program.update) {
            session.run(update, 0)?;
        }
        Ok(pollster::block_on(session.read_f32(View { len: METRIC_WORDS, ..program.inputs.metrics }))?[0])
    }

    /// Runs one step, one operation after the other, and times each. An operation begins where the step is then, in seconds.
    ///
    /// # Errors
    /// Where the device was lost or has no clock for its own work.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn profile(&mut self) -> Result<Vec<OpTime>> {
        let rows = self.batch.active_rows();
        let mut times: Vec<OpTime> = Vec::new();
        for plan in self.plans() {
            let passed = times.last().map_or(0.0, |t| t.begin + t.seconds);
            let ran = self.session.profile(plan, rows)?;
            times.extend(ran.into_iter().map(|t| OpTime { begin: passed + t.begin, ..t }));
        }
        Ok(times)
    }

    /// The plans that a step runs.
    fn plans(&self) -> Vec<usize> {
        let update = self.program.update.filter(|_| self.update);
        [Some(self.program.begin), Some(self.program.train[0]), update].into_iter().flatten().collect()
    }

    /// Operations of a step, and their floating-point operations.
    fn work(&self) -> (usize, u64) {
        let rows = self.batch.active_rows();
        let runs = |op: &&Op| op.needs_rows_above.is_none_or(|above| rows > above);
        let ops = self.plans().into_iter().flat_map(|plan| self.program.plans[plan].ops.iter().filter(runs));
        ops.fold((0, 0), |(count, flops), op| (count + 1, flops + op.flops))
    }
}

/// Measures steps for about `time`, at least `least` of them, after two that are not counted.
///
/// # Errors
/// Where the device cannot hold the case or was lost.
pub fn measure(device: &Device, case: &StepCase, least: usize, time: Duration) -> Result<StepTimes> {
    let begun = Instant::now();
    let mut loaded = LoadedStep::new(device, case)?;
    loaded.step()?;
    let first_step = begun.elapsed().as_secs_f64();
    loaded.step()?;
    let mut seconds = Vec::new();
    let begun = Instant::now();
    while seconds.len() < least || begun.elapsed() < time {
        let step = Instant::now();
        loaded.step()?;
        seconds.push(step.elapsed().as_secs_f64());
    }
    let (dispatches, flops) = loaded.work();
    let (memory, estimate) = (loaded.memory(), loaded.program.estimate().total());
    Ok(StepTimes { seconds, tokens: case.rows * case.seq, memory, first_step, dispatches, flops, estimate })
}
