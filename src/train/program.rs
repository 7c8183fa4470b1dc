//! A run laid out: every buffer and every operation of its steps. Without a device it is the memory estimate.

use crate::adapter::{Installed, Kind, Spec};
use crate::device::plan::estimate;
use crate::device::{Category, Layout, Ledger, Limits, Plan, PlanBuilder, View};
use crate::error::{Error, Result};
use crate::kernels::adamw::{AdamW, adamw};
use crate::kernels::clip::clip;
use crate::kernels::fill::fill;
use crate::kernels::matmul::finish_in_half;
use crate::kernels::sum_squares::{PARTIALS, sum_squares};
use crate::kernels::{Format, METRIC_WORDS};
use crate::model::decoding::{Decoding, PIECE};
use crate::model::{Activations, Arena, Graph, Inputs, ModelConfig, Training, Weights};
use std::collections::HashMap;

/// What a run's plans depend on, apart from model and adapter.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Rows of a micro-batch.
    pub batch_size: usize,
    /// Sequence lengths that rows are padded to, rising.
    pub buckets: Vec<usize>,
    /// Whether there are gradients and an optimiser; otherwise only the loss can be computed.
    pub trains: bool,
    /// Whether layers run forward again in the backward pass instead of keeping their activations.
    pub recompute: bool,
    /// How activations that are kept wait for the backward pass.
    pub activations: Activations,
    /// Whether the products of a training step round their factors to f16.
    pub half: bool,
    /// The optimiser's settings.
    pub adamw: AdamW,
    /// Gradients are scaled down to this norm; 0: never.
    pub max_grad_norm: f32,
    /// Tokens of the texts that the model writes between steps; 0: it writes none.
    pub writes: usize,
}

/// The most tokens of a micro-batch: sizes of buffers are products of them, which must not overflow.
pub const MOST_TOKENS: usize = 1 << 24;

/// What gradients are multiplied with where products take f16: torch.amp begins with 65,536 for the mean over a step, which is this for
/// the sum over 4,096 targets.
const LOSS_SCALE: f32 = 16.0;

impl Shape {
    fn loss_scale(&self) -> Option<f32> {
        self.half.then_some(LOSS_SCALE)
    }
}

/// Buffers and plans of a run.
pub struct Program {
    /// Buffers that outlive a step.
    pub layout: Layout,
    /// What trains.
    pub arena: Arena,
    /// The model's parameters.
    pub weights: Weights,
    /// The adapter.
    pub adapter: Installed,
    /// What the host uploads.
    pub inputs: Inputs,
    /// All plans; the indices below name them.
    pub plans: Vec<Plan>,
    /// Sequence lengths, rising.
    pub buckets: Vec<usize>,
    /// Zeroes metrics (and gradients, where there are any).
    pub begin: usize,
    /// Clips and updates; present where the run trains.
    pub update: Option<usize>,
    /// Forward and backward, by bucket; empty where the run does not train.
    pub train: Vec<usize>,
    /// The loss alone, by bucket.
    pub loss: Vec<usize>,
    /// Zeroes the metrics alone.
    pub begin_loss: usize,
    /// Continues a text with the weights as they are, where [`Shape::writes`] asks for it.
    pub decoding: Option<Decoding>,
    /// Gradients in the arena are sums over targets times this, where there is one, and not means.
    pub loss_scale: Option<f32>,
}

impl Program {
    /// Lays out a run.
    ///
    /// # Errors
    /// Where a layer cannot be divided as the adapter asks, or a sequence is longer than can be laid out.
    pub fn new(config: &ModelConfig, formats: &HashMap<String, Format>, spec: &Spec, shape: &Shape, limits: Limits) -> Result<Self> {
        let mut layout = Layout::new(limits);
        let longest = shape.buckets.last().copied().unwrap_or(1);
        let tokens = shape.batch_size.checked_mul(longest).filter(|t| *t <= MOST_TOKENS).ok_or_else(|| {
            Error::usage(
                format!("a micro-batch of {} x {longest} tokens is too large", shape.batch_size),
                if shape.trains {
                    "use a smaller --batch-size or --seq-len, and --accumulate for the rest"
                } else {
                    "use a smaller --batch-size or --seq-len"
                },
            )
        })?;
        let piece = if shape.writes > 0 { PIECE } else { 0 };
        let mut inputs = Inputs::declare(config, &mut layout, tokens.max(piece), longest.max(shape.writes));
        if !shape.trains {
            // Rows are scored one by one.
            inputs.losses = Some(layout.buffer("losses", tokens, Category::Workspace));
        }
        let mut arena = Arena::new(shape.trains);
        let full = spec.kind == Kind::Full;
        let format = |name: &str| formats.get(name).copied().unwrap_or(Format::F32);
        let weights = Weights::declare(config, &mut layout, full.then_some(&mut arena), format);
        let adapter = Installed::declare(spec, config, &mut layout, &mut arena, inputs.step)?;
        let partials = shape.trains.then(|| layout.buffer("norm partials", arena.segments.len() * PARTIALS, Category::Workspace));
        let mut program = Self {
            layout,
            arena,
            weights,
            adapter,
            inputs,
            plans: Vec::new(),
            buckets: shape.buckets.clone(),
            begin: 0,
            update: None,
            train: Vec::new(),
            loss: Vec::new(),
            begin_loss: 0,
            decoding: None,
            loss_scale: shape.loss_scale(),
        };
        program.begin_loss = program.add(program.lay_begin(false));
        program.begin = program.add(program.lay_begin(true));
        if let Some(partials) = partials {
            program.update = Some(program.add(program.lay_update(shape, partials)));
        }
        for i in 0..program.buckets.len() {
            let seq = program.buckets[i];
            let plan = program.lay_loss(config, shape, seq);
            let index = program.add(plan);
            program.loss.push(index);
            if shape.trains {
                let plan = program.lay_train(config, shape, seq);
                let index = program.add(plan);
                program.train.push(index);
            }
        }
        if shape.writes > 0 {
            let decoding = Decoding::declare(config, &mut program.layout, program.inputs, 1, shape.writes);
            let plans = decoding.lay(config, &program.weights, &program.without_dropout());
            program.decoding = Some(decoding.at(program.plans.len()));
            program.plans.extend(plans);
        }
        Ok(program)
    }

    /// The adapter as it applies outside training.
    fn without_dropout(&self) -> Installed {
        let mut adapter = self.adapter.clone();
        adapter.spec.dropout = 0.0;
        adapter
    }

    fn add(&mut self, plan: Plan) -> usize {
        self.plans.push(plan);
        self.plans.len() - 1
    }

    /// Bytes by category that the run will take.
    pub fn estimate(&self) -> Ledger {
        estimate(&self.layout, &self.plans)
    }

    fn lay_begin(&self, gradients: bool) -> Plan {
        let mut plan = PlanBuilder::new("begin");
        plan.push(fill(self.inputs.metrics, METRIC_WORDS, 0.0));
        if gradients && self.arena.trains() {
            for segment in &self.arena.segments {
                plan.push(fill(segment.gradients(), segment.len, 0.0));
            }
        }
        plan.finish()
    }

    fn lay_update(&self, shape: &Shape, partials: View) -> Plan {
        let mut plan = PlanBuilder::new("update");
        let segments = &self.arena.segments;
        for (i, segment) in segments.iter().enumerate() {
            plan.push(sum_squares(segment.gradients(), segment.len, partials, i * PARTIALS));
        }
        plan.push(clip(
            partials,
            segments.len() * PARTIALS,
            self.inputs.step,
            self.inputs.metrics,
            shape.max_grad_norm,
            shape.loss_scale(),
        ));
        for s in segments {
            let (step, metrics) = (self.inputs.step, self.inputs.metrics);
            plan.push(adamw(step, metrics, s.gradients(), s.values(), s.first(), s.second(), s.len, AdamW { rate: s.rate, ..shape.adamw }));
        }
        plan.finish()
    }

    fn graph<'a>(&'a self, config: &'a ModelConfig, rows: usize, seq: usize, adapter: &'a Installed) -> Graph<'a> {
        let mut inputs = self.inputs;
        for groups in [Some(&mut inputs.groups), inputs.position_groups.as_mut()].into_iter().flatten() {
            groups.groups = rows * seq;
        }
        let piece = (self.layout.limits.piece_bytes / 4) as usize;
        Graph { config, weights: &self.weights, adapter, inputs, rows, seq, piece, training: Training::default() }
    }

    fn lay_train(&self, config: &ModelConfig, shape: &Shape, seq: usize) -> Plan {
        let mut plan = PlanBuilder::new(format!("train {} x {seq}", shape.batch_size));
        let graph = self.graph(config, shape.batch_size, seq, &self.adapter);
        let training = Training { activations: shape.activations, recompute: shape.recompute, loss_scale: shape.loss_scale() };
        let graph = Graph { training, ..graph };
        let forward = graph.forward(&mut plan, None);
        if let Some(dx) = graph.loss(&mut plan, forward.y, true) {
            graph.backward(&mut plan, forward, dx);
        }
        if shape.half { finish_in_half(plan, self.layout.limits) } else { plan.finish() }
    }

    fn lay_loss(&self, config: &ModelConfig, shape: &Shape, seq: usize) -> Plan {
        let mut plan = PlanBuilder::new(format!("loss {} x {seq}", shape.batch_size));
        let adapter = self.without_dropout();
        let graph = self.graph(config, shape.batch_size, seq, &adapter);
        let forward = graph.forward(&mut plan, None);
        graph.loss(&mut plan, forward.y, false);
        plan.finish()
    }
}
