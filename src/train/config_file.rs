//! `run.toml`: reading it with a line number for every fault, and writing it so that it gives the same run.

use super::choice::nearest;
use super::config::RunConfig;
use super::names;
use crate::error::{Error, Result};
use crate::quoting;
use serde::Deserialize;
use std::fmt::Write;
use std::path::Path;
use toml::de::{DeTable, DeValue};

/// The keys of the file in the order in which they are written.
const GROUPS: [(&str, &[&str]); 6] = [
    ("files; relative paths start at the working directory", &["model", "data", "split", "out"]),
    (
        "what trains",
        &[
            "method",
            "blocks",
            "pad_blocks",
            "targets",
            "adapter_dropout",
            "rank",
            "alpha",
            "rslora",
            "dora",
            "init",
            "lora_plus_ratio",
            "init_adapter",
            "weights",
            "init_from_config",
        ],
    ),
    (
        "how long, and on what",
        &[
            "steps",
            "epochs",
            "batch_size",
            "accumulate",
            "seq_len",
            "packing",
            "too_long",
            "prompt_column",
            "completion_column",
            "data_format",
            "columns",
            "chat_template",
            "train_on",
            "begin_token",
            "no_shuffle",
            "seed",
        ],
    ),
    ("the optimiser", &["lr", "schedule", "warmup", "weight_decay", "max_grad_norm", "beta1", "beta2", "eps"]),
    (
        "evaluation and checkpoints",
        &["eval_data", "eval_split", "eval_every", "patience", "save_every", "log", "sample_prompt", "sample_every", "sample_tokens"],
    ),
    ("the machine", &["gradient_checkpointing", "mixed_precision", "activations", "memory", "device", "threads"]),
];

/// How a file begins that a run wrote: all its options are there.
const RESOLVED: &str = "# The options of this run, resolved.";
/// The same where several runs share them.
const SHARED: &str = "# The options of all runs";

/// Whether a run wrote the file, or something that makes runs.
fn is_resolved(text: &str) -> bool {
    text.starts_with(RESOLVED) || text.starts_with(SHARED)
}

/// Every key of `run.toml`.
pub fn keys() -> impl Iterator<Item = &'static str> {
    GROUPS.iter().flat_map(|(_, keys)| keys.iter().copied())
}

impl RunConfig {
    /// Reads a file of options. What it leaves out has its default; nothing is validated beyond keys and types.
    pub fn from_toml_file(path: &Path) -> Result<Self> {
        let bytes = crate::files::read(path).map_err(Error::io(path))?;
        let text =
            String::from_utf8(bytes).map_err(|_| Error::input(path.display().to_string(), "is not UTF-8 text", "save it as UTF-8"))?;
        let mut config = Self::from_toml(&text, &path.display().to_string())?;
        // Runs write names on the hub with a commit: what has none is a path, as older ones wrote it.
        if is_resolved(&text) {
            names::each_path(&mut config, names::marked);
        }
        Ok(config)
    }

    /// Reads options from text; `place` names it in errors. What a run's own file leaves out came later than the run, and is as it was then.
    pub fn from_toml(text: &str, place: &str) -> Result<Self> {
        // Editors on Windows put a byte order mark first, which is no part of TOML.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let at = |offset: usize| {
            format!("{place}: line {}", 1 + text.as_bytes()[..offset.min(text.len())].iter().filter(|b| **b == b'\n').count())
        };
        let fault = |e: toml::de::Error| {
            let line = e.span().map_or_else(|| place.to_owned(), |s| at(s.start));
            let key = e.span().and_then(|s| key_of(text, s.start)).map(|k| format!("{k}: ")).unwrap_or_default();
            Error::input(line, format!("{key}{}", e.message().trim().replace('\n', ", ")), "")
        };
        let table = DeTable::parse(text).map_err(fault)?;
        for key in table.get_ref().keys() {
            let name = key.get_ref().as_ref();
            if !keys().any(|k| k == name) {
                return Err(Error::input(at(key.span().start), format!("unknown key '{name}'"), unknown_hint(name)));
            }
        }
        let mut config = Self::deserialize(toml::Deserializer::parse(text).map_err(fault)?).map_err(fault)?;
        if is_resolved(text) && !table.get_ref().contains_key("begin_token") {
            config.begin_token = Self::before().begin_token;
        }
        Ok(config)
    }

    /// The run as text: a header, then every option that has a value, always in the same order.
    pub fn to_toml_string(&self) -> Result<String> {
        self.to_toml_under(&format!("{RESOLVED} To run it again: diablo train --config run.toml --out OTHER"))
    }

    /// As [`Self::to_toml_string`], of options that the runs of something share (a sweep, say), which `command` goes on with.
    pub fn to_toml_shared(&self, what: &str, command: &str) -> Result<String> {
        let out = quoting::path(&self.out);
        self.to_toml_under(&format!("{SHARED} of this {what}, resolved. To go on with it: {command} --out {out}"))
    }

    fn to_toml_under(&self, first: &str) -> Result<String> {
        let table = toml::Table::try_from(self).map_err(|e| Error::usage(format!("the options cannot be written to run.toml: {e}"), ""))?;
        let mut out = format!(
            "{first}\n\
             # Keys are the long options of `diablo train` with _ for -; flags on the command line win over this file.\n",
        );
        for (heading, keys) in GROUPS {
            let lines: Vec<String> = keys.iter().filter_map(|k| table.get(*k).map(|v| format!("{k} = {v}\n"))).collect();
            if !lines.is_empty() {
                let _ = write!(out, "\n# {heading}\n{}", lines.concat());
            }
        }
        Ok(out)
    }
}

fn unknown_hint(name: &str) -> String {
    match name {
        "resume" => "resume is for the command line only: --resume".into(),
        "shuffle" => "did you mean 'no_shuffle'?".into(),
        _ => match nearest(name, keys()) {
            Some(near) => format!("did you mean '{near}'?"),
            None => format!("known keys: {}", keys().collect::<Vec<_>>().join(", ")),
        },
    }
}

/// The top-level key whose value holds a place in the text.
fn key_of(text: &str, offset: usize) -> Option<String> {
    let table = DeTable::parse(text).ok()?;
    let holds = |value: &toml::Spanned<DeValue<'_>>| value.span().contains(&offset);
    table.get_ref().iter().find(|(_, v)| holds(v)).map(|(k, _)| k.get_ref().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Begin;
    use crate::train::blocks::Blocks;
    use crate::train::config::{Method, TooLong};

    fn full() -> RunConfig {
        RunConfig {
            model: "models/ü \"quoted\"".into(),
            data: crate::data::DataFiles(vec!["d.jsonl".into(), "e.csv=0.5".into()]),
            columns: crate::data::Columns::pair("q", "a"),
            out: "o".into(),
            blocks: "q_proj=8,default=4".parse().ok(),
            init_adapter: Some("a".into()),
            steps: Some(12),
            epochs: Some(1.5),
            lr: Some(0.1 + 0.2),
            eval_data: Some("e".into()),
            eval_split: Some(0.1),
            eval_every: Some(5),
            patience: Some(2),
            save_every: Some(7),
            log: vec![crate::train::logs::LogKind::Csv],
            sample_prompt: Some("Once".into()),
            sample_every: Some(3),
            threads: Some(2),
            too_long: TooLong::Drop,
            eps: 1e-8,
            ..RunConfig::default()
        }
    }

    #[test]
    fn every_option_has_a_place_in_the_file() {
        let mut fields: Vec<String> = full().values().keys().cloned().collect();
        let mut known: Vec<String> = keys().map(str::to_owned).collect();
        fields.sort();
        known.sort();
        assert_eq!(fields, known);
    }

    #[test]
    fn round_trip_is_exact() {
        for config in [full(), RunConfig::default(), RunConfig { blocks: Some(Blocks::One(8)), ..full() }] {
            let text = config.to_toml_string().expect("writes");
            let back = RunConfig::from_toml(&text, "run.toml").expect("reads");
            assert_eq!(back, config);
            assert_eq!(back.to_toml_string().expect("writes"), text);
        }
    }

    #[test]
    fn shared_options_speak_of_what_shares_them() {
        let run = RunConfig { out: "s".into(), ..full() };
        let text = run.to_toml_shared("sweep", "diablo sweep --resume").expect("writes");
        assert!(text.starts_with("# The options of all runs of this sweep, resolved. To go on with it: diablo sweep --resume --out s\n"));
        assert_eq!(RunConfig::from_toml(&text, "sweep.toml").expect("reads"), run);
        let older = text.replace("begin_token = \"auto\"\n", "");
        assert_eq!(RunConfig::from_toml(&older, "sweep.toml").expect("reads").begin_token, Begin::Off);
    }

    #[test]
    fn local_paths_of_older_files_are_marked() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("run.toml");
        let run = RunConfig { model: "models/Small".into(), data: "own/rows".into(), ..RunConfig::default() };
        let read = |text: &str| {
            std::fs::write(&path, text).expect("writes");
            RunConfig::from_toml_file(&path).expect("reads")
        };
        let back = read(&run.to_toml_string().expect("writes"));
        assert_eq!((back.model.as_path(), back.data.first()), (Path::new("./models/Small"), Path::new("./own/rows")));
        // As such a run's checkpoint knows them.
        assert_eq!(back.unmarked().fingerprint(), run.fingerprint());
        assert_eq!(read("model = 'models/Small'").model, Path::new("models/Small"), "a person may mean the hub");
    }

    #[test]
    fn a_run_of_before_the_begin_token_had_none() {
        let text = RunConfig::default().to_toml_string().expect("writes");
        let older = text.replace("begin_token = \"auto\"\n", "");
        assert_ne!(older, text);
        let begin = |text: &str| RunConfig::from_toml(text, "run.toml").expect("reads").begin_token;
        assert_eq!((begin(&older), begin(&text), begin("seed = 1")), (Begin::Off, Begin::Auto, Begin::Auto));
    }

    #[test]
    fn reads_what_people_write() {
        let text =
            "\u{feff}model = 'm'\nmethod = \"lora\"\nepochs = 3\nalpha = 16\nblocks = { q_proj = 8, default = 2 }\nno_shuffle = true\n";
        let c = RunConfig::from_toml(text, "x").expect("reads");
        assert_eq!((c.method, c.epochs, c.alpha, c.shuffle()), (Method::Lora, Some(3.0), 16.0, false));
        assert_eq!(c.blocks.and_then(|b| b.get("k_proj")), Some(2));
        let c = RunConfig::from_toml("seed = 1\n[blocks]\nq_proj = 8\n", "x").expect("reads");
        assert_eq!(c.blocks.and_then(|b| b.get("q_proj")), Some(8));
        let c = RunConfig::from_toml("blocks = \"q_proj=8\"", "x").expect("reads");
        assert_eq!(c.blocks.and_then(|b| b.get("q_proj")), Some(8));
    }

    #[test]
    fn faults_name_their_line() {
        let cases = [
            ("seed = 1\n\nbatch-size = 4", "x: line 3: unknown key 'batch-size'", "did you mean 'batch_size'?"),
            ("resume = true", "x: line 1: unknown key 'resume'", "--resume"),
            ("[optim]\nlr = 1", "x: line 1: unknown key 'optim'", "known keys: model"),
            ("seed = 1\nsteps = \"many\"", "x: line 2: steps: ", ""),
            ("method = \"dora\"", "x: line 1: method: ", ""),
            ("steps = -4", "x: line 1: steps: ", ""),
            ("seed = 1\nblocks = -2", "x: line 2: blocks: -2 is no number of blocks", ""),
            ("\nblocks = \"q\"", "x: line 2: blocks: 'q' is no number", ""),
            ("seed = \n", "x: line 1: ", ""),
            ("seed = 1\nseed = 2", "x: line 2: ", ""),
        ];
        for (text, want, hint) in cases {
            let e = RunConfig::from_toml(text, "x").expect_err(text);
            assert!(e.to_string().starts_with(want), "{text:?}: {e}");
            assert!(e.hint().unwrap_or("").contains(hint), "{text:?}: {:?}", e.hint());
        }
        let e = RunConfig::from_toml("method = \"dora\"", "x").expect_err("refused");
        assert!(e.to_string().contains("lora"), "the words are listed: {e}");
    }
}
