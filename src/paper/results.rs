//! What came of a comparison: means over seeds and their spread.

use crate::error::{Error, Result};
use crate::eval::Share;
use crate::files::atomic_write_bytes;
use crate::train::RunRecord;
use crate::train::compare::{Against, Facts, Measure, Track};
use crate::train::config::Method;
use crate::train::plot::Picture;
use serde_json::{Value, json};
use std::path::Path;

/// A method's line.
#[derive(Clone, Debug)]
pub struct Line {
    /// The method.
    pub method: Method,
    /// Rates that were tried with the first seed, in rising order, with the lowest held-out loss of each; none where it diverged.
    pub rates: Vec<(f64, Option<f64>)>,
    /// The best of them.
    pub best: Option<f64>,
    /// Whether half and twice the best rate were tried too.
    pub settled: bool,
    /// The runs at the best rate, by seed, with how many of their answers were right.
    pub runs: Vec<(RunRecord, Option<Share>)>,
}

/// Mean and sample standard deviation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The mean.
    pub mean: f64,
    /// The sample standard deviation, sqrt(sum (x - mean)^2 / (n - 1)); there is none of a single value.
    pub deviation: Option<f64>,
}

impl Spread {
    /// Of some values; none of none.
    pub fn of(values: &[f64]) -> Option<Self> {
        let n = values.len() as f64;
        if values.is_empty() {
            return None;
        }
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|x| (x - mean).powi(2)).sum();
        Some(Self { mean, deviation: (values.len() > 1).then(|| (squares / (n - 1.0)).sqrt()) })
    }

    /// `0.2890 ± 0.0041`.
    pub fn text(self, digits: usize) -> String {
        let deviation = self.deviation.map_or_else(String::new, |d| format!(" ± {d:.digits$}"));
        format!("{:.digits$}{deviation}", self.mean)
    }
}

impl Line {
    /// Size, trained numbers and memory, which are the same for each seed.
    pub fn facts(&self) -> Option<Facts> {
        self.runs.first().map(|(record, _)| Facts::of(record))
    }

    /// The median of the runs' median steps, in seconds.
    pub fn seconds_per_step(&self) -> Option<f64> {
        let mut all: Vec<f64> = self.runs.iter().filter_map(|(record, _)| record.seconds_per_step()).collect();
        all.sort_by(f64::total_cmp);
        let middle = all.len() / 2;
        Some(if all.len() % 2 == 1 { *all.get(middle)? } else { (all.get(middle.checked_sub(1)?)? + all.get(middle)?) / 2.0 })
    }

    /// The runs' lowest held-out losses.
    pub fn held_out(&self) -> Option<Spread> {
        Spread::of(&self.runs.iter().filter_map(|(record, _)| record.best_eval_loss()).collect::<Vec<_>>())
    }

    /// Right answers, and how many there were to give; where all runs were asked.
    pub fn exact_match(&self) -> Option<(Spread, u64)> {
        let shares: Vec<Share> = self.runs.iter().map(|(_, share)| *share).collect::<Option<_>>()?;
        let of = shares.first()?.of;
        Some((Spread::of(&shares.iter().map(|s| s.right as f64).collect::<Vec<_>>())?, of))
    }
}

/// The method's name for people.
pub fn called(method: Method) -> &'static str {
    match method {
        Method::Diablo => "DiaBlo",
        Method::Lora => "LoRA",
        Method::Full => "full",
    }
}

/// All of it for another program: numbers in bytes, seconds, and shares of 1. What is not known is null.
pub fn json(lines: &[Line]) -> Value {
    let spread = |s: Option<Spread>| s.map(|s| json!({ "mean": s.mean, "standard_deviation": s.deviation }));
    let line = |line: &Line| {
        let facts = line.facts();
        let runs: Vec<Value> = line
            .runs
            .iter()
            .map(|(record, share)| {
                json!({
                    "seed": record.config.seed,
                    "folder": record.folder.display().to_string(),
                    "held_out_loss": record.best_eval_loss(),
                    "held_out_step": record.best_eval().map(|(_, step)| step),
                    "seconds_per_step": record.seconds_per_step(),
                    "right": share.map(|s| s.right),
                    "of": share.map(|s| s.of),
                })
            })
            .collect();
        json!({
            "method": line.method.to_string(),
            "size": facts.as_ref().map(|f| f.method.clone()),
            "device": facts.as_ref().and_then(|f| f.device.clone()),
            "trainable": facts.as_ref().and_then(|f| f.trainable),
            "share": facts.as_ref().and_then(|f| f.share),
            "memory_bytes": facts.as_ref().and_then(|f| f.memory),
            "steps": facts.as_ref().map(|f| f.steps),
            "seconds_per_step": line.seconds_per_step(),
            "rates": line.rates.iter().map(|(rate, loss)| json!({ "rate": rate, "held_out_loss": loss })).collect::<Vec<_>>(),
            "learning_rate": line.best,
            "settled": line.settled,
            "held_out_loss": spread(line.held_out()),
            "exact_match": spread(line.exact_match().map(|(s, of)| {
                let of = of.max(1) as f64;
                Spread { mean: s.mean / of, deviation: s.deviation.map(|d| d / of) }
            })),
            "runs": runs,
        })
    };
    json!({ "results": lines.iter().map(line).collect::<Vec<_>>() })
}

/// Draws the runs at the best rates: the first seed's training loss, and the held-out losses of all seeds.
///
/// # Errors
/// Where the file cannot be written.
pub fn draw(lines: &[Line], path: &Path) -> Result<()> {
    let mut series = Vec::new();
    for (colour, line) in lines.iter().enumerate() {
        for (i, (record, _)) in line.runs.iter().enumerate() {
            let (track, name) = (Track::of(&record.metrics), called(line.method));
            if i == 0 {
                series.push(track.series(name, colour, Measure::Training, Against::Steps));
            }
            series.push(track.series(&format!("{name}, held out, seed {}", record.config.seed), colour, Measure::HeldOut, Against::Steps));
        }
    }
    let picture = Picture { x: "steps".into(), y: "loss".into(), series, ..Picture::default() };
    let cannot = |e: Box<dyn std::error::Error>| Error::input(path.display().to_string(), format!("the plot cannot be drawn: {e}"), "");
    atomic_write_bytes(path, picture.svg().map_err(cannot)?.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_is_the_sample_standard_deviation() {
        assert_eq!(Spread::of(&[]), None);
        assert_eq!(Spread::of(&[2.0]).map(|s| s.text(2)).as_deref(), Some("2.00"));
        let s = Spread::of(&[1.0, 2.0, 3.0, 6.0]).expect("values");
        assert!((s.mean - 3.0).abs() < 1e-12 && (s.deviation.expect("several") - (14.0f64 / 3.0).sqrt()).abs() < 1e-12);
        assert_eq!(s.text(1), "3.0 ± 2.2");
    }
}
