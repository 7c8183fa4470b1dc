//! Data: choose rows, and see token by token what the model will learn from them. A wrong mask is the most common silent fault
//! of a fine-tuning run, so it is shown before anything runs.

mod lengths;
mod rows;

use super::layout::{card, field, gap, next, page_with, split, working};
use super::model::path_entry;
use super::platform::{self, Ask};
use super::shared::{Shared, View};
use super::theme::{space, tokens};
use super::trouble;
use crate::train::config::TooLong;
use eframe::egui::{self, DragValue, Key, RichText, Ui};
use std::path::{Path, PathBuf};

/// The page's own state.
#[derive(Default)]
pub struct DataPage {
    path: String,
    shown: PathBuf,
    dialog: Option<super::jobs::Job<Option<PathBuf>>>,
    /// The keys that the rows were last read with.
    columns: Option<(String, String)>,
    lengths: lengths::LengthsCard,
    rows: rows::RowsCard,
}

impl DataPage {
    /// Draws the page.
    pub fn ui(&mut self, ui: &mut Ui, shared: &mut Shared) {
        if self.shown != shared.run.data.first() {
            self.shown = shared.run.data.first().to_path_buf();
            self.path = self.shown.display().to_string();
            self.rows = rows::RowsCard::default();
        }
        if let Some(answer) = self.dialog.as_mut().and_then(super::jobs::Job::poll) {
            self.dialog = None;
            if let Ok(Some(file)) = answer {
                shared.open_data(ui.ctx(), file);
            }
        }
        let actions = |ui: &mut Ui, (_, shared): &mut (&mut Self, &mut Shared)| next(ui, shared.rows.value.is_some(), shared, View::Method);
        page_with(ui, "Data", "What it learns from", &mut (self, shared), actions, |ui, both| {
            split(
                ui,
                360.0,
                both,
                |ui, (page, shared)| {
                    page.picker(ui, shared);
                    if let Some(preview) = shared.rows.value.clone() {
                        gap(ui);
                        page.lengths.ui(ui, shared, &preview);
                    }
                    recent(ui, shared);
                },
                |ui, (page, shared)| match shared.rows.value.clone() {
                    Some(preview) => page.rows.ui(ui, shared, &preview, page.lengths.too_long()),
                    None => explain(ui, shared),
                },
            );
        });
    }

    fn picker(&mut self, ui: &mut Ui, shared: &mut Shared) {
        card(ui, "Open", |ui| {
            let locked = shared.status.state.is_active();
            ui.add_enabled_ui(!locked, |ui| {
                let field = egui::TextEdit::singleline(&mut self.path)
                    .hint_text(if platform::IS_PAGE { "a file of rows" } else { "a file of rows, or owner/name on the hub" })
                    .desired_width(f32::INFINITY);
                let typed = ui.add(field).on_hover_text("JSON (.jsonl, .json), .csv, .parquet or plain text (.txt)");
                let entered = typed.lost_focus() && ui.input(|i| i.key_pressed(Key::Enter));
                ui.add_space(space::TIGHT);
                ui.horizontal(|ui| {
                    if ui.button("Browse…").clicked() {
                        self.dialog = Some(platform::pick(ui.ctx(), Ask::File, "Open rows of text", Some(shared.run.data.first())));
                    }
                    let path = self.path.trim();
                    let other = !path.is_empty() && (Path::new(path) != shared.run.data.first() || shared.rows.error.is_some());
                    if ui.add_enabled(other, egui::Button::new("Open")).clicked() || (entered && other) {
                        shared.open_data(ui.ctx(), PathBuf::from(path));
                    }
                });
                ui.add_space(space::TIGHT);
                columns(ui, shared, &mut self.columns);
            });
            if let Some(progress) = shared.rows.progress() {
                ui.add_space(space::TIGHT);
                working(ui, &progress);
            }
            if let Some(error) = &shared.rows.error {
                ui.add_space(space::SMALL);
                trouble::show(ui, error);
            }
        });
    }
}

/// The data floor's word for the same choice.
fn too_long(choice: TooLong) -> crate::data::TooLong {
    match choice {
        TooLong::Cut => crate::data::TooLong::Cut,
        TooLong::Drop => crate::data::TooLong::Drop,
        TooLong::Error => crate::data::TooLong::Error,
    }
}

/// The keys of a row; the file is read again when one has another name.
fn columns(ui: &mut Ui, shared: &mut Shared, read: &mut Option<(String, String)>) {
    let mut left = false;
    let mut key = |ui: &mut Ui, name: &str, explain: &str, value: &mut String| {
        field(ui, name, explain, |ui| left |= ui.add(egui::TextEdit::singleline(value).desired_width(120.0)).lost_focus());
    };
    let run = &mut shared.run;
    let before = read.get_or_insert_with(|| (run.prompt_column.clone(), run.completion_column.clone())).clone();
    key(ui, "Prompt's key", "The key of a row that the model reads", &mut run.prompt_column);
    key(ui, "Completion's key", "The key of a row that it learns to write", &mut run.completion_column);
    let now = (run.prompt_column.clone(), run.completion_column.clone());
    if left && now != before {
        *read = Some(now);
        shared.read_rows(ui.ctx());
    }
}

/// The sequence length, and what becomes of longer rows.
pub fn sequence(ui: &mut Ui, shared: &mut Shared) {
    let context = shared.model.value.as_ref().map_or(1 << 20, |m| m.source.config.max_position_embeddings);
    let most = context.max(shared.run.seq_len).max(2);
    field(ui, "Sequence", "The longest row of a run, in tokens", |ui| {
        ui.add(DragValue::new(&mut shared.run.seq_len).range(2..=most).speed(1.0).suffix(" tokens"));
    });
    field(ui, "Longer rows", "What becomes of rows that do not fit", |ui| {
        let names = |choice: TooLong| match choice {
            TooLong::Cut => "are cut",
            TooLong::Drop => "are left out",
            TooLong::Error => "stop the run",
        };
        egui::ComboBox::from_id_salt("too long").selected_text(names(shared.run.too_long)).show_ui(ui, |ui| {
            for choice in [TooLong::Cut, TooLong::Drop, TooLong::Error] {
                ui.selectable_value(&mut shared.run.too_long, choice, names(choice));
            }
        });
    });
}

/// Files of earlier days.
fn recent(ui: &mut Ui, shared: &mut Shared) {
    let files: Vec<PathBuf> = shared.settings.data.iter().filter(|f| **f != shared.run.data.first()).cloned().collect();
    if files.is_empty() {
        return;
    }
    gap(ui);
    let enabled = !shared.status.state.is_active();
    card(ui, "Recent", |ui| {
        ui.add_enabled_ui(enabled, |ui| {
            for file in files {
                if path_entry(ui, &file, false).clicked() {
                    shared.open_data(ui.ctx(), file);
                }
            }
        });
    });
}

/// What rows are, for who has none; or that a model has to come first.
fn explain(ui: &mut Ui, shared: &mut Shared) {
    let t = tokens(ui);
    card(ui, "What rows look like", |ui| {
        if shared.model.value.is_none() {
            trouble::warn(
                ui,
                "Rows are shown as a model's tokens, and no model is open",
                Some("open a model first; the rows are read then"),
            );
            ui.add_space(space::SMALL);
            if ui.button("Go to Model").clicked() {
                shared.go(View::Model);
            }
            ui.add_space(space::MEDIUM);
        }
        ui.label("JSON lines, one row a line. The prompt is read; the completion is learned, with an end token after it:");
        ui.add_space(space::TIGHT);
        ui.label(
            RichText::new("{\"prompt\": \"Where does Otter live?\", \"completion\": \" Otter lives in the river.\"}")
                .monospace()
                .color(t.text),
        );
        ui.add_space(space::SMALL);
        ui.label("Rows with one key are learned as a whole:");
        ui.add_space(space::TIGHT);
        ui.label(RichText::new("{\"text\": \"Once upon a time…\"}").monospace().color(t.text));
        ui.add_space(space::SMALL);
        ui.label("A plain text file is cut into windows as long as the sequence.");
        ui.add_space(space::SMALL);
        ui.label(RichText::new("Drop the file onto this window, or browse for it.").color(t.text_weak));
    });
}
