//! A model laid out for continuing texts: a prompt in pieces, then a token at a time for one text or for several beside each other, with a
//! cache of keys and values.

use super::inputs::{Inputs, Scalars, step_words};
use super::linear::Adapter;
use super::weights::Weights;
use super::{Cache, Graph, ModelConfig, Training};
use crate::device::{Category, Layout, Limits, Plan, PlanBuilder, Session, View};
use crate::error::{Error, Result};
use crate::kernels::NONE;

/// Tokens of a prompt that go through the model together.
pub const PIECE: usize = 64;

/// The cache and what else its texts need, one text a row. Several of them may share a layout's weights.
#[derive(Clone, Debug)]
pub struct Decoding {
    inputs: Inputs,
    places: View,
    logits: View,
    layers: Vec<(View, View)>,
    vocabulary: usize,
    capacity: usize,
    /// Tokens in the cache, by row.
    lengths: Vec<usize>,
    /// Index of its first plan in the session.
    first_plan: usize,
}

impl Decoding {
    /// Declares a cache for `rows` texts of up to `capacity` tokens each. `inputs` must have room for [`PIECE`] tokens and for `rows`, and
    /// know `capacity` positions.
    pub fn declare(config: &ModelConfig, layout: &mut Layout, inputs: Inputs, rows: usize, capacity: usize) -> Self {
        let mut side = |label: &str| layout.buffer(label, rows * capacity * width(config), Category::Cache);
        let layers = (0..config.num_hidden_layers).map(|_| (side("keys"), side("values"))).collect();
        let places = layout.buffer("cache places", PIECE.max(rows), Category::Workspace);
        let logits = Graph::declare_logits(layout, config.vocab_size, rows);
        Self { inputs, places, logits, layers, vocabulary: config.vocab_size, capacity, lengths: vec![0; rows], first_plan: 0 }
    }

    /// The most rows of `capacity` tokens whose keys of a layer one buffer holds; at least one.
    pub fn most_rows(config: &ModelConfig, limits: Limits, capacity: usize) -> usize {
        (limits.max_words() / (capacity * width(config)).max(1)).max(1)
    }

    /// Its two plans: a piece of one text's prompt, and a token of each text. They go into the session one after the other, the first at the
    /// index given to [`Self::at`].
    pub fn lay(&self, config: &ModelConfig, weights: &Weights, adapter: &dyn Adapter) -> [Plan; 2] {
        let all = self.lengths.len();
        // A piece sees the whole cache as one sequence, in which its spans lead to its own row.
        [(1, PIECE, all * self.capacity), (all, 1, self.capacity)].map(|(rows, seq, keys)| {
            let mut plan = PlanBuilder::new(format!("decode {rows} x {seq}"));
            let graph = Graph { config, weights, adapter, inputs: self.inputs, rows, seq, piece: 0, training: Training::default() };
            let cache = Cache { layers: &self.layers, places: self.places, keys, tokens: all * self.capacity };
            let forward = graph.forward(&mut plan, Some(&cache));
            plan.only_above(Some(0));
            graph.logits_of(&mut plan, forward.y, self.logits, rows);
            plan.finish()
        })
    }

    /// The same, with its plans at `first_plan` in the session.
    pub fn at(self, first_plan: usize) -> Self {
        Self { first_plan, ..self }
    }

    /// Texts that it holds.
    pub fn rows(&self) -> usize {
        self.lengths.len()
    }

    /// Forgets all but the first `tokens` of a row's text so far.
    pub fn keep(&mut self, row: usize, tokens: usize) {
        self.lengths[row] = self.lengths[row].min(tokens);
    }

    /// Tokens that still fit into a row.
    pub fn room(&self, row: usize) -> usize {
        self.capacity - self.lengths[row]
    }

    /// Appends tokens to a row's text; the logits of what follows them.
    ///
    /// # Errors
    /// Where they do not fit, or the device was lost.
    pub async fn feed(&mut self, session: &mut Session, row: usize, ids: &[u32]) -> Result<Vec<f32>> {
        if let [id] = ids {
            return self.step(session, &[(row, *id)]).await;
        }
        if ids.is_empty() || ids.len() > self.room(row) {
            return Err(self.full(row, ids.len()));
        }
        let pieces = ids.chunks(PIECE).count();
        for (i, piece) in ids.chunks(PIECE).enumerate() {
            self.piece(session, row, piece, i + 1 == pieces)?;
        }
        self.read(session, 1).await
    }

    /// Appends a token to the text of each row that is named; the logits of what follows each, in that order. The other rows stay as they
    /// are.
    ///
    /// # Errors
    /// As [`Self::feed`].
    pub async fn step(&mut self, session: &mut Session, tokens: &[(usize, u32)]) -> Result<Vec<f32>> {
        if let Some((row, _)) = tokens.iter().find(|(row, _)| self.room(*row) == 0) {
            return Err(self.full(*row, 1));
        }
        let rows = self.rows();
        let mut step = Step::empty(rows);
        for (row, id) in tokens {
            let length = self.lengths[*row];
            step.put(*row, *id, length, (row * self.capacity + length) as u32, 0);
        }
        let mut asked: Vec<u32> = tokens.iter().map(|(row, _)| *row as u32).collect();
        asked.resize(rows, NONE);
        step.upload(session, &self.inputs, self.places, &asked)?;
        session.run(self.first_plan + 1, tokens.len() as u32)?;
        for (row, _) in tokens {
            self.lengths[*row] += 1;
        }
        self.read(session, tokens.len()).await
    }

    async fn read(&self, session: &mut Session, rows: usize) -> Result<Vec<f32>> {
        session.read_f32(View { len: rows * self.vocabulary, ..self.logits }).await
    }

    fn full(&self, row: usize, tokens: usize) -> Error {
        Error::usage(
            format!("{tokens} tokens do not fit: the cache holds {}, {} of them taken", self.capacity, self.lengths[row]),
            "use a shorter prompt or fewer --max-new-tokens",
        )
    }

    fn piece(&mut self, session: &mut Session, row: usize, ids: &[u32], last: bool) -> Result<()> {
        let mut step = Step::empty(PIECE);
        let first = row * self.capacity;
        for (i, id) in ids.iter().enumerate() {
            let position = self.lengths[row] + i;
            step.put(i, *id, position, (first + position) as u32, first as u32);
        }
        step.upload(session, &self.inputs, self.places, &[ids.len() as u32 - 1])?;
        session.run(self.first_plan, u32::from(last))?;
        self.lengths[row] += ids.len();
        Ok(())
    }
}

/// Numbers of a token's keys in a layer.
fn width(config: &ModelConfig) -> usize {
    config.num_key_value_heads * config.head_dim
}

/// What a plan is told of its tokens; those that are not put see nothing and go nowhere.
struct Step {
    ids: Vec<u32>,
    positions: Vec<u32>,
    places: Vec<u32>,
    spans: Vec<u32>,
}

impl Step {
    fn empty(tokens: usize) -> Self {
        Self { ids: vec![0; tokens], positions: vec![0; tokens], places: vec![NONE; tokens], spans: vec![0; 2 * tokens] }
    }

    /// The token at `at`: its id, its position in its text, its place in the cache, and the first key that it sees.
    fn put(&mut self, at: usize, id: u32, position: usize, place: u32, first: u32) {
        (self.ids[at], self.positions[at], self.places[at]) = (id, position as u32, place);
        self.spans[2 * at..][..2].copy_from_slice(&[first, first + position as u32 + 1]);
    }

    /// `asked`: the tokens whose logits are wanted.
    fn upload(&self, session: &mut Session, inputs: &Inputs, places: View, asked: &[u32]) -> Result<()> {
        session.write(inputs.ids, &self.ids)?;
        session.write(inputs.positions, &self.positions)?;
        inputs.upload_spans(session, &self.spans)?;
        session.write(places, &self.places)?;
        session.write(inputs.target_rows, asked)?;
        session.write(inputs.step, &step_words(asked.len() as u32, Scalars::default()))
    }
}
