//! `diablo bench methods`: what an adapter costs beside a step in which nothing trains.

use super::{Args, Report, Row};
use crate::adapter::Spec;
use crate::bench::{LoadedStep, least, median, shapes};
use crate::cli::output::grouped;
use crate::device::{Device, human_bytes};
use crate::error::Result;
use crate::train::resolve::describe;
use serde_json::{Map, json};
use std::time::Instant;

pub fn run(args: &Args, device: &Device) -> Result<Report> {
    let shape = args.shape_or("smollm2-135m");
    let config = shapes::named(shape)?;
    let diablo = args.diablo(&config)?;
    // The rank that trains as many numbers, or the next one below.
    let one = Spec::lora(1, 2.0).trainable(&config).max(1);
    let rank = (diablo.trainable(&config) / one).max(1) as usize;
    let specs = [Spec::none(), diablo, Spec::lora(rank, 2.0 * rank as f64)];
    let mut steps = Vec::new();
    for spec in &specs {
        let mut step = LoadedStep::new(device, &args.case(config.clone(), spec.clone()))?;
        step.step()?;
        step.step()?;
        steps.push((step, Vec::new()));
    }
    // In turn, so that what else the machine does meets all of them.
    let begun = Instant::now();
    while steps[0].1.len() < 5 || begun.elapsed() < 3 * args.time() {
        for (step, seconds) in &mut steps {
            let begun = Instant::now();
            step.step()?;
            seconds.push(begun.elapsed().as_secs_f64());
        }
    }
    let [frozen, _, lora] = [0, 1, 2].map(|i| least(&steps[i].1));
    let tokens = args.batch_size * args.seq_len;
    let rows = specs.iter().zip(&steps).map(|(spec, (step, seconds))| {
        let (best, middle) = (least(seconds), median(seconds));
        let method = if *spec == Spec::none() { "nothing trains".to_owned() } else { describe(spec) };
        let (rate, trainable) = (tokens as f64 / best, spec.trainable(&config));
        Row {
            name: format!("{shape}, {method}"),
            rate,
            cells: vec![
                method,
                grouped(trainable),
                format!("{:.1}", best * 1e3),
                format!("{:.1}", middle * 1e3),
                grouped(rate as u64),
                format!("{:.3}", best / frozen),
                format!("{:.3}", best / lora),
                human_bytes(step.memory()),
            ],
            json: Map::from_iter([
                ("trainable".to_owned(), json!(trainable)),
                ("best_seconds".to_owned(), json!(best)),
                ("median_seconds".to_owned(), json!(middle)),
                ("of_frozen".to_owned(), json!(best / frozen)),
                ("of_lora".to_owned(), json!(best / lora)),
                ("memory".to_owned(), json!(step.memory())),
            ]),
        }
    });
    Ok(Report {
        key: "methods",
        headings: vec!["method", "trains", "best ms", "median ms", "tokens/s (best)", "of frozen", "of lora", "memory"],
        rows: rows.collect(),
        notes: vec![format!(
            "{shape}, {} x {} tokens. Where nothing trains, gradients still go down to the first layer, as every adapter needs them to.",
            args.batch_size, args.seq_len
        )],
        more: Map::new(),
    })
}
