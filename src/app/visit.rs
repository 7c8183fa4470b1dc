//! What a visit to the page begins with and leaves: the demo, the options in the address, a run that was cut off.

use super::layout::primary;
use super::shared::{Shared, View};
use super::shell::Shell;
use super::theme::{self, space, tokens};
use super::trouble;
use crate::error::Error;
use crate::train::RunRecord;
use crate::train::checkpoint::CHECKPOINTS;
use crate::train::run_folder::CONFIG_FILE;
use crate::web::address;
use crate::web::outside::{self, Topic};
use crate::web::protocol::Message;
use eframe::egui::{self, RichText};
use std::path::{Path, PathBuf};

/// The run that goes on, for a visit after this one was cut off.
const GOES_ON: &str = "diablo.goes-on";

/// A visit.
pub(super) struct Visit {
    /// Whether what is to be open at first is being opened.
    opened: bool,
    /// Whether the address says what to open.
    linked: bool,
    /// What the address is.
    address: String,
    /// Why the address is worth nothing.
    wrong: Option<Error>,
    /// Whether what earlier visits left was looked at.
    looked: bool,
    cut_off: Option<RunRecord>,
    goes_on: Option<PathBuf>,
}

impl Visit {
    /// Reads the address and has the demo fetched.
    pub(super) fn begin(shared: &mut Shared, shell: &mut Shell) -> Self {
        let address = outside::address();
        let (mut linked, mut wrong) = (false, None);
        shell.view = View::Train;
        match address::read(&address) {
            Ok(None) => {}
            Ok(Some((run, view))) => {
                linked = !run.model.as_os_str().is_empty();
                shared.run = run;
                let named = View::ALL.into_iter().find(|v| view.as_deref().is_some_and(|name| v.name().eq_ignore_ascii_case(name)));
                shell.view = named.unwrap_or(shell.view);
            }
            Err(error) => wrong = Some(error),
        }
        outside::fetch_demo();
        Self { opened: false, linked, address, wrong, looked: false, cut_off: None, goes_on: None }
    }

    /// Once a frame, before the page.
    pub(super) fn frame(&mut self, ctx: &egui::Context, shared: &mut Shared, view: View) {
        self.open(ctx, shared);
        if outside::is_filled() && !self.looked {
            self.looked = true;
            self.look(shared);
        }
        for message in outside::take(Topic::Storage) {
            if let Message::Storage { kept: false, why } = message {
                let why = why.map_or_else(String::new, |why| format!(": {why}"));
                shared.notice = Some(format!("runs are not kept when this page is closed{why}"));
            }
        }
        // The worker's files are those that are kept.
        crate::files::memory::take_changes();
        let goes_on = shared.live.is_active().then(|| shared.live.run.out.clone());
        if goes_on != self.goes_on {
            outside::remember(GOES_ON, goes_on.as_ref().and_then(|out| out.to_str()));
            self.goes_on = goes_on;
        }
        if self.opened {
            let address = address::write(&shared.run, &view.name().to_lowercase());
            if address != self.address {
                outside::set_address(&address);
                self.address = address;
            }
        }
    }

    /// Once a frame, upon the page.
    pub(super) fn after(&mut self, ctx: &egui::Context, shared: &mut Shared) {
        if let Some(error) = &self.wrong {
            let modal = dialog(ctx, "The link cannot be read", |ui| {
                trouble::show(ui, error);
                ui.add_space(space::LARGE);
                primary(ui, true, "Open the demo").clicked()
            });
            if modal {
                self.wrong = None;
            }
        }
        let Some(record) = &self.cut_off else { return };
        let mut answer = None;
        let left = dialog(ctx, "A run was cut off", |ui| {
            ui.label(format!("{} was training when the page was closed. It can go on from its last checkpoint.", record.name()));
            ui.add_space(space::LARGE);
            ui.horizontal(|ui| {
                if primary(ui, true, "Go on").clicked() {
                    answer = Some(true);
                }
                if ui.button("Leave it").on_hover_text("It stays among the runs").clicked() {
                    answer = Some(false);
                }
            });
            false
        });
        if answer.is_none() && !left {
            return;
        }
        outside::remember(GOES_ON, None);
        if let Some(record) = self.cut_off.take().filter(|_| answer == Some(true)) {
            shared.go_on_with(ctx, record);
            shared.go(View::Train);
        }
    }

    /// Opens what the address says, else the demo, as soon as its files are there.
    fn open(&mut self, ctx: &egui::Context, shared: &mut Shared) {
        if self.opened || outside::demo_came().is_none() {
            return;
        }
        self.opened = true;
        if self.linked {
            shared.open_model(ctx, shared.run.model.clone());
        } else {
            shared.open_demo(ctx);
        }
    }

    /// What earlier visits left: their runs, and perhaps one that was cut off. What was picked then is gone.
    fn look(&mut self, shared: &mut Shared) {
        shared.settings.models.retain(|path| super::platform::is_folder(path) || path.starts_with("/demo"));
        shared.settings.data.retain(|path| super::platform::file_size(path).is_some() || path.starts_with("/demo"));
        shared.settings.runs.retain(|path| super::platform::is_folder(path));
        // A visit that was cut off could not remember its own.
        let folder = super::platform::runs_folder();
        for name in crate::files::names(&folder).unwrap_or_default() {
            let run = folder.join(name);
            if !shared.settings.runs.contains(&run) && crate::files::is_file(&run.join(CONFIG_FILE)) {
                shared.settings.remember_run(&run);
            }
        }
        let Some(out) = outside::recall(GOES_ON) else { return };
        let out = Path::new(&out);
        if super::platform::is_folder(&out.join(CHECKPOINTS)) {
            shared.settings.remember_run(out);
            self.cut_off = RunRecord::open(out).ok();
        }
    }
}

/// A dialog with a title. True where its content says so, or it was put away.
fn dialog(ctx: &egui::Context, title: &str, content: impl FnOnce(&mut egui::Ui) -> bool) -> bool {
    let modal = super::compare_again::dialog(ctx, title).show(ctx, |ui| {
        let t = tokens(ui);
        ui.set_width(380.0_f32.min(ui.ctx().content_rect().width() - 60.0));
        ui.label(RichText::new(title).text_style(theme::section_style()).color(t.text_strong));
        ui.add_space(space::SMALL);
        content(ui)
    });
    modal.inner || modal.should_close()
}
