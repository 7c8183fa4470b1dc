//! What all views share: the run that is being put together, what is open, and what goes on.

use super::jobs::Slot;
use super::live::Live;
use super::opened::OpenModel;
use super::settings::Settings;
use crate::data::DataFiles;
use crate::data::preview::Preview;
use crate::device::plan::Limits;
use crate::device::{Device, human_bytes};
use crate::error::Error;
use crate::model::weights::Site;
use crate::train::resolve::available_memory;
use crate::train::{Event, RunConfig, RunRecord, names};
use eframe::egui;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

/// The pages, in the order of the navigation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum View {
    /// Choose and look at a model.
    #[default]
    Model,
    /// Choose and look at rows.
    Data,
    /// Choose what trains.
    Method,
    /// Run it.
    Train,
    /// Look at what has changed.
    Blocks,
    /// Several runs beside each other.
    Compare,
    /// Ask the model.
    Talk,
    /// Take the result elsewhere.
    Export,
    /// A walk through the method.
    Learn,
}

impl View {
    /// Every page, in order.
    pub const ALL: [Self; 9] =
        [Self::Model, Self::Data, Self::Method, Self::Train, Self::Blocks, Self::Compare, Self::Talk, Self::Export, Self::Learn];

    /// The name that people see.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Model => "Model",
            Self::Data => "Data",
            Self::Method => "Method",
            Self::Train => "Train",
            Self::Blocks => "Blocks",
            Self::Compare => "Compare",
            Self::Talk => "Talk",
            Self::Export => "Export",
            Self::Learn => "Learn",
        }
    }
}

/// What the run is doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RunState {
    /// There is none, or it has ended.
    #[default]
    Idle,
    /// Reading, laying out, loading.
    Preparing,
    /// Steps are being done.
    Running,
    /// Everything stands still, and can go on at once.
    Paused,
    /// It has been told to stop and is saving.
    Stopping,
}

impl RunState {
    /// Whether closing the window would lose something.
    pub fn is_active(self) -> bool {
        self != Self::Idle
    }
}

/// What the status bar and the title say of the run. The engine keeps it up to date.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunStatus {
    /// What it is doing.
    pub state: RunState,
    /// The run's short name.
    pub name: String,
    /// Steps done.
    pub step: u64,
    /// Steps in all; 0 while nobody knows.
    pub steps: u64,
    /// The newest loss.
    pub loss: Option<f32>,
    /// Seconds to go, where they can be told.
    pub seconds_left: Option<f64>,
    /// Bytes that the run takes on its device.
    pub memory: Option<u64>,
    /// The device that it runs on.
    pub device: Option<String>,
}

impl RunStatus {
    /// The share that is done, 0 to 1.
    pub fn share(&self) -> Option<f32> {
        (self.steps > 0).then(|| (self.step as f64 / self.steps as f64).min(1.0) as f32)
    }
}

/// What a menu, a shortcut or a button asks of the run. The engine takes these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Begin the run that [`Shared::run`] describes.
    Start,
    /// Go on with the run in the folder of [`Shared::run`].
    Resume,
    /// Stand still after this step.
    Pause,
    /// Go on after a pause.
    Continue,
    /// One step, then stand still.
    Step,
    /// Save and end.
    Stop,
}

/// One thing that runs can be on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineDevice {
    /// What [`RunConfig::device`] must say to get it.
    pub request: String,
    /// Its name, with its kind.
    pub name: String,
    /// Memory that is free on it, where the system tells.
    pub free: Option<u64>,
    /// What plans for it are laid out by.
    pub limits: Limits,
}

/// What this machine has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Machine {
    /// Devices that runs can be on; the processor is always the last.
    pub devices: Vec<MachineDevice>,
    /// The one that `auto` takes, by place.
    pub auto: usize,
    /// Why.
    pub why: String,
}

impl Machine {
    /// Asks the drivers. Takes a while: call it from a job.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn look() -> Self {
        let reports = crate::device::gpu::adapters::list();
        let (chosen, why) = crate::device::gpu::adapters::choose(&reports);
        let gpus = reports.iter().map(|r| MachineDevice {
            request: r.index.to_string(),
            name: format!("{} ({})", r.name, r.kind),
            free: r.free_bytes,
            limits: r.limits(),
        });
        Self::of(gpus, chosen, why)
    }

    /// A machine with these GPUs beside its processor.
    pub fn of(gpus: impl Iterator<Item = MachineDevice>, chosen: Option<usize>, why: String) -> Self {
        let mut devices: Vec<MachineDevice> = gpus.collect();
        devices.push(MachineDevice { request: "cpu".into(), name: Device::Cpu.name(), free: available_memory(), limits: Limits::NONE });
        let auto = chosen.unwrap_or(devices.len() - 1);
        Self { devices, auto, why }
    }

    /// Whether a run that leaves the choice to the program gets the processor.
    pub fn is_processor(&self, request: &str) -> bool {
        matches!(request, "auto" | "") && self.auto + 1 == self.devices.len()
    }

    /// The device that a run with this request gets.
    pub fn device(&self, request: &str) -> Option<&MachineDevice> {
        match request {
            "auto" | "" => self.devices.get(self.auto),
            "gpu" => self.devices.first(),
            other => {
                let wanted = other.to_lowercase();
                let named = |d: &&MachineDevice| d.request == wanted || d.name.to_lowercase().contains(&wanted);
                self.devices.iter().find(named)
            }
        }
    }
}

/// What all views see and change.
pub struct Shared {
    /// The app's own folder.
    pub home: PathBuf,
    /// The run that is being put together. Views edit it; the engine starts it.
    pub run: RunConfig,
    /// The model of `run.model`, once it is open.
    pub model: Slot<Arc<OpenModel>>,
    /// The rows of `run.data`, once they are tokenised with that model's tokenizer.
    pub rows: Slot<Arc<Preview>>,
    /// The machine, once the drivers have answered.
    pub machine: Slot<Machine>,
    /// The run that goes on.
    pub status: RunStatus,
    /// All that is known of it.
    pub live: Live,
    /// What was asked of the run and not yet taken.
    pub commands: Vec<Command>,
    /// Runs that begin one after the other, as soon as the one that goes on has ended.
    pub queue: VecDeque<RunConfig>,
    /// A cell that a page wants to see in full.
    pub wanted_cell: Option<(Site, (usize, usize))>,
    /// What stays from one start to the next.
    pub settings: Settings,
    /// Where a view wants the person to be; the shell follows in the next frame.
    pub go: Option<View>,
    /// What the walk in Learn lights up.
    pub spotlight: Option<Spot>,
    /// A short word about something that was done, for the status bar.
    pub notice: Option<String>,
}

/// A part of the app that the walk in Learn can light up. The view that draws the part calls [`Shared::light_up`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Spot {
    /// Model: the table of layers.
    Layers,
    /// Data: the coloured tokens.
    Tokens,
    /// Method: the choice between methods.
    MethodChoice,
    /// Method: the number of blocks.
    BlockCount,
    /// Method: trained numbers and memory.
    Cost,
    /// Train: the curve of the loss.
    Loss,
    /// Blocks: the squares.
    Squares,
    /// Compare: the table of runs.
    Runs,
}

impl Spot {
    /// The page that has it.
    pub fn view(self) -> View {
        match self {
            Self::Layers => View::Model,
            Self::Tokens => View::Data,
            Self::MethodChoice | Self::BlockCount | Self::Cost => View::Method,
            Self::Loss => View::Train,
            Self::Squares => View::Blocks,
            Self::Runs => View::Compare,
        }
    }
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            home: super::platform::data_folder(),
            run: RunConfig::default(),
            model: Slot::default(),
            rows: Slot::default(),
            machine: Slot::default(),
            status: RunStatus::default(),
            live: Live::default(),
            queue: VecDeque::new(),
            wanted_cell: None,
            commands: Vec::new(),
            settings: Settings::default(),
            go: None,
            spotlight: None,
            notice: None,
        }
    }
}

impl Shared {
    /// Draws an outline around a part if the walk speaks of it; a click anywhere on it ends that.
    pub fn light_up(&mut self, ui: &egui::Ui, spot: Spot, rect: egui::Rect) {
        if self.spotlight != Some(spot) {
            return;
        }
        let t = super::theme::tokens(ui);
        let beat = 0.5 + 0.5 * (ui.input(|i| i.time) * 3.0).sin() as f32;
        let stroke = egui::Stroke::new(2.0 + beat, t.accent);
        ui.painter().rect_stroke(rect.expand(4.0), super::theme::space::RADIUS, stroke, egui::StrokeKind::Outside);
        ui.ctx().request_repaint_after(std::time::Duration::from_millis(40));
        if ui.input(|i| i.pointer.any_click() && i.pointer.interact_pos().is_some_and(|p| rect.contains(p))) {
            self.spotlight = None;
        }
    }

    /// Goes to a page.
    pub fn go(&mut self, view: View) {
        self.go = Some(view);
    }

    /// Takes another model and begins to open it.
    pub fn open_model(&mut self, ctx: &egui::Context, folder: PathBuf) {
        self.run.model.clone_from(&folder);
        self.model.value = None;
        self.rows.clear();
        self.model.start(ctx, move |reporter| OpenModel::open(&folder, reporter).map(Arc::new));
    }

    /// Takes other rows and begins to read them, or waits for the model whose tokenizer they need.
    pub fn open_data(&mut self, ctx: &egui::Context, files: impl Into<DataFiles>) {
        self.run.data = files.into();
        self.rows.clear();
        self.read_rows(ctx);
    }

    /// Reads the rows again, after the model or the columns have changed.
    pub fn read_rows(&mut self, ctx: &egui::Context) {
        let (Some(model), false) = (&self.model.value, self.run.data.is_empty()) else { return };
        let (model, run) = (model.clone(), self.run.clone());
        self.rows.start(ctx, move |reporter| {
            let (tokenizer, _) = model.tokenizer()?;
            let options = crate::train::rows::options(&run, &model.source.folder, &model.source.config, tokenizer)?;
            let mut told = |event| match event {
                Event::Loading { what, done, total } => reporter.report(format!("fetching {what}"), done, total),
                Event::Note { text } | Event::Warning { text } => reporter.report(text, 0, 0),
                _ => {}
            };
            let files = names::data(&run, &mut told)?;
            reporter.report("reading", 0, 0);
            Preview::read(&files, &run.reading(), tokenizer, &options, &|done, total| {
                reporter.report("tokenising", done as u64, total as u64)
            })
            .map(Arc::new)
        });
    }

    /// Goes on with a run where it was left, its model and rows open.
    pub fn go_on_with(&mut self, ctx: &egui::Context, record: RunRecord) {
        let RunRecord { folder, config, .. } = record;
        let (model, data) = (config.model.clone(), config.data.clone());
        if self.run.model != model {
            self.open_model(ctx, model);
        }
        if self.run.data != data || self.rows.value.is_none() {
            self.open_data(ctx, data);
        }
        self.run = RunConfig { out: folder, ..config };
        self.commands.push(Command::Resume);
    }

    /// Opens the bundled model, its rows and the run that the demo makes of them.
    pub fn open_demo(&mut self, ctx: &egui::Context) {
        match super::platform::demo_files(&self.home) {
            Err(error) => self.model.error = Some(error),
            Ok(files) => {
                let run = files.config(crate::train::config::Method::Diablo, 16, &self.run.device);
                let sample_prompt = Some("Where does Otter live?".into());
                // A page may be closed at any moment.
                let save_every = if super::platform::IS_PAGE { Some(20) } else { run.save_every };
                self.run = RunConfig { out: PathBuf::new(), sample_prompt, sample_every: Some(20), save_every, ..run };
                let (model, data) = (self.run.model.clone(), self.run.data.clone());
                self.open_model(ctx, model);
                self.run.data = data;
            }
        }
    }

    /// Takes over what jobs have brought; the shell calls it once a frame.
    pub fn poll(&mut self, ctx: &egui::Context) {
        if self.model.poll() {
            if let Some(model) = &self.model.value {
                // A hub's name has its commit now.
                self.run.model.clone_from(&model.path);
            }
            let folder = self.run.model.clone();
            self.settings.remember_model(&folder);
            self.read_rows(ctx);
        }
        if self.rows.poll() {
            let file = self.run.data.first().to_path_buf();
            self.settings.remember_data(&file);
        }
        self.machine.poll();
    }

    /// What the status bar says of memory.
    pub fn memory_text(&self) -> Option<String> {
        if let Some(bytes) = self.status.memory {
            return Some(format!("{} in use", human_bytes(bytes)));
        }
        let free = self.machine.value.as_ref()?.device(&self.run.device)?.free?;
        Some(format!("{} free", human_bytes(free)))
    }

    /// Why the run cannot be started yet, and where to go for what is missing.
    pub fn missing(&self) -> Option<(Error, View)> {
        if self.model.value.is_none() {
            return Some((Error::usage("no model is open", "choose one first"), View::Model));
        }
        if self.run.data.is_empty() {
            return Some((Error::usage("no rows are open", "choose a file to learn from"), View::Data));
        }
        self.run.validate_options().err().map(|error| (error, View::Method))
    }
}
