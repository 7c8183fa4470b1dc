//! The figures of the walk, and what a person has turned in them.

use super::Lesson;
use super::figure::{Picture, bars, sign};
use crate::app::layout::{field, grouped, primary};
use crate::app::shared::{Command, Shared, View};
use crate::app::theme::{space, tokens};
use crate::app::tokens_view;
use crate::data::preview::Fate;
use crate::demo::lesson::{self, MEASURED, Matrix, SIDE, TOKENS};
use crate::device::human_bytes;
use eframe::egui::{self, RichText, Slider, Ui};

/// Numbers of blocks that the small table can be cut into.
const CUTS: [usize; 8] = [1, 2, 3, 4, 6, 8, 12, 24];

/// Where everything that can be turned stands.
pub struct Turned {
    row: usize,
    rank: usize,
    cut: usize,
    block: usize,
    border: usize,
    cost: usize,
    x: Matrix,
    g: Matrix,
    learned: Matrix,
}

impl Default for Turned {
    fn default() -> Self {
        Self {
            row: 8,
            rank: 2,
            cut: 3,
            block: 1,
            border: 18,
            cost: 4,
            x: Matrix::random(TOKENS, SIDE, "inputs"),
            g: Matrix::random(TOKENS, SIDE, "gradients of outputs"),
            learned: Matrix::random(SIDE, SIDE, "learned"),
        }
    }
}

impl Turned {
    /// Draws a step's figure with its control.
    pub fn figure(&mut self, ui: &mut Ui, step: usize, lesson: &Lesson, shared: &mut Shared) {
        match step {
            0 => self.weight(ui, lesson),
            1 => self.product(ui),
            2 => self.blocks(ui, lesson),
            3 => self.gradient(ui),
            4 => self.mask(ui, lesson),
            5 => self.costs(ui, lesson),
            _ => run(ui, shared),
        }
    }

    fn weight(&mut self, ui: &mut Ui, lesson: &Lesson) {
        let x = Matrix::new(SIDE, 1, |r, _| self.x.at(0, r));
        let y = lesson.weight.times(&x);
        field(ui, "Output", "Which row of the table is multiplied", |ui| turn(ui, "Output", &mut self.row, 1..=SIDE));
        ui.add_space(space::SMALL);
        let row = self.row - 1;
        let cell = cell(ui, SIDE + 8);
        let height = SIDE as f32 * cell;
        ui.horizontal_top(|ui| {
            let lit = |r: usize, _: usize| r == row;
            Picture::new(&y, "y", "output").lit(&lit).frame(row, 0, 1, 1).show(ui, cell);
            sign(ui, "=", height);
            Picture::new(&lesson.weight, "W", format!("{SIDE} × {SIDE}, frozen")).lit(&lit).frame(row, 0, 1, SIDE).show(ui, cell);
            sign(ui, "×", height);
            Picture::new(&x, "x", "input").show(ui, cell);
        });
        say(ui, format!("Output {} is {SIDE} products added up: {:.3}", self.row, y.at(row, 0)));
        signs(ui);
    }

    fn product(&mut self, ui: &mut Ui) {
        field(ui, "Rank r", "Columns of B and rows of A", |ui| turn(ui, "Rank r", &mut self.rank, 1..=12));
        ui.add_space(space::SMALL);
        let r = self.rank;
        let b = Matrix::random(SIDE, r, "B");
        let a = Matrix::random(r, SIDE, "A");
        let cell = cell(ui, 2 * SIDE + r + 16);
        let height = SIDE as f32 * cell;
        ui.horizontal_wrapped(|ui| {
            Picture::new(&b, "B", format!("{SIDE} × {r}")).show(ui, cell);
            sign(ui, "×", height);
            Picture::new(&a, "A", format!("{r} × {SIDE}")).show(ui, cell);
            sign(ui, "=", height);
            Picture::new(&b.times(&a), "B A", format!("{SIDE} × {SIDE}, of rank {r}; it is added to W")).show(ui, cell);
        });
        share(ui, 2 * SIDE * r, "in A and B");
    }

    fn blocks(&mut self, ui: &mut Ui, lesson: &Lesson) {
        let n = self.cut_control(ui);
        let d = self.learned.only_blocks(n);
        let side = SIDE / n;
        let cell = cell(ui, 3 * SIDE + 10);
        let height = SIDE as f32 * cell;
        let scale = lesson.weight.largest();
        let small = Matrix::new(SIDE, SIDE, |r, c| d.at(r, c) * 0.4 * scale);
        let inside = |r: usize, c: usize| r / side == c / side;
        ui.horizontal_wrapped(|ui| {
            Picture::new(&lesson.weight, "W", "frozen").lit(&|_, _| false).show(ui, cell);
            sign(ui, "+", height);
            Picture::new(&d, "D", format!("{n} blocks of {side} × {side}")).diagonal(n).show(ui, cell);
            sign(ui, "=", height);
            Picture::new(&lesson.weight.plus(&small), "W + D", "what the layer uses").lit(&inside).diagonal(n).show(ui, cell);
        });
        share(ui, SIDE * SIDE / n, "in D");
    }

    fn cut_control(&mut self, ui: &mut Ui) -> usize {
        field(ui, "Blocks N", "How many blocks the diagonal is cut into", |ui| {
            let slider = Slider::new(&mut self.cut, 0..=CUTS.len() - 1).show_value(false);
            let response = ui.add(slider);
            response.widget_info(|| egui::WidgetInfo::slider(true, CUTS[self.cut] as f64, "Blocks N"));
            ui.label(CUTS[self.cut].to_string());
        });
        ui.add_space(space::SMALL);
        CUTS[self.cut]
    }

    fn gradient(&mut self, ui: &mut Ui) {
        let n = self.cut_control(ui);
        self.block = self.block.clamp(1, n);
        field(ui, "Block", "Which block is looked at", |ui| ui.add_enabled_ui(n > 1, |ui| turn(ui, "Block", &mut self.block, 1..=n)));
        ui.add_space(space::SMALL);
        let (i, side) = (self.block - 1, SIDE / n);
        let full = lesson::gradient(&self.x, &self.g);
        let own = lesson::block_gradient(&self.x, &self.g, i, n);
        let columns = |_: usize, c: usize| c / side == i;
        let inside = |r: usize, c: usize| r / side == i && c / side == i;
        let cell = cell(ui, 2 * SIDE + side.max(8) + 14);
        ui.horizontal_wrapped(|ui| {
            ui.vertical(|ui| {
                Picture::new(&self.x, "X", format!("what went in: {TOKENS} tokens"))
                    .lit(&columns)
                    .frame(0, i * side, TOKENS, side)
                    .show(ui, cell);
                ui.add_space(space::SMALL);
                Picture::new(&self.g, "G", "what came back").lit(&columns).frame(0, i * side, TOKENS, side).show(ui, cell);
            });
            ui.add_space(space::LARGE);
            let mut block = Picture::new(&own, "from these columns", format!("{side} × {side}"));
            block.full = full.largest();
            block.frame(0, 0, side, side).show(ui, cell);
            ui.add_space(space::LARGE);
            Picture::new(&full, "the full gradient", format!("{SIDE} × {SIDE}"))
                .lit(&inside)
                .frame(i * side, i * side, side, side)
                .show(ui, cell);
        });
        let there = full.block(i, n);
        let apart = own.values.iter().zip(&there.values).fold(0.0_f32, |most, (a, b)| most.max((a - b).abs()));
        say(ui, format!("The largest difference between the two: {apart}. The block took 1/{n} of each matrix's columns."));
    }

    fn mask(&mut self, ui: &mut Ui, lesson: &Lesson) {
        let most = lesson.pieces.len().saturating_sub(1).max(1);
        self.border = self.border.clamp(1, most);
        field(ui, "Prompt ends", "How many tokens are only read", |ui| turn(ui, "Prompt ends", &mut self.border, 1..=most));
        ui.add_space(space::SMALL);
        let mut pieces = lesson.pieces.clone();
        for (at, piece) in pieces.iter_mut().enumerate() {
            piece.fate = if at < self.border { Fate::Read } else { Fate::Learned };
        }
        tokens_view::legend(ui);
        ui.add_space(space::SMALL);
        tokens_view::show(ui, &pieces);
        ui.add_space(space::SMALL);
        let right = lesson.pieces.iter().position(|p| p.fate == Fate::Learned);
        let verdict = if right == Some(self.border) { " This is where the demo has it." } else { "" };
        say(ui, format!("{} of {} tokens count in the loss.{verdict}", pieces.len() - self.border, pieces.len()));
    }

    fn costs(&mut self, ui: &mut Ui, lesson: &Lesson) {
        let costs: Vec<_> = lesson.costs.iter().filter(|c| MEASURED.iter().any(|m| m.0 == c.blocks)).collect();
        let Some(last) = costs.len().checked_sub(1) else { return };
        self.cost = self.cost.min(last);
        field(ui, "Blocks N", "How many blocks each weight of the demo gets", |ui| {
            let response = ui.add(Slider::new(&mut self.cost, 0..=last).show_value(false));
            response.widget_info(|| egui::WidgetInfo::slider(true, costs[self.cost].blocks as f64, "Blocks N"));
            ui.label(costs[self.cost].blocks.to_string());
        });
        ui.add_space(space::MEDIUM);
        let names: Vec<String> = costs.iter().map(|c| c.blocks.to_string()).collect();
        let loss = |n: usize| MEASURED.iter().find(|m| m.0 == n).map_or(0.0, |m| m.2);
        let rate = MEASURED.iter().find(|m| m.0 == costs[self.cost].blocks).map_or(0.0, |m| m.1);
        let trained: Vec<f64> = costs.iter().map(|c| c.trainable as f64).collect();
        let memory: Vec<f64> = costs.iter().map(|c| c.memory as f64).collect();
        let losses: Vec<f64> = costs.iter().map(|c| loss(c.blocks)).collect();
        let width = ((ui.available_width() - 2.0 * 24.0) / 3.0).clamp(160.0, 250.0);
        ui.horizontal_wrapped(|ui| {
            ui.spacing_mut().item_spacing.x = 24.0;
            bars(ui, "Numbers that train", &names, &trained, self.cost, width, &|v| grouped(v as u64));
            bars(ui, "Memory", &names, &memory, self.cost, width, &|v| human_bytes(v as u64));
            bars(ui, "Held-out loss", &names, &losses, self.cost, width, &|v| format!("{v:.3}"));
        });
        say(ui, format!("Losses after 200 steps, one seed, each at its best learning rate: {rate} here. More blocks want larger rates."));
    }
}

/// The size of an element, so that `across` of them fit.
fn cell(ui: &Ui, across: usize) -> f32 {
    (ui.available_width() / across as f32).floor().clamp(4.0, 10.0)
}

/// A slider from one to many.
fn turn(ui: &mut Ui, name: &str, value: &mut usize, range: std::ops::RangeInclusive<usize>) {
    let response = ui.add(Slider::new(&mut *value, range));
    let now = *value as f64;
    response.widget_info(|| egui::WidgetInfo::slider(true, now, name));
}

fn say(ui: &mut Ui, text: String) {
    ui.add_space(space::TIGHT);
    ui.label(RichText::new(text).color(tokens(ui).text));
}

fn share(ui: &mut Ui, trained: usize, place: &str) {
    let whole = SIDE * SIDE;
    say(ui, format!("{trained} numbers train {place}: {:.1}% of the table's {whole}.", 100.0 * trained as f64 / whole as f64));
}

/// What the colours mean.
fn signs(ui: &mut Ui) {
    let t = tokens(ui);
    ui.horizontal(|ui| {
        for (colour, name) in [(t.accent, "above zero"), (t.series[1], "below zero")] {
            let (dot, _) = ui.allocate_exact_size(egui::Vec2::splat(10.0), egui::Sense::empty());
            ui.painter().rect_filled(dot, 2.0, colour);
            ui.label(RichText::new(name).small().color(t.text_weak));
        }
        ui.label(RichText::new("Point at a square for its number.").small().color(t.text_weak));
    });
}

/// The last step: what there is to do.
fn run(ui: &mut Ui, shared: &mut Shared) {
    let t = tokens(ui);
    let active = shared.status.state.is_active();
    let open = shared.model.value.is_some() && shared.rows.value.is_some();
    ui.horizontal_wrapped(|ui| {
        if !open {
            let opening = shared.model.is_running() || shared.rows.is_running();
            if primary(ui, !active && !opening, "Open the demo").clicked() {
                shared.open_demo(ui.ctx());
            }
        } else if primary(ui, !active && shared.missing().is_none(), "Start training").clicked() {
            shared.commands.push(Command::Start);
            shared.go(View::Train);
        }
        let word = match (active, open) {
            (true, _) => "A run is going on.",
            (false, true) => "A model and its rows are open.",
            (false, false) => "Nothing is downloaded: the model and its rows are part of this program.",
        };
        ui.label(RichText::new(word).color(t.text_weak));
    });
}
