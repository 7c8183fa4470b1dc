//! The sweep's folder: `sweep.toml` (the options that all runs share), `sweep.json` (what was asked for, and what came of it),
//! `sweep.svg`, and a run folder for each point.

use super::points::{self, Axis, Point};
use crate::error::{Error, Result};
use crate::files::{self, atomic_write_bytes, read_text};
use crate::model::ModelConfig;
use crate::quoting;
use crate::train::compare::{Facts, export, sibling};
use crate::train::event::Event;
use crate::train::{RunConfig, names};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

/// The options that all runs share.
pub const BASE_FILE: &str = "sweep.toml";
/// What was asked for, and what came of it.
pub const STATE_FILE: &str = "sweep.json";
/// All losses as a picture.
pub const PLOT_FILE: &str = "sweep.svg";

const STATE_LIMIT: u64 = 64 << 20;
/// Options that may change between two sittings.
const FREE: [&str; 5] = ["out", "device", "threads", "memory", "gradient_checkpointing"];

/// What is asked of a sweep beside the options of its runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// Options with their values, as in `lr=1e-4,3e-4`.
    pub set: Vec<String>,
    /// So many points of the grid; all of them without.
    pub random: Option<usize>,
    /// Whether only the better half goes on after a quarter, and again after half of the steps.
    pub halving: bool,
}

/// What `sweep.json` keeps beside its table.
#[derive(Default, Deserialize)]
struct State {
    #[serde(flatten)]
    asked: Asked,
    #[serde(default)]
    failed: BTreeMap<String, String>,
}

/// A sweep that is ready to go.
#[derive(Debug)]
pub struct Sweep {
    pub(super) folder: PathBuf,
    pub(super) asked: Asked,
    pub(super) points: Vec<Point>,
    /// Runs whose loss stopped being a number, with what was said then.
    pub(super) failed: BTreeMap<String, String>,
    /// Runs that are left behind by better ones.
    pub(super) waiting: HashSet<usize>,
}

impl Sweep {
    /// What an earlier sitting was asked for.
    ///
    /// # Errors
    /// Where the folder holds no sweep.
    pub fn asked(folder: &Path) -> Result<Asked> {
        state(folder)?.map(|s| s.asked).ok_or_else(|| {
            Error::usage(
                format!("--resume: {} holds no sweep ({STATE_FILE} is not there)", folder.display()),
                "name the folder that it was given with --out",
            )
        })
    }

    /// The file of the options that all runs share.
    pub fn base_file(folder: &Path) -> PathBuf {
        folder.join(BASE_FILE)
    }

    /// Lays a sweep out in the folder `base.out`, and checks every point of it against the model before the first one runs. Names on the
    /// hub are fetched and fixed once for all points.
    ///
    /// # Errors
    /// Where an option is wrong for some point, nothing is held out, or the folder holds something else.
    pub fn open(base: RunConfig, asked: Asked, resume: bool, events: &mut dyn FnMut(Event)) -> Result<Self> {
        base.validate()?;
        let folder = base.out.clone();
        let (begun, failed) = begun(&folder, resume)?;
        let mut base = RunConfig { resume: false, ..base };
        if let Some(kept) = &begun {
            names::keep_commits(&mut base, kept);
        }
        let base = names::settle(base, events)?;
        if let Some(kept) = &begun {
            refuse_changes(&base, kept, "sweep", "diablo sweep --resume")?;
        }
        let axes: Vec<Axis> = asked.set.iter().map(|text| text.parse()).collect::<Result<_>>()?;
        let mut points = points::grid(&base, &axes, &folder)?;
        if let Some(n) = asked.random {
            if n == 0 {
                return Err(Error::usage("--random 0: must be at least 1", ""));
            }
            points = points::some(points, n, base.seed);
        }
        for point in &points {
            point.run.validate()?;
            if !point.run.has_eval() {
                return Err(Error::usage("a sweep needs held-out rows, whose loss decides", "give --eval-split 0.1, or --eval-data FILE"));
            }
            let model = ModelConfig::from_dir(&names::model(&point.run.model, !point.run.init_from_config, events)?)?;
            sibling::trainable(&point.run, &model)?;
        }
        files::create_dir_all(&folder).map_err(Error::io(&folder))?;
        let sweep = Self { folder, asked, points, failed, waiting: HashSet::new() };
        // The mark of a sweep's folder comes first.
        sweep.write()?;
        atomic_write_bytes(&Self::base_file(&sweep.folder), base.to_toml_shared("sweep", "diablo sweep --resume")?.as_bytes())?;
        Ok(sweep)
    }

    /// Its points.
    pub fn points(&self) -> &[Point] {
        &self.points
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Runs whose loss stopped being a number: their names, and what was said then.
    pub fn failed(&self) -> &BTreeMap<String, String> {
        &self.failed
    }

    /// Writes `sweep.json`: what was asked for, and a line for each point, the lowest held-out loss first.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn write(&self) -> Result<()> {
        let mut lines = Vec::new();
        for (i, point) in self.points.iter().enumerate() {
            let facts = self.record(i)?.map(|record| Facts::of(&record));
            let state = match &facts {
                _ if self.failed.contains_key(&point.name) => "diverged",
                Some(facts) if facts.ended => "ended",
                _ if self.waiting.contains(&i) => "left behind",
                Some(_) => "begun",
                None => "waits",
            };
            let values: serde_json::Map<String, Value> = point.values.iter().map(|(k, v)| (k.clone(), json!(v))).collect();
            let order = facts.as_ref().and_then(|f| f.held_out).filter(|_| state != "diverged").unwrap_or(f64::INFINITY);
            let mut line = json!({ "run": point.name, "state": state, "values": values });
            if let (Some(facts), Some(line)) = (&facts, line.as_object_mut()) {
                line.extend(export::json(&point.name, facts));
            }
            lines.push((order, line));
        }
        lines.sort_by(|a, b| a.0.total_cmp(&b.0));
        let points: Vec<Value> = lines.into_iter().map(|(_, line)| line).collect();
        let Asked { set, random, halving } = &self.asked;
        let all = json!({ "set": set, "random": random, "halving": halving, "failed": self.failed, "points": points });
        let text = serde_json::to_string_pretty(&all).unwrap_or_default() + "\n";
        atomic_write_bytes(&self.folder.join(STATE_FILE), text.as_bytes())
    }
}

fn state(folder: &Path) -> Result<Option<State>> {
    let path = folder.join(STATE_FILE);
    if !files::is_file(&path) {
        return Ok(None);
    }
    let broken = |e: serde_json::Error| Error::input(path.display().to_string(), format!("is no sweep: {e}"), "");
    serde_json::from_str(&read_text(&path, STATE_LIMIT)?).map(Some).map_err(broken)
}

/// The options of an earlier sitting, and what failed in it. A folder that holds something else is refused.
fn begun(folder: &Path, resume: bool) -> Result<(Option<RunConfig>, BTreeMap<String, String>)> {
    let name = folder.display();
    match state(folder)? {
        Some(_) if !resume => {
            let hint = format!("go on with it: diablo sweep --resume --out {}\nor name another folder with --out", quoting::path(folder));
            Err(Error::usage(format!("--out {name}: holds a sweep already"), hint))
        }
        Some(state) => {
            let path = Sweep::base_file(folder);
            let base = if files::is_file(&path) { Some(RunConfig::from_toml_file(&path)?) } else { None };
            Ok((base, state.failed))
        }
        None => {
            if files::is_dir(folder) && !files::names(folder).map_err(Error::io(folder))?.is_empty() {
                return Err(Error::usage(format!("--out {name}: is not empty and holds no sweep"), "name another folder with --out"));
            }
            if files::is_file(folder) {
                return Err(Error::usage(format!("--out {name}: is a file"), "name a folder"));
            }
            Ok((None, BTreeMap::new()))
        }
    }
}

/// Refuses to go on with something (a sweep, say) under other options than it had.
///
/// # Errors
/// Names the options that differ, and the command that goes on.
pub fn refuse_changes(base: &RunConfig, kept: &RunConfig, what: &str, command: &str) -> Result<()> {
    let (ours, theirs) = (base.values(), kept.values());
    let differing: Vec<&str> = ours.keys().map(String::as_str).filter(|k| !FREE.contains(k) && ours.get(*k) != theirs.get(*k)).collect();
    if differing.is_empty() {
        return Ok(());
    }
    let folder = base.out.display();
    let refused = format!("{folder}: cannot go on with this {what}: it had another {}", differing.join(", "));
    Err(Error::usage(refused, format!("go on as it was: {command} --out {folder}\nor begin anew with another --out")))
}
