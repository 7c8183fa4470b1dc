//! Talk: the base model and the tuned one, side by side.

use super::layout::{empty, page};
use super::shared::{Shared, View};
use eframe::egui::Ui;

/// The page's own state.
#[derive(Default)]
pub struct TalkPage {}

impl TalkPage {
    /// Draws the page.
    pub fn ui(&mut self, ui: &mut Ui, shared: &mut Shared) {
        page(ui, "Talk", "The base model and the tuned one, side by side", |ui| {
            if empty(ui, "Train something to talk to it here", "What the model says before and after, for the same words.", "Go to Train") {
                shared.go(View::Train);
            }
        });
    }
}
