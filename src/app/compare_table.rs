//! The table of Compare: a line for each run, sorted by the column that was clicked, the best of a column marked.

use super::compare::Entry;
use super::compare_plot::{colour, loss, swatch};
use super::layout::grouped;
use super::theme::{self, Tokens, space, tokens};
use crate::device::human_bytes;
use crate::train::compare::sibling::rate;
use crate::train::compare::{Column, Facts};
use eframe::egui::{self, Align, Layout, Pos2, Rect, RichText, Sense, Shape, Stroke, TextStyle, Ui, UiBuilder, Vec2};
use std::cmp::Ordering;

/// What was asked of a line.
pub(super) enum Asked {
    /// Run it again with something else.
    Same(usize),
    /// Take it off the list.
    Remove(usize),
}

const HEADER: f32 = 24.0;
const ROW: f32 = 28.0;
/// Between columns.
const GAP: f32 = 20.0;
/// The column of colours.
const SWATCH: f32 = 22.0;
/// Room for the triangle beside a header, and for the mark before a number.
const MARK: f32 = 12.0;

/// The entries' order by a column. Those that have not been read come last.
pub(super) fn order(entries: &[Entry], (column, descending): (Column, bool)) -> Vec<usize> {
    let mut order: Vec<usize> = (0..entries.len()).collect();
    order.sort_by(|a, b| match (&entries[*a].run.value, &entries[*b].run.value) {
        (Some(a), Some(b)) => column.order(&a.facts, &b.facts, descending),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => Ordering::Equal,
    });
    order
}

/// How high the table of so many runs is.
pub(super) fn height(runs: usize) -> f32 {
    HEADER + ROW * runs as f32
}

/// Draws the table.
pub(super) fn show(ui: &mut Ui, entries: &mut [Entry], names: &[String], sort: &mut (Column, bool)) -> Option<Asked> {
    let order = order(entries, *sort);
    let best = Column::ALL.map(|column| column.best(entries.iter().filter_map(|e| e.run.value.as_ref()).map(|run| &run.facts)));
    let widths = widths(ui, entries, names);
    let mut asked = None;
    egui::ScrollArea::horizontal().id_salt("runs").show(ui, |ui| {
        ui.spacing_mut().item_spacing = Vec2::ZERO;
        header(ui, &widths, sort);
        for i in order {
            if let Some(what) = row(ui, &mut entries[i], &names[i], &widths, &best) {
                asked = Some(match what {
                    Does::Again => Asked::Same(i),
                    Does::Remove => Asked::Remove(i),
                });
            }
        }
    });
    asked
}

struct Widths {
    columns: [f32; Column::ALL.len()],
    again: f32,
}

impl Widths {
    fn whole(&self) -> f32 {
        SWATCH + self.columns.iter().map(|w| w + GAP).sum::<f32>() + self.again + space::SMALL + 24.0
    }
}

/// Each column as wide as its widest cell; the names take what is left.
fn widths(ui: &Ui, entries: &[Entry], names: &[String]) -> Widths {
    let font = TextStyle::Body.resolve(ui.style());
    let width = |text: &str| ui.painter().layout_no_wrap(text.to_owned(), font.clone(), egui::Color32::WHITE).size().x.ceil();
    let mut columns = Column::ALL.map(|column| width(title(column)) + MARK);
    for (entry, name) in entries.iter().zip(names) {
        columns[0] = columns[0].max(width(name));
        let Some(run) = &entry.run.value else { continue };
        for (w, column) in columns.iter_mut().zip(Column::ALL).skip(1) {
            *w = w.max(width(&cell(column, &run.facts)) + if is_number(column) { MARK } else { 0.0 });
        }
    }
    columns[0] = columns[0].clamp(90.0, 240.0);
    columns[1] = columns[1].min(220.0);
    let mut widths = Widths { columns, again: width(AGAIN) + 2.0 * space::SMALL };
    let left = ui.available_width() - widths.whole();
    widths.columns[0] += left.max(0.0);
    widths
}

const AGAIN: &str = "Run the same with…";

fn title(column: Column) -> &'static str {
    match column {
        Column::Name => "Run",
        Column::Method => "Method",
        Column::Trainable => "Trained",
        Column::Memory => "Memory",
        Column::StepTime => "Step",
        Column::Steps => "Steps",
        Column::Rate => "Rate",
        Column::Loss => "Loss",
        Column::HeldOut => "Best held-out",
    }
}

fn explain(column: Column) -> &'static str {
    match column {
        Column::Name => "The run folder",
        Column::Method => "What trains, and its size",
        Column::Trainable => "Numbers that train, and their share of the model's",
        Column::Memory => "What the run takes on its device",
        Column::StepTime => "The median step's time",
        Column::Steps => "Steps done",
        Column::Rate => "The highest learning rate",
        Column::Loss => "The training loss at the end, smoothed",
        Column::HeldOut => "The lowest loss on rows that the run does not learn from",
    }
}

fn is_number(column: Column) -> bool {
    !matches!(column, Column::Name | Column::Method)
}

/// What a cell says.
fn cell(column: Column, f: &Facts) -> String {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "–".into());
    match column {
        Column::Name => f.name.clone(),
        Column::Method => f.method.clone(),
        Column::Trainable => {
            let share = f.share.map_or_else(String::new, |s| format!(" · {}", percent(s)));
            or_dash(f.trainable.map(|n| grouped(n) + &share))
        }
        Column::Memory => or_dash(f.memory.map(human_bytes)),
        Column::StepTime => or_dash(f.seconds_per_step.map(seconds)),
        Column::Steps => match f.planned.filter(|_| !f.is_complete()) {
            Some(planned) => format!("{} of {}", grouped(f.steps), grouped(planned)),
            None => grouped(f.steps),
        },
        Column::Rate => rate(f.lr),
        Column::Loss => or_dash(f.loss.map(loss)),
        Column::HeldOut => or_dash(f.held_out.map(loss)),
    }
}

fn percent(share: f64) -> String {
    let p = 100.0 * share;
    match p {
        99.95.. => "100%".into(),
        10.0.. => format!("{p:.1}%"),
        _ => format!("{p:.2}%"),
    }
}

/// A short time in three digits.
fn seconds(s: f64) -> String {
    match s {
        ..1e-3 => format!("{:.0} µs", 1e6 * s),
        ..1e-2 => format!("{:.2} ms", 1e3 * s),
        ..0.1 => format!("{:.1} ms", 1e3 * s),
        ..1.0 => format!("{:.0} ms", 1e3 * s),
        ..10.0 => format!("{s:.2} s"),
        _ => format!("{s:.1} s"),
    }
}

/// A child that fills a part of a line.
fn part(ui: &mut Ui, line: Rect, left: f32, width: f32, right_aligned: bool) -> Ui {
    let rect = Rect::from_min_size(Pos2::new(left, line.top()), Vec2::new(width, line.height()));
    let layout = if right_aligned { Layout::right_to_left(Align::Center) } else { Layout::left_to_right(Align::Center) };
    ui.new_child(UiBuilder::new().max_rect(rect).layout(layout).id_salt((left as i32, "part")))
}

fn header(ui: &mut Ui, widths: &Widths, sort: &mut (Column, bool)) {
    let t = tokens(ui);
    let (line, _) = ui.allocate_exact_size(Vec2::new(widths.whole(), HEADER), Sense::hover());
    let mut x = line.left() + SWATCH;
    for (column, width) in Column::ALL.into_iter().zip(widths.columns) {
        let chosen = sort.0 == column;
        let cell = Rect::from_min_size(Pos2::new(x, line.top()), Vec2::new(width, line.height()));
        let response = ui.interact(cell.expand2(Vec2::new(4.0, 0.0)), ui.scope_id().with(("header", column)), Sense::click());
        response.widget_info(|| egui::WidgetInfo::selected(egui::Role::ColumnHeader, true, chosen, format!("Sort by {}", title(column))));
        let ink = if chosen || response.hovered() || response.has_focus() { t.text_strong } else { t.text_weak };
        let font = TextStyle::Body.resolve(ui.style());
        let text = ui.painter().layout_no_wrap(title(column).to_owned(), font, ink);
        let left = if is_number(column) { cell.right() - text.size().x } else { cell.left() };
        let height = text.size().y;
        let end = left + text.size().x;
        ui.painter().galley(Pos2::new(left, cell.center().y - 0.5 * height), text, ink);
        if chosen {
            let centre = if is_number(column) { left - 0.5 * MARK } else { end + 0.5 * MARK };
            triangle(ui, Pos2::new(centre, cell.center().y), sort.1, t);
        }
        if response.clicked() {
            *sort = if chosen { (column, !sort.1) } else { (column, false) };
        }
        response.on_hover_text(explain(column));
        x += width + GAP;
    }
    ui.painter().hline(line.x_range(), line.bottom(), Stroke::new(1.0, t.border));
}

fn triangle(ui: &Ui, centre: Pos2, down: bool, t: &Tokens) {
    let tip = if down { 3.0 } else { -3.0 };
    let corners = vec![centre + Vec2::new(-3.5, -0.7 * tip), centre + Vec2::new(3.5, -0.7 * tip), centre + Vec2::new(0.0, tip)];
    ui.painter().add(Shape::convex_polygon(corners, t.accent, Stroke::NONE));
}

enum Does {
    Again,
    Remove,
}

fn row(ui: &mut Ui, entry: &mut Entry, name: &str, widths: &Widths, best: &[Option<f64>; Column::ALL.len()]) -> Option<Does> {
    let t = tokens(ui);
    let (line, response) = ui.allocate_exact_size(Vec2::new(widths.whole(), ROW), Sense::hover());
    if response.contains_pointer() {
        ui.painter().rect_filled(line, space::RADIUS, t.raised.gamma_multiply(0.5));
    }
    let mut does = None;
    ui.push_id(&entry.folder, |ui| {
        let mut mark = part(ui, line, line.left() + space::TIGHT, SWATCH, false);
        let toggle = swatch(&mut mark, colour(t, entry.colour), entry.shown);
        toggle.widget_info(|| egui::WidgetInfo::selected(egui::Role::CheckBox, true, entry.shown, format!("Show {name} in the plot")));
        if toggle.on_hover_text(if entry.shown { "Hide in the plot" } else { "Show in the plot" }).clicked() {
            entry.shown = !entry.shown;
        }
        let mut x = line.left() + SWATCH;
        let run = entry.run.value.clone();
        for ((column, width), best) in Column::ALL.into_iter().zip(widths.columns).zip(best) {
            let number = is_number(column);
            let mut place = part(ui, line, x, width, number);
            x += width + GAP;
            let ink = if entry.shown { t.text } else { t.text_weak };
            let Some(run) = &run else {
                let text = match column {
                    Column::Name => RichText::new(name).color(ink),
                    Column::Method if entry.run.error.is_some() => RichText::new("cannot be read").color(t.bad),
                    Column::Method => RichText::new("reading…").color(t.text_weak),
                    _ => continue,
                };
                place.add(egui::Label::new(text).truncate());
                continue;
            };
            let is_best = best.is_some() && column.number(&run.facts) == *best;
            let text = if column == Column::Name { name.to_owned() } else { cell(column, &run.facts) };
            let text = RichText::new(text).color(if is_best { t.good } else { ink });
            let label = place.add(egui::Label::new(text).truncate());
            match column {
                Column::Name => _ = label.on_hover_text(format!("{}\n{}", run.facts.folder.display(), run.facts.model)),
                _ if is_best => {
                    let centre = Pos2::new(label.rect.left() - 7.0, line.center().y);
                    ui.painter().add(diamond(centre, t));
                    label.on_hover_text("The best of these runs");
                }
                _ => (),
            }
        }
        if part(ui, line, x, widths.again, false).add_enabled(run.is_some(), egui::Button::new(AGAIN)).clicked() {
            does = Some(Does::Again);
        }
        let remove = part(ui, line, x + widths.again + space::SMALL, 24.0, false).add(
            egui::Button::new(RichText::new("×").size(theme::size::SECTION).color(t.text_weak)).frame(false).min_size(Vec2::splat(20.0)),
        );
        remove.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, true, format!("Remove {name} from the list")));
        if remove.on_hover_text("Remove from the list; the folder stays").clicked() {
            does = Some(Does::Remove);
        }
    });
    does
}

fn diamond(centre: Pos2, t: &Tokens) -> Shape {
    let r = 3.5;
    let corners = [(0.0, -r), (r, 0.0), (0.0, r), (-r, 0.0)].map(|(x, y)| centre + Vec2::new(x, y));
    Shape::convex_polygon(corners.to_vec(), t.good, Stroke::NONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!(
            (seconds(0.012_34), seconds(0.3), seconds(2.0), seconds(4e-5)),
            ("12.3 ms".into(), "300 ms".into(), "2.00 s".into(), "40 µs".into())
        );
        assert_eq!((percent(1.0), percent(0.1234), percent(0.001)), ("100%".into(), "12.3%".into(), "0.10%".into()));
    }
}
