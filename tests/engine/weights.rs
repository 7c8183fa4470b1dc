//! Frozen weights in fewer bits: what they cost, and that every device agrees on them.

use crate::common::{demo, shared};
use diablo::data::Begin;
use diablo::device::Limits;
use diablo::model::{Activations, ModelConfig, Source};
use diablo::train::blocks::Blocks;
use diablo::train::config::{Method, MixedPrecision, WeightsFormat};
use diablo::train::estimate::Estimate;
use diablo::train::schedule::ScheduleKind;
use diablo::train::{Event, RunConfig, Trainer};
use std::path::Path;

/// Held-out loss before and after `run`, and each step's loss.
fn losses(run: RunConfig) -> (f64, f64, Vec<f64>) {
    let (mut evals, mut steps) = (Vec::new(), Vec::new());
    let mut trainer = Trainer::prepare(run, &mut |_| ()).expect("a run");
    let mut hear = |event| match event {
        Event::Eval { loss, .. } => evals.push(loss),
        Event::Step(step) => steps.push(f64::from(step.loss)),
        _ => (),
    };
    trainer.run(&mut hear, &|| false).expect("the run");
    (evals.first().copied().unwrap_or(f64::NAN), evals.last().copied().unwrap_or(f64::NAN), steps)
}

/// tinystories-656k on the first 100,000 characters of tinyshakespeare.
fn on_shakespeare(real: &Path, folder: &Path, method: Method, name: &str) -> RunConfig {
    let data = folder.join("text.txt");
    let text = std::fs::read_to_string(real.join("tinyshakespeare/input.txt")).expect("the text");
    std::fs::write(&data, text.chars().take(100_000).collect::<String>()).expect("written");
    RunConfig {
        model: real.join("tinystories-656k"),
        data: data.into(),
        out: folder.join(name),
        method,
        blocks: Some(Blocks::One(8)).filter(|_| method == Method::Diablo),
        rank: 8,
        begin_token: Begin::Off,
        steps: Some(100),
        seq_len: 128,
        lr: Some(1e-2),
        schedule: ScheduleKind::Constant,
        eval_split: Some(0.1),
        eval_every: Some(100),
        device: "cpu".into(),
        ..RunConfig::default()
    }
}

/// The figures of docs/accuracy.md on frozen weights.
fn fewer_bits_of_weights(method: Method) {
    let Some(real) = shared("real") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let mut reference = None;
    // How far the held-out loss may be from that with 32-bit weights, before and after training.
    for (weights, allowed) in [
        (WeightsFormat::F32, [0.0, 0.0]),
        (WeightsFormat::F16, [1e-3, 5e-3]),
        (WeightsFormat::Bf16, [5e-3, 5e-3]),
        (WeightsFormat::Int8, [1e-2, 1e-2]),
        (WeightsFormat::Nf4, [0.1, 0.05]),
    ] {
        let run = RunConfig { weights: Some(weights), ..on_shakespeare(&real, folder.path(), method, &format!("{method}-{weights}")) };
        let (before, after, _) = losses(run);
        let (reference_before, reference_after) = *reference.get_or_insert((before, after));
        let differences = [before - reference_before, after - reference_after];
        println!("  {method}, {weights}: {before:.4} before ({:+.4}), {after:.4} after ({:+.4})", differences[0], differences[1]);
        for (difference, allowed) in differences.iter().zip(allowed) {
            assert!(difference.abs() <= allowed, "{method}, {weights}: {differences:?}");
        }
    }
}

#[test]
fn fewer_bits_of_weights_cost_diablo_little() {
    fewer_bits_of_weights(Method::Diablo);
}

#[test]
#[ignore = "the same weights as above"]
fn fewer_bits_of_weights_cost_lora_little() {
    fewer_bits_of_weights(Method::Lora);
}

/// The same with activations that wait in bf16, and with products of factors in f16.
fn fewer_bits_of_activations_and_factors(method: Method) {
    let Some(real) = shared("real") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let after = |mixed_precision: MixedPrecision, activations: Activations| {
        let run = RunConfig {
            mixed_precision,
            activations,
            lr: Some(if method == Method::Full { 1e-3 } else { 1e-2 }),
            ..on_shakespeare(&real, folder.path(), method, &format!("{method}-{mixed_precision}-{activations}"))
        };
        losses(run).1
    };
    let whole = after(MixedPrecision::No, Activations::F32);
    for (mixed_precision, activations) in
        [(MixedPrecision::No, Activations::Bf16), (MixedPrecision::Fp16, Activations::F32), (MixedPrecision::Fp16, Activations::Bf16)]
    {
        let half = after(mixed_precision, activations);
        println!("  {method}: {whole:.4}; mixed precision {mixed_precision}, activations {activations}: {half:.4} ({:+.4})", half - whole);
        assert!((half - whole).abs() <= 1e-2, "{method}: {half} against {whole}");
    }
}

#[test]
fn fewer_bits_of_activations_and_factors_cost_diablo_little() {
    fewer_bits_of_activations_and_factors(Method::Diablo);
}

#[test]
#[ignore = "what it adds, gradients of whole weights, kernels' tests have"]
fn fewer_bits_of_activations_and_factors_cost_full_training_little() {
    fewer_bits_of_activations_and_factors(Method::Full);
}

/// Whole steps on a GPU's shaders against the CPU's twins, on weights, activations and factors in fewer bits.
#[test]
fn devices_agree_on_fewer_bits() {
    if diablo::device::gpu::adapters::list().is_empty() {
        return println!("skipped: no adapter");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (whole, half) = ((MixedPrecision::No, Activations::F32), (MixedPrecision::Fp16, Activations::Bf16));
    for (method, weights, (mixed_precision, activations)) in [
        (Method::Diablo, WeightsFormat::Nf4, whole),
        (Method::Lora, WeightsFormat::Nf4, whole),
        (Method::Diablo, WeightsFormat::Int8, whole),
        (Method::Diablo, WeightsFormat::Bf16, half),
        (Method::Lora, WeightsFormat::Bf16, half),
    ] {
        let on = |device: &str| {
            let run = RunConfig {
                model: demo("model"),
                data: demo("train.jsonl").into(),
                out: folder.path().join(format!("{method}-{weights}-{device}")),
                method,
                weights: Some(weights),
                mixed_precision,
                activations,
                blocks: Some(Blocks::One(16)).filter(|_| method == Method::Diablo),
                steps: Some(4),
                batch_size: 4,
                seq_len: 64,
                device: device.into(),
                ..RunConfig::default()
            };
            losses(run).2
        };
        let (cpu, gpu) = (on("cpu"), on("gpu"));
        assert_eq!(cpu.len(), 4);
        let worst = cpu.iter().zip(&gpu).map(|(c, g)| (c - g).abs()).fold(0.0, f64::max);
        println!("  {method}, {weights}, {mixed_precision}, {activations}: losses {cpu:.5?}, the GPU's at most {worst:.1e} away");
        // Where factors have 11 bits, a last bit of 24 may decide one of them: losses of 5 then differ by as much as f16 has digits.
        let allowed = if mixed_precision == MixedPrecision::No { 1e-4 } else { 5e-3 };
        assert!(worst <= allowed, "{cpu:?} {gpu:?}");
    }
}

fn a_billion() -> Source {
    let json = r#"{"architectures":["LlamaForCausalLM"],"vocab_size":128256,"hidden_size":2048,"intermediate_size":8192,
        "num_hidden_layers":16,"num_attention_heads":32,"num_key_value_heads":8,"head_dim":64,"rms_norm_eps":1e-5,"rope_theta":500000.0,
        "tie_word_embeddings":true,"max_position_embeddings":131072,"hidden_act":"silu"}"#;
    Source::drawn(ModelConfig::from_json(json, "config.json").expect("a configuration"))
}

/// What packed factors take on GPUs with matrix units.
#[test]
fn packed_factors_take_little() {
    let source = a_billion();
    for (memory, batch_size) in [(8u64 << 30, 4), (80 << 30, 8)] {
        let run = RunConfig {
            weights: Some(WeightsFormat::Bf16),
            mixed_precision: MixedPrecision::Fp16,
            batch_size,
            seq_len: 512,
            ..RunConfig::default()
        };
        let [plain, packed] = [false, true].map(|matrix_units| {
            let limits = Limits { matrix_units, piece_bytes: Limits::piece_of(memory), ..Limits::NONE };
            Estimate::new(&run, &source, &[], 0, limits, None).expect("it lays out").memory.total()
        });
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        println!(
            "  {} x 512 tokens on {} GiB: {:.0} MiB, packed {:.0} MiB more",
            batch_size,
            memory >> 30,
            mib(plain),
            mib(packed - plain)
        );
        assert!(packed > plain && packed - plain <= memory / 16, "{plain} {packed}");
    }
}

/// The memory of Llama-3.2-1B's shape, 4 x 512 tokens.
#[test]
fn a_billion_parameters_fit() {
    let source = a_billion();
    let mut weights_alone = Vec::new();
    for (weights, most) in [(WeightsFormat::Bf16, 3.5), (WeightsFormat::Nf4, 1.8)] {
        let (mut both, mut trained) = (Vec::new(), Vec::new());
        for method in [Method::Diablo, Method::Lora] {
            let run = RunConfig {
                weights: Some(weights),
                method,
                // At least as many trained numbers as DiaBlo's.
                rank: 22,
                batch_size: 4,
                seq_len: 512,
                gradient_checkpointing: Some(true),
                ..RunConfig::default()
            };
            let estimate = Estimate::new(&run, &source, &[], 0, Limits::NONE, None).expect("it lays out");
            let gib = estimate.memory.total() as f64 / (1u64 << 30) as f64;
            println!("  {method}, {weights}, recomputing: {gib:.2} GiB, {} trained", estimate.trainable);
            both.push(gib);
            trained.push(estimate.trainable);
            weights_alone.push(estimate.memory.get(diablo::device::Category::Weights));
        }
        assert!(both[0] <= most && both[0] <= both[1], "{both:?}, at most {most}");
        assert!(trained[0] <= trained[1] && trained[1] < trained[0] + trained[0] / 20, "{trained:?}");
    }
    assert!(weights_alone[2] * 5 < weights_alone[0] * 2, "{weights_alone:?}");
}
