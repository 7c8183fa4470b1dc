//! Export: take the result elsewhere.

use super::layout::{empty, page};
use super::shared::{Shared, View};
use eframe::egui::Ui;

/// The page's own state.
#[derive(Default)]
pub struct ExportPage {}

impl ExportPage {
    /// Draws the page.
    pub fn ui(&mut self, ui: &mut Ui, shared: &mut Shared) {
        page(ui, "Export", "Take the result elsewhere", |ui| {
            if empty(
                ui,
                "Nothing to export yet",
                "A finished run can be saved as an adapter, or merged into a model of its own.",
                "Go to Train",
            ) {
                shared.go(View::Train);
            }
        });
    }
}
