//! The demo's first losses, which the page's test compares its own with (web/tests): they must be what a native run gives.
#![allow(missing_docs)]

use diablo::demo::Files;
use diablo::train::config::Method;
use diablo::train::{Event, Trainer};
use std::path::Path;

const STEPS: usize = 20;

#[test]
fn the_page_compares_with_these() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("web/tests/first-steps.json");
    let folder = tempfile::tempdir().expect("a folder");
    let files = Files::write(folder.path()).expect("the demo's files");
    let mut losses = Vec::new();
    let mut hear = |event: Event| {
        if let Event::Step(m) = event {
            losses.push(m.loss);
        }
    };
    let mut trainer = Trainer::prepare(files.config(Method::Diablo, 1, "cpu"), &mut hear).expect("a run");
    pollster::block_on(async {
        trainer.begin(&mut hear).await.expect("begins");
        for _ in 0..STEPS {
            trainer.advance(&mut hear).await.expect("a step");
        }
        trainer.settle(&mut hear).await.expect("settles");
    });
    if std::env::var_os("DIABLO_WRITE_FIRST_STEPS").is_some() {
        let text = serde_json::json!({ "losses": losses }).to_string();
        std::fs::write(&path, text + "\n").expect("writes");
    }
    let text = std::fs::read_to_string(&path).expect("web/tests/first-steps.json");
    let stored: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let stored: Vec<f32> = serde_json::from_value(stored["losses"].clone()).expect("losses");
    assert_eq!((stored.len(), losses.len()), (STEPS, STEPS));
    for (step, (ours, theirs)) in losses.iter().zip(&stored).enumerate() {
        // Other processors add in other orders.
        let hint = "if the demo changed: DIABLO_WRITE_FIRST_STEPS=1 cargo test --test engine first_steps::";
        assert!((ours - theirs).abs() <= 1e-4, "step {}: {ours}, stored {theirs}; {hint}", step + 1);
    }
}
