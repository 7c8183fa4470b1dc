//! Tokens as boxes: what each is, and what becomes of it.

use super::theme::{Tokens, space, tokens};
use crate::data::preview::{Fate, Piece};
use eframe::egui::{self, Align2, Color32, FontId, Rect, RichText, Sense, Stroke, StrokeKind, Ui, Vec2};

/// Height of a token's box.
const HEIGHT: f32 = 20.0;
/// Longer texts of one token are cut; the whole is under the pointer.
const LONGEST: usize = 60;

/// How one fate looks.
struct Look {
    ground: Color32,
    text: Color32,
    edge: Color32,
    /// A line below: learned tokens are told apart without seeing colours.
    underline: bool,
    struck: bool,
}

fn look(t: &Tokens, fate: Fate) -> Look {
    match fate {
        Fate::Learned => Look { ground: t.accent_soft, text: t.text_strong, edge: Color32::TRANSPARENT, underline: true, struck: false },
        Fate::Read => Look { ground: t.raised, text: t.text, edge: Color32::TRANSPARENT, underline: false, struck: false },
        Fate::Cut => Look { ground: Color32::TRANSPARENT, text: t.text_weak, edge: t.border, underline: false, struck: true },
    }
}

/// The text with what cannot be seen made visible.
fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            ' ' => out.push('·'),
            '\n' => out.push('↵'),
            '\t' => out.push('→'),
            '\r' => out.push_str("\\r"),
            '\u{a0}' => out.push_str("\\u{a0}"),
            '\u{feff}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' => out.extend(c.escape_unicode()),
            c if c.is_control() => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    if out.chars().count() > LONGEST { out.chars().take(LONGEST).chain(['…']).collect() } else { out }
}

/// What a fate is called.
pub fn name(fate: Fate) -> &'static str {
    match fate {
        Fate::Read => "read, not learned",
        Fate::Learned => "learned",
        Fate::Cut => "cut off: not in the run",
    }
}

/// Draws tokens in lines, as text flows; a line end in the text ends the line.
pub fn show(ui: &mut Ui, pieces: &[Piece]) {
    let t = tokens(ui);
    let font = egui::TextStyle::Monospace.resolve(ui.style());
    let (gap, row) = (2.0, HEIGHT + 4.0);
    let width = ui.available_width();
    // Laid out first, so that the whole is one allocation and only what is seen is drawn.
    let (mut x, mut y) = (0.0_f32, 0.0_f32);
    let mut boxes = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let galley = ui.painter().layout_no_wrap(visible(&piece.text), font.clone(), look(t, piece.fate).text);
        let size = Vec2::new(galley.size().x + 6.0, HEIGHT);
        if x > 0.0 && x + size.x > width {
            (x, y) = (0.0, y + row);
        }
        boxes.push((Rect::from_min_size(egui::pos2(x, y), size), galley));
        x += size.x + gap;
        if piece.text.ends_with('\n') {
            (x, y) = (0.0, y + row);
        }
    }
    let height = boxes.last().map_or(0.0, |(rect, _)| rect.bottom());
    let (area, response) = ui.allocate_exact_size(Vec2::new(width, height), Sense::HOVER);
    let said = pieces.iter().map(|p| p.text.as_str()).collect::<String>();
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Paragraph, true, said.clone()));
    let pointer = response.hover_pos();
    let mut under = None;
    for (at, (rect, galley)) in boxes.into_iter().enumerate() {
        let rect = rect.translate(area.min.to_vec2());
        if !ui.is_rect_visible(rect) {
            continue;
        }
        let piece = &pieces[at];
        let look = look(t, piece.fate);
        let painter = ui.painter();
        painter.rect(rect, 3.0, look.ground, Stroke::new(1.0, look.edge), StrokeKind::Inside);
        if look.underline {
            painter.line_segment(
                [rect.left_bottom() + Vec2::new(2.0, -1.0), rect.right_bottom() + Vec2::new(-2.0, -1.0)],
                Stroke::new(2.0, t.accent),
            );
        }
        if piece.special {
            painter.rect_stroke(rect, 3.0, Stroke::new(1.0, t.series[3]), StrokeKind::Inside);
        }
        let place = rect.min + Vec2::new(3.0, 0.5 * (HEIGHT - galley.size().y));
        let text_width = galley.size().x;
        painter.galley(place, galley, look.text);
        if look.struck {
            painter.hline(place.x..=place.x + text_width, rect.center().y, Stroke::new(1.0, t.text_weak));
        }
        if pointer.is_some_and(|p| rect.expand(0.5 * gap).contains(p)) {
            painter.rect_stroke(rect, 3.0, Stroke::new(1.5, t.border_strong), StrokeKind::Outside);
            under = Some((at, piece));
        }
    }
    if let Some((at, piece)) = under {
        response.on_hover_ui_at_pointer(|ui| hover(ui, at, piece));
    }
}

fn hover(ui: &mut Ui, at: usize, piece: &Piece) {
    let t = tokens(ui);
    ui.label(RichText::new(format!("{:?}", piece.text)).monospace().color(t.text_strong));
    let special = if piece.special { ", special" } else { "" };
    ui.label(format!("token {}, id {}{special}", at + 1, piece.id));
    ui.label(RichText::new(name(piece.fate)).color(if piece.fate == Fate::Learned { t.accent } else { t.text_weak }));
}

/// What the boxes mean.
pub fn legend(ui: &mut Ui) {
    let t = tokens(ui);
    let font = FontId::monospace(super::theme::size::SMALL);
    ui.horizontal_wrapped(|ui| {
        let entries = [
            ("abc", Some(Fate::Learned), "learned"),
            ("abc", Some(Fate::Read), "read only"),
            ("abc", Some(Fate::Cut), "cut off"),
            ("</s>", None, "special"),
        ];
        for (sample, fate, name) in entries {
            let look = look(t, fate.unwrap_or(Fate::Read));
            let galley = ui.painter().layout_no_wrap(sample.into(), font.clone(), look.text);
            let (rect, _) = ui.allocate_exact_size(galley.size() + Vec2::new(6.0, 4.0), Sense::empty());
            let edge = if fate.is_none() { t.series[3] } else { look.edge };
            ui.painter().rect(rect, 3.0, look.ground, Stroke::new(1.0, edge), StrokeKind::Inside);
            if look.underline {
                ui.painter().hline(rect.x_range().shrink(2.0), rect.bottom() - 1.0, Stroke::new(2.0, t.accent));
            }
            ui.painter().text(rect.center(), Align2::CENTER_CENTER, sample, font.clone(), look.text);
            if look.struck {
                ui.painter().hline(rect.x_range().shrink(3.0), rect.center().y, Stroke::new(1.0, t.text_weak));
            }
            ui.label(RichText::new(name).small().color(t.text_weak));
            ui.add_space(space::SMALL);
        }
        ui.label(RichText::new("· blank  ↵ line end  → tab").font(font.clone()).color(t.text_weak));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_invisible() {
        assert_eq!(visible(" a\n\tb\u{200b}\u{7}"), "·a↵→b\\u{200b}\\u{7}");
        assert_eq!(visible(&"x".repeat(100)).chars().count(), LONGEST + 1);
    }
}
