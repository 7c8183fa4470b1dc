//! Blocks: where in each weight the change lies.

use super::layout::{empty, page};
use super::shared::{Shared, View};
use eframe::egui::Ui;

/// The page's own state.
#[derive(Default)]
pub struct BlocksPage {}

impl BlocksPage {
    /// Draws the page.
    pub fn ui(&mut self, ui: &mut Ui, shared: &mut Shared) {
        page(ui, "Blocks", "Where in each weight the change lies", |ui| {
            if empty(
                ui,
                "Start a run to see its blocks here",
                "Each weight is drawn as a square with its diagonal blocks, coloured by how much they have changed.",
                "Go to Train",
            ) {
                shared.go(View::Train);
            }
        });
    }
}
