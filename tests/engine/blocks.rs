//! DiaBlo with everything it can be told at once: N by module, padded blocks, dropout, frozen weights in fewer bits. Whole models, so that
//! every product that the blocks ride in, or stand beside, is one of a run's own.

use crate::common::demo;
use diablo::adapter::files::{Tensor, tensor_list};
use diablo::adapter::{AdapterFile, Kind};
use diablo::kernels::Format;
use diablo::model::{Dtype, Source};
use diablo::random::Random;
use diablo::train::blocks::Blocks;
use diablo::train::config::WeightsFormat;
use diablo::train::export::write_model;
use diablo::train::schedule::ScheduleKind;
use diablo::train::{Event, RunConfig, Trainer, resolve};
use std::path::PathBuf;

const BITS: [Option<WeightsFormat>; 3] = [None, Some(WeightsFormat::Int8), Some(WeightsFormat::Nf4)];

/// The bundled model; N divides q_proj and most others, and neither side of down_proj.
fn config(out: PathBuf, weights: Option<WeightsFormat>, dropout: f64) -> RunConfig {
    let blocks: Blocks = "q_proj=8,down_proj=30,default=16".parse().expect("blocks");
    RunConfig {
        model: demo("model"),
        data: demo("train.jsonl").into(),
        out,
        blocks: Some(blocks),
        pad_blocks: true,
        adapter_dropout: dropout,
        weights,
        steps: Some(4),
        batch_size: 4,
        seq_len: 64,
        lr: Some(1e-2),
        schedule: ScheduleKind::Constant,
        max_grad_norm: 0.0,
        device: "cpu".into(),
        ..RunConfig::default()
    }
}

/// Losses and gradient norms.
fn train(run: RunConfig) -> Vec<(f64, f64)> {
    let mut steps = Vec::new();
    let mut hear = |event| {
        if let Event::Step(m) = event {
            steps.push((f64::from(m.loss), f64::from(m.grad_norm)));
        }
    };
    Trainer::prepare(run, &mut |_| ()).expect("a run").run(&mut hear, &|| false).expect("the run");
    steps
}

fn close(what: &str, got: &[(f64, f64)], want: &[(f64, f64)], tolerance: f64) {
    assert_eq!(got.len(), want.len());
    let worst = got.iter().zip(want).map(|(a, b)| (a.0 / b.0 - 1.0).abs().max((a.1 / b.1 - 1.0).abs())).fold(0f64, f64::max);
    println!("  {what}: losses and norms within {worst:.1e}");
    assert!(worst <= tolerance, "{what}: {got:?} and not {want:?}");
}

/// On quantised weights it is DiaBlo on the base as it was rounded: 32-bit weights with the rounded numbers give the same run.
#[test]
fn a_quantised_base_is_the_rounded_base() {
    let dir = tempfile::tempdir().expect("a folder");
    for weights in [WeightsFormat::Int8, WeightsFormat::Nf4] {
        let run = config(dir.path().join(format!("{weights}")), Some(weights), 0.0);
        let source = Source::open(&run.model).expect("model");
        let formats = source.formats_in(Some(weights.into())).expect("formats");
        let stored = source.checkpoint().expect("a checkpoint").resolve(&source.config).expect("fits");
        let rounded = dir.path().join(format!("rounded-{weights}"));
        let values = |name: &str, shape: &[usize]| {
            let values = stored.iter().find(|(spec, _)| spec.name == name).expect("a parameter").1.read()?.to_f32();
            let format = if shape.len() == 2 { formats[name] } else { Format::F32 };
            let mut back = vec![0.0; values.len()];
            format.widen(&format.encode(&values), 0, &mut back);
            Ok(back)
        };
        write_model(&source, &rounded, Dtype::F32, values).expect("written");
        let plain =
            RunConfig { model: rounded, weights: Some(WeightsFormat::F32), out: dir.path().join(format!("f32-{weights}")), ..run.clone() };
        close(&weights.to_string(), &train(run), &train(plain), 1e-5);
    }
}

/// With dropout the blocks have products of their own; where nothing is dropped they are what they are inside the weight's.
#[test]
fn blocks_beside_the_weight_are_those_within() {
    let dir = tempfile::tempdir().expect("a folder");
    for weights in BITS {
        let run = |dropout: f64| train(config(dir.path().join(format!("{weights:?}-{dropout}")), weights, dropout));
        let (kept, dropped) = (run(0.0), run(0.4));
        close(&format!("{weights:?}"), &run(1e-12), &kept, 1e-5);
        assert_eq!(dropped[0].0, kept[0].0, "blocks of zero add nothing, whatever is dropped");
        assert!((dropped[3].0 / kept[3].0 - 1.0).abs() > 1e-4, "dropout does something: {dropped:?} {kept:?}");
    }
}

/// Against central differences of the whole model's loss along its gradient, with dropout on: a step's drops follow from seed and
/// position, so the first step of three runs draws the same ones.
#[test]
fn the_gradient_is_the_loss_s_slope() {
    let dir = tempfile::tempdir().expect("a folder");
    for weights in BITS {
        for dropout in [0.0, 0.3] {
            let at = |name: &str| dir.path().join(format!("{weights:?}-{dropout}-{name}"));
            let first = config(at("first"), weights, dropout);
            let source = Source::open(&first.model).expect("model");
            let (spec, _) = resolve::adapter(&first, &source.config).expect("a spec");
            let Kind::Diablo { blocks, .. } = &spec.kind else { panic!("DiaBlo") };
            assert_eq!((blocks["q_proj"], blocks["down_proj"], blocks["k_proj"]), (8, 30, 16));
            let mut random = Random::new(7);
            let mut fill = |(name, shape): (String, Vec<usize>)| {
                let values = (0..shape.iter().product()).map(|_| random.normal() as f32 * 0.05).collect();
                Tensor { name, shape, values }
            };
            let tensors: Vec<Tensor> = tensor_list(&spec, &source.config).expect("tensors").into_iter().map(&mut fill).collect();
            let save = |name: &str, tensors: Vec<Tensor>| {
                std::fs::create_dir_all(at(name)).expect("a folder");
                AdapterFile { spec: spec.clone(), base: String::new(), tensors }.save(&at(name)).expect("saved");
                Some(at(name))
            };
            // With an epsilon far above every gradient AdamW's first step is h g, plain descent.
            let (step, eps) = (1e-3, 1e6);
            let one = |init: Option<PathBuf>, name: &str, lr: f64| {
                let run = RunConfig { init_adapter: init, steps: Some(1), lr: Some(lr), eps, out: at(name), ..first.clone() };
                train(run)[0]
            };
            let begin = save("begin", tensors.clone());
            let (_, norm) = one(begin, "below", step * eps);
            let below = AdapterFile::open(&at("below"), &source.config).expect("adapter");
            let mirrored = tensors.iter().zip(&below.tensors).map(|(t, b)| {
                let values = t.values.iter().zip(&b.values).map(|(t, b)| 2.0 * t - b).collect();
                Tensor { values, ..t.clone() }
            });
            let above = save("above", mirrored.collect());
            let slope = (one(above, "up", 1e-12).0 - one(Some(at("below")), "down", 1e-12).0) / (2.0 * step);
            println!("  {weights:?}, dropout {dropout}: slope {slope:.5}, squared norm {:.5}", norm * norm);
            assert!((slope / (norm * norm) - 1.0).abs() < 5e-3, "{weights:?}, dropout {dropout}: {slope} and not {}", norm * norm);
        }
    }
}

#[test]
fn devices_agree() {
    let Some(gpu) = diablo::device::gpu::adapters::list().first().map(|a| a.name.clone()) else {
        return println!("skipped: no Vulkan adapter");
    };
    let dir = tempfile::tempdir().expect("a folder");
    for weights in BITS {
        let on = |device: &str, name: &str| {
            let run = config(dir.path().join(format!("{weights:?}-{name}")), weights, 0.2);
            train(RunConfig { device: device.into(), ..run })
        };
        close(&format!("{weights:?}"), &on(&gpu, "gpu"), &on("cpu", "cpu"), 1e-4);
    }
}
