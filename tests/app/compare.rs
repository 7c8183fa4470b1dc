//! Compare as a person uses it: two runs in a plot and a table, files out of them, and the runs that come next.
//!
//! Pictures lie in `tests/snapshots`; `UPDATE_SNAPSHOTS=1 cargo test --test app compare::` makes them again. Look at them before
//! keeping them.

use crate::views::{App, go, open, train, wait_for};
use diablo::app::View;
use diablo::app::shared::{Command, RunState};
use diablo::demo::Files;
use diablo::train::RunConfig;
use diablo::train::config::Method;
use diablo::train::metrics::{METRICS_FILE, MetricsLog};
use eframe::egui::{Key, Modifiers, Theme, accesskit};
use egui_kittest::SnapshotResults;
use egui_kittest::kittest::{NodeT, Queryable};
use std::path::Path;

/// Compares the page with its picture.
fn picture(app: &mut App, name: &str) {
    app.remove_cursor();
    app.run_steps(2);
    app.snapshot_options(name, &crate::views::tolerant());
}

/// Gives every step of a run the same time, and its losses two decimals, so that a picture of it is the same on every machine: processors
/// add up in different orders.
fn even_out(run: &RunConfig) {
    let steps = MetricsLog::read(&run.out.join(METRICS_FILE)).expect("metrics");
    let mut log = MetricsLog::open(&run.out, None).expect("a log");
    for mut step in steps {
        step.tokens_per_second = step.tokens as f64 / 0.02;
        step.loss = (step.loss * 100.0).round() / 100.0;
        step.eval_loss = step.eval_loss.map(|loss| (loss * 100.0).round() / 100.0);
        step.eval_perplexity = step.eval_loss.map(f64::exp);
        log.write(&step).expect("writes");
    }
}

fn runs(folder: &Path) -> [RunConfig; 2] {
    Files::write(folder).expect("the demo's files");
    let runs = [Method::Diablo, Method::Lora].map(|method| train(folder, method, 40));
    runs.iter().for_each(even_out);
    runs
}

/// The app on Compare with these runs in the list.
fn compare(theme: Theme, size: [f32; 2], zoom: f32, runs: &[RunConfig]) -> Option<App> {
    let mut app = open(theme, size, zoom)?;
    app.state_mut().shared.settings.runs = runs.iter().rev().map(|run| run.out.clone()).collect();
    go(&mut app, View::Compare);
    wait_for(&mut app, "the runs", |app| {
        app.query_all_by_label("Run the same with…").count() == runs.len() && app.query_by_label("reading…").is_none()
    });
    Some(app)
}

/// The names of the runs from top to bottom.
fn lines(app: &App) -> Vec<String> {
    let mut found: Vec<(f32, String)> = app
        .query_all(egui_kittest::kittest::By::new().role(accesskit::Role::CheckBox))
        .filter_map(|node| {
            let name = node.accesskit_node().label()?.strip_prefix("Show ")?.strip_suffix(" in the plot")?.to_owned();
            Some((node.rect().top(), name))
        })
        .collect();
    found.sort_by(|a, b| a.0.total_cmp(&b.0));
    found.into_iter().map(|(_, name)| name).collect()
}

fn click(app: &mut App, label: &str) {
    // Of several lines that have it, the first.
    app.get_all_by_label(label).next().expect("something to click").click();
    app.run_steps(3);
}

/// Puts a text into a box.
fn fill(app: &mut App, label: &str, text: &str) {
    app.get_by_role_and_label(accesskit::Role::TextInput, label).focus();
    app.run_steps(1);
    app.key_press_modifiers(Modifiers::COMMAND, Key::A);
    app.run_steps(1);
    app.get_by_role_and_label(accesskit::Role::TextInput, label).type_text(text);
    app.run_steps(2);
}

#[test]
fn two_runs_are_compared_exported_and_run_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let runs = runs(folder.path());
    let Some(mut app) = compare(Theme::Dark, [1280.0, 720.0], 1.0, &runs) else { return };

    // The table sorts by each column, both ways.
    click(&mut app, "Sort by Run");
    assert_eq!(lines(&app), ["diablo", "lora"]);
    click(&mut app, "Sort by Run");
    assert_eq!(lines(&app), ["lora", "diablo"]);
    click(&mut app, "Sort by Rate");
    assert_eq!(lines(&app), ["lora", "diablo"], "4e-3 before 1.6e-2");

    // Files out of what is shown.
    let target = folder.path().join("out");
    click(&mut app, "Export…");
    for (kind, file) in [("Table, CSV", "t.csv"), ("Every step, CSV", "s.csv"), ("Plot, SVG", "p.svg"), ("Plot, PNG", "p.png")] {
        if app.query_by_label("Write").is_none() {
            click(&mut app, "Export…");
        }
        click(&mut app, kind);
        fill(&mut app, "File", &target.join(file).display().to_string());
        click(&mut app, "Write");
        wait_for(&mut app, file, |_| target.join(file).is_file());
        wait_for(&mut app, "the dialog to close", |app| app.query_by_label("Write").is_none());
    }
    let text = |file: &str| std::fs::read_to_string(target.join(file)).expect("a file");
    let table = text("t.csv");
    let rows: Vec<&str> = table.lines().collect();
    assert_eq!(rows.len(), 3);
    assert!(rows[0].starts_with("run,model,method") && rows[1].starts_with("lora,"), "{table}");
    assert!(rows[2].contains("diablo, 16 blocks") && rows[2].contains(",49152,"), "{table}");
    assert_eq!(text("s.csv").lines().count(), 1 + 2 * 40);
    let svg = text("p.svg");
    for part in ["lora", "diablo", "training loss", "steps", "</svg>"] {
        assert!(svg.contains(part), "{part}");
    }
    assert!(std::fs::read(target.join("p.png")).expect("a file").starts_with(b"\x89PNG"));

    // A hidden run is not exported, and one that is removed is gone from the list, not from the disk.
    click(&mut app, "Show lora in the plot");
    click(&mut app, "Remove lora from the list");
    app.run_steps(8);
    assert_eq!(lines(&app), ["diablo"]);
    assert!(runs[1].out.is_dir());

    // The sibling by the other method is fair, has a folder of its own, and comes into the list while it goes on.
    click(&mut app, "Run the same with…");
    assert!(app.query_by_label_contains("diablo-lora-r5").is_some(), "the rank that trains as many numbers");
    click(&mut app, "Start it");
    wait_for(&mut app, "the run", |app| app.state().view() == View::Train && app.state().shared.live.has_begun());
    let run = app.state().shared.live.run.clone();
    assert_eq!((run.method, run.rank, run.seed, run.steps), (Method::Lora, 5, 1, Some(40)));
    assert_eq!(run.out, runs[0].out.with_file_name("diablo-lora-r5"));
    go(&mut app, View::Compare);
    wait_for(&mut app, "the run's line", |app| lines(app).iter().any(|name| name == "diablo-lora-r5"));
    wait_for(&mut app, "its end", |app| !app.state().shared.live.is_active());
}

#[test]
fn a_sweep_goes_one_after_the_other() {
    let folder = tempfile::tempdir().expect("a folder");
    Files::write(folder.path()).expect("the demo's files");
    let runs = [train(folder.path(), Method::Diablo, 8)];
    let Some(mut app) = compare(Theme::Light, [1280.0, 720.0], 1.0, &runs) else { return };
    click(&mut app, "Sweep…");
    assert!(app.query_by_label("Start 4 runs").is_some());
    click(&mut app, "Blocks N");
    fill(&mut app, "Values", "4, 7");
    assert_eq!(app.query_all_by_label_contains("Error: ").count(), 1, "7 does not divide");
    assert!(app.query_by_label("Start 2 runs").is_none());
    fill(&mut app, "Values", "4, 8, 32");
    app.get_by_label("Start 3 runs").click();
    wait_for(&mut app, "the first", |app| app.state().shared.live.is_active());
    app.state_mut().shared.commands.push(Command::Pause);
    wait_for(&mut app, "the pause", |app| app.state().shared.status.state == RunState::Paused);
    let name = |run: &RunConfig| run.out.file_name().expect("a name").to_string_lossy().into_owned();
    let shared = &app.state().shared;
    assert_eq!(name(&shared.live.run), "diablo-diablo-n4");
    assert_eq!(shared.queue.iter().map(name).collect::<Vec<_>>(), ["diablo-diablo-n8", "diablo-diablo-n32"]);

    // While a run goes on, more of them only wait, in folders that no other takes.
    go(&mut app, View::Compare);
    click(&mut app, "Run the same with…");
    click(&mut app, "DiaBlo");
    fill(&mut app, "Blocks N", "8");
    click(&mut app, "Queue it");
    assert_eq!(app.state().shared.queue.back().map(name).as_deref(), Some("diablo-diablo-n8-2"));
    assert!(app.query_by_label("3 runs wait").is_some());
    app.state_mut().shared.queue.pop_back();

    app.state_mut().shared.commands.push(Command::Continue);
    wait_for(&mut app, "the sweep", |app| app.state().shared.queue.is_empty() && !app.state().shared.live.is_active());
    wait_for(&mut app, "the last line", |app| app.query_all_by_label("8").count() >= 4);
    click(&mut app, "Sort by Trained");
    assert_eq!(lines(&app), ["diablo-diablo-n32", "diablo", "diablo-diablo-n8", "diablo-diablo-n4"]);
}

#[test]
fn what_is_no_run_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(mut app) = open(Theme::Dark, [1280.0, 720.0], 1.0) else { return };
    go(&mut app, View::Compare);
    assert!(app.query_by_label("No runs yet").is_some());
    app.state_mut().shared.settings.runs = vec![folder.path().to_path_buf()];
    wait_for(&mut app, "the reason", |app| app.query_by_label("Error: No run: run.toml is not here").is_some());
    assert!(app.query_by_label("cannot be read").is_some());
}

#[test]
fn a_run_that_grows_is_read_again() {
    let folder = tempfile::tempdir().expect("a folder");
    Files::write(folder.path()).expect("the demo's files");
    let run = train(folder.path(), Method::Diablo, 8);
    let metrics = run.out.join(METRICS_FILE);
    let whole = std::fs::read_to_string(&metrics).expect("metrics");
    let half: String = whole.split_inclusive('\n').take(4).collect();
    std::fs::write(&metrics, half).expect("writes");
    let Some(mut app) = compare(Theme::Dark, [1280.0, 720.0], 1.0, std::slice::from_ref(&run)) else { return };
    assert!(app.query_by_label("4 of 8").is_some());
    std::fs::write(&metrics, whole).expect("writes");
    wait_for(&mut app, "the other steps", |app| app.query_by_label("8").is_some());
}

#[test]
fn compare_has_its_pictures() {
    let folder = tempfile::tempdir().expect("a folder");
    let runs = runs(folder.path());
    let mut results = SnapshotResults::new();
    for theme in [Theme::Dark, Theme::Light] {
        let Some(mut app) = compare(theme, [1280.0, 720.0], 1.0, &runs) else { return };
        picture(&mut app, &format!("compare-runs-{theme:?}").to_lowercase());
        if theme == Theme::Dark {
            click(&mut app, "Log axis");
            click(&mut app, "Run the same with…");
            picture(&mut app, "compare-again-dark");
        } else {
            click(&mut app, "Held-out loss");
            click(&mut app, "Tokens");
            app.hover_at(eframe::egui::pos2(720.0, 260.0));
            app.run_steps(3);
            app.snapshot_options("compare-values-light", &crate::views::tolerant());
            click(&mut app, "Sweep…");
            picture(&mut app, "compare-sweep-light");
        }
        results.extend_harness(&mut app);
    }
    let Some(mut app) = compare(Theme::Light, [1280.0, 720.0], 2.0, &runs) else { return };
    picture(&mut app, "compare-runs-large");
    results.extend_harness(&mut app);
}
