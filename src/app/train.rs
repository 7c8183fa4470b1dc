//! Train: run it, and watch it learn.

use super::layout::{empty, page};
use super::shared::{Shared, View};
use eframe::egui::Ui;

/// The page's own state.
#[derive(Default)]
pub struct TrainPage {}

impl TrainPage {
    /// Draws the page.
    pub fn ui(&mut self, ui: &mut Ui, shared: &mut Shared) {
        page(ui, "Train", "Run it, and watch it learn", |ui| {
            if empty(
                ui,
                "Start a run to see its loss here",
                "A run needs a model, rows and a method. The demo has all three.",
                "Choose a model",
            ) {
                shared.go(View::Model);
            }
        });
    }
}
