//! What stands around every page: menus, navigation, status bar, the question before closing, files that are dropped.

use super::actions::{self, Action};
use super::icons;
use super::layout::duration;
use super::platform::{self, Ask};
use super::shared::{Command, RunState, Shared, View};
use super::theme::{self, space, tokens};
use crate::train::RunConfig;
use eframe::egui::{self, Align, Align2, Frame, Layout, Margin, Rect, RichText, Sense, Stroke, Ui, Vec2};
use std::path::PathBuf;

/// Below this width the navigation shows icons alone.
const NARROW: f32 = 860.0;
/// Seconds between two titles that say nothing but how far a run has come.
const TITLE: f64 = 5.0;

/// The frame around the pages.
#[derive(Default)]
pub struct Shell {
    /// The page that is shown.
    pub view: View,
    title: String,
    /// When the title was last changed, and what the run was doing then.
    titled: f64,
    titled_for: RunState,
    model_dialog: Option<super::jobs::Job<Option<PathBuf>>>,
    data_dialog: Option<super::jobs::Job<Option<PathBuf>>>,
    asks_to_close: bool,
    /// The window closes as soon as the run has been saved.
    closes_when_saved: bool,
    shows_about: bool,
}

impl Shell {
    /// The frame with a page open.
    pub fn at(view: View) -> Self {
        Self { view, ..Self::default() }
    }

    /// What comes before the page: shortcuts, bars, dialogs. Call it first in a frame.
    pub fn before(&mut self, ui: &mut Ui, shared: &mut Shared) {
        let ctx = ui.ctx().clone();
        self.shortcuts(&ctx, shared);
        self.take_dropped(&ctx, shared);
        self.take_dialogs(&ctx, shared);
        if let Some(view) = shared.go.take() {
            self.view = view;
        }
        self.title(&ctx, shared);
        self.menus(ui, shared);
        self.status(ui, shared);
        self.navigation(ui, shared);
        self.closing(&ctx, shared);
    }

    /// What lies upon the page. Call it last in a frame.
    pub fn after(&mut self, ui: &mut Ui, shared: &mut Shared) {
        let ctx = ui.ctx().clone();
        self.close_dialog(&ctx, shared);
        self.about(&ctx);
        show_drop_target(&ctx);
    }

    fn shortcuts(&mut self, ctx: &egui::Context, shared: &mut Shared) {
        let pressed = actions::pressed(ctx, shared);
        for action in pressed {
            self.act(action, ctx, shared);
        }
    }

    fn act(&mut self, action: Action, ctx: &egui::Context, shared: &mut Shared) {
        match action {
            Action::OpenModel => {
                shared.go(View::Model);
                self.model_dialog = Some(platform::pick(ctx, Ask::Folder, "Open a model's folder", Some(&shared.run.model)));
            }
            Action::OpenData => {
                shared.go(View::Data);
                self.data_dialog = Some(platform::pick(ctx, Ask::File, "Open rows of text", Some(shared.run.data.first())));
            }
            Action::OpenDemo => {
                shared.open_demo(ctx);
                shared.go(View::Model);
            }
            Action::NewRun => {
                let kept = (shared.run.model.clone(), shared.run.data.clone(), shared.run.device.clone());
                shared.run = RunConfig { model: kept.0, data: kept.1, device: kept.2, ..RunConfig::default() };
                shared.go(View::Method);
            }
            Action::Quit => ctx.send_viewport_cmd(egui::ViewportCommand::Close),
            Action::Run(command) => {
                shared.commands.push(command);
                shared.go(View::Train);
            }
            Action::Go(view) => shared.go(view),
            Action::SwitchTheme => {
                let next = if ctx.theme() == egui::Theme::Dark { egui::ThemePreference::Light } else { egui::ThemePreference::Dark };
                set_theme(ctx, shared, next);
            }
            Action::FollowSystem => set_theme(ctx, shared, egui::ThemePreference::System),
            // The keys themselves are egui's own.
            Action::Zoom(1) => egui::gui_zoom::zoom_in(ctx),
            Action::Zoom(0) => ctx.set_zoom_factor(1.0),
            Action::Zoom(_) => egui::gui_zoom::zoom_out(ctx),
            Action::About => self.shows_about = true,
        }
    }

    fn menus(&mut self, ui: &mut Ui, shared: &mut Shared) {
        let t = tokens(ui);
        let frame = Frame::new().fill(t.surface).inner_margin(Margin::symmetric(space::SMALL as i8, 2));
        let mut chosen = None;
        egui::Panel::top("menus").frame(frame).show(ui, |ui| {
            egui::MenuBar::new().ui(ui, |ui| {
                let mut entry = |ui: &mut Ui, text: &str, action: Action| {
                    let mut button = egui::Button::new(text);
                    if let Some(keys) = action.keys() {
                        button = button.shortcut_text(ui.ctx().format_shortcut(&keys));
                    }
                    if ui.add_enabled(action.is_possible(shared), button).clicked() {
                        chosen = Some(action);
                        ui.close();
                    }
                };
                ui.menu_button("File", |ui| {
                    ui.set_min_width(230.0);
                    entry(ui, "Open model…", Action::OpenModel);
                    entry(ui, "Open rows…", Action::OpenData);
                    entry(ui, "Open the bundled demo", Action::OpenDemo);
                    if !platform::IS_PAGE {
                        ui.separator();
                        entry(ui, "Quit", Action::Quit);
                    }
                });
                ui.menu_button("Run", |ui| {
                    ui.set_min_width(230.0);
                    entry(ui, "Start", Action::Run(Command::Start));
                    if shared.status.state == RunState::Paused {
                        entry(ui, "Continue", Action::Run(Command::Continue));
                    } else {
                        entry(ui, "Pause", Action::Run(Command::Pause));
                    }
                    entry(ui, "One step", Action::Run(Command::Step));
                    entry(ui, "Save and stop", Action::Run(Command::Stop));
                    ui.separator();
                    entry(ui, "Options back to defaults", Action::NewRun);
                });
                ui.menu_button("View", |ui| {
                    ui.set_min_width(230.0);
                    for view in View::ALL {
                        entry(ui, view.name(), Action::Go(view));
                    }
                    ui.separator();
                    entry(ui, "Light or dark", Action::SwitchTheme);
                    entry(ui, "Theme as the system has it", Action::FollowSystem);
                    ui.separator();
                    entry(ui, "Zoom in", Action::Zoom(1));
                    entry(ui, "Zoom out", Action::Zoom(-1));
                    entry(ui, "Zoom back to 100%", Action::Zoom(0));
                });
                ui.menu_button("Help", |ui| {
                    ui.set_min_width(230.0);
                    entry(ui, "How DiaBlo works", Action::Go(View::Learn));
                    entry(ui, "About diablo", Action::About);
                });
            });
        });
        if let Some(action) = chosen {
            let ctx = ui.ctx().clone();
            self.act(action, &ctx, shared);
        }
    }

    fn navigation(&mut self, ui: &mut Ui, shared: &mut Shared) {
        let t = tokens(ui);
        let narrow = ui.ctx().content_rect().width() < NARROW;
        let width = if narrow { 44.0 } else { 136.0 };
        let frame = Frame::new().fill(t.surface).inner_margin(Margin::symmetric(6, space::SMALL as i8));
        egui::Panel::left("navigation").frame(frame).resizable(false).exact_size(width).show(ui, |ui| {
            ui.spacing_mut().item_spacing.y = 2.0;
            egui::ScrollArea::vertical().show(ui, |ui| {
                for view in View::ALL {
                    // Where one is taken is above, what one is taught below.
                    if view == View::Learn {
                        ui.add_space(space::TIGHT);
                        ui.separator();
                        ui.add_space(space::TIGHT);
                    }
                    if entry(ui, view, self.view == view, narrow).clicked() {
                        shared.go(view);
                    }
                }
            });
        });
    }

    fn status(&mut self, ui: &mut Ui, shared: &mut Shared) {
        let t = tokens(ui);
        let frame = Frame::new().fill(t.surface).inner_margin(Margin::symmetric(space::MEDIUM as i8, 2));
        egui::Panel::bottom("status").frame(frame).show(ui, |ui| {
            ui.horizontal(|ui| {
                ui.set_min_height(18.0);
                ui.style_mut().override_text_style = Some(egui::TextStyle::Small);
                let quiet = |text: String| RichText::new(text).color(t.text_weak);
                let device = shared.status.device.clone().or_else(|| {
                    let machine = shared.machine.value.as_ref()?;
                    Some(machine.device(&shared.run.device).map_or_else(|| format!("{}: not found", shared.run.device), |d| d.name.clone()))
                });
                ui.label(quiet(device.unwrap_or_else(|| "looking for devices…".into())));
                if let Some(memory) = shared.memory_text() {
                    ui.separator();
                    ui.label(quiet(memory));
                }
                let status = &shared.status;
                let word = match status.state {
                    RunState::Idle => None,
                    RunState::Preparing => Some("preparing"),
                    RunState::Running => Some("training"),
                    RunState::Paused => Some("paused"),
                    RunState::Stopping => Some("saving"),
                };
                if let Some(word) = word {
                    ui.separator();
                    ui.label(RichText::new(word).color(t.accent));
                }
                if status.steps > 0 {
                    ui.separator();
                    ui.label(quiet(format!("step {} of {}", status.step, status.steps)));
                }
                if let Some(seconds) = status.seconds_left {
                    ui.separator();
                    ui.label(quiet(format!("{} left", duration(seconds))));
                }
                ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                    let zoom = ui.ctx().zoom_factor();
                    if (zoom - 1.0).abs() > 0.01 {
                        ui.label(quiet(format!("{:.0}%", 100.0 * zoom)));
                    }
                    if let Some(notice) = &shared.notice {
                        ui.add(egui::Label::new(quiet(notice.clone())).truncate());
                    }
                });
            });
        });
    }

    fn title(&mut self, ctx: &egui::Context, shared: &Shared) {
        let mut title = String::from("diablo");
        if let Some(model) = &shared.model.value {
            title = format!("{} - {title}", model.name);
        }
        if shared.status.state.is_active() {
            let share = shared.status.share().map_or_else(String::new, |s| format!("{:.0}% ", 100.0 * s));
            title = format!("{share}{title}");
        }
        // A new title draws the window twice more: a small model would change it with every other step.
        let now = ctx.input(|i| i.time);
        let due = now - self.titled >= TITLE || shared.status.state != self.titled_for;
        if title != self.title && due {
            (self.titled, self.titled_for) = (now, shared.status.state);
            ctx.send_viewport_cmd(egui::ViewportCommand::Title(title.clone()));
            self.title = title;
        }
    }

    fn take_dialogs(&mut self, ctx: &egui::Context, shared: &mut Shared) {
        if let Some(answer) = self.model_dialog.as_mut().and_then(super::jobs::Job::poll) {
            self.model_dialog = None;
            if let Ok(Some(folder)) = answer {
                shared.open_model(ctx, folder);
            }
        }
        if let Some(answer) = self.data_dialog.as_mut().and_then(super::jobs::Job::poll) {
            self.data_dialog = None;
            if let Ok(Some(file)) = answer {
                shared.open_data(ctx, file);
            }
        }
    }

    fn take_dropped(&mut self, ctx: &egui::Context, shared: &mut Shared) {
        let dropped = platform::dropped(ctx);
        for path in dropped {
            let name = path.file_name().map(|n| n.to_string_lossy().to_lowercase()).unwrap_or_default();
            let of_a_model = name.ends_with(".safetensors") || name == "config.json" || name == "tokenizer.json";
            match (platform::is_folder(&path), path.parent()) {
                (true, _) => {
                    shared.go(View::Model);
                    shared.open_model(ctx, path);
                }
                (false, Some(folder)) if of_a_model => {
                    shared.go(View::Model);
                    shared.open_model(ctx, folder.to_path_buf());
                }
                _ => {
                    shared.go(View::Data);
                    shared.open_data(ctx, path);
                }
            }
        }
    }

    fn closing(&mut self, ctx: &egui::Context, shared: &mut Shared) {
        let active = shared.status.state.is_active();
        if ctx.input(|i| i.viewport().close_requested()) && active {
            ctx.send_viewport_cmd(egui::ViewportCommand::CancelClose);
            self.asks_to_close = !self.closes_when_saved;
        }
        if self.closes_when_saved && !active {
            self.closes_when_saved = false;
            ctx.send_viewport_cmd(egui::ViewportCommand::Close);
        }
    }

    fn close_dialog(&mut self, ctx: &egui::Context, shared: &mut Shared) {
        if !self.asks_to_close {
            return;
        }
        let modal = egui::Modal::new(egui::Id::unique("close")).show(ctx, |ui| {
            let t = tokens(ui);
            ui.set_width(360.0);
            ui.label(RichText::new("A run is going on").text_style(theme::section_style()).color(t.text_strong));
            ui.add_space(space::SMALL);
            let status = &shared.status;
            ui.label(format!(
                "{} is at step {} of {}. It can be saved now and resumed later with not a step lost.",
                status.name, status.step, status.steps
            ));
            ui.add_space(space::LARGE);
            ui.horizontal(|ui| {
                if super::layout::primary(ui, true, "Save and close").clicked() {
                    shared.commands.push(Command::Stop);
                    (self.asks_to_close, self.closes_when_saved) = (false, true);
                }
                if ui.button("Keep training").clicked() {
                    self.asks_to_close = false;
                }
            });
        });
        if modal.should_close() {
            self.asks_to_close = false;
        }
    }

    fn about(&mut self, ctx: &egui::Context) {
        if !self.shows_about {
            return;
        }
        let modal = egui::Modal::new(egui::Id::unique("about")).show(ctx, |ui| {
            let t = tokens(ui);
            ui.set_width(380.0);
            ui.label(
                RichText::new(format!("diablo {}", env!("CARGO_PKG_VERSION"))).text_style(theme::section_style()).color(t.text_strong),
            );
            ui.add_space(space::SMALL);
            ui.label("Fine-tunes small transformers with diagonal blocks, on any GPU or on the processor.");
            ui.add_space(space::SMALL);
            ui.label(RichText::new("The method: Diagonal Blocks Are Sufficient For Finetuning, arXiv 2506.03230.").color(t.text_weak));
            ui.add_space(space::LARGE);
            ui.button("Close").clicked()
        });
        if modal.inner || modal.should_close() {
            self.shows_about = false;
        }
    }
}

fn set_theme(ctx: &egui::Context, shared: &mut Shared, theme: egui::ThemePreference) {
    shared.settings.theme = theme;
    ctx.set_theme(theme);
}

/// One entry of the navigation: icon and name; a bar at its left where it is chosen.
fn entry(ui: &mut Ui, view: View, chosen: bool, narrow: bool) -> egui::Response {
    let t = tokens(ui);
    let size = Vec2::new(ui.available_width(), 28.0);
    let (rect, response) = ui.allocate_exact_size(size, Sense::CLICK);
    response.widget_info(|| egui::WidgetInfo::selected(egui::Role::Tab, true, chosen, view.name()));
    let colour = if chosen || response.hovered() { t.text_strong } else { t.text_weak };
    if chosen || response.hovered() {
        ui.painter().rect_filled(rect, space::RADIUS, if chosen { t.accent_soft } else { t.raised });
    }
    if chosen {
        let bar = Rect::from_min_size(rect.min + Vec2::new(0.0, 6.0), Vec2::new(3.0, rect.height() - 12.0));
        ui.painter().rect_filled(bar, 1.5, t.accent);
    }
    if response.has_focus() {
        ui.painter().rect_stroke(rect, space::RADIUS, Stroke::new(1.5, t.accent), egui::StrokeKind::Inside);
    }
    let side = 16.0;
    let left = if narrow { rect.center().x - 0.5 * side } else { rect.left() + 10.0 };
    let icon = Rect::from_min_size(egui::pos2(left, rect.center().y - 0.5 * side), Vec2::splat(side));
    icons::draw(ui.painter(), view, icon, if chosen { t.accent } else { colour });
    if narrow {
        return response.on_hover_text(view.name());
    }
    let font = egui::TextStyle::Body.resolve(ui.style());
    ui.painter().text(egui::pos2(icon.right() + 10.0, rect.center().y), Align2::LEFT_CENTER, view.name(), font, colour);
    response
}

/// While files hang over the window: where they will go.
fn show_drop_target(ctx: &egui::Context) {
    if ctx.input(|i| i.raw.hovered_files.is_empty()) {
        return;
    }
    let painter = ctx.layer_painter(egui::LayerId::new(egui::Order::Foreground, egui::Id::unique("drop")));
    let (rect, t) = (ctx.content_rect(), theme::of(ctx.theme()));
    painter.rect_filled(rect, 0.0, t.background.gamma_multiply(0.85));
    let font = egui::FontId::proportional(theme::size::PAGE);
    painter.text(rect.center(), Align2::CENTER_CENTER, "Drop a model's folder or a file of rows", font, t.text_strong);
}
