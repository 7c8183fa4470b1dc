//! Train: run it, and watch it learn.

use super::curves::{self, Axes, Curve, Look, number};
use super::jobs::Slot;
use super::layout::{self, card, duration, grouped, page, primary};
use super::platform::{self, Ask};
use super::shared::{Command, RunState, Shared, Spot, View};
use super::theme::{self, space, tokens};
use super::trouble;
use crate::device::human_bytes;
use crate::train::RunRecord;
use crate::train::curve::smoothed;
use crate::train::metrics::StepMetrics;
use eframe::egui::{self, RichText, Ui};
use std::path::PathBuf;

/// Below this width what stands beside the curves stands below them.
const WIDE: f32 = 820.0;

/// The page's own state.
#[derive(Default)]
pub struct TrainPage {
    log: bool,
    dialog: Slot<Option<PathBuf>>,
    /// A run folder that is being read, to go on with.
    record: Slot<Box<RunRecord>>,
}

impl TrainPage {
    /// Draws the page.
    pub fn ui(&mut self, ui: &mut Ui, shared: &mut Shared) {
        self.take_folder(ui.ctx(), shared);
        page(ui, "Train", "Run it, and watch it learn", |ui| {
            self.controls(ui, shared);
            ui.add_space(space::MEDIUM);
            if shared.live.metrics.is_empty() && !shared.live.is_active() {
                self.before(ui, shared);
            } else if ui.available_width() < WIDE {
                self.curves(ui, shared);
                ui.add_space(space::MEDIUM);
                beside(ui, shared);
            } else {
                let side = (0.34 * ui.available_width()).min(380.0);
                ui.horizontal_top(|ui| {
                    ui.vertical(|ui| {
                        ui.set_width(ui.available_width() - side - space::MEDIUM);
                        self.curves(ui, shared);
                    });
                    ui.vertical(|ui| {
                        ui.set_width(side);
                        beside(ui, shared);
                    });
                });
            }
        });
    }

    fn take_folder(&mut self, ctx: &egui::Context, shared: &mut Shared) {
        if self.dialog.poll()
            && let Some(Some(folder)) = self.dialog.value.take()
        {
            self.record.start(ctx, move |_| RunRecord::open(&folder).map(Box::new));
        }
        if self.record.poll()
            && let Some(record) = self.record.value.take()
        {
            shared.go_on_with(ctx, *record);
        }
    }

    fn controls(&mut self, ui: &mut Ui, shared: &mut Shared) {
        let state = shared.status.state;
        let missing = shared.missing();
        ui.horizontal_wrapped(|ui| {
            let mut ask = |command: Command| shared.commands.push(command);
            match state {
                RunState::Idle => {
                    if primary(ui, missing.is_none(), "Start").clicked() {
                        ask(Command::Start);
                    }
                    let left_off = shared.live.outcome.as_ref().is_some_and(|o| o.interrupted)
                        || shared.live.error.is_some() && (shared.live.summary.is_some() || !shared.live.metrics.is_empty());
                    if left_off && ui.button("Go on").on_hover_text("From the last checkpoint of this run").clicked() {
                        shared.run = shared.live.run.clone();
                        ask(Command::Resume);
                    }
                    #[cfg(target_arch = "wasm32")]
                    kept_runs(ui, &shared.settings.runs, &mut self.record);
                    let pick = ui.add_enabled(!self.dialog.is_running(), egui::Button::new("Go on with a run…"));
                    if pick.on_hover_text("A run folder that was stopped, here or on the command line").clicked() {
                        let start = shared.settings.runs.first().map(PathBuf::as_path);
                        self.dialog.wait_for(platform::pick(ui.ctx(), Ask::Folder, "Open a run's folder", start));
                    }
                }
                RunState::Preparing => {
                    layout::working(ui, &shared.live.progress);
                }
                RunState::Running => {
                    if ui.button("Pause").clicked() {
                        ask(Command::Pause);
                    }
                    if ui.button("Save and stop").clicked() {
                        ask(Command::Stop);
                    }
                }
                RunState::Paused => {
                    if primary(ui, true, "Continue").clicked() {
                        ask(Command::Continue);
                    }
                    if ui.button("One step").clicked() {
                        ask(Command::Step);
                    }
                    if ui.button("Save and stop").clicked() {
                        ask(Command::Stop);
                    }
                }
                RunState::Stopping => {
                    ui.add(egui::Spinner::new().size(14.0));
                    ui.label("saving");
                }
            }
            progress(ui, shared);
        });
        if let Some(error) = &self.record.error {
            ui.add_space(space::SMALL);
            trouble::show(ui, error);
        }
        if let Some(error) = &shared.live.error {
            ui.add_space(space::SMALL);
            trouble::show(ui, error);
        }
    }

    /// Nothing has run yet: what is missing, or what would run.
    fn before(&mut self, ui: &mut Ui, shared: &mut Shared) {
        match shared.missing() {
            Some((error, view)) => {
                let what = "Start a run to see its loss here";
                let why = format!("{}: {}.", sentence(&error.to_string()), error.hint().unwrap_or_default());
                if layout::empty(ui, what, &why, &format!("Go to {}", view.name())) {
                    shared.go(view);
                }
            }
            None => {
                let run = &shared.run;
                let length = match (run.steps, run.epochs) {
                    (Some(steps), _) => format!("{} steps", grouped(steps)),
                    (None, epochs) => format!("{} epochs", epochs.unwrap_or(1.0)),
                };
                let why = format!(
                    "{} on {}, {length}, {} rows a step, learning rate {}.",
                    run.method,
                    shared.model.value.as_ref().map_or("the model", |m| m.name.as_str()),
                    run.batch_size * run.accumulate,
                    number(run.resolved_lr()),
                );
                let why = match shared.machine.value.as_ref().filter(|m| platform::IS_PAGE && m.is_processor(&run.device)) {
                    Some(machine) if !machine.why.is_empty() => format!("{why} It computes on the processor: {}.", machine.why),
                    _ => why,
                };
                if layout::empty(ui, "Everything is here", &why, "Start training") {
                    shared.commands.push(Command::Start);
                }
            }
        }
    }

    fn curves(&mut self, ui: &mut Ui, shared: &mut Shared) {
        let t = tokens(ui);
        let live = &shared.live;
        let of =
            |value: &dyn Fn(&StepMetrics) -> f64| -> Vec<(f64, f64)> { live.metrics.iter().map(|m| (m.step as f64, value(m))).collect() };
        let loss = of(&|m| f64::from(m.loss));
        let mut curves = vec![
            Curve { name: "loss".into(), points: loss.clone(), colour: t.series[0], look: Look::Pale },
            Curve { name: "smoothed".into(), points: smoothed(&loss), colour: t.series[0], look: Look::Line },
        ];
        if !live.held_out.is_empty() {
            let points = live.held_out.iter().map(|(step, loss)| (*step as f64, *loss)).collect();
            curves.push(Curve { name: "held out".into(), points, colour: t.series[1], look: Look::Dots });
        }
        // Whole numbers: a steady pace is a straight line, whatever the mean's last bits are.
        let pace = smoothed(&of(&|m| m.tokens_per_second)).into_iter().map(|(step, rate)| (step, rate.round())).collect();
        let small = [
            ("learning rate", of(&|m| f64::from(m.lr)), t.series[2]),
            ("gradient norm", of(&|m| f64::from(m.grad_norm)), t.series[3]),
            ("tokens/s", pace, t.series[5]),
        ];
        let height = (ui.ctx().content_rect().height() - 420.0).clamp(200.0, 520.0);
        let log = &mut self.log;
        let (shown, ()) = card(ui, "", |ui| {
            ui.horizontal(|ui| {
                ui.label(RichText::new("Loss").text_style(theme::section_style()).color(t.text_strong));
                ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                    ui.checkbox(log, "log axis");
                    ui.label(RichText::new("drag to move, Ctrl and wheel to zoom, double-click to see all").small().color(t.text_weak));
                });
            });
            curves::show(ui, &Axes { id: "loss", height, log: *log, legend: true, x: "step" }, curves);
        });
        shared.light_up(ui, Spot::Loss, shown.rect);
        ui.add_space(space::MEDIUM);
        ui.columns(3, |columns| {
            for (ui, (name, points, colour)) in columns.iter_mut().zip(small) {
                card(ui, name, |ui| {
                    let curve = Curve { name: name.into(), points, colour, look: Look::Line };
                    curves::show(ui, &Axes { id: name, height: 110.0, log: false, legend: false, x: "step" }, vec![curve]);
                });
            }
        });
    }
}

/// Step, bar, and time left.
fn progress(ui: &mut Ui, shared: &Shared) {
    let t = tokens(ui);
    let status = &shared.status;
    let Some(share) = status.share() else { return };
    ui.add_space(space::SMALL);
    ui.add(egui::ProgressBar::new(share).desired_width(200.0).desired_height(6.0).fill(t.accent));
    let mut words = vec![format!("step {} of {}", grouped(status.step), grouped(status.steps))];
    if let Some(m) = shared.live.metrics.last() {
        words.push(format!("epoch {:.2}", m.epoch));
    }
    if let Some(seconds) = status.seconds_left {
        words.push(format!("{} left", duration(seconds)));
    }
    ui.label(RichText::new(words.join("   ")).color(t.text_weak));
}

/// What stands beside the curves: the newest numbers, what runs, what the model writes, what the run said.
fn beside(ui: &mut Ui, shared: &mut Shared) {
    let t = tokens(ui);
    let live = &shared.live;
    card(ui, "Now", |ui| {
        let last = live.metrics.last();
        let value = |f: &dyn Fn(&StepMetrics) -> String| last.map_or_else(|| "…".to_owned(), f);
        let best = live.held_out.iter().map(|h| h.1).filter(|l| l.is_finite()).min_by(f64::total_cmp);
        let mut rows = vec![
            ("loss", value(&|m| format!("{:.4}", m.loss))),
            ("gradient norm", value(&|m| number(f64::from(m.grad_norm)))),
            ("learning rate", value(&|m| number(f64::from(m.lr)))),
            ("tokens/s", value(&|m| grouped(m.tokens_per_second as u64))),
            ("time per step", value(&|m| format!("{:.0} ms", 1e3 * m.seconds()))),
        ];
        if let Some(best) = best {
            rows.insert(1, ("best held out", format!("{best:.4}")));
        }
        layout::facts(ui, "now", &rows);
    });
    ui.add_space(space::MEDIUM);
    if let Some(s) = &live.summary {
        card(ui, "Run", |ui| {
            let share = format!("{} ({:.2}%)", grouped(s.trainable), 100.0 * s.share());
            let held_out = if s.eval_rows > 0 { format!(" + {} held out", grouped(s.eval_rows)) } else { String::new() };
            let rows = [
                ("method", s.method.clone()),
                ("trained numbers", share),
                ("rows", format!("{}{held_out}", grouped(s.rows))),
                ("device", s.device.clone()),
                ("memory", human_bytes(s.memory)),
                ("folder", s.out.display().to_string()),
            ];
            layout::facts(ui, "run", &rows);
            if live.outcome.as_ref().is_some_and(|o| !o.interrupted) {
                ui.add_space(space::SMALL);
                ui.horizontal(|ui| {
                    for view in [View::Talk, View::Blocks, View::Export] {
                        if ui.button(view.name()).clicked() {
                            shared.go = Some(view);
                        }
                    }
                });
            }
        });
        ui.add_space(space::MEDIUM);
    }
    if !live.written.is_empty() {
        card(ui, "What it writes", |ui| {
            if let Some(first) = live.written.first() {
                ui.label(RichText::new(&first.prompt).color(t.text_strong));
            }
            for w in live.written.iter().rev().take(12) {
                ui.horizontal_wrapped(|ui| {
                    ui.label(RichText::new(format!("step {}", w.step)).small().color(t.text_weak));
                    ui.label(w.text.split_whitespace().collect::<Vec<_>>().join(" "));
                });
            }
        });
        ui.add_space(space::MEDIUM);
    }
    if !live.said.is_empty() {
        card(ui, "Notes", |ui| {
            for said in live.said.iter().rev().take(8) {
                if said.warning {
                    trouble::warn(ui, &said.text, None);
                } else {
                    ui.label(RichText::new(trouble::in_words(&said.text)).color(t.text_weak));
                }
            }
        });
    }
}

/// The runs that the browser keeps, to go on with.
#[cfg(target_arch = "wasm32")]
fn kept_runs(ui: &mut Ui, runs: &[PathBuf], record: &mut Slot<Box<RunRecord>>) {
    if runs.is_empty() {
        return;
    }
    ui.menu_button("Kept runs", |ui| {
        for folder in runs {
            let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            if ui.button(name).on_hover_text("Goes on from its last checkpoint").clicked() {
                let folder = folder.clone();
                record.start(ui.ctx(), move |_| RunRecord::open(&folder).map(Box::new));
                ui.close();
            }
        }
    });
}

fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |c| c.to_uppercase().chain(chars).collect())
}
