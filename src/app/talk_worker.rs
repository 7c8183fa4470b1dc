//! The worker's voices behind Talk: questions go there as messages, and each piece of text comes back as it is made.

use super::jobs::Progress;
use super::opened::OpenModel;
use crate::error::Error;
use crate::generate::together::{Part, Question};
use crate::web::outside::{self, Topic};
use crate::web::protocol::{Command, Message};
use crate::web::talk::Said as Told;
use eframe::egui;
use std::sync::Arc;

/// What comes back.
pub(super) enum Said {
    /// A part of a voice's answer: turn, place of the voice, part.
    Part(u64, usize, Part),
    /// The turn is over.
    Done(u64),
    /// The whole turn could not be answered.
    Failed(u64, Error),
}

/// The page's end.
pub(super) struct Speaker {
    model: Arc<OpenModel>,
    device: String,
    progress: Option<Progress>,
}

impl Speaker {
    /// A model on a device. Nothing is loaded before the first question.
    pub(super) fn start(_: &egui::Context, model: Arc<OpenModel>, device: &str) -> Self {
        Self { model, device: device.to_owned(), progress: None }
    }

    /// Whether it speaks with this model on this device.
    pub(super) fn is_of(&self, model: &Arc<OpenModel>, device: &str) -> bool {
        Arc::ptr_eq(&self.model, model) && self.device == device
    }

    /// Asks.
    pub(super) fn ask(&mut self, turn: u64, question: Question) -> bool {
        let (model, device) = (self.model.source.folder.clone(), self.device.clone());
        self.progress = Some(Progress { what: "asking".into(), ..Progress::default() });
        outside::send(&Command::Talk { turn, model, device, question });
        true
    }

    /// Ends the answer that is being given.
    pub(super) fn stop(&self) {
        outside::send(&Command::Hush);
    }

    /// What has come since.
    pub(super) fn heard(&mut self) -> Vec<Said> {
        let mut heard = Vec::new();
        for message in outside::take(Topic::Talk) {
            let Message::Said { turn, said } = message else { continue };
            if let Told::Loading { done, total } = said {
                self.progress = Some(Progress { what: "loading the model".into(), done, total });
                continue;
            }
            self.progress = None;
            heard.push(match said {
                Told::Loading { .. } => continue,
                Told::Text { voice, text } => Said::Part(turn, voice, Part::Text(text)),
                Told::Ended { voice, end } => Said::Part(turn, voice, Part::Ended(end)),
                Told::Mute { voice, what, hint } => Said::Part(turn, voice, Part::Failed(Error::usage(what, hint))),
                Told::Done => Said::Done(turn),
                Told::Failed { what, hint } => Said::Failed(turn, Error::usage(what, hint)),
            });
        }
        heard
    }

    /// The worker does not end by itself.
    pub(super) fn ended(&mut self) -> Option<Error> {
        None
    }

    /// What is done before the first token.
    pub(super) fn progress(&self) -> Option<Progress> {
        self.progress.clone()
    }
}

impl Drop for Speaker {
    fn drop(&mut self) {
        self.stop();
    }
}
