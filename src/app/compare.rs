//! Compare: several runs beside each other, in one plot and one table, and what could be run next.

use super::compare_again::Again;
use super::compare_export::Export;
use super::jobs::{Job, Slot};
use super::layout::{card, empty, page, working};
use super::platform::{self, Ask};
use super::shared::{Command, Shared, Spot, View};
use super::theme::{space, tokens};
use super::{compare_plot, compare_table, trouble};
use crate::train::RunConfig;
use crate::train::compare::export::Axes;
use crate::train::compare::{self, Column, Compared};
use eframe::egui::{self, Align, Layout, RichText, Ui};
use std::collections::{HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Seconds between looks at whether a folder has grown.
const LOOK_EVERY: f64 = 0.5;
/// A long run takes long to read: this share of the time is spent on it at most.
const READ_SHARE: f64 = 0.1;

/// A run in the list.
pub(super) struct Entry {
    pub folder: PathBuf,
    /// Its place among the colours; it keeps it.
    pub colour: usize,
    /// Whether the plot shows it.
    pub shown: bool,
    /// The run as it was last read.
    pub run: Slot<Arc<Compared>>,
    /// What the folder's stamp was then, and when that was.
    stamp: u64,
    begun: f64,
    took: f64,
}

/// The page's own state.
pub struct ComparePage {
    entries: Vec<Entry>,
    /// Folders that have been put into the list by themselves: one that was removed does not come back.
    seen: HashSet<PathBuf>,
    colours: usize,
    looked: f64,
    axes: Axes,
    /// Whether the plot shows the losses as they are, beside the smoothed ones.
    raw: bool,
    sort: (Column, bool),
    dialog: Option<Job<Option<PathBuf>>>,
    again: Option<Again>,
    export: Export,
}

impl Default for ComparePage {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            seen: HashSet::new(),
            colours: 0,
            looked: f64::NEG_INFINITY,
            axes: Axes::default(),
            raw: true,
            sort: (Column::HeldOut, false),
            dialog: None,
            again: None,
            export: Export::default(),
        }
    }
}

impl ComparePage {
    /// Draws the page.
    pub fn ui(&mut self, ui: &mut Ui, shared: &mut Shared) {
        let ctx = ui.ctx().clone();
        self.collect(shared);
        self.read(&ctx);
        if let Some(answer) = self.dialog.as_mut().and_then(Job::poll) {
            self.dialog = None;
            if let Ok(Some(folder)) = answer {
                shared.settings.remember_run(&folder);
                self.add(folder);
            }
        }
        page(ui, "Compare", "Several runs beside each other", |ui| {
            if self.entries.is_empty() {
                self.nothing_yet(ui, shared);
                return;
            }
            self.tools(ui, shared);
            ui.add_space(space::SMALL);
            let names = self.names();
            // The table below it stays in sight while the list is short.
            let below = 150.0 + compare_table::height(self.entries.len());
            let height = (ui.available_height() - below).clamp(180.0, 520.0);
            card(ui, "", |ui| compare_plot::show(ui, &mut self.entries, &names, &mut self.axes, &mut self.raw, height));
            ui.add_space(space::SMALL);
            self.table(ui, shared, &names);
        });
        self.dialogs(&ctx, shared);
    }

    /// Puts recent runs, and the one that goes on, into the list.
    fn collect(&mut self, shared: &Shared) {
        // Before its first file is there, a run cannot be read.
        let current = Some(&shared.live.run.out).filter(|out| shared.live.is_active() && compare::stamp(out) > 0).cloned();
        // The oldest first, so that the newest has the last line and the others keep their colours.
        let found: Vec<PathBuf> = shared.settings.runs.iter().rev().cloned().chain(current).collect();
        for folder in found {
            if !self.seen.contains(&folder) && platform::is_folder(&folder) {
                self.add(folder);
            }
        }
    }

    fn add(&mut self, folder: PathBuf) {
        self.seen.insert(folder.clone());
        if self.entries.iter().any(|e| e.folder == folder) {
            return;
        }
        let entry =
            Entry { folder, colour: self.colours, shown: true, run: Slot::default(), stamp: 0, begun: f64::NEG_INFINITY, took: 0.0 };
        self.colours += 1;
        self.entries.push(entry);
        self.looked = f64::NEG_INFINITY;
    }

    /// Reads what has not been read, or has grown since.
    fn read(&mut self, ctx: &egui::Context) {
        let now = ctx.input(|i| i.time);
        let look = now - self.looked >= LOOK_EVERY;
        let mut grows = false;
        for entry in &mut self.entries {
            let was_running = entry.run.is_running();
            entry.run.poll();
            if was_running && !entry.run.is_running() {
                entry.took = now - entry.begun;
            }
            grows |= entry.run.is_running() || entry.run.value.as_ref().is_some_and(|run| !run.facts.is_complete());
            let rested = now - entry.begun > entry.took / READ_SHARE;
            let known = entry.run.value.is_some() || entry.run.error.is_some();
            if !look || entry.run.is_running() || (known && !rested) {
                continue;
            }
            let stamp = compare::stamp(&entry.folder);
            if !known || stamp != entry.stamp {
                (entry.stamp, entry.begun) = (stamp, now);
                let folder = entry.folder.clone();
                entry.run.start(ctx, move |_| Compared::open(&folder).map(Arc::new));
            }
        }
        if look {
            self.looked = now;
        }
        if grows {
            ctx.request_repaint_after(std::time::Duration::from_secs_f64(LOOK_EVERY));
        }
    }

    fn names(&self) -> Vec<String> {
        compare::names(self.entries.iter().map(|e| e.folder.as_path()))
    }

    fn nothing_yet(&mut self, ui: &mut Ui, shared: &mut Shared) {
        if empty(ui, "No runs yet", "Runs that you start appear here with their losses, sizes and times.", "Go to Train") {
            shared.go(View::Train);
        }
        ui.vertical_centered(|ui| {
            ui.add_space(space::TIGHT);
            if ui.button("Add a run folder…").clicked() {
                self.choose_folder(ui.ctx(), shared);
            }
        });
    }

    fn choose_folder(&mut self, ctx: &egui::Context, shared: &Shared) {
        let start = shared.settings.runs.first().and_then(|run| run.parent()).map(Path::to_path_buf);
        self.dialog = Some(platform::pick(ctx, Ask::Folder, "Add a run's folder", start.as_deref()));
    }

    fn tools(&mut self, ui: &mut Ui, shared: &mut Shared) {
        let t = tokens(ui);
        ui.horizontal_wrapped(|ui| {
            let missing: Vec<PathBuf> =
                shared.settings.runs.iter().filter(|run| self.entries.iter().all(|e| e.folder != **run)).cloned().collect();
            if missing.is_empty() {
                if ui.button("Add run…").clicked() {
                    self.choose_folder(ui.ctx(), shared);
                }
            } else {
                ui.menu_button("Add run…", |ui| {
                    for run in missing {
                        if ui.button(run.display().to_string()).clicked() {
                            self.add(run);
                        }
                    }
                    ui.separator();
                    if ui.button("Choose a folder…").clicked() {
                        self.choose_folder(ui.ctx(), shared);
                    }
                });
            }
            let read: Vec<Arc<Compared>> = self.entries.iter().filter_map(|e| e.run.value.clone()).collect();
            let sweep = ui.add_enabled(!read.is_empty(), egui::Button::new("Sweep…"));
            if sweep.on_hover_text("The same run with several learning rates, or several sizes, one after the other").clicked() {
                self.again = Again::sweep(read.clone());
            }
            if ui.add_enabled(!read.is_empty(), egui::Button::new("Export…")).clicked() {
                self.export.open(&read[0].record.folder);
            }
            if !shared.queue.is_empty() {
                ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                    if ui.button("Clear queue").clicked() {
                        shared.queue.clear();
                    }
                    let what = if shared.queue.len() == 1 { "1 run waits".to_owned() } else { format!("{} runs wait", shared.queue.len()) };
                    let waiting: Vec<String> = shared.queue.iter().map(|run| run.out.display().to_string()).collect();
                    ui.label(RichText::new(what).color(t.text_weak)).on_hover_text(waiting.join("\n"));
                });
            }
        });
    }

    fn table(&mut self, ui: &mut Ui, shared: &mut Shared, names: &[String]) {
        let mut asked = None;
        let (response, ()) = card(ui, "", |ui| {
            asked = compare_table::show(ui, &mut self.entries, names, &mut self.sort);
        });
        shared.light_up(ui, Spot::Runs, response.rect);
        for entry in &self.entries {
            if let Some(error) = &entry.run.error {
                ui.add_space(space::TIGHT);
                trouble::show(ui, error);
            }
        }
        if let Some(progress) = self.entries.iter().filter(|e| e.run.value.is_none()).find_map(|e| e.run.progress()) {
            working(ui, &super::jobs::Progress { what: "reading runs".into(), ..progress });
        }
        match asked {
            Some(compare_table::Asked::Same(i)) => {
                self.again = self.entries.get(i).and_then(|e| e.run.value.clone()).map(Again::same);
            }
            Some(compare_table::Asked::Remove(i)) => {
                self.entries.remove(i);
            }
            None => (),
        }
    }

    fn dialogs(&mut self, ctx: &egui::Context, shared: &mut Shared) {
        if let Some(again) = &mut self.again {
            let outcome = again.show(ctx, shared);
            if outcome.is_some() {
                self.again = None;
            }
            if let Some(Some(runs)) = outcome {
                Self::begin(ctx, shared, runs);
            }
        }
        let names = self.names();
        let order = compare_table::order(&self.entries, self.sort);
        let shown = order.into_iter().filter(|i| self.entries[*i].shown);
        let runs = shown.filter_map(|i| Some((names[i].clone(), self.entries[i].colour, self.entries[i].run.value.clone()?)));
        self.export.show(ctx, shared, runs.collect(), self.axes);
    }

    /// Starts the first of these runs and lets the others wait; all of them where a run goes on.
    fn begin(ctx: &egui::Context, shared: &mut Shared, runs: Vec<RunConfig>) {
        let mut runs = VecDeque::from(runs);
        if shared.live.is_active() {
            let n = runs.len();
            shared.notice = Some(if n == 1 { "1 run waits its turn".into() } else { format!("{n} runs wait their turn") });
            shared.queue.extend(runs);
            return;
        }
        let Some(first) = runs.pop_front() else { return };
        // The other pages show the model and the rows that the run has.
        let other_model = shared.model.value.is_none() || shared.run.model != first.model;
        let other_rows = shared.run.data != first.data;
        shared.run = first;
        if other_model {
            shared.open_model(ctx, shared.run.model.clone());
        } else if other_rows {
            shared.open_data(ctx, shared.run.data.clone());
        }
        shared.queue.extend(runs);
        shared.commands.push(Command::Start);
        shared.go(View::Train);
    }
}
