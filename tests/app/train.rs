//! A run in the window: begun, paused, stepped, looked into, stopped, gone on with; and the interface answers all the while.

use diablo::app::shared::{Command, RunState};
use diablo::app::{DiabloApp, View};
use diablo::device::gpu::Gpu;
use diablo::train::config::Method;
use diablo::train::{RunConfig, Trainer};
use eframe::egui::{self, Theme};
use eframe::egui_wgpu::WgpuSetup;
use egui_kittest::kittest::Queryable;
use egui_kittest::{Harness, SnapshotOptions};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

type App = Harness<'static, DiabloApp>;

fn open(theme: Theme, home: &Path) -> Option<App> {
    if diablo::device::gpu::adapters::list().is_empty() {
        println!("skipped: no Vulkan driver to draw with");
        return None;
    }
    let builder = Harness::builder().with_size(egui::vec2(1280.0, 720.0)).with_theme(theme).with_max_steps(40);
    let mut app = builder.wgpu_setup(window_setup()).build_eframe(|cc| DiabloApp::new(cc));
    app.state_mut().shared.home = home.into();
    app.state_mut().shared.settings.theme = theme.into();
    app.state_mut().shared.go(View::Model);
    app.run_steps(3);
    app.get_by_label("Open the bundled demo").click();
    wait(&mut app, "the demo", |app| app.shared.rows.value.is_some());
    app.state_mut().shared.run.device = "cpu".into();
    app.state_mut().shared.run.out = home.join("run");
    Some(app)
}

/// A device with the features that the window asks for: runs share it.
fn window_setup() -> WgpuSetup {
    let mut setup = egui_kittest::wgpu::default_wgpu_setup();
    if let WgpuSetup::CreateNew(setup) = &mut setup {
        setup.device_descriptor = Arc::new(Gpu::device_descriptor);
    }
    setup
}

/// Frames until `done`; the longest time that the interface took for one.
fn wait(app: &mut App, what: &str, done: impl Fn(&DiabloApp) -> bool) -> Duration {
    let began = Instant::now();
    let mut longest = Duration::ZERO;
    while !done(app.state()) {
        assert!(began.elapsed() < Duration::from_secs(120), "waited two minutes for {what}");
        std::thread::sleep(Duration::from_millis(5));
        let frame = Instant::now();
        app.step();
        longest = longest.max(frame.elapsed());
    }
    app.run_steps(2);
    longest
}

fn go(app: &mut App, view: View) {
    app.state_mut().shared.go(view);
    app.run_steps(3);
}

fn state(app: &App) -> RunState {
    app.state().shared.status.state
}

#[test]
fn a_run_from_its_start_to_its_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(mut app) = open(Theme::Dark, folder.path()) else { return };
    go(&mut app, View::Train);
    app.get_by_label("Start training").click();
    let began = Instant::now();
    wait(&mut app, "the first loss", |app| !app.shared.live.metrics.is_empty());
    assert!(began.elapsed() < Duration::from_secs(20), "the first loss came after {:?}", began.elapsed());
    wait(&mut app, "some steps", |app| app.shared.live.step() >= 20);
    app.get_by_label("Pause").click();
    wait(&mut app, "the pause", |app| app.shared.status.state == RunState::Paused);
    let paused = app.state().shared.live.step();
    std::thread::sleep(Duration::from_millis(200));
    app.run_steps(3);
    assert_eq!(app.state().shared.live.step(), paused, "a paused run stands still");
    app.get_by_label("One step").click();
    wait(&mut app, "one step", |app| app.shared.live.step() == paused + 1);
    assert_eq!(state(&app), RunState::Paused);

    go(&mut app, View::Blocks);
    wait(&mut app, "the layers", |app| !app.shared.live.changes.is_empty());
    let changes = &app.state().shared.live.changes;
    assert_eq!(changes.len(), 28);
    assert!(changes.iter().all(|c| c.change.iter().any(|x| *x > 0.0)), "every layer has moved");
    app.state_mut().shared.wanted_cell = Some((changes_site(&app), (3, 3)));
    wait(&mut app, "a cell", |app| app.shared.live.cell.is_some());

    go(&mut app, View::Train);
    app.get_by_label("Save and stop").click();
    wait(&mut app, "the end of this sitting", |app| app.shared.status.state == RunState::Idle);
    assert!(app.state().shared.live.outcome.as_ref().is_some_and(|o| o.interrupted));
    app.get_by_label("Go on").click();
    wait(&mut app, "the same run again", |app| app.shared.live.step() > paused + 1);
    wait(&mut app, "its end", |app| app.shared.live.outcome.as_ref().is_some_and(|o| !o.interrupted));
    let live = &app.state().shared.live;
    assert!(live.error.is_none(), "{:?}", live.error);
    let steps: Vec<u64> = live.metrics.iter().map(|m| m.step).collect();
    assert_eq!(steps, (1..=200).collect::<Vec<u64>>(), "every step once, across the sittings");
    let (first, last) = (live.metrics[0].loss, live.metrics[199].loss);
    assert!(last < 0.2 * first, "the loss fell from {first} to {last}");
    assert!(live.written.len() >= 10 && live.held_out.len() >= 5);
    assert!(folder.path().join("run/adapter_model.safetensors").is_file());
    // The same run on the command line gives the same bytes.
    let again = RunConfig { out: folder.path().join("again"), resume: false, ..live.run.clone() };
    Trainer::prepare(again, &mut |_| ()).expect("a run").run(&mut |_| (), &|| false).expect("it runs");
    let bytes = |run: &str| std::fs::read(folder.path().join(run).join("adapter_model.safetensors")).expect("an adapter");
    assert!(bytes("run") == bytes("again"), "the window and the library disagree");
}

fn changes_site(app: &App) -> diablo::model::weights::Site {
    app.state().shared.live.changes[0].site
}

#[test]
fn a_run_that_cannot_begin_says_why() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(mut app) = open(Theme::Dark, folder.path()) else { return };
    go(&mut app, View::Train);
    app.state_mut().shared.run.out = folder.path().join("demo/model");
    app.state_mut().shared.commands.push(Command::Start);
    wait(&mut app, "the refusal", |app| app.shared.live.error.is_some());
    assert!(app.state().shared.live.error.as_ref().is_some_and(|e| e.to_string().contains("holds a model")));
    assert_eq!(state(&app), RunState::Idle);
    app.get_by_label_contains("Error: Run folder");
}

/// The driver takes the device away, from the run and the window alike: the run stands where its last checkpoint is, the next
/// window shows it with its curve, and going on ends where an unbroken run does.
#[test]
fn a_lost_device_loses_no_run() {
    let folder = tempfile::tempdir().expect("a folder");
    if diablo::device::Device::open("llvmpipe").is_err() {
        println!("skipped: llvmpipe is not here");
        return;
    }
    let Some(app) = open(Theme::Dark, folder.path()) else { return };
    let whole = RunConfig {
        device: "llvmpipe".into(),
        batch_size: 2,
        steps: Some(8),
        save_every: Some(2),
        warmup: 0,
        eval_data: None,
        eval_every: None,
        sample_prompt: None,
        sample_every: None,
        out: folder.path().join("whole"),
        ..app.state().shared.run.clone()
    };
    drop(app);
    Trainer::prepare(whole.clone(), &mut |_| ()).expect("prepares").run(&mut |_| (), &|| false).expect("runs");

    let device = Arc::new(std::sync::Mutex::new(None));
    let seen = device.clone();
    let builder = Harness::builder().with_size(egui::vec2(1280.0, 720.0)).with_max_steps(40);
    let mut app = builder.wgpu_setup(window_setup()).build_eframe(move |cc| {
        *seen.lock().expect("no poison") = cc.wgpu_render_state.as_ref().map(|r| r.device.clone());
        DiabloApp::new(cc)
    });
    app.state_mut().shared.run = RunConfig { out: folder.path().join("broken"), ..whole.clone() };
    app.state_mut().shared.commands.push(Command::Start);
    wait(&mut app, "some steps", |app| app.shared.live.step() >= 3);
    let device = device.lock().expect("no poison").take().expect("the window has a device");
    device.destroy();
    let legacy = app.state().legacy();
    let mut left = None;
    let began = Instant::now();
    while left.is_none() {
        assert!(began.elapsed() < Duration::from_secs(60), "the window noticed nothing");
        app.step();
        left = legacy.take();
    }
    let live = left.expect("just looked");
    let error = live.error.as_ref().expect("a reason").to_string();
    assert!(error.contains("the device was lost"), "{error}");
    assert!((3..8).contains(&live.step()), "it stopped at step {}", live.step());
    drop(app);

    let Some(mut app) = open(Theme::Dark, folder.path()) else { return };
    app.state_mut().inherit(*live);
    app.run_steps(3);
    assert!(app.query_all_by_label_contains("the device was lost").next().is_some());
    app.get_by_label("Go on").click();
    wait(&mut app, "the rest", |app| app.shared.live.outcome.is_some());
    assert_eq!(app.state().shared.live.step(), 8);
    let bytes = |run: &str| std::fs::read(folder.path().join(run).join("adapter_model.safetensors")).expect("an adapter");
    assert!(bytes("broken") == bytes("whole"), "going on ended elsewhere");
}

/// The window's frames while a software driver trains on the same cores. A frame has 100 ms.
#[test]
fn the_interface_answers_while_a_slow_device_trains() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(mut app) = open(Theme::Dark, folder.path()) else { return };
    app.state_mut().shared.run = RunConfig {
        device: "llvmpipe".into(),
        steps: Some(4),
        warmup: 0,
        eval_data: None,
        eval_every: None,
        sample_prompt: None,
        sample_every: None,
        ..app.state().shared.run.clone()
    };
    if diablo::device::Device::open("llvmpipe").is_err() {
        println!("skipped: llvmpipe is not here");
        return;
    }
    go(&mut app, View::Train);
    // Other programs on the machine hold a frame up now and then; what the app itself does to a frame, it does each time.
    let mut best = Duration::MAX;
    for _ in 0..4 {
        app.state_mut().shared.commands.push(Command::Start);
        wait(&mut app, "the start", |app| app.shared.live.is_active());
        let longest = wait(&mut app, "the end", |app| !app.shared.live.is_active());
        let live = &app.state().shared.live;
        assert!(live.error.is_none(), "{:?}", live.error);
        assert_eq!(live.step(), 4);
        println!("longest frame {:.0} ms, {:.0} tokens/s on llvmpipe", 1e3 * longest.as_secs_f64(), live.metrics[3].tokens_per_second);
        best = best.min(longest);
        if best < Duration::from_millis(100) {
            break;
        }
    }
    assert!(best < Duration::from_millis(100), "in every run a frame took {best:?} or longer");
}

/// Pictures of a run, with what differs from machine to machine made the same.
#[test]
fn a_run_has_its_picture() {
    let mut results = egui_kittest::SnapshotResults::new();
    let mut ended = None;
    for theme in [Theme::Dark, Theme::Light] {
        let folder = tempfile::tempdir().expect("a folder");
        let Some(mut app) = open(theme, folder.path()) else { return };
        app.state_mut().shared.run.method = Method::Diablo;
        if let Some(live) = ended.take() {
            app.state_mut().inherit(live);
        } else {
            app.state_mut().shared.commands.push(Command::Start);
            wait(&mut app, "the end", |app| app.shared.live.outcome.is_some());
        }
        let cpu = diablo::app::shared::MachineDevice {
            request: "cpu".into(),
            name: "CPU (8 threads)".into(),
            free: Some(16 << 30),
            limits: diablo::device::Limits::NONE,
        };
        let machine = diablo::app::shared::Machine { devices: vec![cpu], auto: 0, why: String::new() };
        let shared = &mut app.state_mut().shared;
        shared.machine.value = Some(machine);
        shared.live.said.clear();
        shared.live.metrics.iter_mut().for_each(|m| m.tokens_per_second = 20_000.0);
        if let Some(s) = &mut shared.live.summary {
            s.device = "CPU (8 threads)".into();
            s.out = "runs/demo-diablo".into();
        }
        for view in [View::Train, View::Blocks] {
            go(&mut app, view);
            if view == View::Blocks {
                wait(&mut app, "the layers", |app| !app.shared.live.changes.is_empty());
            }
            app.remove_cursor();
            for _ in 0..10 {
                std::thread::sleep(Duration::from_millis(10));
                app.step();
            }
            let options = SnapshotOptions::new().threshold(1.5).max_failed_pixels(600);
            app.snapshot_options(format!("{}-run-{theme:?}", view.name()).to_lowercase(), &options);
        }
        results.extend_harness(&mut app);
        ended = Some(std::mem::take(&mut app.state_mut().shared.live));
    }
}
