//! A model laid out for continuing one text: a prompt in pieces, then a token at a time, with a cache of keys and values.

use super::inputs::{Inputs, Scalars, step_words};
use super::linear::Adapter;
use super::weights::Weights;
use super::{Activations, Cache, Graph, ModelConfig};
use crate::device::{Category, Layout, Plan, PlanBuilder, Session, View};
use crate::error::{Error, Result};
use crate::kernels::NONE;

/// Tokens of a prompt that go through the model together.
pub const PIECE: usize = 64;

/// The cache and what else one text needs. Several of them may share a layout's weights.
#[derive(Clone, Debug)]
pub struct Decoding {
    inputs: Inputs,
    places: View,
    logits: View,
    layers: Vec<(View, View)>,
    vocabulary: usize,
    capacity: usize,
    /// Tokens in the cache.
    length: usize,
    /// Index of its first plan in the session.
    first_plan: usize,
}

impl Decoding {
    /// Declares a cache for texts of up to `capacity` tokens. `inputs` must have room for [`PIECE`] tokens and know `capacity`
    /// positions.
    pub fn declare(config: &ModelConfig, layout: &mut Layout, inputs: Inputs, capacity: usize) -> Self {
        let width = config.num_key_value_heads * config.head_dim;
        let mut side = |label: &str| layout.buffer(label, (capacity + 1) * width, Category::Cache);
        let layers = (0..config.num_hidden_layers).map(|_| (side("keys"), side("values"))).collect();
        let places = layout.buffer("cache places", PIECE, Category::Workspace);
        let logits = Graph::declare_logits(layout, config.vocab_size, 1);
        Self { inputs, places, logits, layers, vocabulary: config.vocab_size, capacity, length: 0, first_plan: 0 }
    }

    /// Its two plans: a piece of the prompt, and one token. They go into the session one after the other, the first at the index
    /// given to [`Self::at`].
    pub fn lay(&self, config: &ModelConfig, weights: &Weights, adapter: &dyn Adapter) -> [Plan; 2] {
        [PIECE, 1].map(|seq| {
            let mut plan = PlanBuilder::new(format!("decode {seq}"));
            let graph = Graph {
                config,
                weights,
                adapter,
                inputs: self.inputs,
                rows: 1,
                seq,
                activations: Activations::F32,
                recompute: false,
                loss_scale: None,
            };
            let cache = Cache { layers: &self.layers, places: self.places, capacity: self.capacity };
            let forward = graph.forward(&mut plan, Some(&cache));
            plan.only_above(Some(0));
            graph.logits_of(&mut plan, forward.y, self.logits, 1);
            plan.finish()
        })
    }

    /// The same, with its plans at `first_plan` in the session.
    pub fn at(self, first_plan: usize) -> Self {
        Self { first_plan, ..self }
    }

    /// Forgets the text so far.
    pub fn reset(&mut self) {
        self.length = 0;
    }

    /// Forgets all but the first `tokens` of the text so far.
    pub fn keep(&mut self, tokens: usize) {
        self.length = self.length.min(tokens);
    }

    /// Tokens that still fit.
    pub fn room(&self) -> usize {
        self.capacity - self.length
    }

    /// Appends tokens; the logits of what follows them.
    ///
    /// # Errors
    /// Where they do not fit, or the device was lost.
    pub async fn feed(&mut self, session: &mut Session, ids: &[u32]) -> Result<Vec<f32>> {
        if ids.is_empty() || ids.len() > self.room() {
            return Err(Error::usage(
                format!("{} tokens do not fit: the cache holds {}, {} of them taken", ids.len(), self.capacity, self.length),
                "use a shorter prompt or fewer --max-new-tokens",
            ));
        }
        let pieces = ids.chunks(PIECE).count();
        for (i, piece) in ids.chunks(PIECE).enumerate() {
            self.piece(session, piece, i + 1 == pieces)?;
        }
        let mut logits = session.read_f32(self.logits).await?;
        logits.truncate(self.vocabulary);
        Ok(logits)
    }

    fn piece(&mut self, session: &mut Session, ids: &[u32], last: bool) -> Result<()> {
        let (plan, size) = if ids.len() == 1 { (1, 1) } else { (0, PIECE) };
        let at = |i: usize| if i < ids.len() { (self.length + i) as u32 } else { 0 };
        let positions: Vec<u32> = (0..size).map(at).collect();
        let places: Vec<u32> = (0..size).map(|i| if i < ids.len() { at(i) } else { NONE }).collect();
        let spans: Vec<u32> = (0..size).flat_map(|i| [0, if i < ids.len() { at(i) + 1 } else { 0 }]).collect();
        let mut padded = ids.to_vec();
        padded.resize(size, 0);
        let inputs = &self.inputs;
        session.write(inputs.ids, &padded)?;
        session.write(inputs.positions, &positions)?;
        inputs.upload_spans(session, &spans)?;
        session.write(self.places, &places)?;
        session.write(inputs.target_rows, &[ids.len() as u32 - 1])?;
        session.write(inputs.step, &step_words(1, Scalars::default()))?;
        session.run(self.first_plan + plan, u32::from(last))?;
        self.length += ids.len();
        Ok(())
    }
}
