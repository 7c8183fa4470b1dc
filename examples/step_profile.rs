//! Where the time of a step goes on the CPU executor: `cargo run --release --example step_profile -- tinystories-656k diablo 8 128`.

use diablo::adapter::{Spec, choose};
use diablo::bench::{LoadedStep, StepCase, measure, shapes};
use diablo::device::Device;
use std::time::Duration;

fn main() -> diablo::error::Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let word = |i: usize, default: &str| args.get(i).map_or(default.to_string(), String::clone);
    let number = |i: usize, default: usize| args.get(i).and_then(|a| a.parse().ok()).unwrap_or(default);
    let config = shapes::named(&word(1, "tinystories-656k"))?;
    let spec = match word(2, "diablo").as_str() {
        "full" => Spec::full(),
        _ => choose::diablo(&config, &config.modules(), |_| Some(8), false, 0.0)?,
    };
    let case = StepCase { config, spec, weights: None, recompute: false, rows: number(3, 8), seq: number(4, 128), update: true };
    let times = measure(&Device::Cpu, &case, 5, Duration::from_secs(3))?;
    println!(
        "best {:.1} ms, median {:.1} ms, {:.0} tokens/s",
        times.best() * 1e3,
        times.median() * 1e3,
        times.tokens as f64 / times.best()
    );
    let mut step = LoadedStep::new(&Device::Cpu, &case)?;
    step.step()?;
    step.profile();
    let mut rows: Vec<_> = step.profile().into_iter().collect();
    rows.sort_by(|a, b| b.1.0.total_cmp(&a.1.0));
    for (name, (seconds, calls)) in rows {
        println!("{name:24} {calls:4} calls {:8.2} ms", seconds * 1e3);
    }
    Ok(())
}
