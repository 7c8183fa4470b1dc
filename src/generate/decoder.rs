//! A model loaded to continue texts, one or several at a time: the base alone, or with adapters beside it that share its weights.

use crate::adapter::{AdapterFile, Installed, Spec};
use crate::data::Tokenizer;
use crate::device::{Device, Layout, Session};
use crate::error::Result;
use crate::generate::{Continuation, Request, Sampler, continue_all, continue_tokens};
use crate::kernels::Format;
use crate::model::decoding::{Decoding, PIECE};
use crate::model::{Arena, Inputs, ModelConfig, Source, Weights};

/// A model ready to continue text.
pub struct Decoder {
    session: Session,
    layout: Layout,
    config: ModelConfig,
    weights: Weights,
    inputs: Inputs,
    rows: usize,
    capacity: usize,
    /// The base or the adapter that it was loaded with, then those that were added.
    voices: Vec<Decoding>,
    active: usize,
}

impl Decoder {
    /// Loads a model, with an adapter if one is given, for texts of up to `capacity` tokens.
    ///
    /// # Errors
    /// Where the device cannot hold it.
    pub async fn new(
        device: &Device,
        source: &Source,
        adapter: Option<&AdapterFile>,
        capacity: usize,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Self> {
        Self::with_rows(device, source, adapter, 1, capacity, progress).await
    }

    /// The same for up to `rows` texts beside each other; fewer where the device's buffers do not hold their keys.
    ///
    /// # Errors
    /// As there.
    pub async fn with_rows(
        device: &Device,
        source: &Source,
        adapter: Option<&AdapterFile>,
        rows: usize,
        capacity: usize,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Self> {
        let config = source.config.clone();
        // Beyond its learned positions a model has nothing to go on by.
        let capacity = if config.learned_positions { capacity.min(config.max_position_embeddings) } else { capacity };
        let rows = rows.clamp(1, Decoding::most_rows(&config, device.limits(), capacity));
        let formats = source.formats()?;
        let mut layout = Layout::new(device.limits());
        let inputs = Inputs::declare(&config, &mut layout, PIECE.max(rows), capacity.max(PIECE));
        let format = |name: &str| formats.get(name).copied().unwrap_or(Format::F32);
        let weights = Weights::declare(&config, &mut layout, None, format);
        let mut session = device.load(&layout, &[]).await?;
        source.load(&mut session, &weights, 0, progress)?;
        inputs.upload_rope(&mut session, &config)?;
        let mut decoder = Self { session, layout, config, weights, inputs, rows, capacity, voices: Vec::new(), active: 0 };
        decoder.add(adapter).await?;
        Ok(decoder)
    }

    /// Puts an adapter, or the model as it is, beside those that are here; its number. The weights are not loaded again.
    ///
    /// # Errors
    /// Where it does not fit the model, or the device.
    pub async fn add(&mut self, adapter: Option<&AdapterFile>) -> Result<usize> {
        let none = Spec::none();
        let spec = Spec { dropout: 0.0, ..adapter.map_or(&none, |a| &a.spec).clone() };
        let mut arena = Arena::new(false);
        let mut layout = self.layout.clone();
        let installed = Installed::declare(&spec, &self.config, &mut layout, &mut arena, self.inputs.step)?;
        let decoding = Decoding::declare(&self.config, &mut layout, self.inputs, self.rows, self.capacity);
        let plans = decoding.lay(&self.config, &self.weights, &installed);
        let first_plan = self.session.extend(&layout, &plans).await?;
        self.layout = layout;
        if let Some(file) = adapter {
            file.upload(&mut self.session, &arena, "the adapter")?;
        }
        self.voices.push(decoding.at(first_plan));
        Ok(self.voices.len() - 1)
    }

    /// Which of them speaks: 0 is what the decoder was loaded with.
    pub fn switch(&mut self, to: usize) {
        self.active = to.min(self.voices.len() - 1);
    }

    /// Texts that it continues beside each other.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Forgets the text so far; where there are several, the first one's, as in [`Self::keep`], [`Self::room`] and [`Self::feed`].
    pub fn reset(&mut self) {
        self.keep(0);
    }

    /// Forgets all but the first `tokens` of the text so far.
    pub fn keep(&mut self, tokens: usize) {
        self.voices[self.active].keep(0, tokens);
    }

    /// Tokens that still fit.
    pub fn room(&self) -> usize {
        self.voices[self.active].room(0)
    }

    /// Appends tokens; the logits of what follows them.
    ///
    /// # Errors
    /// Where they do not fit, or the device was lost.
    pub async fn feed(&mut self, ids: &[u32]) -> Result<Vec<f32>> {
        self.voices[self.active].feed(&mut self.session, 0, ids).await
    }

    /// The cache of the one that speaks, with the session that its plans are in.
    pub fn parts(&mut self) -> (&mut Session, &mut Decoding) {
        (&mut self.session, &mut self.voices[self.active])
    }

    /// [`continue_all`] with the one that speaks.
    ///
    /// # Errors
    /// As there.
    pub async fn continue_all<'a>(
        &mut self,
        tokenizer: &'a Tokenizer,
        requests: Vec<Request<'a>>,
        stop: &[u32],
        print: &mut dyn FnMut(usize, &str) -> bool,
        done: &mut dyn FnMut(usize),
    ) -> Result<Vec<Continuation>> {
        let (session, decoding) = self.parts();
        continue_all(session, decoding, tokenizer, requests, stop, print, done).await
    }

    /// [`continue_tokens`] with the one that speaks.
    ///
    /// # Errors
    /// As there.
    pub async fn continue_tokens(
        &mut self,
        tokenizer: &Tokenizer,
        prompt: &[u32],
        max_new_tokens: usize,
        stop: &[u32],
        sampler: &mut Sampler,
        print: &mut dyn FnMut(&str) -> bool,
    ) -> Result<Continuation> {
        let (session, decoding) = self.parts();
        continue_tokens(session, decoding, tokenizer, prompt, max_new_tokens, stop, sampler, print).await
    }
}
