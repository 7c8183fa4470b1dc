//! `diablo bench decode`

use super::{Args, Report, Row};
use crate::bench::{decoding, least, median, shapes};
use crate::cli::output::grouped;
use crate::device::Device;
use crate::error::Result;
use serde_json::{Map, json};

/// Tokens written after the prompt.
const TOKENS: usize = 64;

pub fn run(args: &Args, device: &Device) -> Result<Report> {
    let shape = args.shape_or("smollm2-135m");
    let config = shapes::named(shape)?;
    let times = decoding::measure(device, &config, args.weights.map(Into::into), args.batch_size, args.seq_len, TOKENS)?;
    let after = match args.batch_size {
        1 => "a token after it".to_owned(),
        rows => format!("a token after it, of {rows} texts"),
    };
    let weights = args.weights.map_or("f32".into(), |w| w.to_string());
    let row = |what: &str, tokens: usize, best: f64, middle: f64| {
        let rate = tokens as f64 / best;
        Row {
            name: format!("{shape}, {weights}, {what}"),
            rate,
            cells: vec![
                what.to_owned(),
                tokens.to_string(),
                format!("{:.2}", best * 1e3),
                format!("{:.2}", middle * 1e3),
                grouped(rate as u64),
            ],
            json: Map::from_iter([("best_seconds".to_owned(), json!(best)), ("median_seconds".to_owned(), json!(middle))]),
        }
    };
    Ok(Report {
        key: "decoding",
        headings: vec!["what", "tokens", "best ms", "median ms", "tokens/s (best)"],
        rows: vec![
            row("prompt, as one batch", args.seq_len, times.prompt, times.prompt),
            row(&after, args.batch_size, least(&times.tokens), median(&times.tokens)),
        ],
        notes: vec![format!("{shape}, weights in {weights}")],
        more: Map::new(),
    })
}
