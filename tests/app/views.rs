//! The app without a window, drawn by a software driver, with runs of the demo to look at.

use diablo::app::shared::{Machine, MachineDevice};
use diablo::app::{DiabloApp, View};
use diablo::demo::Files;
use diablo::train::config::Method;
use diablo::train::{RunConfig, Trainer};
use eframe::egui::{self, Theme};
use egui_kittest::{Harness, SnapshotOptions};
use std::path::Path;
use std::time::{Duration, Instant};

pub type App = Harness<'static, DiabloApp>;

/// Trains the demo with a method for some steps.
pub fn train(folder: &Path, method: Method, steps: u64) -> RunConfig {
    let files = Files { folder: folder.to_path_buf() };
    let run = RunConfig { steps: Some(steps), warmup: 2, eval_every: Some(steps / 4), save_every: None, ..files.config(method, 5, "cpu") };
    Trainer::prepare(run.clone(), &mut |_| ()).expect("a run").run(&mut |_| (), &|| false).expect("it runs");
    run
}

/// The app at this many points; `None`, with a word about it, where there is no driver to draw with.
pub fn open(theme: Theme, size: [f32; 2], zoom: f32) -> Option<App> {
    if diablo::device::gpu::adapters::list().is_empty() {
        eprintln!("skipped: no Vulkan driver to draw with; Debian's mesa-vulkan-drivers has one");
        return None;
    }
    let size = egui::vec2(size[0], size[1]) / zoom;
    let builder = Harness::builder().with_size(size).with_pixels_per_point(zoom).with_theme(theme).with_max_steps(40).wgpu();
    let mut app = builder.build_eframe(|cc| DiabloApp::new(cc));
    wait(&mut app, "the drivers", |app| app.shared.machine.value.is_some());
    // The same machine on every machine: pictures show it.
    let cpu =
        MachineDevice { request: "cpu".into(), name: "CPU (8 threads)".into(), free: Some(16 << 30), limits: diablo::device::Limits::NONE };
    let state = app.state_mut();
    state.shared.machine.value = Some(Machine { devices: vec![cpu], auto: 0, why: "no GPU driver was found".into() });
    state.shared.settings.theme = theme.into();
    Some(app)
}

/// Goes to a page.
pub fn go(app: &mut App, view: View) {
    app.state_mut().shared.go(view);
    app.run_steps(3);
}

/// Frames until `done`, for at most a minute.
pub fn wait(app: &mut App, what: &str, done: impl Fn(&DiabloApp) -> bool) {
    wait_for(app, what, |app| done(app.state()));
}

/// As [`wait`], for what is seen.
pub fn wait_for(app: &mut App, what: &str, done: impl Fn(&App) -> bool) {
    let began = Instant::now();
    while !done(app) {
        assert!(began.elapsed() < Duration::from_secs(60), "waited a minute for {what}");
        std::thread::sleep(Duration::from_millis(5));
        app.step();
    }
    app.run_steps(3);
}

/// A digit of a loss may differ from machine to machine; a line that has moved is far more.
pub fn tolerant() -> SnapshotOptions {
    SnapshotOptions::new().max_failed_pixels(60)
}
