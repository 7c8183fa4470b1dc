//! Talk: the base model and tuned ones, side by side, for the same words.

use super::jobs::{Job, Slot};
use super::layout::{card, empty, field, page, primary, working};
use super::platform::{self, Ask};
use super::shared::{Shared, View};
#[cfg(not(target_arch = "wasm32"))]
use super::talk_thread::{Said, Speaker};
use super::talk_turn::{self, Answer, Turn, colour};
#[cfg(target_arch = "wasm32")]
use super::talk_worker::{Said, Speaker};
use super::theme::{space, tokens};
use super::trouble;
use crate::generate::Sampling;
use crate::generate::together::{Question, Voice};
use crate::train::adapters::Found;
use eframe::egui::{self, Align, Key, KeyboardShortcut, Layout, Modifiers, RichText, Ui, UiBuilder, Vec2};
use std::path::PathBuf;

const SEND: KeyboardShortcut = KeyboardShortcut::new(Modifiers::COMMAND, Key::Enter);
/// Seconds between looks for new adapters.
const LOOK_EVERY: f64 = 2.0;
/// The column of voices and sampling; where the page is not three times as wide, it comes first instead.
const SIDE: f32 = 276.0;
/// Turns that are kept.
const MOST_TURNS: usize = 100;

/// The page's own state.
pub struct TalkPage {
    prompt: String,
    /// Whether the box has had its first text.
    filled: bool,
    sampling: Sampling,
    most: usize,
    /// Whether words go through the model's chat template, where it has one.
    chat: bool,
    /// Whether the model as it is speaks too.
    base: bool,
    /// Adapters that speak, in the order in which they were chosen.
    chosen: Vec<PathBuf>,
    /// The one that was chosen without being asked: the newest run's. A newer one takes its place.
    by_itself: Option<PathBuf>,
    /// Folders that were added by hand.
    added: Vec<PathBuf>,
    found: Slot<Vec<Found>>,
    looked: f64,
    dialog: Option<Job<Option<PathBuf>>>,
    speaker: Option<Speaker>,
    /// The newest first.
    turns: Vec<Turn>,
    next: u64,
}

impl Default for TalkPage {
    fn default() -> Self {
        Self {
            prompt: String::new(),
            filled: false,
            sampling: Sampling { seed: 42, ..Sampling::GREEDY },
            most: 64,
            chat: true,
            base: true,
            chosen: Vec::new(),
            by_itself: None,
            added: Vec::new(),
            found: Slot::default(),
            looked: f64::NEG_INFINITY,
            dialog: None,
            speaker: None,
            turns: Vec::new(),
            next: 0,
        }
    }
}

impl TalkPage {
    /// Draws the page.
    pub fn ui(&mut self, ui: &mut Ui, shared: &mut Shared) {
        let ctx = ui.ctx().clone();
        self.look(&ctx, shared);
        self.hear();
        if !self.filled && shared.run.sample_prompt.is_some() {
            // What the run is asked while it trains is what one wants to ask here first.
            self.prompt = shared.run.sample_prompt.clone().unwrap_or_default();
            self.filled = true;
        }
        if shared.model.value.is_some() && ctx.input_mut(|i| i.consume_shortcut(&SEND)) {
            self.send(&ctx, shared);
        }
        page(ui, "Talk", "The base model and tuned ones, for the same words", |ui| {
            if shared.model.value.is_none() {
                match shared.model.progress() {
                    Some(progress) => working(ui, &progress),
                    None => self.no_model(ui, shared),
                }
                return;
            }
            if ui.available_width() < 3.0 * SIDE {
                card(ui, "", |ui| {
                    let title = format!("Voices and sampling: {}", self.speakers());
                    egui::CollapsingHeader::new(title).id_salt("voices").show(ui, |ui| {
                        self.voices(ui, shared);
                        ui.add_space(space::SMALL);
                        self.drawing(ui, shared);
                    });
                });
                ui.add_space(space::SMALL);
                self.conversation(ui, shared);
                return;
            }
            let whole = ui.available_rect_before_wrap();
            let (left, right) = whole.split_left_right_at_x(whole.right() - SIDE);
            let left = left.with_max_x(left.right() - space::MEDIUM);
            let mut column = |rect: egui::Rect, salt: &str| {
                ui.new_child(UiBuilder::new().max_rect(rect).layout(Layout::top_down(Align::Min)).id_salt(salt))
            };
            let (mut a, mut b) = (column(left, "conversation"), column(right, "side"));
            // The side first: what is ticked there is what the conversation shows.
            card(&mut b, "Voices", |ui| self.voices(ui, shared));
            b.add_space(space::SMALL);
            card(&mut b, "Sampling", |ui| self.drawing(ui, shared));
            self.conversation(&mut a, shared);
            ui.advance_cursor_after_rect(a.min_rect().union(b.min_rect()));
        });
    }

    /// Looks for adapters among the recent runs and what was added, elsewhere and now and then.
    fn look(&mut self, ctx: &egui::Context, shared: &Shared) {
        if let Some(answer) = self.dialog.as_mut().and_then(Job::poll) {
            self.dialog = None;
            if let Ok(Some(folder)) = answer {
                self.choose_added(folder);
            }
        }
        if self.found.poll() {
            self.choose_newest(shared);
        }
        let now = ctx.input(|i| i.time);
        if now - self.looked >= LOOK_EVERY && !self.found.is_running() {
            self.looked = now;
            let mut folders = shared.settings.runs.clone();
            folders.extend(self.added.iter().filter(|a| !shared.settings.runs.contains(a)).cloned());
            if !folders.is_empty() {
                self.found.start(ctx, move |_| Ok(folders.iter().filter_map(|folder| Found::look(folder)).collect()));
            }
        }
        if shared.status.state.is_active() {
            ctx.request_repaint_after(std::time::Duration::from_secs_f64(LOOK_EVERY));
        }
    }

    fn choose_added(&mut self, folder: PathBuf) {
        if !self.chosen.contains(&folder) {
            self.chosen.push(folder.clone());
        }
        if !self.added.contains(&folder) {
            self.added.push(folder);
        }
        self.looked = f64::NEG_INFINITY;
    }

    /// The newest run's adapter speaks unless the person has chosen others.
    fn choose_newest(&mut self, shared: &Shared) {
        let Some(found) = &self.found.value else { return };
        let Some(newest) = found.iter().find(|f| f.run.is_some() && !f.is_of_another(&shared.run.model)) else { return };
        let untouched = self.chosen.iter().eq(self.by_itself.iter());
        if untouched && self.by_itself.as_ref() != Some(&newest.folder) {
            self.chosen = vec![newest.folder.clone()];
            self.by_itself = Some(newest.folder.clone());
        }
    }

    /// Takes over what the thread has said.
    fn hear(&mut self) {
        let Some(speaker) = &mut self.speaker else { return };
        for said in speaker.heard() {
            let (Said::Part(id, ..) | Said::Done(id) | Said::Failed(id, _)) = &said;
            let Some(turn) = self.turns.iter_mut().find(|turn| turn.id == *id) else { continue };
            match said {
                Said::Part(_, place, part) => {
                    if let Some(answer) = turn.answers.get_mut(place) {
                        answer.take(part);
                    }
                }
                Said::Done(_) => turn.open = false,
                Said::Failed(_, error) => (turn.open, turn.error) = (false, Some(error)),
            }
        }
        if let Some(error) = speaker.ended() {
            self.speaker = None;
            if let Some(turn) = self.turns.iter_mut().find(|turn| turn.open) {
                (turn.open, turn.error) = (false, Some(error));
            }
        }
    }

    fn is_speaking(&self) -> bool {
        self.turns.first().is_some_and(|turn| turn.open)
    }

    fn can_send(&self) -> bool {
        !self.is_speaking() && !self.prompt.trim().is_empty() && (self.base || !self.chosen.is_empty())
    }

    fn send(&mut self, ctx: &egui::Context, shared: &Shared) {
        let Some(model) = shared.model.value.clone().filter(|_| self.can_send()) else { return };
        let model_has_template = model.has_template;
        let device = if shared.run.device.is_empty() { "auto" } else { &shared.run.device };
        if self.speaker.as_ref().is_none_or(|speaker| !speaker.is_of(&model, device)) {
            self.speaker = Some(Speaker::start(ctx, model, device));
        }
        let mut voices: Vec<Voice> = Vec::new();
        let mut answers = Vec::new();
        if self.base {
            voices.push(None);
            answers.push(Answer::new("Base".into(), None));
        }
        for (i, folder) in self.chosen.iter().enumerate() {
            voices.push(Some(folder.clone()));
            answers.push(Answer::new(self.name(folder), Some(i)));
        }
        let chat = self.chat && model_has_template;
        let id = self.next;
        self.next += 1;
        let question = Question { prompt: self.prompt.clone(), chat, voices, sampling: self.sampling, most: self.most };
        if let Some(speaker) = &mut self.speaker {
            speaker.ask(id, question);
        }
        let turn = Turn { id, prompt: self.prompt.clone(), sampling: self.sampling, answers, error: None, open: true, stopped: false };
        self.turns.insert(0, turn);
        self.turns.truncate(MOST_TURNS);
    }

    fn name(&self, folder: &PathBuf) -> String {
        let found = self.found.value.iter().flatten().find(|f| f.folder == *folder);
        found.map_or_else(|| folder.display().to_string(), |f| f.name.clone())
    }

    /// Who speaks, in a line.
    fn speakers(&self) -> String {
        let base = self.base.then(|| "Base".to_owned());
        let names: Vec<String> = base.into_iter().chain(self.chosen.iter().map(|folder| self.name(folder))).collect();
        if names.is_empty() { "nobody".into() } else { names.join(", ") }
    }

    fn no_model(&self, ui: &mut Ui, shared: &mut Shared) {
        if let Some(error) = &shared.model.error {
            trouble::show(ui, error);
        }
        if empty(ui, "No model is open", "Open one, train it, and ask both what they make of the same words.", "Go to Model") {
            shared.go(View::Model);
        }
    }

    /// Who speaks, and with what.
    fn voices(&mut self, ui: &mut Ui, shared: &Shared) {
        let t = tokens(ui);
        let model = shared.model.value.as_ref().map_or_else(String::new, |m| m.name.clone());
        tick(ui, &mut self.base, None, "Base", &model);
        // Ticked ones keep their line even while nothing has been found yet.
        let mut listed: Vec<Found> = self.found.value.clone().unwrap_or_default();
        for folder in &self.chosen {
            if listed.iter().all(|f| f.folder != *folder) {
                listed.push(Found { folder: folder.clone(), name: self.name(folder), run: None });
            }
        }
        for found in &listed {
            let place = self.chosen.iter().position(|c| *c == found.folder);
            let mut ticked = place.is_some();
            let method = if found.is_of_another(&shared.run.model) { "of another model".to_owned() } else { found.method() };
            let response = tick(ui, &mut ticked, place, &found.name, &method);
            if response.on_hover_text(found.folder.display().to_string()).changed() {
                match place {
                    Some(place) => _ = self.chosen.remove(place),
                    None => self.chosen.push(found.folder.clone()),
                }
            }
        }
        if listed.is_empty() {
            ui.label(RichText::new("No run has an adapter yet. Train one, or add a folder.").small().color(t.text_weak));
        }
        ui.add_space(space::TIGHT);
        if ui.button("Add an adapter…").clicked() {
            let start = shared.settings.runs.first().cloned();
            self.dialog = Some(platform::pick(ui.ctx(), Ask::Folder, "Add an adapter's folder", start.as_deref()));
        }
        let device = shared.machine.value.as_ref().and_then(|machine| machine.device(&shared.run.device)).map(|d| d.name.clone());
        let on = device.unwrap_or_else(|| shared.run.device.clone());
        ui.add(egui::Label::new(RichText::new(format!("on {on}")).small().color(t.text_weak)).truncate());
    }

    /// How tokens are drawn.
    fn drawing(&mut self, ui: &mut Ui, shared: &Shared) {
        let s = &mut self.sampling;
        field(ui, "Temperature", "Randomness: 0 takes the most likely token each time, 1 draws as the model says", |ui| {
            let speed = egui::DragValue::new(&mut s.temperature).range(0.0..=5.0).speed(0.01).max_decimals(2);
            named(ui.add(speed), "Temperature");
            if s.temperature <= 0.0 {
                ui.label(RichText::new("greedy").color(tokens(ui).text_weak));
            }
        });
        let random = s.temperature > 0.0;
        ui.add_enabled_ui(random, |ui| {
            field(ui, "Top-k", "Draws from the k most likely tokens; 0: from all", |ui| {
                let all = |n: f64, _| if n == 0.0 { "all".to_owned() } else { format!("{n:.0}") };
                named(ui.add(egui::DragValue::new(&mut s.top_k).range(0..=100_000).custom_formatter(all)), "Top-k");
            });
            field(ui, "Top-p", "Draws from the most likely tokens that together have this probability", |ui| {
                named(ui.add(egui::DragValue::new(&mut s.top_p).range(0.01..=1.0).speed(0.005).max_decimals(3)), "Top-p");
            });
            field(ui, "Seed", "The same seed gives the same text", |ui| {
                named(ui.add(egui::DragValue::new(&mut s.seed).range(0..=u64::from(u32::MAX))), "Seed");
            });
        });
        field(ui, "Most tokens", "An answer ends there, if the model does not end it before", |ui| {
            named(ui.add(egui::DragValue::new(&mut self.most).range(1..=8192)), "Most tokens");
        });
        if shared.model.value.as_ref().is_some_and(|model| model.has_template) {
            ui.checkbox(&mut self.chat, "Chat template")
                .on_hover_text("What you write is put to the model as a person's turn; else it is continued as it stands");
        }
    }

    fn conversation(&mut self, ui: &mut Ui, shared: &mut Shared) {
        let t = tokens(ui);
        card(ui, "", |ui| {
            let edit = egui::TextEdit::multiline(&mut self.prompt).desired_width(f32::INFINITY).desired_rows(3);
            self.filled |= named(ui.add(edit.hint_text("Write something to continue")), "Prompt").changed();
            ui.add_space(space::TIGHT);
            ui.horizontal_wrapped(|ui| {
                if self.is_speaking() {
                    if ui.button("Stop").clicked() {
                        if let Some(speaker) = &self.speaker {
                            speaker.stop();
                        }
                        if let Some(turn) = self.turns.first_mut() {
                            turn.stopped = true;
                        }
                    }
                    match self.speaker.as_ref().and_then(Speaker::progress) {
                        Some(progress) => working(ui, &progress),
                        None => _ = ui.add(egui::Spinner::new().size(14.0).color(t.accent)),
                    }
                    return;
                }
                if primary(ui, self.can_send(), "Send").clicked() {
                    self.send(ui.ctx(), shared);
                }
                let keys = ui.ctx().format_shortcut(&SEND);
                let why = if !self.base && self.chosen.is_empty() { "tick a voice first".to_owned() } else { keys };
                ui.label(RichText::new(why).small().color(t.text_weak));
                if !self.turns.is_empty() {
                    ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                        if ui.button("Clear").on_hover_text("Forgets these questions and answers").clicked() {
                            self.turns.clear();
                        }
                    });
                }
            });
        });
        let mut again = None;
        for turn in &self.turns {
            ui.add_space(space::SMALL);
            if talk_turn::show(ui, turn) {
                again = Some(turn.prompt.clone());
            }
        }
        if let Some(prompt) = again {
            self.prompt = prompt;
        }
        if self.turns.is_empty() {
            ui.add_space(space::LARGE);
            ui.vertical_centered(|ui| {
                ui.label(RichText::new("Every voice that is ticked answers the same words, a token each in turn.").color(t.text_weak));
            });
        }
    }
}

/// A voice's line: a box to tick, its colour, its name, and what it is.
fn tick(ui: &mut Ui, ticked: &mut bool, place: Option<usize>, name: &str, what: &str) -> egui::Response {
    let t = tokens(ui);
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = space::TIGHT;
        let response = ui.checkbox(ticked, "");
        response.ctx.accesskit_node_builder(response.id, |node| node.set_label(format!("{name} speaks")));
        let (rect, _) = ui.allocate_exact_size(Vec2::new(3.0, 14.0), egui::Sense::hover());
        let speaks = *ticked;
        ui.painter().rect_filled(rect, 1.5, if speaks { colour(t, place) } else { t.border_strong });
        ui.add(egui::Label::new(RichText::new(name).color(if speaks { t.text_strong } else { t.text })).truncate());
        ui.add(egui::Label::new(RichText::new(what).small().color(t.text_weak)).truncate());
        response
    })
    .inner
}

/// Gives a control without a text of its own its name.
fn named(response: egui::Response, name: &'static str) -> egui::Response {
    response.ctx.accesskit_node_builder(response.id, |node| node.set_label(name));
    response
}
