//! How long rows are, and what becomes of those that are too long.

use super::{sequence, too_long};
use crate::app::layout::{card, facts, grouped};
use crate::app::shared::Shared;
use crate::app::theme::{space, tokens};
use crate::app::trouble;
use crate::data::preview::{Counts, Preview};
use crate::train::config::TooLong;
use eframe::egui::{self, Ui};
use egui_plot::{Bar, BarChart, GridMark, Plot, VLine};
use std::sync::Arc;

/// Bars of the histogram, at most.
const BARS: usize = 40;

/// What was counted, and of what.
struct Counted {
    of: Arc<Preview>,
    seq_len: usize,
    choice: TooLong,
    counts: Counts,
    /// Tokens of a bar's width, and rows in each bar.
    bars: (usize, Vec<usize>),
}

/// The card's own state. Large files are counted once, not once a frame.
#[derive(Default)]
pub struct LengthsCard {
    counted: Option<Counted>,
}

impl LengthsCard {
    /// Rows that do not fit, as counted last.
    pub fn too_long(&self) -> usize {
        self.counted.as_ref().map_or(0, |c| c.counts.too_long)
    }

    /// Draws the card.
    pub fn ui(&mut self, ui: &mut Ui, shared: &mut Shared, preview: &Arc<Preview>) {
        let (seq_len, choice) = (shared.run.seq_len, shared.run.too_long);
        let is_of = |c: &Counted| Arc::ptr_eq(&c.of, preview) && (c.seq_len, c.choice) == (seq_len, choice);
        let counted = match self.counted.take().filter(is_of) {
            Some(counted) => counted,
            None => Counted {
                of: preview.clone(),
                seq_len,
                choice,
                counts: preview.counts(seq_len, too_long(choice)),
                bars: preview.histogram(seq_len, BARS),
            },
        };
        card(ui, "Lengths", |ui| {
            ui.add_enabled_ui(!shared.status.state.is_active(), |ui| sequence(ui, shared));
            ui.add_space(space::SMALL);
            histogram(ui, counted.bars.0, &counted.bars.1, seq_len);
            ui.add_space(space::TIGHT);
            numbers(ui, preview.is_text(), &counted.counts);
            warnings(ui, &counted.counts, seq_len, choice);
        });
        self.counted = Some(counted);
    }
}

fn numbers(ui: &mut Ui, is_text: bool, counts: &Counts) {
    let share = 100.0 * counts.targets as f64 / counts.tokens.max(1) as f64;
    let mut rows = vec![
        (if is_text { "Windows" } else { "Rows" }, grouped(counts.rows as u64)),
        ("Tokens", format!("{} a pass; the longest row has {}", grouped(counts.tokens as u64), grouped(counts.longest as u64))),
        ("Learned", format!("{} tokens, {share:.0}%", grouped(counts.targets as u64))),
    ];
    if !is_text {
        rows.push(("Too long", grouped(counts.too_long as u64)));
    }
    facts(ui, "lengths", &rows);
}

fn warnings(ui: &mut Ui, counts: &Counts, seq_len: usize, choice: TooLong) {
    if counts.too_long > 0 {
        ui.add_space(space::SMALL);
        let rows = grouped(counts.too_long as u64);
        let what = match choice {
            TooLong::Cut => format!("{rows} rows lose what lies beyond {seq_len} tokens, their end token too"),
            TooLong::Drop => format!("{rows} rows are left out"),
            TooLong::Error => format!("{rows} rows are too long, and the run will not start"),
        };
        let hint = format!("a sequence of {} holds every row", grouped(counts.longest as u64));
        trouble::warn(ui, &what, Some(&hint));
    }
    if counts.without_targets > 0 {
        ui.add_space(space::SMALL);
        let rows = grouped(counts.without_targets as u64);
        let what = format!("{rows} rows have nothing left to learn: their prompt alone fills the sequence");
        trouble::warn(ui, &what, Some("make the sequence longer"));
    }
}

fn histogram(ui: &mut Ui, width: usize, counts: &[usize], seq_len: usize) {
    let t = tokens(ui);
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
    // One mark above zero is enough to read bars by.
    let mark = round_down(counts.iter().copied().max().unwrap_or(0) as f64);
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
        .grid_spacing(egui::Rangef::new(4.0, 24.0))
        .grid_color(t.border)
        .include_x(0.0)
        .include_y(0.0)
        .x_axis_label("tokens of a row")
        .y_grid_spacer(move |_| [0.0, mark].map(|value| GridMark { value, step_size: mark }).to_vec())
        .y_axis_formatter(|mark, _| grouped(mark.value as u64))
        .show(ui, |plot| {
            plot.bar_chart(chart);
            if (seq_len as f64) < longest {
                plot.vline(VLine::new("sequence length", seq_len as f64).color(t.warn).width(1.5));
            }
        });
}

/// The next round number below: 1, 2 or 5 times a power of ten.
fn round_down(value: f64) -> f64 {
    let power = 10_f64.powf(value.max(1.0).log10().floor());
    [5.0, 2.0, 1.0].into_iter().find(|m| m * power <= value).unwrap_or(1.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_round() {
        assert_eq!([0.3, 1.0, 3.7, 19.0, 64.0, 500.0].map(round_down), [1.0, 1.0, 2.0, 10.0, 50.0, 500.0]);
    }
}
