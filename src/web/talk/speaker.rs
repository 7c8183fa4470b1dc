//! The one who answers, in the worker: it keeps the model and its voices loaded.

use super::Said;
use crate::data::Tokenizer;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::generate::together::{Question, Together};
use crate::model::Source;
use crate::web::line::Line;
use std::cell::Cell;
use std::path::PathBuf;

/// A question on its way.
pub(in crate::web) struct Ask {
    pub turn: u64,
    pub question: Question,
}

/// A model that is asked on a device.
pub(in crate::web) struct Speaker {
    pub model: PathBuf,
    pub device: String,
    asks: Line<Ask>,
    /// The answer that is being given shall end.
    hushed: Cell<bool>,
}

impl Speaker {
    /// Nothing is loaded before the first question.
    pub fn new(model: PathBuf, device: String) -> Self {
        Self { model, device, asks: Line::default(), hushed: Cell::new(false) }
    }

    pub fn ask(&self, ask: Ask) {
        self.hushed.set(false);
        self.asks.put(ask);
    }

    pub fn hush(&self) {
        self.hushed.set(true);
    }

    /// No more questions will come.
    pub fn close(&self) {
        self.hush();
        self.asks.close();
    }

    /// Answers until no more questions come. `breath` lets other things have a turn.
    pub async fn answer(&self, say: impl Fn(u64, Said), breath: impl AsyncFn()) {
        while let Some(ask) = self.asks.wait().await {
            // Loaded by the first question; a device that was lost takes all that was loaded with it.
            if let Err((turn, error)) = self.sit(ask, &say, &breath).await {
                say(turn, Said::failed(&error));
            }
        }
    }

    /// Answers one question after the other with what is loaded for the first.
    async fn sit(&self, first: Ask, say: &impl Fn(u64, Said), breath: &impl AsyncFn()) -> std::result::Result<(), (u64, Error)> {
        let mut ask = first;
        let (source, tokenizer, device) = self.open().await.map_err(|error| (ask.turn, error))?;
        let mut together = Together::new(device, &source, &tokenizer).map_err(|error| (ask.turn, error))?;
        loop {
            let turn = ask.turn;
            let mut progress = |done, total| say(turn, Said::Loading { done, total });
            let mut part = |voice, part| {
                say(turn, Said::part(voice, part));
                !self.hushed.get()
            };
            match together.answer_among(&ask.question, &mut progress, &mut part, breath).await {
                Ok(()) => say(turn, Said::Done),
                Err(error @ Error::Device { .. }) => return Err((turn, error)),
                Err(error) => say(turn, Said::failed(&error)),
            }
            match self.asks.wait().await {
                Some(next) => ask = next,
                None => return Ok(()),
            }
        }
    }

    async fn open(&self) -> Result<(Source, Tokenizer, Device)> {
        let source = Source::open(&self.model)?;
        let tokenizer = Tokenizer::from_dir(&self.model)?;
        let device = Device::find(&self.device).await?;
        Ok((source, tokenizer, device))
    }
}
