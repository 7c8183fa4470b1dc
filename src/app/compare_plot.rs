//! The plot of Compare: every run's curve, and what all of them say where the pointer is.

use super::compare::Entry;
use super::layout::grouped;
use super::theme::{Tokens, space, tokens};
use crate::train::compare::export::Axes;
use crate::train::compare::{Against, Measure, Point};
use crate::train::plot::log_marks;
use eframe::egui::{self, Color32, RichText, Sense, Stroke, Ui, Vec2};
use egui_plot::{ColorConflictHandling, GridMark, Legend, LegendGrouping, Line, LineStyle, Plot, PlotMemory, PlotPoint, Points};

/// A run's colour.
pub(super) fn colour(t: &Tokens, index: usize) -> Color32 {
    t.series[index % t.series.len()]
}

/// How a run's line is drawn: when all colours are given out they come again, dashed and dotted.
fn style(t: &Tokens, index: usize) -> LineStyle {
    match index / t.series.len() % 3 {
        0 => LineStyle::Solid,
        1 => LineStyle::dashed_loose(),
        _ => LineStyle::dotted_dense(),
    }
}

/// Draws the controls and the plot.
pub(super) fn show(ui: &mut Ui, entries: &mut [Entry], names: &[String], axes: &mut Axes, raw: &mut bool, height: f32) {
    let t = tokens(ui);
    let before = *axes;
    ui.horizontal_wrapped(|ui| {
        for measure in Measure::ALL {
            ui.selectable_value(&mut axes.measure, measure, capital(measure.name()));
        }
        ui.separator();
        ui.label(RichText::new("against").color(t.text_weak));
        for against in Against::ALL {
            ui.selectable_value(&mut axes.against, against, capital(against.name()));
        }
        ui.separator();
        ui.checkbox(&mut axes.log, "Log axis");
        let every = ui.add_enabled(axes.measure == Measure::Training, egui::Checkbox::new(raw, "Every step"));
        every.on_hover_text("The losses as they are, beside the smoothed ones");
    });
    ui.add_space(space::TIGHT);
    let axes = *axes;
    let measured = |e: &Entry| e.run.value.as_ref().is_some_and(|run| !run.track.points(axes.measure).is_empty());
    if !entries.iter().any(|e| e.shown && measured(e)) {
        nothing(ui, height, entries, axes.measure);
        return;
    }
    let id = ui.make_persistent_id("compare");
    let hidden = entries.iter().filter(|e| !e.shown).map(|e| egui_plot::ItemId::new(&e.folder));
    let legend = Legend::default()
        .follow_insertion_order(true)
        .grouping(LegendGrouping::ById)
        .color_conflict_handling(ColorConflictHandling::PickFirst)
        .background_alpha(0.9)
        .hidden_items(hidden);
    let mut plot = Plot::new("compare")
        .id(id)
        .height(height)
        .legend(legend)
        .show_crosshair(false)
        .show_background(false)
        .grid_color(t.border)
        .set_margin_fraction(Vec2::new(0.02, 0.06))
        .x_axis_label(RichText::new(capital(axes.against.name())).small().color(t.text_weak))
        .y_axis_label(RichText::new(capital(axes.measure.name())).small().color(t.text_weak))
        .x_axis_formatter(|mark, _| if mark.value < 0.0 { String::new() } else { count(mark.value) })
        .label_formatter(|_| None)
        .y_axis_min_width(34.0);
    if axes.log {
        let spacer = |input: egui_plot::GridInput| {
            let marks = log_marks(input.bounds.0, input.bounds.1);
            let step = marks.windows(2).map(|w| w[1] - w[0]).fold(f64::INFINITY, f64::min);
            marks.into_iter().map(|value| GridMark { value, step_size: step.min(input.bounds.1 - input.bounds.0) }).collect()
        };
        plot = plot.y_grid_spacer(spacer).y_axis_formatter(|mark, _| round(10f64.powf(mark.value)));
    }
    if axes != before {
        plot = plot.reset();
    }
    let response = plot.show(ui, |plot| {
        for entry in entries.iter().filter(|_| axes.measure == Measure::Training && *raw) {
            let faint = colour(t, entry.colour).gamma_multiply(0.3);
            curve(plot, entry, "", axes, |p| p.loss, Stroke::new(1.0, faint), t);
        }
        for (entry, name) in entries.iter().zip(names) {
            let stroke = Stroke::new(2.0, colour(t, entry.colour));
            curve(plot, entry, name, axes, |p| p.smooth, stroke, t);
            if axes.measure == Measure::HeldOut {
                let points = xy(entry, axes, |p| p.smooth);
                plot.points(Points::new("", points).id(&entry.folder).radius(3.0).color(stroke.color).allow_hover(false));
            }
        }
        plot.pointer_coordinate().filter(|_| plot.response().hovered())
    });
    if let Some(memory) = PlotMemory::load(ui.ctx(), id) {
        for entry in entries.iter_mut().filter(|e| measured(e)) {
            entry.shown = !memory.hidden_items.contains(&egui_plot::ItemId::new(&entry.folder));
        }
    }
    if let Some(at) = response.inner {
        values_at(ui, &response.response, &response.transform, entries, names, axes, at);
    }
}

fn y(axes: Axes, value: f64) -> f64 {
    if axes.log { value.log10() } else { value }
}

fn xy(entry: &Entry, axes: Axes, value: impl Fn(&Point) -> f64) -> Vec<[f64; 2]> {
    let Some(run) = &entry.run.value else { return Vec::new() };
    let points = run.track.points(axes.measure).iter();
    points.map(|p| [p.x(axes.against), y(axes, value(p))]).filter(|p| p[1].is_finite()).collect()
}

fn curve(
    plot: &mut egui_plot::PlotUi<'_>,
    entry: &Entry,
    name: &str,
    axes: Axes,
    value: impl Fn(&Point) -> f64,
    stroke: Stroke,
    t: &Tokens,
) {
    let points = xy(entry, axes, value);
    if !points.is_empty() {
        plot.line(Line::new(name, points).id(&entry.folder).stroke(stroke).style(style(t, entry.colour)).allow_hover(false));
    }
}

/// What every run's loss is where the pointer is: a line through the plot, a dot on each curve, the numbers beside the pointer.
fn values_at(
    ui: &Ui,
    response: &egui::Response,
    transform: &egui_plot::PlotTransform,
    entries: &[Entry],
    names: &[String],
    axes: Axes,
    at: PlotPoint,
) {
    let t = tokens(ui);
    let mut found: Vec<(&Entry, &String, Point)> = Vec::new();
    for (entry, name) in entries.iter().zip(names).filter(|(e, _)| e.shown) {
        let point = entry.run.value.as_ref().and_then(|run| run.track.at(axes.measure, axes.against, at.x));
        found.extend(point.map(|p| (entry, name, *p)));
    }
    let near = |p: &Point| (p.x(axes.against) - at.x).abs();
    let Some(nearest) = found.iter().min_by(|a, b| near(&a.2).total_cmp(&near(&b.2))).map(|(_, _, p)| p.x(axes.against)) else { return };
    let painter = ui.painter().with_clip_rect(*transform.frame());
    let x = transform.position_from_point_x(nearest);
    painter.vline(x, transform.frame().y_range(), Stroke::new(1.0, t.border_strong));
    for (entry, _, point) in &found {
        let place = transform.position_from_point(&PlotPoint::new(point.x(axes.against), y(axes, point.smooth)));
        painter.circle(place, 4.0, colour(t, entry.colour), Stroke::new(1.5, t.surface));
    }
    found.sort_by(|a, b| b.2.smooth.total_cmp(&a.2.smooth));
    let tip = egui::Tooltip::always_open(ui.ctx().clone(), ui.layer_id(), response.id.with("values"), egui::PopupAnchor::Pointer);
    tip.gap(14.0).show(|ui| {
        let unit = axes.against.name();
        ui.label(RichText::new(format!("{} {unit}", count(nearest))).small().color(t.text_weak));
        let grid = egui::Grid::new("values").num_columns(3).min_col_width(0.0).min_row_height(0.0);
        grid.spacing(Vec2::new(space::SMALL, 2.0)).show(ui, |ui| {
            for (entry, name, point) in &found {
                swatch(ui, colour(t, entry.colour), true);
                ui.label(RichText::new(*name).color(t.text));
                ui.label(RichText::new(loss(point.smooth)).monospace().color(t.text_strong));
                ui.end_row();
            }
        });
    });
}

/// A run's square of colour; empty where the run is hidden.
pub(super) fn swatch(ui: &mut Ui, colour: Color32, full: bool) -> egui::Response {
    let (rect, response) = ui.allocate_exact_size(Vec2::splat(12.0), Sense::CLICK);
    if full {
        ui.painter().rect_filled(rect, 2.0, colour);
    } else {
        ui.painter().rect_stroke(rect.shrink(0.5), 2.0, Stroke::new(1.5, colour), egui::StrokeKind::Inside);
    }
    response
}

/// Why there is no curve.
fn nothing(ui: &mut Ui, height: f32, entries: &[Entry], measure: Measure) {
    let t = tokens(ui);
    let why = match measure {
        _ if entries.iter().all(|e| !e.shown) => "All runs are hidden; click a colour in the table to show one",
        _ if entries.iter().any(|e| e.run.is_running()) => "Reading…",
        Measure::Training => "No run has done a step yet",
        Measure::HeldOut => "No run has been measured on held-out rows; choose some on the Data page before the next run",
    };
    ui.allocate_ui_with_layout(
        Vec2::new(ui.available_width(), height),
        egui::Layout::centered_and_justified(egui::Direction::TopDown),
        |ui| {
            ui.label(RichText::new(why).color(t.text_weak));
        },
    );
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// A place on the x axis.
fn count(x: f64) -> String {
    match x.abs() {
        ..10.0 if x.fract() != 0.0 => format!("{x:.1}"),
        ..1e5 => grouped(x.round().max(0.0) as u64),
        1e5..1e6 => format!("{:.0}k", x / 1e3),
        _ => format!("{:.1}M", x / 1e6),
    }
}

/// A round number, with no more digits than it has.
fn round(x: f64) -> String {
    if (1e-3..1e6).contains(&x) { format!("{}", (x * 1e5).round() / 1e5) } else { format!("{x:.1e}") }
}

/// A loss in four digits.
pub(super) fn loss(x: f64) -> String {
    match x.abs() {
        0.0 => "0".into(),
        ..1e-3 => format!("{x:.2e}"),
        ..1.0 => format!("{x:.4}"),
        ..1e3 => format!("{x:.3}"),
        _ => format!("{x:.2e}"),
    }
}
