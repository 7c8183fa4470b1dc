//! One question and its answers, side by side.

use super::layout::card;
use super::theme::{Tokens, size, space, tokens};
use super::trouble;
use crate::error::Error;
use crate::generate::Sampling;
use crate::generate::together::{End, Part};
use eframe::egui::{self, Align, Color32, Frame, Label, Layout, Margin, Rect, RichText, Shape, Ui, UiBuilder, Vec2};

/// Narrower columns are put below each other.
const NARROWEST: f32 = 220.0;

/// What a voice said.
pub(super) struct Answer {
    pub name: String,
    /// Its place among the colours; the base has none.
    pub colour: Option<usize>,
    pub text: String,
    end: Option<End>,
    error: Option<Error>,
}

/// A question with its answers.
pub(super) struct Turn {
    pub id: u64,
    pub prompt: String,
    pub sampling: Sampling,
    pub answers: Vec<Answer>,
    /// Why there are none.
    pub error: Option<Error>,
    /// Whether more is to come.
    pub open: bool,
    /// Whether the person ended it.
    pub stopped: bool,
}

impl Answer {
    /// Nothing yet.
    pub(super) fn new(name: String, colour: Option<usize>) -> Self {
        Self { name, colour, text: String::new(), end: None, error: None }
    }

    /// Whether it is whole.
    pub(super) fn is_over(&self) -> bool {
        self.end.is_some() || self.error.is_some()
    }

    /// Takes a part.
    pub(super) fn take(&mut self, part: Part) {
        match part {
            Part::Text(text) => self.text += &text,
            Part::Ended(end) => self.end = Some(end),
            Part::Failed(error) => self.error = Some(error),
        }
    }
}

/// A voice's colour.
pub(super) fn colour(t: &Tokens, index: Option<usize>) -> Color32 {
    index.map_or(t.text_weak, |i| t.series[i % t.series.len()])
}

/// Draws a turn. True where its question is to be asked again.
pub(super) fn show(ui: &mut Ui, turn: &Turn) -> bool {
    let t = tokens(ui);
    let (_, again) = card(ui, "", |ui| {
        let mut again = false;
        ui.with_layout(Layout::right_to_left(Align::Min), |ui| {
            again = ui.link(RichText::new("Use again").small()).on_hover_text("Puts this prompt back into the box").clicked();
            ui.label(RichText::new(how(&turn.sampling)).small().color(t.text_weak));
            ui.with_layout(Layout::top_down(Align::Min), |ui| {
                ui.add(Label::new(RichText::new(turn.prompt.trim()).color(t.text_strong)).wrap().selectable(true));
            });
        });
        ui.add_space(space::TIGHT);
        if let Some(error) = &turn.error {
            trouble::show(ui, error);
        }
        answers(ui, turn);
        again
    });
    again
}

/// The answers, as many beside each other as there is room for.
fn answers(ui: &mut Ui, turn: &Turn) {
    let gap = space::SMALL;
    let whole = ui.available_width();
    let fit = (((whole + gap) / (NARROWEST + gap)) as usize).max(1);
    let columns = turn.answers.len().min(fit).max(1);
    let width = (whole - gap * (columns - 1) as f32) / columns as f32;
    let t = tokens(ui);
    for (n, line) in turn.answers.chunks(columns).enumerate() {
        if n > 0 {
            ui.add_space(gap - ui.spacing().item_spacing.y);
        }
        let top_left = ui.cursor().min;
        let mut bottom = top_left.y;
        let mut grounds = Vec::new();
        for (i, answer) in line.iter().enumerate() {
            let at = top_left + Vec2::new(i as f32 * (width + gap), 0.0);
            let rect = Rect::from_min_size(at, Vec2::new(width, f32::INFINITY));
            grounds.push((ui.painter().add(Shape::Noop), at, answer));
            let builder = UiBuilder::new().max_rect(rect).layout(Layout::top_down(Align::Min)).id_salt((turn.id, n, i));
            let mut column = ui.new_child(builder);
            said(&mut column, turn, answer);
            bottom = bottom.max(column.min_rect().bottom());
        }
        // All grounds of a line are as high as its longest answer; at their left is the voice's colour.
        for (ground, at, answer) in grounds {
            let rect = Rect::from_min_max(at, egui::pos2(at.x + width, bottom));
            ui.painter().set(ground, Shape::rect_filled(rect, space::RADIUS, t.background));
            ui.painter().rect_filled(rect.with_max_x(at.x + 3.0), 1.5, colour(t, answer.colour));
        }
        ui.advance_cursor_after_rect(Rect::from_min_max(top_left, egui::pos2(top_left.x + whole, bottom)));
    }
}

fn said(ui: &mut Ui, turn: &Turn, answer: &Answer) {
    let t = tokens(ui);
    let margin = Margin { left: space::MEDIUM as i8, right: space::SMALL as i8, top: 6, bottom: 6 };
    Frame::new().inner_margin(margin).show(ui, |ui| {
        ui.set_width(ui.available_width());
        ui.add(Label::new(RichText::new(&answer.name).color(colour(t, answer.colour))).truncate());
        if let Some(error) = &answer.error {
            trouble::show(ui, error);
            return;
        }
        let text = answer.text.trim_start();
        if text.is_empty() {
            let what = if !turn.open || answer.is_over() { "(nothing)" } else { "…" };
            ui.label(RichText::new(what).color(t.text_weak));
        } else {
            ui.add(Label::new(RichText::new(text).color(t.text).size(size::BODY + 1.0)).wrap().selectable(true));
        }
        let text = match &answer.end {
            Some(end) => ended(end, turn.stopped),
            None if turn.open => "speaking".into(),
            None if turn.stopped => "stopped".into(),
            None => String::new(),
        };
        ui.label(RichText::new(text).small().color(t.text_weak));
    });
}

/// How an answer ended, and how fast it was.
fn ended(end: &End, stopped: bool) -> String {
    let tokens = if end.tokens == 1 { "1 token".to_owned() } else { format!("{} tokens", end.tokens) };
    let speed = if end.seconds > 0.0 { format!(" · {} tokens/s", rate(end.tokens as f64 / end.seconds)) } else { String::new() };
    let how = match (end.by_itself, stopped) {
        (true, _) => " · ended by itself",
        (false, true) => " · stopped",
        (false, false) => " · limit reached",
    };
    format!("{tokens}{speed}{how}")
}

fn rate(x: f64) -> String {
    if x < 10.0 { format!("{x:.1}") } else { format!("{x:.0}") }
}

/// How tokens were drawn, for people.
fn how(s: &Sampling) -> String {
    if s.temperature <= 0.0 {
        return "greedy".into();
    }
    let k = if s.top_k > 0 { format!(", top-k {}", s.top_k) } else { String::new() };
    let p = if s.top_p < 1.0 { format!(", top-p {}", s.top_p) } else { String::new() };
    format!("temperature {}{k}{p}, seed {}", s.temperature, s.seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_and_ways_in_words() {
        let end = End { tokens: 24, prompt_tokens: 3, seconds: 0.2, by_itself: true };
        assert_eq!(ended(&end, false), "24 tokens · 120 tokens/s · ended by itself");
        assert_eq!(ended(&End { tokens: 1, by_itself: false, seconds: 0.5, ..end }, true), "1 token · 2.0 tokens/s · stopped");
        assert_eq!(how(&Sampling::GREEDY), "greedy");
        assert_eq!(how(&Sampling { temperature: 0.8, top_k: 40, top_p: 0.9, seed: 7 }), "temperature 0.8, top-k 40, top-p 0.9, seed 7");
    }
}
