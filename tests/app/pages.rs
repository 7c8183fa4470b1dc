//! The app as a person uses it, drawn without a window by a software driver: clicks through its pages, and a picture of each.
//!
//! Pictures lie in `tests/snapshots`; `UPDATE_SNAPSHOTS=1 cargo test --test app pages::` makes them again. Look at them before keeping them.

use diablo::adapter::Blend;
use diablo::app::shared::{Machine, MachineDevice, Spot};
use diablo::app::{DiabloApp, View};
use diablo::model::Source;
use diablo::train::blocks::Blocks;
use diablo::train::config::Method;
use diablo::train::{RunConfig, Trainer, gguf};
use eframe::egui::{self, Theme};
use egui_kittest::kittest::{NodeT, Queryable};
use egui_kittest::{Harness, SnapshotOptions, SnapshotResults};
use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

type App = Harness<'static, DiabloApp>;

/// The app's own folder in tests.
///
/// Relative, so that pictures show the same path everywhere.
const HOME: &str = "target/app-test";

/// The app at 1280x720; `None`, with a word about it, where there is no driver to draw with.
fn open(theme: Theme, zoom: f32) -> Option<App> {
    if diablo::device::gpu::adapters::list().is_empty() {
        eprintln!("skipped: no Vulkan driver to draw with; Debian's mesa-vulkan-drivers has one");
        return None;
    }
    let size = egui::vec2(1280.0, 720.0) / zoom;
    let builder = Harness::builder().with_size(size).with_pixels_per_point(zoom).with_theme(theme).with_max_steps(40).wgpu();
    let mut app = builder.build_eframe(|cc| DiabloApp::new(cc));
    wait(&mut app, "the drivers", |app| app.shared.machine.value.is_some());
    // The same machine on every machine: pictures show it.
    let cpu =
        MachineDevice { request: "cpu".into(), name: "CPU (8 threads)".into(), free: Some(16 << 30), limits: diablo::device::Limits::NONE };
    app.state_mut().shared.machine.value = Some(Machine { devices: vec![cpu], auto: 0, why: "no GPU driver was found".into() });
    app.state_mut().shared.home = HOME.into();
    app.state_mut().shared.settings.theme = theme.into();
    Some(app)
}

fn go(app: &mut App, view: View) {
    app.state_mut().shared.go(view);
    app.run_steps(3);
}

/// Frames until `done`, for at most a minute.
fn wait(app: &mut App, what: &str, done: impl Fn(&DiabloApp) -> bool) {
    let began = Instant::now();
    while !done(app.state()) {
        assert!(began.elapsed() < Duration::from_secs(60), "waited a minute for {what}");
        std::thread::sleep(Duration::from_millis(5));
        app.step();
    }
    app.run_steps(3);
}

/// Opens the bundled demo as a person does.
fn open_demo(app: &mut App) {
    go(app, View::Model);
    app.get_by_label("Open the bundled demo").click();
    wait(app, "the demo", |app| app.shared.rows.value.is_some());
    // Where the demo lies differs from machine to machine.
    app.state_mut().shared.settings.models.clear();
    app.state_mut().shared.settings.data.clear();
}

/// Compares with the picture of that name. Pictures are kept small: written anew, they are compressed as far as PNG goes.
fn picture(app: &mut App, name: &str) {
    app.remove_cursor();
    // Numbers that are being computed arrive; what fades has faded.
    for _ in 0..10 {
        std::thread::sleep(Duration::from_millis(10));
        app.step();
    }
    // A shade of a colour is let pass, a letter that moved is not: black on white differs by 30,000.
    let options = SnapshotOptions::new().threshold(60.0).max_failed_pixels(20);
    app.snapshot_options(name, &options);
    let path = Path::new("tests/snapshots").join(format!("{name}.png"));
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        shrink(&path);
    }
}

/// Writes the picture again with a palette of at most 256 colours: a third of the size, and no pixel far from its own colour.
fn shrink(path: &Path) {
    let mut reader =
        png::Decoder::new(std::io::BufReader::new(std::fs::File::open(path).expect("the picture"))).read_info().expect("a PNG");
    // One that did not change was not written anew.
    if reader.info().color_type == png::ColorType::Indexed {
        return;
    }
    let mut pixels = vec![0; reader.output_buffer_size().expect("small")];
    let info = reader.next_frame(&mut pixels).expect("a frame");
    let pixels: Vec<[u8; 3]> = pixels.chunks_exact(info.color_type.samples()).map(|p| [p[0], p[1], p[2]]).collect();
    let mut counts = HashMap::<[u8; 3], usize>::new();
    pixels.iter().for_each(|p| *counts.entry(*p).or_default() += 1);
    let mut colours: Vec<_> = counts.into_iter().map(|(colour, count)| (std::cmp::Reverse(count), colour)).collect();
    colours.sort_unstable();
    let distance = |a: &[u8; 3], b: &[u8; 3]| a.iter().zip(b).map(|(a, b)| (i32::from(*a) - i32::from(*b)).pow(2)).sum::<i32>();
    // The most frequent colours that lie apart; the finest palette that has room.
    let palette = |apart: i32| {
        let mut palette: Vec<[u8; 3]> = Vec::new();
        for (_, colour) in &colours {
            if palette.iter().all(|p| distance(p, colour) > apart * apart) {
                palette.push(*colour);
            }
        }
        palette
    };
    let palette = (0..).map(palette).find(|palette| palette.len() <= 256).expect("far enough apart few are left");
    let nearest = |colour: &[u8; 3]| (0..palette.len()).min_by_key(|i| distance(colour, &palette[*i])).unwrap_or(0) as u8;
    let places: HashMap<[u8; 3], u8> = colours.iter().map(|(_, colour)| (*colour, nearest(colour))).collect();
    let indexed: Vec<u8> = pixels.iter().map(|p| places[p]).collect();
    let mut encoder = png::Encoder::new(std::fs::File::create(path).expect("the same file"), info.width, info.height);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_palette(palette.concat());
    encoder.set_compression(png::Compression::High);
    encoder.set_filter(png::Filter::NoFilter);
    encoder.write_header().and_then(|mut writer| writer.write_image_data(&indexed)).expect("writes");
}

#[test]
fn every_page_has_its_picture() {
    let mut results = SnapshotResults::new();
    for theme in [Theme::Dark, Theme::Light] {
        let Some(mut app) = open(theme, 1.0) else { return };
        let name = |view: &str| format!("{view}-{theme:?}").to_lowercase();
        picture(&mut app, &name("first"));
        open_demo(&mut app);
        for view in View::ALL {
            go(&mut app, view);
            picture(&mut app, &name(view.name()));
        }
        results.extend_harness(&mut app);
    }
}

/// Not a test of its own: every page and state, in both themes, at 100% and 200%, into `target/app-look` for a person to look at.
#[test]
#[ignore = "draws pictures to look at; run it by name"]
fn look_at_everything() {
    let folder = Path::new("target/app-look");
    std::fs::create_dir_all(folder).expect("a folder");
    for (theme, zoom) in [(Theme::Dark, 1.0), (Theme::Light, 1.0), (Theme::Dark, 2.0)] {
        let Some(mut app) = open(theme, zoom) else { return };
        let save = |app: &mut App, name: &str| {
            app.remove_cursor();
            for _ in 0..12 {
                std::thread::sleep(Duration::from_millis(5));
                app.step();
            }
            let name = format!("{name}-{theme:?}-{zoom}.png").to_lowercase();
            let image = app.render().expect("a picture");
            let file = std::fs::File::create(folder.join(name)).expect("a file");
            let mut encoder = png::Encoder::new(file, image.width(), image.height());
            encoder.set_color(png::ColorType::Rgba);
            encoder.write_header().and_then(|mut w| w.write_image_data(image.as_raw())).expect("writes");
        };
        for view in View::ALL {
            go(&mut app, view);
            save(&mut app, &format!("empty-{}", view.name()));
        }
        open_demo(&mut app);
        for view in View::ALL {
            go(&mut app, view);
            save(&mut app, view.name());
        }
        go(&mut app, View::Method);
        app.get_by_label("More").scroll_to_me();
        app.run_steps(5);
        app.get_by_label("More").click();
        app.run_steps(30);
        app.get_by_label("Shuffle rows").scroll_to_me();
        app.run_steps(30);
        save(&mut app, "method-more");
        go(&mut app, View::Learn);
        wait(&mut app, "the walk", |_| true);
        for step in 2..8 {
            app.key_press(egui::Key::ArrowRight);
            app.run_steps(2);
            save(&mut app, &format!("learn-{step}"));
        }
    }
}

fn label(app: &App, part: &str) -> bool {
    app.query_all_by_label_contains(part).next().is_some()
}

#[test]
fn a_person_looks_at_rows_and_sets_blocks() {
    let Some(mut app) = open(Theme::Dark, 1.0) else { return };
    open_demo(&mut app);
    app.get_by_label("Next: Data ›").click();
    app.run_steps(3);
    assert_eq!(app.state().view(), View::Data);
    assert!(label(&app, "24 tokens: 18 read only, 6 learned"));
    app.key_press(egui::Key::ArrowRight);
    app.run_steps(3);
    assert!(label(&app, "line 2"));
    // A shorter sequence cuts rows, and says so.
    app.state_mut().shared.run.seq_len = 20;
    app.run_steps(3);
    assert!(label(&app, "rows lose what lies beyond 20 tokens"));
    app.state_mut().shared.run.seq_len = 64;

    app.key_press_modifiers(egui::Modifiers::COMMAND, egui::Key::Num3);
    app.run_steps(3);
    assert_eq!(app.state().view(), View::Method);
    wait(&mut app, "the estimate", |_| true);
    settle(&mut app, "49,152");
    app.get_by_role_and_label(egui::Role::Slider, "Blocks N").focus();
    app.run_steps(2);
    app.key_press(egui::Key::ArrowRight);
    app.run_steps(3);
    assert_eq!(app.state().shared.run.blocks, Some(Blocks::One(32)));
    settle(&mut app, "24,576");
    app.get_by_label("q_proj trains").click();
    app.run_steps(3);
    assert!(!app.state().shared.run.targets.iter().any(|t| t == "q_proj"));
    app.get_by_label("LoRA").click();
    app.run_steps(3);
    assert_eq!(app.state().shared.run.method, Method::Lora);
    app.state_mut().shared.run.rank = 5;
    app.get_by_label("DoRA").click();
    app.run_steps(3);
    assert!(app.state().shared.run.dora);
    // Six layers of rank 5 and a length for each output.
    settle(&mut app, "48,128");
    picture(&mut app, "method-dora-dark");
    app.get_by_label("PiSSA").click();
    settle(&mut app, "\"DoRA\" and \"PiSSA\" exclude each other");
}

/// Frames until a text can be read somewhere.
fn settle(app: &mut App, text: &str) {
    let began = Instant::now();
    while !label(app, text) {
        assert!(began.elapsed() < Duration::from_secs(30), "waited for {text}");
        std::thread::sleep(Duration::from_millis(5));
        app.step();
    }
}

#[test]
fn errors_stand_where_they_arise_and_say_what_to_do() {
    let Some(mut app) = open(Theme::Light, 1.0) else { return };
    let ctx = app.ctx.clone();
    app.state_mut().shared.open_model(&ctx, "tests".into());
    wait(&mut app, "the refusal", |app| app.shared.model.error.is_some());
    assert!(label(&app, "Error: Holds no config.json"));
    assert!(label(&app, "What to do: give the folder of a model"));
    open_demo(&mut app);
    app.state_mut().shared.open_data(&ctx, "Cargo.toml");
    wait(&mut app, "the text", |app| app.shared.rows.value.is_some() || app.shared.rows.error.is_some());
    app.state_mut().shared.open_data(&ctx, "tests/engine/reference_certainty.json");
    wait(&mut app, "the refusal", |app| app.shared.rows.error.is_some());
    go(&mut app, View::Data);
    assert!(label(&app, "Error: "));

    open_demo(&mut app);
    go(&mut app, View::Method);
    app.state_mut().shared.run.blocks = Some(Blocks::One(7));
    settle(&mut app, "cannot be cut into 7 diagonal blocks");
    assert!(label(&app, "the nearest numbers that work"));
    app.run_steps(2);
    assert!(app.get_by_label("Start training").accesskit_node().is_disabled());
    picture(&mut app, "method-error-light");
    app.state_mut().shared.run.blocks = Some(Blocks::One(16));
    // A machine that is too small for it.
    let small =
        MachineDevice { request: "cpu".into(), name: "CPU (1 thread)".into(), free: Some(8 << 20), limits: diablo::device::Limits::NONE };
    app.state_mut().shared.machine.value = Some(Machine { devices: vec![small], auto: 0, why: String::new() });
    settle(&mut app, "Make it fit");
    picture(&mut app, "method-too-large-light");
    app.get_by_label("Make it fit").click();
    app.run_steps(3);
    let run = &app.state().shared.run;
    assert!(run.batch_size * run.accumulate >= 16 && run.batch_size < 16, "{} x {}", run.batch_size, run.accumulate);
    settle(&mut app, "it fits");
}

#[test]
fn the_walk_leads_to_what_it_speaks_of() {
    let Some(mut app) = open(Theme::Dark, 1.0) else { return };
    open_demo(&mut app);
    app.key_press(egui::Key::F1);
    app.run_steps(3);
    assert_eq!(app.state().view(), View::Learn);
    settle(&mut app, "24 products added up");
    for (step, said) in [(2, "numbers train in A and B"), (3, "numbers train in D"), (4, "The largest difference between the two: 0.")] {
        app.get_by_label("Next ›").click();
        app.run_steps(3);
        assert!(label(&app, said), "step {step}: {said}");
    }
    picture(&mut app, "learn-gradient-dark");
    app.get_by_label("DiaBlo adds blocks on the diagonal").click();
    app.run_steps(3);
    app.get_by_label("Show me the number of blocks").click();
    app.run_steps(3);
    assert_eq!((app.state().view(), app.state().shared.spotlight), (View::Method, Some(Spot::BlockCount)));
}

#[test]
fn a_run_is_exported_with_the_lines_that_load_it() {
    let Some(mut app) = open(Theme::Dark, 1.0) else { return };
    open_demo(&mut app);
    let folder = Path::new(HOME).join("exports");
    let _ = std::fs::remove_dir_all(&folder);
    let run = RunConfig { out: folder.join("short"), steps: Some(2), eval_data: None, eval_every: None, ..app.state().shared.run.clone() };
    let run = RunConfig { device: "cpu".into(), sample_prompt: None, sample_every: None, ..run };
    Trainer::prepare(run.clone(), &mut |_| ()).expect("prepares").run(&mut |_| (), &|| false).expect("runs");
    app.state_mut().shared.settings.remember_run(&run.out);
    go(&mut app, View::Export);
    settle(&mut app, "diablo, 16 blocks");
    picture(&mut app, "export-run-dark");
    app.get_all_by_label("Export").last().expect("the button").click();
    settle(&mut app, "To load it with transformers");
    assert!(folder.join("short-merged/config.json").is_file());
    app.get_by_label("GGUF").click();
    app.run_steps(3);
    choose_precision(&mut app, "the model's own", "q4_0");
    picture(&mut app, "export-gguf-dark");
    app.get_all_by_label("Export").last().expect("the button").click();
    settle(&mut app, "To load it with llama.cpp");
    assert!(label(&app, "ollama create short-gguf -f Modelfile") && label(&app, "To load it with Ollama"));
    let bytes = |name: &str| std::fs::metadata(folder.join(name)).expect("a file").len();
    assert!(bytes("short-gguf/model.gguf") < bytes("short-merged/model.safetensors") / 2, "four bits a number");
    assert!(std::fs::read_to_string(folder.join("short-gguf/Modelfile")).expect("a Modelfile").contains("FROM ./model.gguf\n"));
    // Merged weights have no such type, and their own list of types.
    app.get_by_label("Merged model").click();
    app.run_steps(3);
    let shown = |text: &str| app.query_all_by_value(text).next().is_some();
    assert!(shown("the model's own") && !shown("q4_0"));
    app.get_by_label("Adapter alone").click();
    app.run_steps(3);
    app.get_all_by_label("Export").last().expect("the button").click();
    settle(&mut app, "To load it with diablo");
    assert!(folder.join("short-adapter/adapter_model.safetensors").is_file());
    // The same folder again is refused: it is not empty.
    app.get_all_by_label("Export").last().expect("the button").click();
    settle(&mut app, "the folder is not empty");
}

/// Chooses another type of weights.
fn choose_precision(app: &mut App, from: &str, to: &str) {
    app.get_all_by_role(egui::accesskit::Role::ComboBox).find(|b| b.value().is_some_and(|v| v == from)).expect("the list").click();
    app.run_steps(3);
    app.get_by_label(to).click();
    app.run_steps(3);
}

/// A run that trained the whole model has it as a folder already; GGUF is made from that.
#[test]
fn a_whole_model_is_exported_as_gguf() {
    let Some(mut app) = open(Theme::Light, 1.0) else { return };
    open_demo(&mut app);
    let folder = Path::new(HOME).join("whole-exports");
    let _ = std::fs::remove_dir_all(&folder);
    let run = RunConfig { out: folder.join("all"), steps: Some(1), eval_data: None, eval_every: None, ..app.state().shared.run.clone() };
    let run = RunConfig { method: Method::Full, blocks: None, device: "cpu".into(), sample_prompt: None, sample_every: None, ..run };
    Trainer::prepare(run.clone(), &mut |_| ()).expect("prepares").run(&mut |_| (), &|| false).expect("runs");
    app.state_mut().shared.settings.remember_run(&run.out);
    go(&mut app, View::Export);
    settle(&mut app, "A model of its own");
    assert!(!label(&app, "Adapter alone") && label(&app, "As GGUF"));
    app.get_all_by_label("Export").last().expect("the button").click();
    settle(&mut app, "ollama create all-gguf -f Modelfile");
    // What was trained, and not the model that it began as.
    let bytes = |path: &Path| std::fs::read(path).expect("a file");
    let source = Source::open(&run.out.join("model")).expect("a model");
    let again = folder.join("again/all-gguf");
    gguf::write(&source, source.checkpoint().expect("weights"), Blend::none(), &again, None).expect("written");
    assert!(bytes(&folder.join("all-gguf/model.gguf")) == bytes(&again.join("model.gguf")));
}

#[test]
fn closing_during_a_run_asks() {
    let Some(mut app) = open(Theme::Dark, 1.0) else { return };
    let close = |app: &mut App| {
        let viewport = app.input_mut().viewports.entry(egui::ViewportId::ROOT).or_default();
        viewport.events.push(egui::ViewportEvent::Close);
        app.step();
        app.run_steps(2);
    };
    close(&mut app);
    assert!(!label(&app, "Save and close"), "with nothing to lose nothing is asked");
    app.state_mut().shared.live.state = Some(diablo::train::driver::State::Running);
    app.run_steps(2);
    close(&mut app);
    assert!(label(&app, "Save and close"));
    app.get_by_label("Keep training").click();
    app.run_steps(3);
    assert!(!label(&app, "Save and close"));
}

#[test]
fn every_shortcut_does_what_its_menu_says() {
    let Some(mut app) = open(Theme::Dark, 1.0) else { return };
    for (key, view) in [(egui::Key::Num2, View::Data), (egui::Key::Num9, View::Learn), (egui::Key::Num4, View::Train)] {
        app.key_press_modifiers(egui::Modifiers::COMMAND, key);
        app.run_steps(3);
        assert_eq!(app.state().view(), view);
    }
    app.key_press_modifiers(egui::Modifiers::COMMAND.plus(egui::Modifiers::SHIFT), egui::Key::T);
    app.run_steps(3);
    assert_eq!((app.ctx.theme(), app.state().shared.settings.theme), (Theme::Light, egui::ThemePreference::Light));
    app.get_by_label("View").click();
    app.run_steps(3);
    assert!(label(&app, "Light or dark") && label(&app, "Zoom in"));
    picture(&mut app, "menu-light");
}
