//! The app as a person uses it, drawn without a window by a software driver: clicks through its pages, and a picture of each.
//!
//! Pictures lie in `tests/snapshots`; `UPDATE_SNAPSHOTS=1 cargo test --test app` makes them again. Look at them before keeping them.

use diablo::app::shared::{Machine, MachineDevice};
use diablo::app::{DiabloApp, View};
use eframe::egui::{self, Theme};
use egui_kittest::kittest::Queryable;
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
    let cpu = MachineDevice { request: "cpu".into(), name: "CPU (8 threads)".into(), free: Some(16 << 30) };
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
