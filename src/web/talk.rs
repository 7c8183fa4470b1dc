//! Questions and answers in messages; in the worker, the one who answers.

use crate::error::Error;
use crate::generate::together::{End, Part};
use serde::{Deserialize, Serialize};

#[cfg(target_arch = "wasm32")]
mod speaker;
#[cfg(target_arch = "wasm32")]
pub(super) use speaker::{Ask, Speaker};

/// Something of an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Said {
    /// The model is being loaded.
    Loading {
        /// Bytes so far.
        done: u64,
        /// Bytes in all.
        total: u64,
    },
    /// More text of a voice.
    Text {
        /// The voice's place in the question.
        voice: usize,
        /// The text.
        text: String,
    },
    /// A voice has said all.
    Ended {
        /// The voice's place in the question.
        voice: usize,
        /// How it ended.
        end: End,
    },
    /// A voice cannot speak; the others do.
    Mute {
        /// The voice's place in the question.
        voice: usize,
        /// What is wrong.
        what: String,
        /// What to do about it.
        hint: String,
    },
    /// All voices have said all.
    Done,
    /// The question cannot be answered.
    Failed {
        /// What is wrong.
        what: String,
        /// What to do about it.
        hint: String,
    },
}

impl Said {
    /// A part of a voice's answer.
    pub fn part(voice: usize, part: Part) -> Self {
        match part {
            Part::Text(text) => Self::Text { voice, text },
            Part::Ended(end) => Self::Ended { voice, end },
            Part::Failed(error) => Self::Mute { voice, what: error.to_string(), hint: error.hint().unwrap_or_default().into() },
        }
    }

    /// Why the question cannot be answered.
    pub fn failed(error: &Error) -> Self {
        Self::Failed { what: error.to_string(), hint: error.hint().unwrap_or_default().into() }
    }
}
