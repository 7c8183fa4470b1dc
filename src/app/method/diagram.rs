//! One transformer layer, drawn: its weights in their shapes, with what trains on each.

use crate::app::theme::{size, space, tokens};
use crate::model::ModelConfig;
use crate::model::modules::{Role, means, role};
use crate::train::RunConfig;
use crate::train::config::Method;
use eframe::egui::{self, Align2, FontId, Painter, Pos2, Rect, Sense, Shape, Stroke, StrokeKind, Ui, Vec2};

/// The longest side of a drawn weight.
const LONGEST: f32 = 76.0;
/// The shortest side: what is narrower could not be clicked.
const SHORTEST: f32 = 22.0;
/// Room below a weight for its name and shape.
const CAPTION: f32 = 32.0;
/// More blocks than this are drawn as this many: they would not be seen apart.
const MOST_BLOCKS: usize = 24;

/// Draws the layer; the module that was clicked, if one was.
pub fn show(ui: &mut Ui, run: &RunConfig, config: &ModelConfig, blocks: &dyn Fn(&str) -> Option<usize>) -> Option<&'static str> {
    let shapes = config.linear_shapes();
    let attention = shapes.iter().filter(|shape| matches!(role(shape.0), Role::AttentionIn | Role::AttentionOut)).count();
    let longest = shapes.iter().map(|(_, o, i)| *o.max(i)).max().unwrap_or(1) as f32;
    // By the root: what is four times as long is drawn twice as long, and nothing becomes too small to click.
    let side = |n: usize| (LONGEST * (n as f32 / longest).sqrt()).max(SHORTEST);
    let t = tokens(ui);
    let step = ((ui.available_width() - 96.0) / 4.0).clamp(96.0, 150.0);
    let row = LONGEST + CAPTION + space::LARGE;
    let (area, _) = ui.allocate_exact_size(Vec2::new(ui.available_width(), 2.0 * row), Sense::empty());
    let line = Stroke::new(1.2, t.border_strong);
    let mut clicked = None;
    for (r, (half, modules)) in [("attention", &shapes[..attention]), ("MLP", &shapes[attention..])].into_iter().enumerate() {
        let y = area.top() + row * r as f32 + 0.5 * LONGEST;
        let label = FontId::proportional(size::SMALL);
        let left = ui.painter().text(Pos2::new(area.left(), y), Align2::LEFT_CENTER, half, label, t.text_weak);
        let begin = area.left() + 64.0;
        // The stream of numbers that the layer reads and adds to.
        let end = begin + step * modules.len() as f32 + 8.0;
        arrow(ui.painter(), Pos2::new(left.right() + 6.0, y), Pos2::new(end, y), line);
        for (m, (module, d_out, d_in)) in modules.iter().enumerate() {
            let rect = Rect::from_center_size(Pos2::new(begin + step * (m as f32 + 0.5), y), Vec2::new(side(*d_in), side(*d_out)));
            let trains = run.method == Method::Full || means(&run.targets, module);
            let weight = Drawn { module, shape: (*d_out, *d_in), trains, blocks: blocks(module), run };
            if weight.ui(ui, rect).clicked() {
                clicked = Some(*module);
            }
        }
    }
    clicked
}

/// One weight as it is drawn.
struct Drawn<'a> {
    module: &'static str,
    shape: (usize, usize),
    trains: bool,
    blocks: Option<usize>,
    run: &'a RunConfig,
}

impl Drawn<'_> {
    fn ui(&self, ui: &mut Ui, rect: Rect) -> egui::Response {
        let t = tokens(ui);
        let zone = rect.union(Rect::from_center_size(Pos2::new(rect.center().x, rect.bottom() + 14.0), Vec2::new(64.0, 24.0)));
        let response = ui.interact(zone, ui.scope_id().with(self.module), Sense::CLICK);
        let known = format!("{} {}", self.module, if self.trains { "trains" } else { "stays" });
        response.widget_info(|| egui::WidgetInfo::selected(egui::Role::CheckBox, ui.is_enabled(), self.trains, &known));
        let painter = ui.painter();
        painter.rect_filled(rect, 2.0, t.raised);
        if self.trains {
            self.paint_trained(painter, rect, t.accent, t.accent_soft);
        }
        let edge = if response.hovered() || response.has_focus() {
            Stroke::new(1.5, t.text_strong)
        } else if self.trains {
            Stroke::new(1.2, t.accent)
        } else {
            Stroke::new(1.0, t.border_strong)
        };
        painter.rect_stroke(rect, 2.0, edge, StrokeKind::Inside);
        let below = Pos2::new(rect.center().x, rect.bottom() + 3.0);
        let colour = if self.trains { t.text_strong } else { t.text_weak };
        let name = painter.text(below, Align2::CENTER_TOP, self.module, FontId::proportional(size::SMALL), colour);
        let shape = format!("{} × {}", self.shape.0, self.shape.1);
        painter.text(name.center_bottom(), Align2::CENTER_TOP, shape, FontId::proportional(size::SMALL - 1.0), t.text_weak);
        response.on_hover_text(self.told())
    }

    fn told(&self) -> String {
        let (d_out, d_in) = self.shape;
        let what = match (self.run.method, self.trains, self.blocks) {
            (Method::Full, ..) => "every number trains".to_owned(),
            (_, false, _) => "stays as it is".to_owned(),
            (Method::Lora, ..) => format!("B is {d_out} × {r}, A is {r} × {d_in}", r = self.run.rank),
            (Method::Diablo, _, Some(n)) => format!("{n} blocks of {} × {}", d_out.div_ceil(n), d_in.div_ceil(n)),
            (Method::Diablo, _, None) => "diagonal blocks train".to_owned(),
        };
        format!("{}: {d_out} outputs, {d_in} inputs; {what}", self.module)
    }

    /// What trains, upon the weight: everything, blocks on the diagonal, or the two thin matrices at its edges.
    fn paint_trained(&self, painter: &Painter, rect: Rect, lit: egui::Color32, soft: egui::Color32) {
        painter.rect_filled(rect, 2.0, soft);
        match self.run.method {
            Method::Full => {
                painter.rect_filled(rect, 2.0, lit);
            }
            Method::Diablo => {
                let n = self.blocks.unwrap_or(1).clamp(1, MOST_BLOCKS);
                let cell = rect.size() / n as f32;
                for b in 0..n {
                    let block = Rect::from_min_size(rect.min + cell * b as f32, cell);
                    painter.rect_filled(block.shrink(if n > 10 { 0.0 } else { 0.5 }), 0.0, lit);
                }
            }
            Method::Lora => {
                let thin = |d: usize, length: f32| (length * self.run.rank as f32 / d as f32).clamp(2.0, length);
                painter.rect_filled(rect.with_max_x(rect.left() + thin(self.shape.1, rect.width())), 1.0, lit);
                painter.rect_filled(rect.with_max_y(rect.top() + thin(self.shape.0, rect.height())), 1.0, lit);
            }
        }
    }
}

fn arrow(painter: &Painter, from: Pos2, to: Pos2, stroke: Stroke) {
    painter.line_segment([from, to], stroke);
    let head = vec![to + Vec2::new(-6.0, -3.5), to, to + Vec2::new(-6.0, 3.5)];
    painter.add(Shape::line(head, stroke));
}
