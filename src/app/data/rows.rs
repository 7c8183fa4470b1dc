//! Rows, token by token.

use super::too_long;
use crate::app::layout::{card, grouped};
use crate::app::opened::OpenModel;
use crate::app::shared::{Shared, Spot};
use crate::app::theme::{space, tokens};
use crate::app::{tokens_view, trouble};
use crate::data;
use crate::data::preview::{Fate, Piece, Preview, ShownRow};
use crate::error::Result;
use eframe::egui::{self, DragValue, Key, RichText, Ui};
use std::sync::Arc;

/// Tokens that are drawn, unless more of a row are asked for.
const SHOWN: usize = 600;
/// Tokens that are drawn of one row at most: more would make the window slow, and nobody reads them.
const MOST: usize = 8192;

/// A row ready to be drawn.
struct Drawn {
    told: String,
    pieces: Vec<Piece>,
    /// Tokens of the row in all.
    tokens: usize,
}

/// What the drawn rows were made of.
#[derive(Clone, PartialEq)]
struct Of {
    preview: usize,
    at: usize,
    seq_len: usize,
    choice: data::TooLong,
    all: bool,
}

/// The card's own state.
#[derive(Default)]
pub struct RowsCard {
    /// The row that is looked at, from 0.
    at: usize,
    /// Draw as many tokens of the row as can be.
    all: bool,
    /// Whether any row is.
    too_long: bool,
    drawn: Option<(Of, Vec<Drawn>)>,
}

impl RowsCard {
    /// Draws the card. `too_long`: rows that do not fit.
    pub fn ui(&mut self, ui: &mut Ui, shared: &mut Shared, preview: &Arc<Preview>, too_long: usize) {
        self.too_long = too_long > 0;
        let rows = preview.len(shared.run.seq_len);
        self.at = self.at.min(rows.saturating_sub(1));
        let (response, ()) = card(ui, if preview.is_text() { "Windows of the text" } else { "Rows" }, |ui| {
            self.steps(ui, shared, preview, rows);
            ui.add_space(space::TIGHT);
            tokens_view::legend(ui);
            ui.add_space(space::SMALL);
            let Some(model) = shared.model.value.clone() else { return };
            if let Err(error) = self.prepare(shared, preview, &model) {
                trouble::show(ui, &error);
            }
            self.draw(ui);
        });
        shared.light_up(ui, Spot::Tokens, response.rect);
    }

    /// Turns ids into text, once for each row that is looked at.
    fn prepare(&mut self, shared: &Shared, preview: &Arc<Preview>, model: &OpenModel) -> Result<()> {
        let (seq_len, choice) = (shared.run.seq_len, too_long(shared.run.too_long));
        let key = Of { preview: Arc::as_ptr(preview) as usize, at: self.at, seq_len, choice, all: self.all };
        if self.drawn.as_ref().is_some_and(|(of, _)| *of == key) {
            return Ok(());
        }
        self.drawn = None;
        let (tokenizer, _) = model.tokenizer()?;
        let (mut room, mut drawn) = (SHOWN, Vec::new());
        for at in self.at..preview.len(seq_len) {
            let Some(row) = preview.row(at, seq_len) else { break };
            let first = at == self.at;
            // The row that is looked at, and those after it while there is room.
            if !first && row.ids.len() > room {
                break;
            }
            let pieces = row.pieces(tokenizer, choice, if first && self.all { MOST } else { room })?;
            room -= pieces.len().min(room);
            drawn.push(Drawn { told: told(at, &row, choice), tokens: row.ids.len(), pieces });
        }
        self.drawn = Some((key, drawn));
        Ok(())
    }

    fn draw(&mut self, ui: &mut Ui) {
        let t = tokens(ui);
        let Some((_, rows)) = &self.drawn else { return };
        for (i, row) in rows.iter().enumerate() {
            ui.label(RichText::new(&row.told).small().color(if i == 0 { t.text } else { t.text_weak }));
            tokens_view::show(ui, &row.pieces);
            let left = row.tokens - row.pieces.len();
            if left > 0 && row.pieces.len() < MOST {
                ui.add_space(space::TIGHT);
                let shown = row.tokens.min(MOST);
                if ui.button(format!("Show {} tokens", grouped(shown as u64))).clicked() {
                    self.all = true;
                }
            } else if left > 0 {
                ui.label(RichText::new(format!("and {} more", grouped(left as u64))).color(t.text_weak));
            }
            ui.add_space(space::MEDIUM);
        }
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
                if self.too_long && ui.button("Next too long").on_hover_text("Goes to the next row that does not fit").clicked() {
                    let fits = |at: &usize| preview.row(*at, shared.run.seq_len).is_none_or(|row| row.keep == row.ids.len());
                    let others = (1..=rows).map(|step| (self.at + step) % rows.max(1));
                    self.at = others.into_iter().find(|at| !fits(at)).unwrap_or(self.at);
                }
            }
        });
        if self.at != before {
            self.all = false;
        }
    }
}

/// A row's line above its tokens.
fn told(at: usize, row: &ShownRow<'_>, choice: data::TooLong) -> String {
    let count = |fate: Fate| (0..row.ids.len()).filter(|at| row.fate(*at, choice) == fate).count();
    let cut = match count(Fate::Cut) {
        0 => String::new(),
        cut => format!(", {cut} cut off"),
    };
    format!("{}   {} tokens: {} read only, {} learned{cut}", grouped(at as u64 + 1), row.ids.len(), count(Fate::Read), count(Fate::Learned))
}
