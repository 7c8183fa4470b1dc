//! Data: what it learns from.

use super::layout::{empty, page};
use super::shared::{Shared, View};
use eframe::egui::Ui;

/// The page's own state.
#[derive(Default)]
pub struct DataPage {}

impl DataPage {
    /// Draws the page.
    pub fn ui(&mut self, ui: &mut Ui, shared: &mut Shared) {
        page(ui, "Data", "What it learns from", |ui| {
            if empty(ui, "No rows are open", "Rows are JSON lines with a prompt and a completion.", "Choose a model") {
                shared.go(View::Model);
            }
        });
    }
}
