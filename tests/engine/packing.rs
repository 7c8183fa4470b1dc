//! Rows packed into one sequence train as rows of their own do.

use crate::common::demo;
use diablo::train::blocks::Blocks;
use diablo::train::{Event, RunConfig, Trainer};

const ROWS: usize = 12;

/// Held-out losses and each step's loss and gradient norm.
fn numbers(run: RunConfig) -> (Vec<f64>, Vec<[f64; 2]>) {
    let (mut evals, mut steps) = (Vec::new(), Vec::new());
    let mut trainer = Trainer::prepare(run, &mut |_| ()).expect("a run");
    let mut hear = |event| match event {
        Event::Eval { loss, .. } => evals.push(loss),
        Event::Step(step) => steps.push([f64::from(step.loss), f64::from(step.grad_norm)]),
        _ => (),
    };
    trainer.run(&mut hear, &|| false).expect("the run");
    (evals, steps)
}

fn packed_rows_train_as_rows_do(device: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("rows.jsonl");
    let rows = std::fs::read_to_string(demo("train.jsonl")).expect("rows");
    std::fs::write(&data, rows.lines().take(ROWS).collect::<Vec<_>>().join("\n")).expect("written");
    let run = |packing: bool| RunConfig {
        model: demo("model"),
        data: data.clone().into(),
        out: folder.path().join(if packing { "packed" } else { "apart" }),
        blocks: Some(Blocks::One(8)),
        packing,
        // The rows of one step, once as one sequence and once as rows.
        batch_size: if packing { 1 } else { ROWS },
        seq_len: 250,
        steps: Some(4),
        no_shuffle: true,
        eval_data: Some(demo("held-out.jsonl")),
        eval_every: Some(4),
        device: device.into(),
        ..RunConfig::default()
    };
    let (packed, apart) = (numbers(run(true)), numbers(run(false)));
    assert_eq!((packed.0.len(), packed.1.len()), (apart.0.len(), 4));
    for (a, b) in packed.0.iter().zip(&apart.0) {
        assert!((a - b).abs() <= 2e-4, "held out {a} packed, {b} apart");
    }
    for (a, b) in packed.1.iter().zip(&apart.1) {
        println!("  {device}: loss {:.6} packed, {:.6} apart; norm {:.6}, {:.6}", a[0], b[0], a[1], b[1]);
        assert!((a[0] / b[0] - 1.0).abs() <= 1e-4 && (a[1] / b[1] - 1.0).abs() <= 1e-3, "{a:?} packed, {b:?} apart");
    }
}

#[test]
fn packed_rows_train_as_rows_do_on_the_cpu() {
    packed_rows_train_as_rows_do("cpu");
}

#[test]
fn packed_rows_train_as_rows_do_on_a_gpu() {
    if diablo::device::gpu::adapters::list().is_empty() {
        return println!("skipped: no adapter");
    }
    packed_rows_train_as_rows_do("gpu");
}
