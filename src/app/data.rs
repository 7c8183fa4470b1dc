//! Data: choose rows, and see token by token what the model will learn from them. A wrong mask is the most common silent fault
//! of a fine-tuning run, so it is shown before anything runs.

use super::layout::{card, facts, field, gap, grouped, page, split, working};
use super::model::path_entry;
use super::platform::{self, Ask};
use super::shared::{Shared, Spot, View};
use super::theme::{space, tokens};
use super::{tokens_view, trouble};
use crate::data::preview::{Counts, Fate, Preview, ShownRow};
use crate::data::{self, Tokenizer};
use crate::error::Result;
use crate::train::config::TooLong;
use eframe::egui::{self, DragValue, Key, RichText, Ui};
use egui_plot::{Bar, BarChart, Plot, VLine};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Tokens that are drawn of one row, unless all are asked for.
const SHOWN: usize = 1500;
/// Bars of the histogram, at most.
const BARS: usize = 40;

/// The page's own state.
#[derive(Default)]
pub struct DataPage {
    path: String,
    shown: PathBuf,
    dialog: Option<super::jobs::Job<Option<PathBuf>>>,
    /// The keys that the rows were last read with.
    columns: Option<(String, String)>,
    /// The row that is looked at, from 0.
    at: usize,
    /// Draw every token of the row, however many.
    all: bool,
    /// What was counted, and of what.
    counted: Option<(Arc<Preview>, usize, TooLong, Counts)>,
}

/// The data floor's word for the same choice.
fn too_long(choice: TooLong) -> data::TooLong {
    match choice {
        TooLong::Cut => data::TooLong::Cut,
        TooLong::Drop => data::TooLong::Drop,
        TooLong::Error => data::TooLong::Error,
    }
}

impl DataPage {
    /// Draws the page.
    pub fn ui(&mut self, ui: &mut Ui, shared: &mut Shared) {
        if self.shown != shared.run.data {
            self.shown.clone_from(&shared.run.data);
            self.path = self.shown.display().to_string();
            (self.at, self.all) = (0, false);
        }
        if let Some(answer) = self.dialog.as_mut().and_then(super::jobs::Job::poll) {
            self.dialog = None;
            if let Ok(Some(file)) = answer {
                shared.open_data(ui.ctx(), file);
            }
        }
        page(ui, "Data", "What it learns from", |ui| {
            split(
                ui,
                360.0,
                &mut (self, shared),
                |ui, (page, shared)| {
                    page.picker(ui, shared);
                    if let Some(preview) = shared.rows.value.clone() {
                        gap(ui);
                        page.lengths(ui, shared, &preview);
                    }
                    recent(ui, shared);
                },
                |ui, (page, shared)| match shared.rows.value.clone() {
                    Some(preview) => page.row(ui, shared, &preview),
                    None => explain(ui, shared),
                },
            );
        });
    }

    fn picker(&mut self, ui: &mut Ui, shared: &mut Shared) {
        card(ui, "Open", |ui| {
            let locked = shared.status.state.is_active();
            ui.add_enabled_ui(!locked, |ui| {
                let field = egui::TextEdit::singleline(&mut self.path).hint_text("a file of rows").desired_width(f32::INFINITY);
                let typed = ui.add(field).on_hover_text("JSON lines (.jsonl) or plain text (.txt)");
                let entered = typed.lost_focus() && ui.input(|i| i.key_pressed(Key::Enter));
                ui.add_space(space::TIGHT);
                ui.horizontal(|ui| {
                    if ui.button("Browse…").clicked() {
                        self.dialog = Some(platform::pick(ui.ctx(), Ask::File, "Open rows of text", Some(&shared.run.data)));
                    }
                    let path = self.path.trim();
                    let other = !path.is_empty() && (Path::new(path) != shared.run.data || shared.rows.error.is_some());
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

    fn counts(&mut self, shared: &Shared, preview: &Arc<Preview>) -> Counts {
        let (seq_len, choice) = (shared.run.seq_len, shared.run.too_long);
        if let Some((of, len, how, counts)) = &self.counted
            && Arc::ptr_eq(of, preview)
            && (*len, *how) == (seq_len, choice)
        {
            return *counts;
        }
        let counts = preview.counts(seq_len, too_long(choice));
        self.counted = Some((preview.clone(), seq_len, choice, counts));
        counts
    }

    fn lengths(&mut self, ui: &mut Ui, shared: &mut Shared, preview: &Arc<Preview>) {
        let counts = self.counts(shared, preview);
        card(ui, "Lengths", |ui| {
            ui.add_enabled_ui(!shared.status.state.is_active(), |ui| sequence(ui, shared));
            ui.add_space(space::SMALL);
            histogram(ui, preview, shared.run.seq_len);
            ui.add_space(space::TIGHT);
            let share = 100.0 * counts.targets as f64 / counts.tokens.max(1) as f64;
            let what = if preview.is_text() { "Windows" } else { "Rows" };
            let mut rows = vec![
                (what, grouped(counts.rows as u64)),
                ("Tokens", format!("{} a pass; the longest row has {}", grouped(counts.tokens as u64), grouped(counts.longest as u64))),
                ("Learned", format!("{} tokens, {share:.0}%", grouped(counts.targets as u64))),
            ];
            if !preview.is_text() {
                rows.push(("Too long", grouped(counts.too_long as u64)));
            }
            facts(ui, "lengths", &rows);
            if counts.too_long > 0 {
                ui.add_space(space::SMALL);
                let what = match shared.run.too_long {
                    TooLong::Cut => format!(
                        "{} rows lose what lies beyond {} tokens, their end token too",
                        grouped(counts.too_long as u64),
                        shared.run.seq_len
                    ),
                    TooLong::Drop => format!("{} rows are left out", grouped(counts.too_long as u64)),
                    TooLong::Error => format!("{} rows are too long, and the run will not start", grouped(counts.too_long as u64)),
                };
                let hint = format!("a sequence of {} holds every row", counts.longest);
                trouble::warn(ui, &what, Some(&hint));
            }
            if counts.without_targets > 0 {
                ui.add_space(space::SMALL);
                let what = format!(
                    "{} rows have nothing left to learn: their prompt alone fills the sequence",
                    grouped(counts.without_targets as u64)
                );
                trouble::warn(ui, &what, Some("make the sequence longer"));
            }
        });
    }

    /// One row, token by token.
    fn row(&mut self, ui: &mut Ui, shared: &mut Shared, preview: &Arc<Preview>) {
        let seq_len = shared.run.seq_len;
        let rows = preview.len(seq_len);
        self.at = self.at.min(rows.saturating_sub(1));
        let (response, ()) = card(ui, if preview.is_text() { "Windows of the text" } else { "Rows" }, |ui| {
            self.steps(ui, shared, preview, rows);
            ui.add_space(space::TIGHT);
            tokens_view::legend(ui);
            ui.add_space(space::SMALL);
            let (Some(row), Some(model)) = (preview.row(self.at, seq_len), shared.model.value.clone()) else { return };
            match model.tokenizer().and_then(|(tokenizer, _)| self.pieces(ui, shared, &row, tokenizer)) {
                Ok(()) => {}
                Err(error) => {
                    trouble::show(ui, &error);
                }
            }
        });
        shared.light_up(ui, Spot::Tokens, response.rect);
    }

    fn pieces(&mut self, ui: &mut Ui, shared: &Shared, row: &ShownRow<'_>, tokenizer: &Tokenizer) -> Result<()> {
        let most = if self.all { usize::MAX } else { SHOWN };
        let pieces = row.pieces(tokenizer, too_long(shared.run.too_long), most)?;
        tokens_view::show(ui, &pieces);
        if pieces.len() < row.ids.len() {
            ui.add_space(space::SMALL);
            if ui.button(format!("Show all {} tokens", grouped(row.ids.len() as u64))).clicked() {
                self.all = true;
            }
        }
        ui.add_space(space::MEDIUM);
        let count = |fate: Fate| (0..row.ids.len()).filter(|at| row.fate(*at, too_long(shared.run.too_long)) == fate).count();
        let t = tokens(ui);
        let cut = count(Fate::Cut);
        let mut said = format!("{} tokens: {} read only, {} learned", row.ids.len(), count(Fate::Read), count(Fate::Learned));
        if cut > 0 {
            said.push_str(&format!(", {cut} cut off"));
        }
        ui.label(RichText::new(said).color(t.text_weak));
        Ok(())
    }

    /// The controls that go from row to row.
    fn steps(&mut self, ui: &mut Ui, shared: &Shared, preview: &Preview, rows: usize) {
        let last = rows.saturating_sub(1);
        let before = self.at;
        // Arrows belong to whatever has the keyboard: a field, a slider. To the rows where nothing has it.
        if ui.memory(|m| m.focused().is_none()) {
            let pressed = |key: Key| ui.input(|i| i.key_pressed(key));
            if pressed(Key::ArrowRight) || pressed(Key::ArrowDown) {
                self.at = (self.at + 1).min(last);
            }
            if pressed(Key::ArrowLeft) || pressed(Key::ArrowUp) {
                self.at = self.at.saturating_sub(1);
            }
            if pressed(Key::Home) {
                self.at = 0;
            }
            if pressed(Key::End) {
                self.at = last;
            }
        }
        let t = tokens(ui);
        ui.horizontal_wrapped(|ui| {
            if ui.add_enabled(self.at > 0, egui::Button::new("‹")).on_hover_text("The row before (left arrow)").clicked() {
                self.at -= 1;
            }
            let mut number = self.at + 1;
            if ui.add(DragValue::new(&mut number).range(1..=rows.max(1)).speed(0.2)).on_hover_text("Type a number, or drag").changed() {
                self.at = number.saturating_sub(1).min(last);
            }
            ui.label(RichText::new(format!("of {}", grouped(rows as u64))).color(t.text_weak));
            if ui.add_enabled(self.at < last, egui::Button::new("›")).on_hover_text("The next row (right arrow)").clicked() {
                self.at += 1;
            }
            if let Some(line) = preview.row(self.at, shared.run.seq_len).and_then(|row| row.line) {
                ui.label(RichText::new(format!("line {}", grouped(line as u64))).color(t.text_weak));
            }
            if !preview.is_text() {
                ui.add_space(space::SMALL);
                if ui.button("Longest").on_hover_text("Goes to the longest row").clicked() {
                    let lengths = preview.lengths(shared.run.seq_len);
                    self.at =
                        lengths.iter().enumerate().max_by_key(|(at, length)| (**length, std::cmp::Reverse(*at))).map_or(0, |(at, _)| at);
                }
                if self.counted.as_ref().is_some_and(|(.., counts)| counts.too_long > 0) && ui.button("Next too long").clicked() {
                    let lengths = preview.lengths(shared.run.seq_len);
                    let places = (1..=rows).map(|step| (self.at + step) % rows.max(1));
                    self.at = places.into_iter().find(|at| lengths[*at] > shared.run.seq_len).unwrap_or(self.at);
                }
            }
        });
        if self.at != before {
            self.all = false;
        }
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

fn histogram(ui: &mut Ui, preview: &Preview, seq_len: usize) {
    let t = tokens(ui);
    let (width, counts) = preview.histogram(seq_len, BARS);
    let bar = |(at, rows): (usize, &usize)| {
        let from = at * width;
        let fits = from <= seq_len;
        let said = format!("{rows} rows of {from} to {} tokens", from + width - 1);
        Bar::new(from as f64 + 0.5 * width as f64, *rows as f64)
            .width(0.9 * width as f64)
            .fill(if fits { t.accent } else { t.warn })
            .stroke(egui::Stroke::NONE)
            .name(said)
    };
    let bars: Vec<Bar> = counts.iter().enumerate().map(bar).collect();
    let longest = (counts.len() * width) as f64;
    let chart = BarChart::new("rows", bars).element_formatter(Box::new(|bar, _| bar.name.clone()));
    Plot::new("length histogram")
        .height(130.0)
        .show_x(false)
        .show_y(false)
        .allow_zoom(false)
        .allow_drag(false)
        .allow_scroll(false)
        .allow_boxed_zoom(false)
        .allow_axis_zoom_drag(false)
        .show_grid([false, true])
        .include_x(0.0)
        .include_y(0.0)
        .x_axis_label("tokens of a row")
        .y_axis_formatter(|mark, _| if mark.value.fract() == 0.0 { grouped(mark.value as u64) } else { String::new() })
        .show(ui, |plot| {
            plot.bar_chart(chart);
            if (seq_len as f64) < longest {
                plot.vline(VLine::new("sequence length", seq_len as f64).color(t.warn).width(1.5));
            }
        });
}

/// Files of earlier days.
fn recent(ui: &mut Ui, shared: &mut Shared) {
    let files: Vec<PathBuf> = shared.settings.data.iter().filter(|f| **f != shared.run.data).cloned().collect();
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
