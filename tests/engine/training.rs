//! Properties of the trainer on the bundled model.

use crate::common::demo;
use diablo::device::Category;
use diablo::model::Activations;
use diablo::train::blocks::Blocks;
use diablo::train::config::Method;
use diablo::train::{Event, RunConfig, Trainer};
use std::path::Path;

fn base(out: &Path) -> RunConfig {
    RunConfig {
        model: demo("model"),
        data: demo("train.jsonl").into(),
        out: out.to_path_buf(),
        blocks: Some(Blocks::One(8)),
        steps: Some(6),
        batch_size: 4,
        seq_len: 48,
        lr: Some(1e-2),
        device: "cpu".into(),
        ..RunConfig::default()
    }
}

struct Ran {
    adapter: Vec<u8>,
    losses: Vec<f32>,
    memory: u64,
}

fn ran(run: RunConfig) -> Ran {
    let out = run.out.clone();
    let mut losses = Vec::new();
    let mut trainer = Trainer::prepare(run, &mut |_| ()).expect("a run");
    let memory = trainer.memory().0.peak();
    let mut hear = |event: Event| {
        if let Event::Step(m) = event {
            losses.push(m.loss);
        }
    };
    trainer.run(&mut hear, &|| false).expect("it runs");
    Ran { adapter: std::fs::read(out.join("adapter_model.safetensors")).expect("an adapter"), losses, memory }
}

#[test]
fn gradient_checkpointing_changes_memory_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let kinds = [(Method::Diablo, Activations::F32), (Method::Lora, Activations::F32), (Method::Diablo, Activations::Bf16)];
    for (method, activations) in kinds {
        let of = |name: &str, gradient_checkpointing: bool| {
            let out = folder.path().join(format!("{method:?}-{activations}-{name}"));
            let checkpointing = Some(gradient_checkpointing);
            ran(RunConfig { method, activations, gradient_checkpointing: checkpointing, adapter_dropout: 0.1, ..base(&out) })
        };
        let (kept, recomputed) = (of("kept", false), of("recomputed", true));
        assert_eq!(kept.losses, recomputed.losses);
        assert!(kept.adapter == recomputed.adapter, "{method:?}: the adapter is another one");
        assert!(recomputed.memory < kept.memory, "{} against {}", recomputed.memory, kept.memory);
    }
}

#[test]
fn bf16_activations_take_half_and_change_the_gradient_a_little() {
    let folder = tempfile::tempdir().expect("a folder");
    for method in [Method::Diablo, Method::Full] {
        let of = |activations: Activations| {
            let out = folder.path().join(format!("{method:?}-{activations}"));
            let run = RunConfig { method, activations, gradient_checkpointing: Some(false), ..base(&out) };
            let (mut first, mut trainer) = (None, Trainer::prepare(run, &mut |_| ()).expect("a run"));
            let memory = trainer.memory().0.get(Category::Activations);
            let mut hear = |event: Event| {
                if let (Event::Step(m), None) = (event, first) {
                    first = Some((m.loss, m.grad_norm));
                }
            };
            trainer.run(&mut hear, &|| false).expect("it runs");
            let (loss, norm) = first.expect("a step");
            (loss, norm, memory)
        };
        let (whole, half) = (of(Activations::F32), of(Activations::Bf16));
        println!("  {method}: loss, gradient norm, bytes of activations: {whole:?}, in bf16 {half:?}");
        // The forward pass sees nothing rounded.
        assert_eq!(whole.0, half.0);
        assert!((whole.1 - half.1).abs() <= 1e-2 * whole.1, "{whole:?} {half:?}");
        assert!(whole.1 != half.1, "nothing was rounded");
        // What a layer works with is there in 32 bits meanwhile.
        assert!(half.2 < whole.2, "{whole:?} {half:?}");
    }
}

#[test]
fn accumulation_is_a_larger_batch() {
    let folder = tempfile::tempdir().expect("a folder");
    let large = ran(RunConfig { batch_size: 8, ..base(&folder.path().join("large")) });
    let small = ran(RunConfig { batch_size: 2, accumulate: 4, ..base(&folder.path().join("small")) });
    for (a, b) in large.losses.iter().zip(&small.losses) {
        assert!((a - b).abs() <= 1e-4 * b.abs(), "{:?} against {:?}", large.losses, small.losses);
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let folder = tempfile::tempdir().expect("a folder");
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        pool.install(|| ran(base(&folder.path().join(threads.to_string()))))
    };
    let (one, three) = (on(1), on(3));
    assert_eq!(one.losses, three.losses);
    assert!(one.adapter == three.adapter);
}

#[test]
fn early_stopping_keeps_the_best() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("run");
    // A rate that is far too large: the held-out loss gets worse at once.
    let run = RunConfig {
        steps: Some(60),
        lr: Some(0.3),
        eval_data: Some(demo("held-out.jsonl")),
        eval_every: Some(3),
        patience: Some(2),
        ..base(&out)
    };
    let mut trainer = Trainer::prepare(run, &mut |_| ()).expect("a run");
    let outcome = trainer.run(&mut |_| (), &|| false).expect("it runs");
    assert!(outcome.steps < 60, "{outcome:?}");
    assert!(outcome.best_eval_loss <= outcome.last_eval_loss, "{outcome:?}");
}
