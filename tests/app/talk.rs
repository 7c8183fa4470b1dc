//! Talk as a person uses it: the demo's model and adapters answer the same words beside each other.
//!
//! Pictures lie in `tests/snapshots`; `UPDATE_SNAPSHOTS=1 cargo test --test app talk::` makes them again. Look at them before
//! keeping them.

use crate::views::{App, go, open, train, wait, wait_for};
use diablo::adapter::AdapterFile;
use diablo::app::View;
use diablo::data::{Tokenizer, stop_ids};
use diablo::demo::Files;
use diablo::device::Device;
use diablo::error::Error;
use diablo::generate::together::{Part, Question, Together};
use diablo::generate::{Decoder, Sampler, Sampling};
use diablo::model::Source;
use diablo::train::RunConfig;
use diablo::train::config::Method;
use eframe::egui::{Key, Modifiers, Theme, accesskit};
use egui_kittest::SnapshotResults;
use egui_kittest::kittest::Queryable;
use pollster::block_on;
use std::path::Path;

const PROMPT: &str = "Where does Stoat live?";

/// Answers of several voices to one question.
fn together(together: &mut Together<'_>, question: &Question) -> Vec<Result<String, Error>> {
    let mut answers: Vec<Result<String, Error>> = question.voices.iter().map(|_| Ok(String::new())).collect();
    let say = &mut |place: usize, part: Part| {
        match (part, &mut answers[place]) {
            (Part::Text(text), Ok(so_far)) => so_far.push_str(&text),
            (Part::Failed(error), answer) => *answer = Err(error),
            _ => (),
        }
        true
    };
    block_on(together.answer(question, &mut |_, _| (), say)).expect("answers");
    answers
}

/// In turn, voices say what each says alone, drawn or greedy; a changed adapter is noticed; a broken one leaves the others be.
#[test]
fn voices_in_turn_say_what_each_says_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = Files::write(folder.path()).expect("the demo's files");
    let runs = [Method::Diablo, Method::Lora].map(|method| train(folder.path(), method, 30));
    let source = Source::open(&files.model()).expect("a model");
    let tokenizer = Tokenizer::from_dir(&source.folder).expect("a tokenizer");
    let stop = stop_ids(&source.folder, &tokenizer, &source.config.eos_token_id).expect("stop ids");
    let ids = tokenizer.encode(PROMPT).expect("ids");
    let alone = |out: Option<&Path>, sampling: Sampling| {
        let adapter = out.map(|out| AdapterFile::open(out, &source.config).expect("an adapter"));
        let mut decoder = block_on(Decoder::new(&Device::Cpu, &source, adapter.as_ref(), 128, &mut |_, _| ())).expect("a decoder");
        let prompt = [tokenizer.begin().expect("begin"), ids.clone()].concat();
        let mut sampler = Sampler::new(sampling);
        block_on(decoder.continue_tokens(&tokenizer, &prompt, 12, &stop, &mut sampler, &mut |_| true)).expect("text").text
    };
    let mut choir = Together::new(Device::Cpu, &source, &tokenizer).expect("nobody yet");
    let out = |run: &RunConfig| Some(run.out.clone());
    for sampling in [Sampling::GREEDY, Sampling { temperature: 0.9, top_k: 20, top_p: 0.95, seed: 3 }] {
        let voices = vec![None, out(&runs[0]), Some(folder.path().join("none")), out(&runs[1])];
        let question = Question { prompt: PROMPT.into(), chat: false, voices, sampling, most: 12 };
        let answers = together(&mut choir, &question);
        let said = |i: usize| answers[i].as_ref().expect("an answer").clone();
        assert_eq!(said(0), alone(None, sampling));
        assert_eq!(said(1), alone(Some(&runs[0].out), sampling));
        assert_eq!(said(3), alone(Some(&runs[1].out), sampling));
        assert!(answers[2].as_ref().is_err_and(|e| e.what().contains("there is no such adapter")), "{:?}", answers[2]);
        assert_ne!(said(0), said(1));
    }
    // The folder of the first run now holds the adapter of another seed.
    let voice = Question { prompt: PROMPT.into(), chat: false, voices: vec![out(&runs[0])], sampling: Sampling::GREEDY, most: 12 };
    let other = RunConfig { out: folder.path().join("other"), seed: 9, lr: Some(3e-2), ..runs[0].clone() };
    diablo::train::Trainer::prepare(other.clone(), &mut |_| ()).expect("a run").run(&mut |_| (), &|| false).expect("it runs");
    std::fs::copy(other.out.join("adapter_model.safetensors"), runs[0].out.join("adapter_model.safetensors")).expect("copies");
    let now = together(&mut choir, &voice).remove(0).expect("an answer");
    assert_eq!(now, alone(Some(&other.out), Sampling::GREEDY));
}

/// The app on Talk with the demo's model open and its runs trained.
fn talk(theme: Theme, size: [f32; 2], zoom: f32, runs: &[RunConfig]) -> Option<App> {
    let mut app = open(theme, size, zoom)?;
    let ctx = app.ctx.clone();
    let shared = &mut app.state_mut().shared;
    shared.run = RunConfig { device: "cpu".into(), ..runs[0].clone() };
    shared.open_model(&ctx, runs[0].model.clone());
    shared.settings.runs = runs.iter().map(|run| run.out.clone()).collect();
    wait(&mut app, "the model", |app| app.shared.model.value.is_some());
    app.state_mut().shared.run.sample_prompt = Some(PROMPT.into());
    go(&mut app, View::Talk);
    // In a narrow window the voices are in a line.
    wait_for(&mut app, "the adapters", |app| {
        app.query_by_label("diablo speaks").is_some() || app.query_by_label("Voices and sampling: Base, diablo").is_some()
    });
    Some(app)
}

/// Waits until so many answers are whole.
fn answered(app: &mut App, answers: usize) {
    wait_for(app, "the answers", |app| {
        app.query_all_by_label_contains("tokens/s").count() == answers && app.query_by_label("Send").is_some()
    });
}

#[test]
fn base_and_adapters_answer_beside_each_other() {
    let folder = tempfile::tempdir().expect("a folder");
    Files::write(folder.path()).expect("the demo's files");
    let runs = [Method::Diablo, Method::Lora].map(|method| train(folder.path(), method, 60));
    let Some(mut app) = talk(Theme::Dark, [1280.0, 720.0], 1.0, &runs) else { return };
    assert_eq!(app.get_by_role_and_label(accesskit::Role::MultilineTextInput, "Prompt").value().as_deref(), Some(PROMPT));
    // The newest run speaks without being asked.
    app.get_by_label("Send").click();
    app.run_steps(1);
    answered(&mut app, 2);
    // Another adapter in its place: asked with the keys, answered without loading the model again.
    app.get_by_label("diablo speaks").click();
    app.run_steps(2);
    app.get_by_label("lora speaks").click();
    app.run_steps(2);
    app.key_press_modifiers(Modifiers::COMMAND, Key::Enter);
    app.run_steps(1);
    answered(&mut app, 4);
    // A voice that is of no folder says so in its own column.
    std::fs::remove_file(runs[1].out.join("adapter_model.safetensors")).expect("removes");
    app.get_by_label("Send").click();
    app.run_steps(1);
    answered(&mut app, 5);
    assert!(app.query_by_label_contains("Error: ").is_some());
}

#[test]
fn an_answer_can_be_stopped() {
    let folder = tempfile::tempdir().expect("a folder");
    Files::write(folder.path()).expect("the demo's files");
    let runs = [train(folder.path(), Method::Diablo, 4)];
    let Some(mut app) = talk(Theme::Dark, [1280.0, 720.0], 1.0, &runs) else { return };
    app.get_by_label("Send").click();
    // The model is loaded before the first token, which takes longer than a few frames.
    for _ in 0..20 {
        app.step();
        if app.query_by_label("Stop").is_some() {
            break;
        }
    }
    app.get_by_label("Stop").click();
    wait_for(&mut app, "the end", |app| app.query_by_label("Send").is_some());
    assert!(app.query_all_by_label_contains("stopped").count() > 0);
    app.get_by_label("Clear").click();
    app.run_steps(2);
    assert_eq!(app.query_all_by_label_contains("stopped").count(), 0);
}

#[test]
fn talk_has_its_pictures() {
    // A folder of the same name each time: the pictures show it.
    let folder = Path::new(concat!(env!("CARGO_TARGET_TMPDIR"), "/talk/demo"));
    Files::write(folder).expect("the demo's files");
    let runs = [Method::Diablo, Method::Lora].map(|method| train(folder, method, 60));
    let mut results = SnapshotResults::new();
    for (theme, zoom, name) in [(Theme::Dark, 1.0, "dark"), (Theme::Light, 1.0, "light"), (Theme::Light, 2.0, "large")] {
        let Some(mut app) = talk(theme, [1280.0, 720.0], zoom, &runs) else { return };
        if zoom == 1.0 {
            app.get_by_label("lora speaks").click();
            app.run_steps(2);
        }
        app.get_by_label("Send").click();
        app.run_steps(1);
        answered(&mut app, if zoom == 1.0 { 3 } else { 2 });
        app.remove_cursor();
        app.run_steps(2);
        // How fast it is differs from machine to machine. A mask holds for the frame that is there.
        let speeds: Vec<_> = app.query_all_by_label_contains("tokens/s").map(|node| node.rect()).collect();
        speeds.into_iter().for_each(|rect| app.mask(rect.with_max_x(rect.left() + 220.0)));
        app.snapshot_options(format!("talk-answers-{name}"), &crate::views::tolerant());
        results.extend_harness(&mut app);
    }
}
