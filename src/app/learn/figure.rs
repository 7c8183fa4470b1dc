//! What the walk draws: matrices as squares of colour, signs between them, bars.

use crate::app::theme::{Tokens, size, tokens};
use crate::demo::lesson::Matrix;
use eframe::egui::{self, Align2, Color32, FontId, Mesh, Pos2, Rect, Sense, Shape, Stroke, StrokeKind, Ui, Vec2};

/// Room below a matrix for its name.
const CAPTION: f32 = 34.0;

/// A value's colour: one hue above zero, another below, none at zero.
fn shade(t: &Tokens, share: f32) -> Color32 {
    let hue = if share >= 0.0 { t.accent } else { t.series[1] };
    t.sunken.lerp_to_gamma(hue, share.abs().min(1.0).powf(0.7))
}

/// How a matrix is drawn.
pub struct Picture<'a> {
    /// What is drawn.
    pub matrix: &'a Matrix,
    /// Its name, below it.
    pub name: &'a str,
    /// What stands below the name.
    pub note: String,
    /// The value that has the full colour; 0: the matrix's own largest.
    pub full: f32,
    /// Elements that are lit; the others fade.
    pub lit: &'a dyn Fn(usize, usize) -> bool,
    /// Outlined parts: row, column, rows, columns.
    pub frames: Vec<[usize; 4]>,
}

impl<'a> Picture<'a> {
    /// A matrix with every element lit.
    pub fn new(matrix: &'a Matrix, name: &'a str, note: impl Into<String>) -> Self {
        Self { matrix, name, note: note.into(), full: 0.0, lit: &|_, _| true, frames: Vec::new() }
    }

    /// With only these elements lit.
    pub fn lit(mut self, lit: &'a dyn Fn(usize, usize) -> bool) -> Self {
        self.lit = lit;
        self
    }

    /// With an outline around a part.
    pub fn frame(mut self, row: usize, col: usize, rows: usize, cols: usize) -> Self {
        self.frames.push([row, col, rows, cols]);
        self
    }

    /// With its diagonal blocks outlined.
    pub fn diagonal(mut self, n: usize) -> Self {
        let (height, width) = (self.matrix.rows / n, self.matrix.cols / n);
        self.frames.extend((0..n).map(|i| [i * height, i * width, height, width]));
        self
    }

    /// Draws it with elements of that size.
    pub fn show(&self, ui: &mut Ui, cell: f32) {
        let t = tokens(ui);
        let m = self.matrix;
        let extent = Vec2::new(m.cols as f32, m.rows as f32) * cell;
        let wide = |text: &str, letters: f32| ui.painter().layout_no_wrap(text.to_owned(), FontId::proportional(letters), t.text).size().x;
        let words = wide(self.name, size::BODY).max(wide(&self.note, size::SMALL));
        let outer = Vec2::new(extent.x.max(words), extent.y + CAPTION);
        let (area, response) = ui.allocate_exact_size(outer, Sense::HOVER);
        let said = format!("{}: {} by {}. {}", self.name, m.rows, m.cols, self.note);
        response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Image, true, &said));
        let rect = Rect::from_min_size(Pos2::new((area.center().x - 0.5 * extent.x).round(), area.top().round()), extent);
        let full = if self.full > 0.0 { self.full } else { m.largest().max(f32::MIN_POSITIVE) };
        let place = |r: usize, c: usize, rows: usize, cols: usize| {
            Rect::from_min_size(rect.min + Vec2::new(c as f32, r as f32) * cell, Vec2::new(cols as f32, rows as f32) * cell)
        };
        let mut mesh = Mesh::default();
        for r in 0..m.rows {
            for c in 0..m.cols {
                let colour = shade(t, m.at(r, c) / full);
                let colour = if (self.lit)(r, c) { colour } else { t.raised.lerp_to_gamma(colour, 0.18) };
                mesh.add_colored_rect(place(r, c, 1, 1), colour);
            }
        }
        let painter = ui.painter();
        painter.add(Shape::mesh(mesh));
        painter.rect_stroke(rect, 1.0, Stroke::new(1.0, t.border_strong), StrokeKind::Outside);
        for [r, c, rows, cols] in &self.frames {
            painter.rect_stroke(place(*r, *c, *rows, *cols), 0.0, Stroke::new(1.5, t.text_strong), StrokeKind::Middle);
        }
        let below = Pos2::new(area.center().x, rect.bottom() + 4.0);
        let name = painter.text(below, Align2::CENTER_TOP, self.name, FontId::proportional(size::BODY), t.text_strong);
        painter.text(name.center_bottom(), Align2::CENTER_TOP, &self.note, FontId::proportional(size::SMALL), t.text_weak);
        if let Some(pointer) = response.hover_pos().filter(|p| rect.contains(*p)) {
            let at = (pointer - rect.min) / cell;
            let (r, c) = ((at.y as usize).min(m.rows - 1), (at.x as usize).min(m.cols - 1));
            response.on_hover_text_at_pointer(format!("row {}, column {}: {:.4}", r + 1, c + 1, m.at(r, c)));
        }
    }
}

/// A sign between two matrices, in the middle of their height.
pub fn sign(ui: &mut Ui, text: &str, height: f32) {
    let t = tokens(ui);
    let (area, _) = ui.allocate_exact_size(Vec2::new(14.0, height), Sense::empty());
    ui.painter().text(area.center(), Align2::CENTER_CENTER, text, FontId::proportional(size::PAGE), t.text);
}

/// Bars for values, one of them chosen. `text` writes a value.
pub fn bars(ui: &mut Ui, title: &str, names: &[String], values: &[f64], chosen: usize, width: f32, text: &dyn Fn(f64) -> String) {
    let t = tokens(ui);
    let (height, caption, head) = (112.0, 18.0, 24.0);
    let (area, response) = ui.allocate_exact_size(Vec2::new(width, head + height + caption), Sense::HOVER);
    let now = values.get(chosen).map(|v| text(*v)).unwrap_or_default();
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Image, true, format!("{title}: {now}")));
    let painter = ui.painter();
    let title = painter.text(area.left_top(), Align2::LEFT_TOP, title, FontId::proportional(size::SMALL), t.text_weak);
    painter.text(title.right_top() + Vec2::new(8.0, -1.0), Align2::LEFT_TOP, now, FontId::proportional(size::BODY), t.text_strong);
    let most = values.iter().fold(0.0_f64, |a, b| a.max(*b)).max(f64::MIN_POSITIVE);
    let step = width / values.len().max(1) as f32;
    let base = area.top() + head + height;
    painter.hline(area.x_range(), base, Stroke::new(1.0, t.border_strong));
    for (i, value) in values.iter().enumerate() {
        let tall = (height * (*value / most) as f32).max(1.0);
        let left = area.left() + step * i as f32;
        let bar = Rect::from_min_max(Pos2::new(left + 0.15 * step, base - tall), Pos2::new(left + 0.85 * step, base));
        painter.rect_filled(bar, 1.0, if i == chosen { t.accent } else { t.border_strong.gamma_multiply(0.6) });
        let colour = if i == chosen { t.text_strong } else { t.text_weak };
        let middle = Pos2::new(left + 0.5 * step, base + 3.0);
        painter.text(middle, Align2::CENTER_TOP, names.get(i).map_or("", String::as_str), FontId::proportional(size::SMALL), colour);
    }
}
