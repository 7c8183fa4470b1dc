//! `diablo bench growth`: how time and memory grow.

use super::{Args, Report, Row};
use crate::bench::{StepCase, measure, shapes};
use crate::cli::output::grouped;
use crate::device::{Device, human_bytes};
use crate::error::Result;
use crate::model::ModelConfig;
use serde_json::{Map, json};

const LENGTHS: [usize; 7] = [128, 256, 512, 1024, 2048, 4096, 8192];

pub fn run(args: &Args, device: &Device) -> Result<Report> {
    let shape = args.shape_or("tinystories-656k");
    let config = shapes::named(shape)?;
    let mut cases: Vec<(String, ModelConfig, usize)> = LENGTHS.map(|seq| (format!("{seq} tokens"), config.clone(), seq)).into();
    let layers = config.num_hidden_layers;
    for count in [layers.div_ceil(2), layers, 2 * layers, 4 * layers] {
        let name = format!("{count} layer{}", if count == 1 { "" } else { "s" });
        cases.push((name, ModelConfig { num_hidden_layers: count, ..config.clone() }, args.seq_len));
    }
    let mut rows = Vec::new();
    for (name, config, seq) in cases {
        let spec = args.spec(&config)?;
        let case = StepCase { seq, ..args.case(config, spec) };
        let times = measure(device, &case, 3, args.time().mul_f64(0.2))?;
        let tokens = times.tokens as f64;
        rows.push(Row {
            name: format!("{shape}, {name}"),
            rate: tokens / times.best(),
            cells: vec![
                name,
                format!("{} x {seq}", args.batch_size),
                format!("{:.1}", times.best() * 1e3),
                format!("{:.2}", times.best() / tokens * 1e6),
                grouped((tokens / times.best()) as u64),
                human_bytes(times.memory),
                human_bytes((times.memory as f64 / tokens) as u64),
            ],
            json: Map::from_iter([("best_seconds".to_owned(), json!(times.best())), ("memory".to_owned(), json!(times.memory))]),
        });
    }
    Ok(Report {
        key: "growth",
        headings: vec!["", "tokens", "best ms", "us a token", "tokens/s", "memory", "memory a token"],
        rows,
        notes: vec![format!("{shape}, {}", args.method)],
        more: Map::new(),
    })
}
