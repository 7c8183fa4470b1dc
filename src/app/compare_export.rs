//! The dialog of Compare that writes what is compared into a file.

use super::compare_again::dialog;
use super::jobs::{Job, Slot};
use super::layout::{field, primary, working};
use super::platform::{self, Ask};
use super::shared::Shared;
use super::theme::{self, space, tokens};
use super::trouble;
use crate::train::compare::Compared;
use crate::train::compare::export::{self, Axes, Format};
use eframe::egui::{self, RichText};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The dialog's state; it remembers where the last file went.
pub(super) struct Export {
    open: bool,
    format: Format,
    /// The file, as it is typed.
    path: String,
    dialog: Option<Job<Option<PathBuf>>>,
    written: Slot<PathBuf>,
}

impl Default for Export {
    fn default() -> Self {
        let format = Format::ALL[0];
        Self { open: false, format, path: String::new(), dialog: None, written: Slot::default() }
    }
}

impl Export {
    /// Opens it, for a file beside a run.
    pub(super) fn open(&mut self, run: &Path) {
        self.open = true;
        self.written.clear();
        if self.path.is_empty() {
            self.path = run.parent().unwrap_or(Path::new("")).join(self.format.file()).display().to_string();
        }
    }

    /// Draws it while it is open. Of the runs those come that the plot shows, with their names and colours.
    pub(super) fn show(&mut self, ctx: &egui::Context, shared: &mut Shared, runs: Vec<(String, usize, Arc<Compared>)>, axes: Axes) {
        if self.written.poll()
            && let Some(path) = &self.written.value
        {
            shared.notice = Some(format!("written: {}", path.display()));
            self.open = false;
        }
        if let Some(answer) = self.dialog.as_mut().and_then(Job::poll) {
            self.dialog = None;
            if let Ok(Some(folder)) = answer {
                self.path = folder.join(self.format.file()).display().to_string();
            }
        }
        if !self.open {
            return;
        }
        let modal = dialog(ctx, "export").show(ctx, |ui| {
            ui.set_width(460.0_f32.min(ui.ctx().content_rect().width() - 80.0));
            let t = tokens(ui);
            ui.label(RichText::new("Export").text_style(theme::section_style()).color(t.text_strong));
            ui.add_space(space::TIGHT);
            let what = match runs.len() {
                0 => "No run is shown: click a colour in the table first.".to_owned(),
                1 => "The run that is shown.".to_owned(),
                n => format!("The {n} runs that are shown."),
            };
            ui.label(RichText::new(what).color(t.text_weak));
            ui.add_space(space::SMALL);
            let before = self.format;
            field(ui, "As", "", |ui| {
                ui.horizontal_wrapped(|ui| {
                    for format in Format::ALL {
                        ui.selectable_value(&mut self.format, *format, format.name());
                    }
                });
            });
            if self.format != before {
                // The name goes with the kind; a name of the person's own stays.
                let path = Path::new(&self.path);
                if path.file_name().is_some_and(|name| name == before.file()) {
                    self.path = path.with_file_name(self.format.file()).display().to_string();
                }
            }
            field(ui, "File", "", |ui| {
                let button = if platform::IS_PAGE { 0.0 } else { 84.0 };
                let edit = egui::TextEdit::singleline(&mut self.path).desired_width(ui.available_width() - button - space::SMALL);
                let response = ui.add(edit);
                ui.ctx().accesskit_node_builder(response.id, |node| node.set_label("File"));
                if !platform::IS_PAGE && ui.button("Folder…").clicked() {
                    self.dialog = Some(platform::pick(ui.ctx(), Ask::Folder, "Export to a folder", Some(Path::new(&self.path))));
                }
            });
            if platform::file_size(Path::new(self.path.trim())).is_some() {
                ui.label(RichText::new("This file is there already; it will be replaced.").small().color(t.text_weak));
            }
            if let Some(error) = &self.written.error {
                ui.add_space(space::SMALL);
                trouble::show(ui, error);
            }
            if let Some(progress) = self.written.progress() {
                working(ui, &progress);
            }
            ui.add_space(space::MEDIUM);
            ui.horizontal(|ui| {
                let ready = !runs.is_empty() && !self.path.trim().is_empty() && !self.written.is_running();
                if primary(ui, ready, if platform::IS_PAGE { "Download" } else { "Write" }).clicked() {
                    self.write(ui.ctx(), runs, axes);
                }
                if ui.button("Cancel").clicked() {
                    self.open = false;
                }
            });
        });
        if modal.should_close() {
            self.open = false;
        }
    }

    fn write(&mut self, ctx: &egui::Context, runs: Vec<(String, usize, Arc<Compared>)>, axes: Axes) {
        let (format, path) = (self.format, PathBuf::from(self.path.trim()));
        self.written.start(ctx, move |reporter| {
            reporter.report("writing", 0, 0);
            let runs: Vec<(String, usize, &Compared)> =
                runs.iter().map(|(name, colour, run)| (name.clone(), *colour, run.as_ref())).collect();
            platform::save(&path, &export::bytes(format, &runs, axes)?)?;
            Ok(path)
        });
    }
}
