//! The points of a sweep: which options take which values, and the runs that follow.

use crate::error::{Error, Result};
use crate::random::Random;
use crate::train::RunConfig;
use crate::train::choice::nearest;
use crate::train::config_file::keys;
use serde::Deserialize;
use std::path::Path;
use toml::{Table, Value};

/// More runs than anybody waits for; a slip of the keys beyond it.
const MOST: usize = 10_000;
/// The longest name of a run folder that is made of its values.
const LONGEST: usize = 80;
/// Options that belong to the sweep as a whole.
const WHOLE: [(&str, &str); 2] = [("out", "every point gets a folder of its own"), ("threads", "give --threads for the whole sweep")];
/// Of these pairs one takes the other's place.
const PAIRS: [(&str, &str); 2] = [("steps", "epochs"), ("eval_data", "eval_split")];

/// An option and the values that it takes.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    key: String,
    /// As they were written.
    values: Vec<String>,
}

/// One run of a sweep.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Its folder's name, made of its values: `lr-1e-4_rank-8`.
    pub name: String,
    /// The values by which it differs, as they were written.
    pub values: Vec<(String, String)>,
    /// Its options.
    pub run: RunConfig,
}

impl Axis {
    /// What a sweep was asked for, with the values that are added to it.
    ///
    /// # Errors
    /// Where one of them is of an option that the sweep does not turn: its runs would be others.
    pub fn added(before: &[String], more: &[String]) -> Result<Vec<String>> {
        let read = |texts: &[String]| texts.iter().map(|text| text.parse()).collect::<Result<Vec<Self>>>();
        let (mut axes, more) = (read(before)?, read(more)?);
        let known = axes.iter().map(|axis| axis.key.clone()).collect::<Vec<_>>().join(", ");
        for Self { key, values } in more {
            let Some(axis) = axes.iter_mut().find(|axis| axis.key == key) else {
                let hint = format!("add values to {known}, or begin another sweep with another --out");
                return Err(Error::usage(format!("--set {key}: the sweep that goes on does not turn it"), hint));
            };
            for value in values {
                if !axis.values.contains(&value) {
                    axis.values.push(value);
                }
            }
        }
        Ok(axes.iter().map(|axis| format!("{}={}", axis.key, axis.values.join(","))).collect())
    }
}

impl std::str::FromStr for Axis {
    type Err = Error;

    /// Reads `lr=1e-4,3e-4,1e-3`: a key of `run.toml`, and values as TOML writes them. Text needs no quotes unless it has commas.
    fn from_str(text: &str) -> Result<Self> {
        let example = "write it as in lr=1e-4,3e-4,1e-3";
        let Some((key, values)) = text.split_once('=') else {
            return Err(Error::usage(format!("--set {text}: has no '='"), example));
        };
        let key = key.trim().trim_start_matches("--").replace('-', "_");
        if !keys().any(|k| k == key) {
            let near = nearest(&key, keys())
                .map_or_else(|| format!("known: {}", keys().collect::<Vec<_>>().join(", ")), |n| format!("did you mean '{n}'?"));
            return Err(Error::usage(format!("--set {text}: '{key}' is no key of run.toml"), near));
        }
        if let Some((_, why)) = WHOLE.iter().find(|(k, _)| *k == key) {
            return Err(Error::usage(format!("--set {text}: {key} cannot differ from point to point"), *why));
        }
        let values = split(values);
        if values.iter().any(String::is_empty) {
            return Err(Error::usage(format!("--set {text}: a value is empty"), example));
        }
        Ok(Self { key, values })
    }
}

/// Parts between commas; those in quotes, brackets and braces are no ends.
fn split(text: &str) -> Vec<String> {
    let (mut parts, mut depth, mut quote) = (vec![String::new()], 0i32, None);
    for c in text.chars() {
        match (quote, c) {
            (Some(q), _) if c == q => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '[' | '{') => depth += 1,
            (None, ']' | '}') => depth -= 1,
            (None, ',') if depth <= 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(last) = parts.last_mut() {
            last.push(c);
        }
    }
    parts.into_iter().map(|part| part.trim().to_owned()).collect()
}

/// The options with one of them set to a value: as TOML has it, or as text.
fn with(run: &RunConfig, key: &str, value: &str) -> Result<RunConfig> {
    let cannot = |why: &str| Error::usage(format!("--set {key}={value}: {}", why.trim().replace('\n', ", ")), "");
    let table = Table::try_from(run).map_err(|e| cannot(&e.to_string()))?;
    let set = |value: Value| {
        let mut table = table.clone();
        for (a, b) in PAIRS {
            if key == a {
                table.remove(b);
            } else if key == b {
                table.remove(a);
            }
        }
        table.insert(key.to_owned(), value);
        RunConfig::deserialize(Value::Table(table))
    };
    let text = || set(Value::String(value.to_owned()));
    let parsed = format!("x = {value}").parse::<Table>().ok().and_then(|mut t| t.remove("x"));
    match parsed {
        // A number may stand for a text, as a branch that is called 2024 does.
        Some(parsed) => set(parsed).or_else(|e| text().map_err(|_| cannot(e.message()))),
        None => text().map_err(|e| cannot(e.message())),
    }
}

/// Every combination of the values, the last option turning fastest. Each run's folder lies below `out`. Combinations that are the same
/// run count once.
///
/// # Errors
/// Names the option that a value does not fit, or that is given twice.
pub fn grid(base: &RunConfig, axes: &[Axis], out: &Path) -> Result<Vec<Point>> {
    for (i, axis) in axes.iter().enumerate() {
        if axes[..i].iter().any(|a| a.key == axis.key) {
            return Err(Error::usage(
                format!("--set {}: is given twice", axis.key),
                "give all its values at once, with commas between them",
            ));
        }
        for (a, b) in PAIRS {
            if axis.key == a && axes.iter().any(|other| other.key == b) {
                return Err(Error::usage(format!("--set {a} and --set {b} exclude each other"), ""));
            }
        }
    }
    let count = axes.iter().fold(1usize, |n, axis| n.saturating_mul(axis.values.len()));
    if count > MOST {
        return Err(Error::usage(format!("--set: {count} points are more than {MOST}"), "sweep over fewer values"));
    }
    let mut points: Vec<Point> = Vec::with_capacity(count);
    for i in 0..count {
        let (mut run, mut values, mut rest) = (base.clone(), Vec::new(), i);
        for axis in axes.iter().rev() {
            let value = &axis.values[rest % axis.values.len()];
            rest /= axis.values.len();
            run = with(&run, &axis.key, value)?;
            values.insert(0, (axis.key.clone(), value.clone()));
        }
        let name = name(&values);
        run.out = out.join(&name);
        let same = |p: &Point| RunConfig { out: run.out.clone(), ..p.run.clone() } == run;
        if !points.iter().any(same) {
            points.push(Point { name, values, run });
        }
    }
    Ok(points)
}

/// `n` of the points at random, in their order. The same seed gives the same ones.
pub fn some(mut points: Vec<Point>, n: usize, seed: u64) -> Vec<Point> {
    let mut random = Random::new(seed).stream("sweep");
    while points.len() > n {
        points.remove(random.below(points.len() as u64) as usize);
    }
    points
}

/// A folder's name that every system takes. What it cannot say is told apart by a number made of the values.
fn name(values: &[(String, String)]) -> String {
    let written: Vec<String> = values.iter().map(|(key, value)| format!("{key}-{value}")).collect();
    let written = written.join("_");
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-+".contains(c);
    let mut name: String = written.chars().map(|c| if plain(c) { c } else { '-' }).take(LONGEST).collect();
    if name != written {
        name += &format!("-{:06x}", Random::new(0).stream(&written).next() & 0xff_ffff);
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::blocks::Blocks;

    fn axes(sets: &[&str]) -> Result<Vec<Axis>> {
        sets.iter().map(|text| text.parse()).collect()
    }

    fn points(sets: &[&str]) -> Result<Vec<Point>> {
        let base = RunConfig { epochs: Some(1.0), eval_split: Some(0.1), ..RunConfig::default() };
        grid(&base, &axes(sets)?, Path::new("s"))
    }

    #[test]
    fn every_combination_is_a_run() {
        let all = points(&["lr=1e-4,3e-4", "rank=8,16"]).expect("points");
        let names: Vec<&str> = all.iter().map(|p| p.name.as_str()).collect();
        assert_eq!(names, ["lr-1e-4_rank-8", "lr-1e-4_rank-16", "lr-3e-4_rank-8", "lr-3e-4_rank-16"]);
        assert_eq!((all[1].run.lr, all[1].run.rank, all[1].run.out.as_path()), (Some(1e-4), 16, Path::new("s/lr-1e-4_rank-16")));
        // Two ways to write one number are one run.
        assert_eq!(points(&["lr=1e-3,0.001"]).expect("points").len(), 1);
    }

    #[test]
    fn values_are_those_of_run_toml() {
        let all = points(&["steps=5", "method=lora,diablo", "targets=[\"q_proj\"],[\"q_proj\", \"v_proj\"]", "split=2024", "rslora=true"])
            .expect("points");
        assert_eq!(all.len(), 4);
        let run = &all[3].run;
        assert_eq!((run.steps, run.epochs, run.targets.len(), run.split.as_str(), run.rslora), (Some(5), None, 2, "2024", true));
        assert!(all.iter().all(|p| p.name.chars().all(|c| c.is_ascii_alphanumeric() || "._-+".contains(c))), "{all:?}");
        assert!(all[1].name != all[0].name);
        let blocks = &points(&["blocks=4,'q_proj=8,default=2'"]).expect("points")[1].run.blocks;
        assert_eq!(blocks.as_ref().and_then(|b| b.get("q_proj")), Some(8));
        assert_eq!(points(&["blocks=4"]).expect("points")[0].run.blocks, Some(Blocks::One(4)));
        assert_eq!(points(&["--eval-every=4"]).expect("points")[0].run.eval_every, Some(4));
    }

    #[test]
    fn what_cannot_be_is_named() {
        for (sets, part) in [
            (&["lr"][..], "has no '='"),
            (&["rnak=8"], "'rnak' is no key"),
            (&["lr=1e-4,"], "a value is empty"),
            (&["out=a,b"], "cannot differ"),
            (&["lr=much"], "--set lr=much: "),
            (&["method=dora"], "--set method=dora: "),
            (&["lr=1", "lr=2"], "given twice"),
            (&["steps=1", "epochs=2"], "exclude each other"),
        ] {
            let e = points(sets).expect_err(part);
            assert!(e.to_string().contains(part) && e.exit_code() == 2, "{part}: {e}");
        }
        let wide = (0..200).map(|i| i.to_string()).collect::<Vec<_>>().join(",");
        let e = points(&[&format!("seed={wide}"), &format!("rank={wide}")]).expect_err("too many");
        assert!(e.to_string().contains("40000 points"), "{e}");
    }

    #[test]
    fn values_are_added_to_those_that_were_there() {
        let texts = |sets: &[&str]| sets.iter().map(|set| (*set).to_owned()).collect::<Vec<_>>();
        let before = texts(&["lr=1e-5,1e-2", "targets=[\"q_proj\", \"v_proj\"],[\"q_proj\"]"]);
        let added = Axis::added(&before, &texts(&["--lr=1e-5,3e-3"])).expect("added");
        assert_eq!(added, ["lr=1e-5,1e-2,3e-3", before[1].as_str()]);
        let e = Axis::added(&before, &texts(&["rank=8"])).expect_err("another option");
        assert!(e.to_string().contains("--set rank") && e.hint().is_some_and(|h| h.contains("lr, targets")), "{e}");
    }

    #[test]
    fn random_points_follow_from_the_seed() {
        let all = points(&["lr=1,2,3,4", "rank=1,2,3,4"]).expect("points");
        let three = some(all.clone(), 3, 7);
        assert_eq!((three.len(), &three), (3, &some(all.clone(), 3, 7)));
        assert!((0..9).any(|seed| some(all.clone(), 3, seed) != three), "the seed counts");
        assert_eq!(some(all.clone(), 99, 7), all);
    }
}
