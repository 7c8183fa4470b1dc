//! Learn: how diagonal blocks work.

use super::layout::{empty, page};
use super::shared::{Shared, View};
use eframe::egui::Ui;

/// The page's own state.
#[derive(Default)]
pub struct LearnPage {}

impl LearnPage {
    /// Draws the page.
    pub fn ui(&mut self, ui: &mut Ui, shared: &mut Shared) {
        page(ui, "Learn", "How diagonal blocks work", |ui| {
            if empty(ui, "A walk through the method", "It uses the bundled demo.", "Begin") {
                shared.go(View::Model);
            }
        });
    }
}
