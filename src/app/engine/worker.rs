//! A run in the page's worker: what the desktop says through a channel goes there as messages.

use super::Heard;
use crate::train::driver::{News, Order, State};
use crate::train::{RunConfig, RunRecord};
use crate::web::outside::{self, Topic};
use crate::web::protocol::{Command, Message};
use eframe::egui;

/// The page's end of the newest run.
pub(super) struct Link {
    record: Option<Box<RunRecord>>,
}

impl Link {
    /// No run yet.
    pub(super) fn new(_: &eframe::CreationContext<'_>) -> Self {
        Self { record: None }
    }

    /// Gives an order to the run.
    pub(super) fn order(&self, order: Order) {
        outside::send(&order.into());
    }

    /// What the run has said since.
    pub(super) fn heard(&mut self) -> Vec<Heard> {
        let mut heard: Vec<Heard> = self.record.take().map(Heard::Record).into_iter().collect();
        for message in outside::take(Topic::Run) {
            // A worker that broke down says nothing more; another one takes its place.
            let fatal = matches!(message, Message::Failed { fatal: true, .. });
            heard.extend(message.news().map(Heard::News));
            if fatal {
                heard.push(Heard::News(News::State(State::Ended)));
            }
        }
        heard
    }

    /// Begins a run. What an earlier one left to be looked at is forgotten.
    pub(super) fn begin(&mut self, _: &egui::Context, run: RunConfig) {
        outside::take(Topic::Run);
        // The page has what the run's folder holds, apart from the checkpoints.
        self.record = if run.resume { RunRecord::open(&run.out).ok().map(Box::new) } else { None };
        let resume = run.resume;
        outside::send(&Command::Start { run: serde_json::to_value(run).unwrap_or_default(), resume });
    }
}
