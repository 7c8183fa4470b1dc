//! What is compared, as files for elsewhere.

use super::sibling::rate;
use super::{Against, Compared, Facts, Measure};
#[cfg(not(target_arch = "wasm32"))]
use crate::error::Error;
use crate::error::Result;
#[cfg(not(target_arch = "wasm32"))]
use crate::train::plot::Picture;

/// A kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// The plot in pixels.
    #[cfg(not(target_arch = "wasm32"))]
    Png,
    /// The plot in lines.
    #[cfg(not(target_arch = "wasm32"))]
    Svg,
    /// A line for each run.
    Table,
    /// A line for each step of each run.
    Steps,
}

impl Format {
    /// What can be written here.
    #[cfg(not(target_arch = "wasm32"))]
    pub const ALL: &[Self] = &[Self::Png, Self::Svg, Self::Table, Self::Steps];
    /// What can be written here: a page has no font to measure and to put into pixels.
    #[cfg(target_arch = "wasm32")]
    pub const ALL: &[Self] = &[Self::Table, Self::Steps];

    /// The name that people see.
    pub const fn name(self) -> &'static str {
        match self {
            #[cfg(not(target_arch = "wasm32"))]
            Self::Png => "Plot, PNG",
            #[cfg(not(target_arch = "wasm32"))]
            Self::Svg => "Plot, SVG",
            Self::Table => "Table, CSV",
            Self::Steps => "Every step, CSV",
        }
    }

    /// A name for such a file.
    pub const fn file(self) -> &'static str {
        match self {
            #[cfg(not(target_arch = "wasm32"))]
            Self::Png => "compare.png",
            #[cfg(not(target_arch = "wasm32"))]
            Self::Svg => "compare.svg",
            Self::Table => "compare.csv",
            Self::Steps => "compare-steps.csv",
        }
    }
}

/// What the plot shows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Axes {
    /// The y axis.
    pub measure: Measure,
    /// The x axis.
    pub against: Against,
    /// Whether the y axis is logarithmic.
    pub log: bool,
}

/// A file with these runs. Each comes with the name it has in the list, and its colour.
///
/// # Errors
/// Where the plot cannot be drawn.
// Tables have no axes, and a page writes tables alone.
#[cfg_attr(target_arch = "wasm32", allow(unused_variables))]
pub fn bytes(format: Format, runs: &[(String, usize, &Compared)], axes: Axes) -> Result<Vec<u8>> {
    match format {
        Format::Table => Ok(table(runs.iter().map(|(name, _, run)| (name.as_str(), &run.facts))).into_bytes()),
        Format::Steps => Ok(steps(runs.iter().map(|(name, _, run)| (name.as_str(), *run))).into_bytes()),
        #[cfg(not(target_arch = "wasm32"))]
        Format::Svg => picture(runs, axes).svg().map(String::into_bytes).map_err(cannot),
        #[cfg(not(target_arch = "wasm32"))]
        Format::Png => picture(runs, axes).png().map_err(cannot),
    }
}

#[cfg(not(target_arch = "wasm32"))]
fn cannot(error: Box<dyn std::error::Error>) -> Error {
    Error::input("the plot", format!("cannot be drawn: {error}"), "")
}

#[cfg(not(target_arch = "wasm32"))]
fn picture(runs: &[(String, usize, &Compared)], axes: Axes) -> Picture {
    let series = runs.iter().map(|(name, colour, run)| run.track.series(name, *colour, axes.measure, axes.against)).collect();
    Picture { title: String::new(), x: axes.against.name().into(), y: axes.measure.name().into(), log: axes.log, series }
}

/// A line for each run.
fn table<'a>(runs: impl Iterator<Item = (&'a str, &'a Facts)>) -> String {
    let mut out = line(&[
        "run",
        "model",
        "method",
        "device",
        "trainable",
        "share",
        "memory_bytes",
        "seconds_per_step",
        "steps",
        "planned_steps",
        "learning_rate",
        "seed",
        "loss",
        "best_held_out_loss",
        "folder",
    ]);
    for (name, f) in runs {
        out += &line(&[
            name,
            &f.model,
            &f.method,
            f.device.as_deref().unwrap_or_default(),
            &whole(f.trainable),
            &number(f.share),
            &whole(f.memory),
            &number(f.seconds_per_step),
            &f.steps.to_string(),
            &whole(f.planned),
            &rate(f.lr),
            &f.seed.to_string(),
            &number(f.loss),
            &number(f.held_out),
            &f.folder.display().to_string(),
        ]);
    }
    out
}

/// A run's line for another program: numbers in bytes, seconds, and shares of 1. What is not known is null.
pub fn json(name: &str, f: &Facts) -> serde_json::Map<String, serde_json::Value> {
    let line = serde_json::json!({
        "run": name,
        "folder": f.folder.display().to_string(),
        "model": f.model,
        "method": f.method,
        "device": f.device,
        "trainable": f.trainable,
        "share": f.share,
        "memory_bytes": f.memory,
        "seconds_per_step": f.seconds_per_step,
        "tokens_per_second": f.tokens_per_second,
        "learning_rate": f.lr,
        "seed": f.seed,
        "steps": f.steps,
        "planned_steps": f.planned,
        "ended": f.ended,
        "loss": f.loss,
        "best_held_out_loss": f.held_out,
        "best_held_out_step": f.held_out_step,
    });
    match line {
        serde_json::Value::Object(line) => line,
        _ => serde_json::Map::new(),
    }
}

/// A line for each step of each run, so that any program can draw what it likes.
fn steps<'a>(runs: impl Iterator<Item = (&'a str, &'a Compared)>) -> String {
    let mut out = line(&["run", "step", "tokens", "seconds", "loss", "held_out_loss", "learning_rate", "gradient_norm"]);
    for (name, run) in runs {
        let (mut tokens, mut seconds) = (0, 0.0);
        for m in &run.record.metrics {
            tokens += m.tokens;
            seconds += m.seconds();
            let cells = [
                m.step.to_string(),
                tokens.to_string(),
                format!("{seconds:.6}"),
                m.loss.to_string(),
                number(m.eval_loss),
                m.lr.to_string(),
                m.grad_norm.to_string(),
            ];
            out += &line(&std::iter::once(name).chain(cells.iter().map(String::as_str)).collect::<Vec<_>>());
        }
    }
    out
}

fn whole(n: Option<u64>) -> String {
    n.map_or_else(String::new, |n| n.to_string())
}

fn number(x: Option<f64>) -> String {
    x.map_or_else(String::new, |x| x.to_string())
}

/// A line as RFC 4180 has it, but with the line ends of the systems that people use.
fn line(cells: &[&str]) -> String {
    let quoted = |cell: &&str| {
        if cell.contains([',', '"', '\n', '\r']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { (*cell).to_owned() }
    };
    cells.iter().map(quoted).collect::<Vec<_>>().join(",") + "\n"
}

#[cfg(test)]
mod tests {
    use super::super::facts::tests::facts;
    use super::*;

    #[test]
    fn a_table_can_be_read_back() {
        let runs = [facts("a, \"b\"", Some(1.25), 7), facts("c", None, 9)];
        let text = table(runs.iter().map(|f| (f.name.as_str(), f)));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[1].starts_with("\"a, \"\"b\"\"\",m,\"diablo, 8 blocks\",,7,0.01,,,5,10,0.001,1,,1.25,"), "{}", lines[1]);
        assert!(lines[2].starts_with("c,m,") && lines[2].contains(",,,c"), "{}", lines[2]);
        let columns = |line: &str| line.split(',').count();
        assert_eq!(columns(lines[0]), 15);
    }
}
