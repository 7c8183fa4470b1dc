//! Model: what is fine-tuned.

use super::layout::{empty, page};
use super::shared::{Shared, View};
use eframe::egui::Ui;

/// The page's own state.
#[derive(Default)]
pub struct ModelPage {}

impl ModelPage {
    /// Draws the page.
    pub fn ui(&mut self, ui: &mut Ui, shared: &mut Shared) {
        page(ui, "Model", "What is fine-tuned", |ui| {
            if empty(ui, "No model is open", "A folder with config.json, tokenizer.json and safetensors.", "Open the bundled demo") {
                shared.go(View::Data);
            }
        });
    }
}
