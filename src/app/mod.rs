//! The app: the same runs as the command line's, in a window.
//!
//! # How a view is written
//!
//! - **State.** Each page is a struct of its own in a file of its own, with `fn ui(&mut self, ui: &mut egui::Ui, shared: &mut
//!   Shared)`. What only the page needs lives in that struct; what others need lives in [`Shared`]: the run that is being put
//!   together ([`Shared::run`], a [`RunConfig`](crate::train::RunConfig)), the open model and rows, the machine, the status of
//!   the run that goes on. [`Shared::go`] takes the person to another page.
//! - **The run.** Menus, shortcuts and buttons push a [`Command`](shared::Command) onto [`Shared::commands`]; the engine takes
//!   them once a frame and keeps [`Shared::status`] up to date, from which the title, the status bar and the question before
//!   closing follow. [`Shared::missing`] says why a run cannot be started and where to go for what is missing.
//! - **Work.** Nothing that may take more than a few milliseconds runs in `ui`. [`jobs::Job::start`] runs a closure elsewhere and
//!   asks for a frame when it has news; [`jobs::Slot`] keeps the newest value, the running job and the last error. Poll it at the
//!   top of `ui`.
//! - **Errors.** [`trouble::show`] draws an [`Error`](crate::error::Error) (what, where, what to do) right below the control that
//!   caused it; [`trouble::warn`] what is allowed and probably not meant.
//! - **Looks.** Colours and distances come from [`theme`] alone; pages, cards, form rows and empty pages from [`layout`]. A part
//!   that the walk in Learn speaks of calls [`Shared::light_up`] with its rectangle.
//! - **The system.** Files, threads, dialogs and clocks are in [`platform`] alone, so that the same pages run in a browser.

// In a browser nothing leaves the one thread; on a desktop the same values do.
#![cfg_attr(target_arch = "wasm32", allow(clippy::arc_with_non_send_sync))]

pub mod actions;
pub mod blocks;
pub mod compare;
mod compare_again;
mod compare_export;
mod compare_plot;
mod compare_table;
pub mod curves;
pub mod data;
pub mod engine;
pub mod export;
#[cfg(target_arch = "wasm32")]
mod export_download;
#[cfg(not(target_arch = "wasm32"))]
mod export_folder;
mod export_lines;
pub mod icons;
pub mod jobs;
pub mod layout;
pub mod learn;
pub mod live;
pub mod method;
pub mod model;
pub mod opened;
pub mod platform;
pub mod settings;
pub mod shared;
pub mod shell;
pub mod talk;
#[cfg(not(target_arch = "wasm32"))]
mod talk_thread;
mod talk_turn;
#[cfg(target_arch = "wasm32")]
mod talk_worker;
pub mod theme;
pub mod tiles;
pub mod tokens_view;
#[cfg(not(target_arch = "wasm32"))]
pub mod tour;
pub mod train;
pub mod trouble;
#[cfg(target_arch = "wasm32")]
mod visit;
#[cfg(not(target_arch = "wasm32"))]
pub mod window;

pub use shared::{Shared, View};
#[cfg(not(target_arch = "wasm32"))]
pub use window::run;

use eframe::egui;

/// The window's content.
pub struct DiabloApp {
    /// What all pages see.
    pub shared: Shared,
    engine: engine::Engine,
    shell: shell::Shell,
    model: model::ModelPage,
    data: data::DataPage,
    method: method::MethodPage,
    train: train::TrainPage,
    blocks: blocks::BlocksPage,
    compare: compare::ComparePage,
    talk: talk::TalkPage,
    export: export::ExportPage,
    learn: learn::LearnPage,
    #[cfg(not(target_arch = "wasm32"))]
    tour: Option<tour::Tour>,
    #[cfg(not(target_arch = "wasm32"))]
    legacy: window::Legacy,
    #[cfg(target_arch = "wasm32")]
    visit: visit::Visit,
}

impl DiabloApp {
    /// The app as it was left, or as it is the first time.
    pub fn new(cc: &eframe::CreationContext<'_>) -> Self {
        theme::install(&cc.egui_ctx);
        let (settings, run) = settings::Settings::load(cc.storage);
        cc.egui_ctx.set_theme(settings.theme);
        let mut shared = Shared { run, ..Shared::default() };
        #[cfg_attr(not(target_arch = "wasm32"), expect(unused_mut))]
        let mut shell = shell::Shell::at(settings.view);
        shared.settings = settings;
        shared.machine.wait_for(platform::machine(&cc.egui_ctx));
        #[cfg(target_arch = "wasm32")]
        let visit = visit::Visit::begin(&mut shared, &mut shell);
        #[cfg(not(target_arch = "wasm32"))]
        if !shared.run.model.as_os_str().is_empty() {
            shared.open_model(&cc.egui_ctx, shared.run.model.clone());
        }
        Self {
            shared,
            engine: engine::Engine::new(cc),
            shell,
            model: Default::default(),
            data: Default::default(),
            method: Default::default(),
            train: Default::default(),
            blocks: Default::default(),
            compare: Default::default(),
            talk: Default::default(),
            export: Default::default(),
            learn: Default::default(),
            #[cfg(not(target_arch = "wasm32"))]
            tour: None,
            #[cfg(not(target_arch = "wasm32"))]
            legacy: window::Legacy::default(),
            #[cfg(target_arch = "wasm32")]
            visit,
        }
    }

    /// The page that is shown.
    pub fn view(&self) -> View {
        self.shell.view
    }
}

impl eframe::App for DiabloApp {
    fn ui(&mut self, ui: &mut egui::Ui, _frame: &mut eframe::Frame) {
        let shared = &mut self.shared;
        shared.poll(ui.ctx());
        #[cfg(not(target_arch = "wasm32"))]
        if let Some(tour) = &mut self.tour {
            tour.frame(ui.ctx(), shared);
        }
        #[cfg(target_arch = "wasm32")]
        self.visit.frame(ui.ctx(), shared, self.shell.view);
        self.engine.poll(ui.ctx(), shared, self.shell.view);
        #[cfg(not(target_arch = "wasm32"))]
        if self.legacy.watch(ui.ctx(), shared, self.engine.window()) {
            return;
        }
        self.shell.before(ui, shared);
        match self.shell.view {
            View::Model => self.model.ui(ui, shared),
            View::Data => self.data.ui(ui, shared),
            View::Method => self.method.ui(ui, shared),
            View::Train => self.train.ui(ui, shared),
            View::Blocks => self.blocks.ui(ui, shared),
            View::Compare => self.compare.ui(ui, shared),
            View::Talk => self.talk.ui(ui, shared),
            View::Export => self.export.ui(ui, shared),
            View::Learn => self.learn.ui(ui, shared),
        }
        self.shell.after(ui, shared);
        #[cfg(not(target_arch = "wasm32"))]
        if let Some(tour) = &mut self.tour {
            tour.after(shared);
        }
        #[cfg(target_arch = "wasm32")]
        self.visit.after(ui.ctx(), shared);
        if shared.go.is_some() {
            ui.ctx().request_repaint();
        }
    }

    fn save(&mut self, storage: &mut dyn eframe::Storage) {
        // What a tour clicked together is not what the person left.
        #[cfg(not(target_arch = "wasm32"))]
        if self.tour.is_some() {
            return;
        }
        self.shared.settings.view = self.shell.view;
        self.shared.settings.save(storage, &self.shared.run);
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn raw_input_hook(&mut self, _ctx: &egui::Context, input: &mut egui::RawInput) {
        // A pointer that happens to lie over the window has no place in the pictures.
        if self.tour.is_some() {
            input.events.retain(|e| !matches!(e, egui::Event::PointerMoved(_) | egui::Event::PointerButton { .. }));
        }
    }

    fn clear_color(&self, visuals: &egui::Visuals) -> [f32; 4] {
        visuals.panel_fill.to_normalized_gamma_f32()
    }
}
