//! One training step on the CPU executor: DiaBlo, LoRA and all weights at the tinystories-656k shape.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use diablo::adapter::{Spec, choose};
use diablo::bench::{LoadedStep, StepCase, shapes};
use diablo::device::Device;
use diablo::model::Activations;

fn steps(c: &mut Criterion) {
    let config = shapes::named("tinystories-656k").expect("a shape");
    let diablo = choose::diablo(&config, &config.modules(), |_| Some(8), false, 0.0).expect("8 divides");
    let lora = Spec::lora(10, 20.0);
    let mut group = c.benchmark_group("step of 8 x 128 tokens");
    group.sample_size(20).throughput(Throughput::Elements(1024));
    for (name, spec) in [("diablo, 8 blocks", diablo), ("lora, rank 10", lora), ("full", Spec::full())] {
        let case = StepCase {
            config: config.clone(),
            spec,
            weights: None,
            recompute: false,
            activations: Activations::F32,
            half: false,
            rows: 8,
            seq: 128,
            update: true,
        };
        let mut step = LoadedStep::new(&Device::Cpu, &case).expect("a step");
        group.bench_function(name, |b| b.iter(|| step.step().expect("a loss")));
    }
    group.finish();
}

criterion_group!(benches, steps);
criterion_main!(benches);
