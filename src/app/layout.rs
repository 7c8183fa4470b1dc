//! The pieces that every page is made of: its heading, cards, rows of a form, tables of facts, an empty page, a progress line.

use super::jobs::Progress;
use super::shared::{Shared, View};
use super::theme::{self, space, tokens};
use eframe::egui::{self, Align, CornerRadius, Frame, Layout, Margin, Rect, Response, RichText, ScrollArea, Stroke, Ui, UiBuilder, Vec2};

/// A page: a heading with a line that says what it is for, and a body that scrolls.
pub fn page(ui: &mut Ui, title: &str, what: &str, body: impl FnOnce(&mut Ui)) {
    page_with(ui, title, what, &mut (), |_, ()| (), |ui, ()| body(ui));
}

/// A page with controls at the right of its heading. `actions` are drawn from the right.
pub fn page_with<S>(
    ui: &mut Ui,
    title: &str,
    what: &str,
    state: &mut S,
    actions: impl FnOnce(&mut Ui, &mut S),
    body: impl FnOnce(&mut Ui, &mut S),
) {
    let t = tokens(ui);
    let frame = Frame::new().fill(t.background).inner_margin(Margin::same(space::LARGE as i8));
    egui::CentralPanel::no_frame().frame(frame).show(ui, |ui| {
        ui.horizontal(|ui| {
            ui.set_min_height(26.0);
            ui.label(RichText::new(title).text_style(theme::page_style()).color(t.text_strong));
            ui.add_space(space::TIGHT);
            let (left, row) = (ui.cursor().left(), ui.max_rect().y_range());
            let controls = ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                // In line with the cards' edge.
                ui.add_space(space::TIGHT);
                actions(ui, state);
                ui.cursor().right()
            });
            // What is left between heading and controls; in a small window the line is cut there.
            let between = Rect::from_x_y_ranges(left..=controls.inner.max(left + 1.0), row);
            let mut line = ui.new_child(UiBuilder::new().max_rect(between).layout(Layout::left_to_right(Align::Center)));
            line.add(egui::Label::new(RichText::new(what).color(t.text_weak)).truncate());
        });
        ui.add_space(space::SMALL);
        ScrollArea::vertical().id_salt(title).auto_shrink(false).show(ui, |ui| {
            // The bar must not lie upon the cards.
            ui.set_width(ui.available_width() - space::TIGHT);
            body(ui, state);
            ui.add_space(space::LARGE);
        });
    });
}

/// A card: a ground with a name and a body.
pub fn card<R>(ui: &mut Ui, title: &str, body: impl FnOnce(&mut Ui) -> R) -> (Response, R) {
    let t = tokens(ui);
    let frame = Frame::new()
        .fill(t.surface)
        .stroke(Stroke::new(1.0, t.border))
        .corner_radius(CornerRadius::same(space::RADIUS))
        .inner_margin(Margin::same(space::MEDIUM as i8));
    let shown = frame.show(ui, |ui| {
        ui.set_width(ui.available_width());
        if !title.is_empty() {
            ui.label(RichText::new(title).text_style(theme::section_style()).color(t.text_strong));
            ui.add_space(space::TIGHT);
        }
        body(ui)
    });
    (shown.response, shown.inner)
}

/// The least width of a page's second column: it goes below the first where it would have less.
const NARROWEST: f32 = 380.0;

/// Two columns: one `left` points wide and the rest; below each other where there is no room for both.
pub fn split<S>(ui: &mut Ui, left: f32, state: &mut S, first: impl FnOnce(&mut Ui, &mut S), second: impl FnOnce(&mut Ui, &mut S)) {
    let full = ui.available_rect_before_wrap();
    if full.width() - left < NARROWEST {
        first(ui, state);
        gap(ui);
        second(ui, state);
        return;
    }
    let (a, b) = full.split_left_right_at_x(full.left() + left);
    let b = b.with_min_x(b.left() + space::MEDIUM);
    let mut child =
        |rect: Rect, salt: &str| ui.new_child(UiBuilder::new().max_rect(rect).layout(Layout::top_down(Align::Min)).id_salt(salt));
    let (mut a, mut b) = (child(a, "left"), child(b, "right"));
    first(&mut a, state);
    second(&mut b, state);
    ui.advance_cursor_after_rect(a.min_rect().union(b.min_rect()));
}

/// The distance between two cards.
pub fn gap(ui: &mut Ui) {
    ui.add_space(space::MEDIUM - ui.spacing().item_spacing.y);
}

/// A row of a form: the name at the left, the control at the right, an explanation under the pointer.
pub fn field<R>(ui: &mut Ui, name: &str, explain: &str, control: impl FnOnce(&mut Ui) -> R) -> R {
    let t = tokens(ui);
    ui.horizontal(|ui| {
        let size = Vec2::new(112.0_f32.min(0.4 * ui.available_width()), space::CONTROL);
        let label = ui
            .allocate_ui_with_layout(size, Layout::left_to_right(Align::Center), |ui| {
                ui.set_min_width(size.x);
                ui.add(egui::Label::new(RichText::new(name).color(t.text_weak)).truncate())
            })
            .inner;
        if !explain.is_empty() {
            label.on_hover_text(explain);
        }
        control(ui)
    })
    .inner
}

/// A table of facts: name and value. In two halves beside each other where there is room for both.
pub fn wide_facts(ui: &mut Ui, id: &str, rows: &[(&str, String)]) {
    if ui.available_width() < 560.0 {
        return facts(ui, id, rows);
    }
    let (first, second) = rows.split_at(rows.len().div_ceil(2));
    ui.columns_const(|[left, right]| {
        facts(left, &format!("{id} 1"), first);
        facts(right, &format!("{id} 2"), second);
    });
}

/// A table of facts: name and value.
pub fn facts(ui: &mut Ui, id: &str, rows: &[(&str, String)]) {
    let t = tokens(ui);
    egui::Grid::new(id).num_columns(2).min_row_height(20.0).spacing(Vec2::new(space::LARGE, space::TIGHT)).show(ui, |ui| {
        for (name, value) in rows {
            ui.label(RichText::new(*name).color(t.text_weak));
            ui.add(egui::Label::new(RichText::new(value).color(t.text)).wrap());
            ui.end_row();
        }
    });
}

/// The button that leads on to the next page.
pub fn next(ui: &mut Ui, enabled: bool, shared: &mut Shared, view: View) {
    if primary(ui, enabled, &format!("Next: {} ›", view.name())).clicked() {
        shared.go(view);
    }
}

/// The one button of a group that is meant to be pressed next.
pub fn primary(ui: &mut Ui, enabled: bool, text: &str) -> Response {
    let t = tokens(ui);
    ui.scope(|ui| {
        let widgets = &mut ui.visuals_mut().widgets;
        for (state, strength) in [(&mut widgets.inactive, 1.0), (&mut widgets.hovered, 0.88), (&mut widgets.active, 0.75)] {
            state.weak_bg_fill = t.accent.lerp_to_gamma(t.background, 1.0 - strength);
            state.bg_fill = state.weak_bg_fill;
            state.bg_stroke = Stroke::NONE;
            state.fg_stroke.color = t.on_accent;
        }
        ui.add_enabled(enabled, egui::Button::new(RichText::new(text)).min_size(Vec2::new(0.0, space::CONTROL)))
    })
    .inner
}

/// A page on which there is nothing yet: what will be here, and the button that leads on. True where it was pressed.
pub fn empty(ui: &mut Ui, what: &str, why: &str, button: &str) -> bool {
    let t = tokens(ui);
    let mut pressed = false;
    ui.vertical_centered(|ui| {
        ui.add_space((0.28 * ui.ctx().content_rect().height()).min(180.0));
        ui.label(RichText::new(what).text_style(theme::section_style()).color(t.text_strong));
        ui.add_space(space::TIGHT);
        ui.scope(|ui| {
            ui.set_max_width(420.0);
            ui.label(RichText::new(why).color(t.text_weak));
        });
        ui.add_space(space::MEDIUM);
        pressed = primary(ui, true, button).clicked();
    });
    pressed
}

/// What a job is doing, with a bar where its length is known.
pub fn working(ui: &mut Ui, progress: &Progress) {
    let t = tokens(ui);
    ui.horizontal(|ui| {
        match progress.share() {
            Some(share) => {
                ui.add(egui::ProgressBar::new(share).desired_width(180.0).desired_height(6.0).fill(t.accent));
            }
            None => {
                ui.add(egui::Spinner::new().size(14.0).color(t.accent));
            }
        }
        let count = if progress.total > 0 { format!(" {} of {}", grouped(progress.done), grouped(progress.total)) } else { String::new() };
        ui.label(RichText::new(format!("{}{count}", progress.what)).color(t.text_weak));
    });
}

/// A whole number with its digits in groups of three.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Seconds for people: `12 s`, `3 min 20 s`, `2 h 5 min`.
pub fn duration(seconds: f64) -> String {
    let s = seconds.max(0.0).round() as u64;
    match s {
        0..60 => format!("{s} s"),
        60..3600 => format!("{} min {} s", s / 60, s % 60),
        _ => format!("{} h {} min", s / 3600, s % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!((grouped(7), grouped(1234), grouped(1_234_567)), ("7".into(), "1,234".into(), "1,234,567".into()));
        assert_eq!((duration(0.4), duration(200.0), duration(7500.0)), ("0 s".into(), "3 min 20 s".into(), "2 h 5 min".into()));
    }
}
