//! Compare: several runs beside each other.

use super::layout::{empty, page};
use super::shared::{Shared, View};
use eframe::egui::Ui;

/// The page's own state.
#[derive(Default)]
pub struct ComparePage {}

impl ComparePage {
    /// Draws the page.
    pub fn ui(&mut self, ui: &mut Ui, shared: &mut Shared) {
        page(ui, "Compare", "Several runs beside each other", |ui| {
            if empty(ui, "No runs yet", "Runs that you start appear here with their losses, sizes and times.", "Go to Train") {
                shared.go(View::Train);
            }
        });
    }
}
