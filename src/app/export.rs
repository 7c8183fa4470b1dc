//! Export: take what was trained elsewhere, as an adapter, merged into a model or as one GGUF file, with the lines that load it there.

use super::export_lines::{Lines, transformers};
use super::jobs::Slot;
use super::layout::{card, empty, facts, field, gap, page_with, primary, split, working};
use super::model::path_entry;
use super::platform::{self, Ask};
use super::shared::{Shared, View};
use super::theme::{space, tokens};
use super::trouble;
use crate::adapter::AdapterFile;
use crate::device::human_bytes;
use crate::model::Source;
use crate::model::gguf::Encoding;
use crate::train::config::Method;
use crate::train::{RunRecord, resolve};
use eframe::egui::{self, ComboBox, RichText, Ui};
#[cfg(not(target_arch = "wasm32"))]
use std::path::Path;
use std::path::PathBuf;

/// What is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum What {
    /// The adapter alone.
    Adapter,
    /// Base and adapter as one model.
    #[default]
    Merged,
    /// The same as one file, for llama.cpp.
    Gguf,
}

impl What {
    /// What a new folder's name ends with.
    #[cfg(not(target_arch = "wasm32"))]
    fn end(self) -> &'static str {
        match self {
            Self::Adapter => "adapter",
            Self::Merged => "merged",
            Self::Gguf => "gguf",
        }
    }

    /// The types that its weights may have.
    fn encodings(self) -> &'static [Encoding] {
        match self {
            Self::Adapter => &[],
            Self::Merged => &[Encoding::F32, Encoding::Bf16, Encoding::F16],
            Self::Gguf => &[Encoding::F32, Encoding::Bf16, Encoding::F16, Encoding::Q8, Encoding::Q4],
        }
    }
}

/// A run that can be exported.
struct Found {
    record: RunRecord,
    /// What its adapter is; `None` where the whole model was trained.
    adapter: Option<String>,
}

/// What was written, and how it is loaded.
pub(super) struct Written {
    /// A folder, or on a page a file among the downloads.
    pub path: PathBuf,
    pub bytes: u64,
    /// How it is loaded.
    pub lines: Vec<Lines>,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// The page's own state.
#[derive(Default)]
pub struct ExportPage {
    /// The run that is looked at.
    folder: PathBuf,
    found: Slot<Found>,
    dialog: Option<super::jobs::Job<Option<PathBuf>>>,
    /// Where the dialog's answer goes.
    picks_target: bool,
    what: What,
    encoding: Option<Encoding>,
    target: String,
    written: Slot<Written>,
}

impl ExportPage {
    /// Draws the page.
    pub fn ui(&mut self, ui: &mut Ui, shared: &mut Shared) {
        self.found.poll();
        self.written.poll();
        if let Some(answer) = self.dialog.as_mut().and_then(super::jobs::Job::poll) {
            self.dialog = None;
            match answer {
                Ok(Some(folder)) if self.picks_target => self.target = folder.display().to_string(),
                Ok(Some(folder)) => self.open(ui.ctx(), folder),
                _ => {}
            }
        }
        // The newest run, unless another was chosen.
        if self.folder.as_os_str().is_empty()
            && let Some(newest) = shared.settings.runs.first().cloned()
        {
            self.open(ui.ctx(), newest);
        }
        let actions = |_: &mut Ui, _: &mut (&mut Self, &mut Shared)| ();
        page_with(ui, "Export", "Take the result elsewhere", &mut (self, shared), actions, |ui, (page, shared)| {
            if page.folder.as_os_str().is_empty() {
                let why = "A finished run can be saved as an adapter, or merged into a model of its own that other tools load.";
                if empty(ui, "Nothing to export yet", why, "Go to Train") {
                    shared.go(View::Train);
                }
                ui.vertical_centered(|ui| {
                    ui.add_space(space::SMALL);
                    if ui.button("Open a run's folder…").clicked() {
                        page.pick(ui.ctx(), false);
                    }
                });
                return;
            }
            split(ui, 360.0, &mut (page, shared), |ui, (page, shared)| page.runs(ui, shared), |ui, (page, shared)| page.target(ui, shared));
        });
    }

    /// What is written: of a model that was trained whole there is no adapter, and its folder is there already.
    fn what(&self) -> What {
        let whole = self.found.value.as_ref().is_some_and(|found| found.adapter.is_none());
        if whole { What::Gguf } else { self.what }
    }

    /// The chosen type, where what is written can have it.
    fn encoding(&self) -> Option<Encoding> {
        self.encoding.filter(|own| self.what().encodings().contains(own))
    }

    fn open(&mut self, ctx: &egui::Context, folder: PathBuf) {
        self.folder.clone_from(&folder);
        self.written.clear();
        self.found.clear();
        self.target.clear();
        self.found.start(ctx, move |_| {
            let record = RunRecord::open(&folder)?;
            let adapter = match record.config.method {
                Method::Full => None,
                _ => {
                    let source = Source::open(&crate::hub::local(&record.config.model))?;
                    Some(resolve::describe(&AdapterFile::open(&folder, &source.config)?.spec))
                }
            };
            Ok(Found { record, adapter })
        });
    }

    fn pick(&mut self, ctx: &egui::Context, target: bool) {
        self.picks_target = target;
        let title = if target { "Choose an empty folder" } else { "Open a run's folder" };
        let start = if self.folder.as_os_str().is_empty() { platform::runs_folder() } else { self.folder.clone() };
        self.dialog = Some(platform::pick(ctx, Ask::Folder, title, Some(&start)));
    }

    fn runs(&mut self, ui: &mut Ui, shared: &Shared) {
        card(ui, "Run", |ui| {
            let mut runs = shared.settings.runs.clone();
            if !runs.contains(&self.folder) {
                runs.insert(0, self.folder.clone());
            }
            for folder in runs {
                if path_entry(ui, &folder, folder == self.folder).clicked() {
                    self.open(ui.ctx(), folder);
                }
            }
            ui.add_space(space::TIGHT);
            if ui.button("Another run…").clicked() {
                self.pick(ui.ctx(), false);
            }
            if let Some(progress) = self.found.progress() {
                working(ui, &progress);
            }
            if let Some(error) = &self.found.error {
                ui.add_space(space::SMALL);
                trouble::show(ui, error);
            }
        });
        if let Some(found) = &self.found.value {
            gap(ui);
            card(ui, "What it is", |ui| {
                let config = &found.record.config;
                let mut rows = vec![("Model", config.model.display().to_string())];
                rows.push(("Trained", found.adapter.clone().unwrap_or_else(|| "the whole model".into())));
                if let Some(last) = found.record.metrics.last() {
                    rows.push(("Steps", last.step.to_string()));
                }
                if let Some(loss) = found.record.best_eval_loss() {
                    rows.push(("Held-out loss", format!("{loss:.4} at best")));
                }
                facts(ui, "export facts", &rows);
            });
        }
    }

    fn target(&mut self, ui: &mut Ui, shared: &mut Shared) {
        let t = tokens(ui);
        let Some(found) = &self.found.value else { return };
        let whole = found.adapter.is_none();
        let lora = found.record.config.method == Method::Lora;
        if whole {
            let (tool, lines) = transformers(&found.record.folder.join("model"));
            card(ui, "A model of its own", |ui| {
                ui.label("The run trained the whole model, and has written it as a folder that other tools load as it is.");
                ui.add_space(space::SMALL);
                #[cfg(target_arch = "wasm32")]
                self.download(ui, What::Merged);
                paste(ui, tool, &lines);
            });
            gap(ui);
        }
        card(ui, if whole { "As GGUF" } else { "What to write" }, |ui| {
            if !whole {
                ui.horizontal(|ui| self.kinds(ui));
            }
            let told = match (self.what(), lora) {
                (What::Merged, _) => {
                    "Base and adapter as one model. Other tools load it as they load any model, and need to know nothing of how it was trained."
                }
                (What::Gguf, _) => "The model as one file for llama.cpp, Ollama and LM Studio, with its tokenizer and chat template.",
                (What::Adapter, true) => "Two small files that peft loads beside the base model.",
                (What::Adapter, false) => {
                    "Two small files that diablo loads beside the base model. Other tools do not know diagonal blocks yet: merge for them."
                }
            };
            ui.label(RichText::new(told).color(t.text_weak));
            ui.add_space(space::SMALL);
            self.form(ui, shared);
            if let Some(progress) = self.written.progress() {
                ui.add_space(space::SMALL);
                working(ui, &progress);
            }
            if let Some(error) = &self.written.error {
                ui.add_space(space::SMALL);
                trouble::show(ui, error);
            }
        });
        if let Some(written) = &self.written.value {
            gap(ui);
            card(ui, "Written", |ui| {
                let kind = if platform::IS_PAGE { "Download" } else { "Folder" };
                let rows = [(kind, written.path.display().to_string()), ("Size", human_bytes(written.bytes))];
                facts(ui, "written", &rows);
                for note in &written.notes {
                    ui.add_space(space::SMALL);
                    trouble::warn(ui, note, None);
                }
                for (tool, lines) in &written.lines {
                    ui.add_space(space::SMALL);
                    paste(ui, tool, lines);
                }
            });
        }
    }

    fn kinds(&mut self, ui: &mut Ui) {
        for (what, name) in [(What::Merged, "Merged model"), (What::Gguf, "GGUF"), (What::Adapter, "Adapter alone")] {
            let button = egui::Button::selectable(self.what == what, name).min_size(egui::vec2(120.0, space::CONTROL));
            if ui.add(button.frame_when_inactive(true)).clicked() {
                self.what = what;
                self.target.clear();
                self.written.clear();
            }
        }
    }

    fn form(&mut self, ui: &mut Ui, shared: &Shared) {
        #[cfg(not(target_arch = "wasm32"))]
        self.choose_folder(ui);
        if !self.what().encodings().is_empty() {
            self.precision(ui);
        }
        ui.add_space(space::SMALL);
        let writing_now = shared.status.state.is_active() && shared.live.run.out == self.folder;
        if writing_now {
            trouble::warn(ui, "This run is still going on: what is written is its last checkpoint's adapter, if there is one", None);
            ui.add_space(space::TIGHT);
        }
        #[cfg(target_arch = "wasm32")]
        self.download(ui, self.what());
        #[cfg(not(target_arch = "wasm32"))]
        self.write(ui);
    }

    fn precision(&mut self, ui: &mut Ui) {
        let explain = match self.what() {
            What::Gguf => "The type of the written weights; q8_0 and q4_0 take 8.5 and 4.5 bits a number",
            _ => "The type of the written weights",
        };
        field(ui, "Precision", explain, |ui| {
            let name = |own: Option<Encoding>| own.map_or_else(|| "the model's own".into(), |own| own.to_string());
            ComboBox::from_id_salt("precision").selected_text(name(self.encoding())).show_ui(ui, |ui| {
                let mut chosen = self.encoding();
                for own in std::iter::once(None).chain(self.what().encodings().iter().copied().map(Some)) {
                    if ui.selectable_value(&mut chosen, own, name(own)).clicked() {
                        self.encoding = own;
                    }
                }
            });
        });
    }

    /// What the page hands to the visitor's downloads.
    #[cfg(target_arch = "wasm32")]
    fn download(&mut self, ui: &mut Ui, what: What) {
        let encoding = self.encoding();
        let Some(found) = &self.found.value else { return };
        // Beside the model that the run wrote there is the run already.
        let run_too = what != What::Gguf || found.adapter.is_some();
        ui.horizontal(|ui| {
            let ready = !self.written.is_running();
            if primary(ui, ready, "Download").clicked() {
                self.written.wait_for(super::export_download::fetch(ui.ctx(), &found.record, Some(what), encoding));
            }
            if !run_too {
                return;
            }
            let all = ui.add_enabled(ready, egui::Button::new("Download the run"));
            if all.on_hover_text("Options, metrics, and what was trained").clicked() {
                self.written.wait_for(super::export_download::fetch(ui.ctx(), &found.record, None, None));
            }
        });
        ui.add_space(space::TIGHT);
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn choose_folder(&mut self, ui: &mut Ui) {
        if self.target.is_empty()
            && let Some(found) = &self.found.value
        {
            let end = self.what().end();
            let folder = found.record.folder.parent().map_or_else(platform::runs_folder, Path::to_path_buf);
            self.target = platform::free_folder(&folder, &format!("{}-{end}", found.record.name())).display().to_string();
        }
        field(ui, "Into", "A folder; it is made, and must be empty", |ui| {
            let room = (ui.available_width() - 80.0).max(100.0);
            ui.add(egui::TextEdit::singleline(&mut self.target).desired_width(room));
            if ui.button("Browse…").clicked() {
                self.pick(ui.ctx(), true);
            }
        });
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn write(&mut self, ui: &mut Ui) {
        let ready = !self.target.trim().is_empty() && !self.written.is_running();
        if primary(ui, ready, "Export").clicked() {
            let (run, model) = match &self.found.value {
                Some(found) => (found.record.folder.clone(), found.record.config.model.clone()),
                None => return,
            };
            let (target, what, encoding) = (PathBuf::from(self.target.trim()), self.what(), self.encoding());
            self.written.start(ui.ctx(), move |reporter| {
                reporter.report(if what == What::Adapter { "copying" } else { "merging" }, 0, 0);
                super::export_folder::write(&run, &model, &target, what, encoding, reporter)
            });
        }
    }
}

/// Lines to take elsewhere, with a button that copies them.
fn paste(ui: &mut Ui, tool: &str, lines: &str) {
    let t = tokens(ui);
    ui.horizontal(|ui| {
        ui.label(RichText::new(format!("To load it with {tool}:")).color(t.text_weak));
        if ui.small_button("Copy").on_hover_text("Puts the lines on the clipboard").clicked() {
            ui.ctx().copy_text(lines.to_owned());
        }
    });
    ui.add_space(space::TIGHT);
    let frame = egui::Frame::new()
        .fill(t.sunken)
        .stroke(egui::Stroke::new(1.0, t.border))
        .corner_radius(space::RADIUS)
        .inner_margin(space::SMALL as i8);
    frame.show(ui, |ui| {
        ui.set_width(ui.available_width());
        ui.add(egui::Label::new(RichText::new(lines).monospace().color(t.text)).selectable(true).wrap());
    });
}
