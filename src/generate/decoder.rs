//! A model laid out for decoding: a prompt in pieces, then a token at a time, with a cache of keys and values.

use crate::adapter::{AdapterFile, Installed, Spec};
use crate::device::{Category, Device, Layout, Plan, PlanBuilder, Session, View};
use crate::error::{Error, Result};
use crate::kernels::{Format, NONE, rope};
use crate::model::{Arena, Cache, Graph, Inputs, ModelConfig, Source, Weights};
use crate::train::feed::{Scalars, step_words};

/// Tokens of a prompt that go through the model together.
const PIECE: usize = 64;

/// A model ready to continue text.
pub struct Decoder {
    session: Session,
    inputs: Inputs,
    places: View,
    logits: View,
    vocabulary: usize,
    capacity: usize,
    /// Tokens in the cache.
    length: usize,
}

struct Laid {
    layout: Layout,
    arena: Arena,
    weights: Weights,
    adapter: Installed,
    inputs: Inputs,
    places: View,
    logits: View,
    plans: Vec<Plan>,
}

fn lay_out(config: &ModelConfig, format: impl Fn(&str) -> Format, spec: &Spec, capacity: usize, device: &Device) -> Result<Laid> {
    let mut layout = Layout::new(device.limits());
    let inputs = Inputs::declare(config, &mut layout, PIECE, capacity.max(PIECE));
    let weights = Weights::declare(config, &mut layout, None, format);
    let mut arena = Arena::new(false);
    let spec = Spec { dropout: 0.0, ..spec.clone() };
    let adapter = Installed::declare(&spec, config, &mut layout, &mut arena, inputs.step)?;
    let width = config.num_key_value_heads * config.head_dim;
    let mut side = |label: &str| layout.buffer(label, (capacity + 1) * width, Category::Cache);
    let layers: Vec<(View, View)> = (0..config.num_hidden_layers).map(|_| (side("keys"), side("values"))).collect();
    let places = layout.buffer("cache places", PIECE, Category::Workspace);
    let logits = Graph::declare_logits(&mut layout, config.vocab_size, 1);
    let plans = [PIECE, 1]
        .map(|seq| {
            let mut plan = PlanBuilder::new(format!("decode {seq}"));
            let graph = Graph { config, weights: &weights, adapter: &adapter, inputs, rows: 1, seq };
            let forward = graph.forward(&mut plan, Some(&Cache { layers: &layers, places, capacity }));
            plan.only_above(Some(0));
            graph.logits_of(&mut plan, forward.y, logits, 1);
            plan.finish()
        })
        .to_vec();
    Ok(Laid { layout, arena, weights, adapter, inputs, places, logits, plans })
}

impl Decoder {
    /// Loads a model, with an adapter if one is given, for texts of up to `capacity` tokens.
    ///
    /// # Errors
    /// Where the device cannot hold it.
    pub fn new(
        device: &Device,
        source: &Source,
        adapter: Option<&AdapterFile>,
        capacity: usize,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Self> {
        let config = &source.config;
        let formats = source.formats()?;
        let none = Spec::none();
        let spec = adapter.map_or(&none, |a| &a.spec);
        let format = |name: &str| formats.get(name).copied().unwrap_or(Format::F32);
        let laid = lay_out(config, format, spec, capacity, device)?;
        let mut session = device.load(&laid.layout, laid.plans)?;
        source.load(&mut session, &laid.weights, 0, progress)?;
        if let Some(file) = adapter {
            file.upload(&mut session, &laid.arena, "the adapter")?;
        }
        debug_assert_eq!(laid.adapter.spec.kind, spec.kind);
        let table = rope::table(&config.rope.inverse_frequencies(config.head_dim), laid.inputs.positions_known);
        session.write_f32(laid.inputs.rope, &table)?;
        let (inputs, places, logits) = (laid.inputs, laid.places, laid.logits);
        Ok(Self { session, inputs, places, logits, vocabulary: config.vocab_size, capacity, length: 0 })
    }

    /// Forgets the text so far.
    pub fn reset(&mut self) {
        self.length = 0;
    }

    /// Tokens that still fit.
    pub fn room(&self) -> usize {
        self.capacity - self.length
    }

    /// Appends tokens; the logits of what follows them.
    ///
    /// # Errors
    /// Where they do not fit, or the device was lost.
    pub fn feed(&mut self, ids: &[u32]) -> Result<Vec<f32>> {
        if ids.is_empty() || ids.len() > self.room() {
            return Err(Error::usage(
                format!("{} tokens do not fit: the cache holds {}, {} of them taken", ids.len(), self.capacity, self.length),
                "use a shorter prompt or fewer --max-new-tokens",
            ));
        }
        let pieces = ids.chunks(PIECE).count();
        for (i, piece) in ids.chunks(PIECE).enumerate() {
            self.piece(piece, i + 1 == pieces)?;
        }
        let mut logits = self.session.read_f32(self.logits)?;
        logits.truncate(self.vocabulary);
        Ok(logits)
    }

    fn piece(&mut self, ids: &[u32], last: bool) -> Result<()> {
        let (plan, size) = if ids.len() == 1 { (1, 1) } else { (0, PIECE) };
        let at = |i: usize| if i < ids.len() { (self.length + i) as u32 } else { 0 };
        let positions: Vec<u32> = (0..size).map(at).collect();
        let places: Vec<u32> = (0..size).map(|i| if i < ids.len() { at(i) } else { NONE }).collect();
        let spans: Vec<u32> = (0..size).flat_map(|i| [0, if i < ids.len() { at(i) + 1 } else { 0 }]).collect();
        let mut padded = ids.to_vec();
        padded.resize(size, 0);
        let (session, inputs) = (&mut self.session, &self.inputs);
        session.write(inputs.ids, &padded)?;
        session.write(inputs.positions, &positions)?;
        session.write(inputs.spans, &spans)?;
        session.write(self.places, &places)?;
        session.write(inputs.target_rows, &[ids.len() as u32 - 1])?;
        session.write(inputs.step, &step_words(1, Scalars::default()))?;
        session.run(plan, u32::from(last))?;
        self.length += ids.len();
        Ok(())
    }
}
