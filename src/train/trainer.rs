//! The trainer: one step after the other, told by events, stopped by a word, resumable to the bit.
//!
//! [`Trainer::run`] is the whole run for a terminal. A face that does other things between steps (a window that pauses, a page)
//! calls [`Trainer::begin`], [`Trainer::advance`] until the run has ended, and [`Trainer::conclude`].

use super::checkpoint::{CheckpointState, TensorLayout};
use super::config::{Method, RunConfig};
use super::event::{Event, Summary};
use super::feed::MicroBatch;
use super::logs::Logs;
use super::metrics::{MetricsLog, StepMetrics};
use super::plot::{Series, SeriesLook, loss_plot};
use super::program::Program;
use super::resolve::{self, Room};
use super::run_folder::RunFolder;
use super::schedule::Schedule;
use super::writer::{Writer, Written};
use super::{export, heldout, names, rows, state, writer};
use crate::adapter::files::Tensor;
use crate::adapter::{AdapterFile, Spec, pissa};
use crate::data::{Dataset, Order};
use crate::device::{Device, Ledger, Session, Ticket, View};
use crate::error::{Error, Result};
use crate::kernels::metrics;
use crate::model::Source;
use crate::model::inputs::Scalars;
use crate::model::weights::Site;
use crate::random::Random;
use std::collections::{BTreeMap, VecDeque};
use web_time::Instant;

/// Steps whose metrics may be on their way while the next ones run.
const IN_FLIGHT: usize = 3;

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

/// A step that was submitted.
#[derive(Clone, Copy)]
struct Submitted {
    step: u64,
    lr: f32,
    tokens: u64,
    epoch: f64,
}

/// A step whose metrics have not been read.
struct Pending {
    what: Submitted,
    ticket: Ticket,
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
    folder: RunFolder,
    log: MetricsLog,
    logs: Logs,
    schedule: Schedule,
    writer: Option<Writer>,
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
    /// Opens model and data, lays the run out, loads it onto the device and, with `resume`, puts the newest checkpoint back.
    /// Waits on this thread; a browser uses [`Self::open`].
    ///
    /// # Errors
    /// Everything that can be wrong with what came from outside; nothing is written before it all fits, but the run folder.
    pub fn prepare(run: RunConfig, events: &mut dyn FnMut(Event)) -> Result<Self> {
        let run = names::settle(run, events)?;
        let source = Self::source(&run)?;
        Self::with_source(run, source, events)
    }

    /// As [`Self::prepare`], with a model that is open already.
    ///
    /// # Errors
    /// As [`Self::prepare`].
    pub fn with_source(run: RunConfig, source: Source, events: &mut dyn FnMut(Event)) -> Result<Self> {
        pollster::block_on(Self::open(run, source, None, events))
    }

    /// The model that a run names.
    ///
    /// # Errors
    /// Names the option or the file that is wrong.
    pub fn source(run: &RunConfig) -> Result<Source> {
        run.validate()?;
        let folder = names::model(&run.model, !run.init_from_config, &mut |_| ())?;
        if run.init_from_config { Source::from_config(&folder) } else { Source::open(&folder) }
    }

    /// As [`Self::prepare`], with a model that is open already and, perhaps, a device: one that a window draws with.
    ///
    /// # Errors
    /// As [`Self::prepare`].
    pub async fn open(run: RunConfig, source: Source, device: Option<Device>, events: &mut dyn FnMut(Event)) -> Result<Self> {
        Self::on_rows(run, source, device, None, events).await
    }

    /// As [`Self::open`], with the rows where they are there already: those that [`rows::load`] gives for this run.
    ///
    /// # Errors
    /// As [`Self::prepare`].
    pub async fn on_rows(
        run: RunConfig,
        source: Source,
        device: Option<Device>,
        loaded: Option<rows::Loaded>,
        events: &mut dyn FnMut(Event),
    ) -> Result<Self> {
        run.validate()?;
        let (spec, init) = resolve::adapter(&run, &source.config)?;
        let mut run = run.resolved();
        if let crate::adapter::Kind::Diablo { blocks, .. } = &spec.kind {
            run.blocks = Some(super::blocks::Blocks::of(blocks));
        }
        let device = match device {
            Some(device) => device,
            None => Device::find(&run.device).await?,
        };
        let (data, held_out) = match loaded {
            Some(loaded) => loaded,
            None => rows::load(&run, &source, events)?,
        };
        let longest = data.lengths().into_iter().chain(held_out.iter().flat_map(Dataset::lengths)).collect::<Vec<_>>();
        let context = source.config.max_position_embeddings;
        let tokens = data.longest_row().max(held_out.as_ref().map_or(0, Dataset::longest_row));
        if tokens > context {
            events(Event::warning(format!("rows have up to {tokens} tokens, and the model was made for {context}: lower --seq-len")));
        }
        let writer = Writer::open(&run, &source)?;
        let writes = writer.as_ref().map_or(0, Writer::capacity);
        let mut shape = resolve::shape(&run, crate::data::buckets(&longest, run.batch_size, run.seq_len, rows::BUCKETS), writes);
        let formats = source.formats_in(run.weights.map(Into::into))?;
        let limits = device.limits();
        let room = Room::of(&run, device.is_cpu().then(resolve::available_memory).flatten());
        let (mut program, chosen) = resolve::program(&run, &source.config, &formats, &spec, &mut shape, limits, room)?;
        resolve::check_fit(&program, room, &source.config, &formats, &spec, &shape, limits)?;
        if let Some(text) = chosen {
            events(Event::Note { text });
        }

        let total = run.total_steps(data.len() as u64);
        for warning in run.warnings(Some(total)) {
            events(Event::Warning { text: warning });
        }
        let folder = RunFolder::create(&run.out, run.resume)?;
        let fingerprint = run.fingerprint();
        let mut warn = |text: String| events(Event::Warning { text });
        let checkpoint = if run.resume { folder.checkpoints().latest(&mut warn)? } else { None };
        if let Some(checkpoint) = &checkpoint {
            folder.check_resumable(&run, &checkpoint.state.fingerprint)?;
        }
        folder.write_config(&run)?;
        let resumed = run.resume.then(|| checkpoint.as_ref().map_or(0, |c| c.state.step));
        let log = MetricsLog::open(folder.path(), resumed)?;
        let steps = if run.log.is_empty() { Vec::new() } else { MetricsLog::read(&folder.metrics_path())? };
        let logs = Logs::open(folder.path(), &run.log, &steps)?;
        writer::forget_after(folder.path(), resumed)?;

        let mut session = match device.load(&program.layout, &program.plans).await {
            Ok(session) => session,
            // Drivers do not tell how much they have; only asking for it does.
            Err(full) if run.gradient_checkpointing.is_none() && !shape.recompute => {
                shape.recompute = true;
                program = Program::new(&source.config, &formats, &spec, &shape, limits)?;
                let session = device.load(&program.layout, &program.plans).await.map_err(|_| full)?;
                events(Event::Note { text: "activations are recomputed: the device has no memory to keep them".into() });
                session
            }
            Err(error) => return Err(error),
        };
        source.load(&mut session, &program.weights, run.seed, &mut |done, total| {
            events(Event::Loading { what: "weights".into(), done, total });
        })?;
        let start = program.adapter.initialise(&mut session, &program.weights, run.seed).await?;
        if let (Some(init), None) = (&init, &checkpoint) {
            let place = run.init_adapter.as_deref().unwrap_or(folder.path()).display().to_string();
            init.upload(&mut session, &program.arena, &place)?;
        }
        program.inputs.upload_rope(&mut session, &source.config)?;
        let mut done = CheckpointState { fingerprint, layout: layout(&program), ..CheckpointState::default() };
        if let Some(checkpoint) = checkpoint {
            state::restore(&mut session, &program, &checkpoint.path)?;
            done = checkpoint.state;
        }
        let schedule = Schedule { kind: run.schedule, lr: run.resolved_lr(), warmup: run.warmup, total };
        let order = Order::new(data.len(), run.shuffle().then_some(run.seed));
        Ok(Self {
            run,
            source,
            spec,
            program,
            session,
            start,
            device,
            data,
            held_out,
            order,
            folder,
            log,
            logs,
            schedule,
            writer,
            before: (done.step, done.tokens),
            saved: done.step,
            done,
            last_eval_loss: None,
            pending: VecDeque::new(),
            last_time: Instant::now(),
            begun: Instant::now(),
            flow: Flow::Running,
            weight_norms: BTreeMap::new(),
        })
    }

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
            while flow == Flow::Running && !stop() {
                flow = self.advance(events).await?;
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
        self.folder.write_summary(&summary)?;
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
        if self.flow == Flow::Ended {
            return Ok(self.flow);
        }
        self.step()?;
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
        if self.writer.is_some() && (last || step.is_multiple_of(self.run.sample_interval(total))) {
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
        self.log.sync()?;
        let tensors = state::everything(&mut self.session, &self.program).await?;
        let path = self.folder.checkpoints().save(&self.done, |folder| state::save(&tensors, folder))?;
        self.saved = self.done.step;
        events(Event::Checkpoint { step: self.done.step, path });
        Ok(())
    }

    /// Lets others have the run folder. What was trained can still be looked at.
    pub fn release(&mut self) {
        self.folder.unlock();
    }

    /// Ends this sitting: a run that came to its end writes its result, one that did not is saved so that it can go on.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn conclude(&mut self, events: &mut dyn FnMut(Event)) -> Result<Outcome> {
        let interrupted = self.flow == Flow::Running;
        self.checkpoint(events).await?;
        if interrupted {
            let step = self.done.step;
            events(Event::note(format!("stopped at step {step}; go on with: {}", self.folder.resume_command())));
        }
        let seconds = self.begun.elapsed().as_secs_f64();
        self.log.sync()?;
        if !interrupted {
            self.finish(events).await?;
        }
        events(Event::Finished { steps: self.done.step, best_eval_loss: self.done.best_eval_loss, seconds, path: self.run.out.clone() });
        Ok(Outcome {
            steps: self.done.step,
            interrupted,
            best_eval_loss: self.done.best_eval_loss,
            last_eval_loss: self.last_eval_loss,
            seconds,
            tokens: self.done.tokens - self.before.1,
        })
    }

    /// Submits one optimiser step; its metrics are on their way.
    fn step(&mut self) -> Result<()> {
        let (rows, step) = (self.run.batch_size, self.done.step);
        let batches: Vec<MicroBatch> = (0..self.run.accumulate)
            .map(|micro| {
                let first = self.done.position + (micro * rows) as u64;
                let indices: Vec<usize> = (0..rows as u64).map(|i| self.order.sample_index(first + i)).collect();
                MicroBatch::new(&self.data, &indices, rows, &self.program.buckets)
            })
            .collect();
        let targets: usize = batches.iter().map(|b| b.batch.target_count()).sum();
        let t = (step + 1) as f64;
        let lr = self.schedule.lr_at(step);
        let mut random = Random::new(self.run.seed ^ step).stream("dropout");
        let program = &self.program;
        self.session.run(program.begin, 0)?;
        for batch in &batches {
            let scalars = Scalars {
                inverse_targets: 1.0 / targets.max(1) as f32,
                lr,
                correction1: (1.0 - self.run.beta1.powf(t)) as f32,
                correction2: (1.0 - self.run.beta2.powf(t)).sqrt() as f32,
                seed: random.next() as u32,
            };
            batch.upload(&mut self.session, program, scalars)?;
            self.session.run(program.train[batch.bucket], batch.active_rows())?;
        }
        self.session.run(program.update.expect("a training program updates"), 0)?;
        let ticket = self.session.request(View { len: crate::kernels::METRIC_WORDS, ..program.inputs.metrics })?;
        let tokens = batches.iter().map(|b| b.batch.tokens() as u64).sum();
        self.done.step += 1;
        self.done.position += (rows * self.run.accumulate) as u64;
        self.done.tokens += tokens;
        let epoch = self.done.position as f64 / self.data.len() as f64;
        self.pending.push_back(Pending { what: Submitted { step: self.done.step, lr, tokens, epoch }, ticket });
        Ok(())
    }

    /// Reports the steps whose metrics are here; waits only where too many are on their way.
    async fn collect(&mut self, events: &mut dyn FnMut(Event)) -> Result<()> {
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
    async fn drain(&mut self, events: &mut dyn FnMut(Event), keep_last: bool) -> Result<Option<StepMetrics>> {
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
            let last = self
                .folder
                .checkpoints()
                .latest(|_| ())?
                .map_or("there is no checkpoint yet".to_string(), |c| format!("the checkpoint of step {} is whole", c.state.step));
            return Err(Error::Diverged {
                step,
                what: format!("the loss is {loss} and the gradient's norm {grad_norm}: nothing was updated"),
                hint: format!("{last}; use a smaller --lr, or --warmup"),
            });
        }
        Ok(StepMetrics { step, loss, grad_norm, lr, tokens, tokens_per_second: tokens as f64 / seconds, epoch, ..StepMetrics::default() })
    }

    fn emit(&mut self, m: StepMetrics, events: &mut dyn FnMut(Event)) -> Result<()> {
        self.log.write(&m)?;
        self.logs.write(&m)?;
        events(Event::Step(m));
        Ok(())
    }

    /// Scores the held-out rows; whether that was the best so far.
    async fn evaluate(&mut self, events: &mut dyn FnMut(Event)) -> Result<bool> {
        let Some(held_out) = &self.held_out else { return Ok(false) };
        let loss = heldout::loss(&mut self.session, &self.program, held_out, self.run.batch_size, &mut |_, _| ()).await?.mean();
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
        let (Some(writer), Some(decoding)) = (&self.writer, &mut self.program.decoding) else { return Ok(()) };
        let Written { step, prompt, text } = writer.write(&mut self.session, decoding, self.done.step, self.folder.path()).await?;
        events(Event::Sample { step, prompt, text });
        Ok(())
    }

    /// Writes the result: the adapter (or the model) of the best held-out loss, or of the last step where nothing is held out.
    async fn finish(&mut self, events: &mut dyn FnMut(Event)) -> Result<()> {
        let best = match self.done.best_step {
            Some(step) if step != self.done.step => self.folder.checkpoints().best()?.filter(|b| b.state.step == step),
            _ => None,
        };
        let tensors = match best {
            Some(best) => {
                events(Event::note(format!("the result is that of step {}, which had the lowest held-out loss", best.state.step)));
                state::saved_values(&self.program, &best.path)?
            }
            None => state::values(&mut self.session, &self.program).await?,
        };
        if self.run.method == Method::Full {
            export::write_model(&self.source, &self.folder.path().join("model"), self.source.dtype(), |name, shape| {
                let found = tensors.iter().find(|t| t.name == name);
                found.map(|t| t.values.clone()).ok_or_else(|| Error::input(name, format!("no values of shape {shape:?}"), ""))
            })?;
        } else {
            let base = crate::hub::repository(&self.run.model);
            pissa::beside_base(AdapterFile { spec: self.spec.clone(), base, tensors }, &self.start).save(self.folder.path())?;
        }
        let metrics = MetricsLog::read(&self.folder.metrics_path())?;
        let train = metrics.iter().map(|m| (m.step as f64, f64::from(m.loss))).collect();
        let mut series = vec![Series { name: "training loss".into(), points: train, look: SeriesLook::Curve, colour: 0 }];
        let held: Vec<_> = metrics.iter().filter_map(|m| Some((m.step as f64, m.eval_loss?))).collect();
        if !held.is_empty() {
            series.push(Series { name: "held-out loss".into(), points: held, look: SeriesLook::Points, colour: 1 });
        }
        loss_plot(&self.folder.plot_path(), &series, &resolve::describe(&self.spec))
    }
}

fn layout(program: &Program) -> Vec<TensorLayout> {
    let whole = program.arena.tensors.iter().filter(|t| t.first_row == 0);
    whole.map(|t| TensorLayout { name: t.name.clone(), shape: t.shape.clone() }).collect()
}
