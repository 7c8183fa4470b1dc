//! Method: what trains.

use super::layout::{empty, page};
use super::shared::{Shared, View};
use eframe::egui::Ui;

/// The page's own state.
#[derive(Default)]
pub struct MethodPage {}

impl MethodPage {
    /// Draws the page.
    pub fn ui(&mut self, ui: &mut Ui, shared: &mut Shared) {
        page(ui, "Method", "What trains", |ui| {
            if empty(ui, "No model is open", "The choices depend on it.", "Choose a model") {
                shared.go(View::Model);
            }
        });
    }
}
