//! What a run says while it goes: one stream for every face (terminal, app, page).

use super::metrics::StepMetrics;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Something that happened in a run. As JSON, `event` holds the name in snake case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A file is being read; `done == total` ends it.
    Loading {
        /// What is read, such as "weights".
        what: String,
        /// Bytes so far.
        done: u64,
        /// Bytes in all.
        total: u64,
    },
    /// Rows become tokens; `done == total` ends it.
    Tokenizing {
        /// Rows so far.
        done: u64,
        /// Rows in all.
        total: u64,
    },
    /// Something else is going on that takes a while; `done == total` ends it.
    Progress {
        /// What, such as "scoring answers".
        what: String,
        /// Rows, or whatever it counts, so far.
        done: u64,
        /// In all.
        total: u64,
    },
    /// Something worth knowing.
    Note {
        /// The text.
        text: String,
    },
    /// Something that is probably not meant.
    Warning {
        /// The text.
        text: String,
    },
    /// Everything is ready and the first step is next.
    Started(Summary),
    /// An optimiser step ended.
    Step(StepMetrics),
    /// The held-out rows were scored.
    Eval {
        /// Steps done.
        step: u64,
        /// Mean loss over the held-out targets.
        loss: f64,
        /// Its exponential.
        perplexity: f64,
        /// Whether no earlier one was lower.
        best: bool,
    },
    /// The model continued the run's sample prompt.
    Sample {
        /// Steps done.
        step: u64,
        /// What it was given.
        prompt: String,
        /// What it added.
        text: String,
    },
    /// A checkpoint is safely on disk.
    Checkpoint {
        /// Steps done.
        step: u64,
        /// Its folder.
        path: PathBuf,
    },
    /// The run ended, by itself or because it was asked to.
    Finished {
        /// Steps done.
        steps: u64,
        /// The lowest held-out loss, where one was measured.
        best_eval_loss: Option<f64>,
        /// Seconds of this sitting.
        seconds: f64,
        /// The run folder.
        path: PathBuf,
        /// Whether it was stopped before its end.
        #[serde(default)]
        interrupted: bool,
    },
}

impl Event {
    /// A [`Event::Note`].
    pub fn note(text: impl Into<String>) -> Self {
        Self::Note { text: text.into() }
    }

    /// A [`Event::Warning`].
    pub fn warning(text: impl Into<String>) -> Self {
        Self::Warning { text: text.into() }
    }
}

/// What is about to run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The device, with its backend.
    pub device: String,
    /// The model: a name or a folder, with its architecture.
    pub model: String,
    /// The method with its size, such as "diablo, 8 blocks".
    pub method: String,
    /// Numbers that train.
    pub trainable: u64,
    /// Numbers in the model without the adapter.
    pub parameters: u64,
    /// Steps already done: 0, or where a resume goes on.
    pub first_step: u64,
    /// Steps of the whole run.
    pub steps: u64,
    /// Rows for training.
    pub rows: u64,
    /// Held-out rows.
    pub eval_rows: u64,
    /// Bytes the run takes on its device.
    pub memory: u64,
    /// The run folder.
    pub out: PathBuf,
    /// Processes that share each step; summaries of older versions, and the default, say none.
    #[serde(default)]
    pub ranks: usize,
    /// Bytes that they add up in a step, each rank's as many; 0 for a process alone.
    #[serde(default)]
    pub summed: u64,
}

impl Summary {
    /// The share of the model's numbers that trains, 0 to 1.
    pub fn share(&self) -> f64 {
        self.trainable as f64 / self.parameters.max(1) as f64
    }
}
