//! The options of `diablo train` (and of `diablo info`): all optional, so that a file of options can stand below them.

use super::common_args::{DeviceArgs, word};
use crate::data::{Begin, Columns, DataFile, Format, TrainOn};
use crate::error::{Error, Result};
use crate::files;
use crate::model::Activations;
use crate::train::blocks::Blocks;
use crate::train::budget::Budget;
use crate::train::config::{Init, Method, MixedPrecision, RunConfig, TooLong, WeightsFormat};
use crate::train::logs::LogKind;
use crate::train::names;
use crate::train::run_folder::CONFIG_FILE;
use crate::train::schedule::ScheduleKind;
use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};
use std::path::{Path, PathBuf};

/// What the command line says about a run.
#[derive(Debug, Clone, Default, Args)]
pub struct TrainArgs {
    /// Read options from a TOML file; flags given here win over it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Folder of the checkpoint to fine-tune, or its name on the hub: owner/name, owner/name@revision
    #[arg(long, value_name = "DIR|NAME")]
    pub model: Option<PathBuf>,
    /// Rows to train on: JSON, JSONL, CSV, Parquet or plain text, or a dataset on the hub (owner/name, owner/name:subset). Give it
    /// again for more files; FILE=2 takes each row twice, FILE=0.5 half of them
    #[arg(long, value_name = "FILE|NAME[=WEIGHT]", value_parser = data_file())]
    pub data: Option<Vec<DataFile>>,
    /// Split of datasets on the hub whose name says none [default: train]
    #[arg(long, value_name = "NAME")]
    pub split: Option<String>,
    /// Run folder; it is made
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Go on with the run that --out holds
    #[arg(long)]
    pub resume: bool,

    /// What trains [default: diablo]
    #[arg(long, value_parser = word::<Method>(), help_heading = "Method")]
    pub method: Option<Method>,
    /// Diagonal blocks: 8, or q_proj=8,down_proj=4,default=8 [default: as many trainable numbers as LoRA rank 16]
    #[arg(long, value_name = "N", help_heading = "Method")]
    pub blocks: Option<Blocks>,
    /// Pad layers whose sides the number of blocks does not divide
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true, value_name = "BOOL", help_heading = "Method")]
    pub pad_blocks: Option<bool>,
    /// Layers that get an adapter [default: every linear layer of a block]
    #[arg(long, value_delimiter = ',', value_name = "NAMES", help_heading = "Method")]
    pub targets: Option<Vec<String>>,
    /// Dropout on the adapter's branch [default: 0]
    #[arg(long, value_name = "P", allow_negative_numbers = true, help_heading = "Method")]
    pub adapter_dropout: Option<f64>,
    /// LoRA's rank [default: 16]
    #[arg(long, value_name = "R", help_heading = "Method")]
    pub rank: Option<usize>,
    /// LoRA's alpha [default: 32]
    #[arg(long, value_name = "A", allow_negative_numbers = true, help_heading = "Method")]
    pub alpha: Option<f64>,
    /// Scale LoRA by alpha / sqrt(rank)
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true, value_name = "BOOL", help_heading = "Method")]
    pub rslora: Option<bool>,
    /// Train the length of each row of the weight apart from its direction (DoRA)
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true, value_name = "BOOL", help_heading = "Method")]
    pub dora: Option<bool>,
    /// Where LoRA starts; pissa: at the weight's principal singular vectors [default: uniform]
    #[arg(long, value_parser = word::<Init>(), help_heading = "Method")]
    pub init: Option<Init>,
    /// Learning rate of LoRA's B, as a multiple of A's (LoRA+) [default: 1]
    #[arg(long, value_name = "X", allow_negative_numbers = true, help_heading = "Method")]
    pub lora_plus_ratio: Option<f64>,
    /// Adapter to start from: a run folder, one that peft wrote, or an adapter.chkpt of the DiaBlo authors
    #[arg(long, value_name = "DIR", help_heading = "Method")]
    pub init_adapter: Option<PathBuf>,
    /// How frozen weights are held; int8 and nf4 are made when they are loaded [default: as the checkpoint has them]
    #[arg(long, value_parser = word::<WeightsFormat>(), help_heading = "Method")]
    pub weights: Option<WeightsFormat>,
    /// Start from random weights in the shape of config.json (with --method full)
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true, value_name = "BOOL", help_heading = "Method")]
    pub init_from_config: Option<bool>,

    /// Optimiser steps
    #[arg(long, value_name = "S", conflicts_with = "epochs", help_heading = "Length and data")]
    pub steps: Option<u64>,
    /// Passes over the rows [default: 1]
    #[arg(long, value_name = "E", allow_negative_numbers = true, help_heading = "Length and data")]
    pub epochs: Option<f64>,
    /// Rows in a micro-batch [default: 8]
    #[arg(long, value_name = "B", help_heading = "Length and data")]
    pub batch_size: Option<usize>,
    /// Micro-batches in an optimiser step [default: 1]
    #[arg(long, value_name = "K", help_heading = "Length and data")]
    pub accumulate: Option<usize>,
    /// Longest row in tokens [default: 512]
    #[arg(long, value_name = "T", help_heading = "Length and data")]
    pub seq_len: Option<usize>,
    /// Put short rows side by side into sequences of --seq-len tokens, each seeing itself alone: no padding is computed
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true, value_name = "BOOL", help_heading = "Length and data")]
    pub packing: Option<bool>,
    /// What becomes of longer rows [default: cut]
    #[arg(long, value_parser = word::<TooLong>(), help_heading = "Length and data")]
    pub too_long: Option<TooLong>,
    /// Column of what the model reads [default: prompt]
    #[arg(long, value_name = "KEY", help_heading = "Length and data")]
    pub prompt_column: Option<String>,
    /// Column of what it learns to write [default: completion]
    #[arg(long, value_name = "KEY", help_heading = "Length and data")]
    pub completion_column: Option<String>,
    /// Format of the rows: auto, pairs, alpaca, sharegpt, messages or text [default: auto, told by the first row]
    #[arg(long, value_parser = word::<Format>(), hide_possible_values = true, value_name = "FORMAT", help_heading = "Length and data")]
    pub data_format: Option<Format>,
    /// Columns that are called otherwise than usual, as in instruction=task,output=answer
    #[arg(long, value_name = "ROLE=NAME,..", help_heading = "Length and data")]
    pub columns: Option<Columns>,
    /// Chat template: auto (the model's, for conversations and instructions), model (for prompt and completion too), none, or a file
    /// [default: auto]
    #[arg(long, value_name = "auto|model|none|FILE", help_heading = "Length and data")]
    pub chat_template: Option<String>,
    /// What is learned: assistant (all its turns, or the completion), last (its last turn) or all [default: assistant]
    #[arg(long, value_parser = word::<TrainOn>(), hide_possible_values = true, value_name = "PART", help_heading = "Length and data")]
    pub train_on: Option<TrainOn>,
    /// Begin token before rows that no chat template writes: auto (as the tokenizer says), on (also where it puts none) or off
    /// [default: auto]
    #[arg(long, value_parser = word::<Begin>(), hide_possible_values = true, value_name = "WHEN", help_heading = "Length and data")]
    pub begin_token: Option<Begin>,
    /// Take the rows in file order
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true, value_name = "BOOL", help_heading = "Length and data")]
    pub no_shuffle: Option<bool>,
    /// Seed of everything random [default: 42]
    #[arg(long, value_name = "N", help_heading = "Length and data")]
    pub seed: Option<u64>,

    /// Highest learning rate [default: 1e-3 for diablo, 2e-4 for lora, 2e-5 for full, 1e-3 from random weights]
    #[arg(long, value_name = "X", allow_negative_numbers = true, help_heading = "Optimiser")]
    pub lr: Option<f64>,
    /// Learning rate after the warm-up [default: cosine]
    #[arg(long, value_parser = word::<ScheduleKind>(), help_heading = "Optimiser")]
    pub schedule: Option<ScheduleKind>,
    /// Steps of warm-up [default: 0]
    #[arg(long, value_name = "S", help_heading = "Optimiser")]
    pub warmup: Option<u64>,
    /// AdamW's weight decay [default: 0]
    #[arg(long, value_name = "X", allow_negative_numbers = true, help_heading = "Optimiser")]
    pub weight_decay: Option<f64>,
    /// Clip the gradient's norm to this; 0 is off [default: 1]
    #[arg(long, value_name = "X", allow_negative_numbers = true, help_heading = "Optimiser")]
    pub max_grad_norm: Option<f64>,
    /// AdamW's first decay rate [default: 0.9]
    #[arg(long, value_name = "X", allow_negative_numbers = true, help_heading = "Optimiser")]
    pub beta1: Option<f64>,
    /// AdamW's second decay rate [default: 0.999]
    #[arg(long, value_name = "X", allow_negative_numbers = true, help_heading = "Optimiser")]
    pub beta2: Option<f64>,
    /// AdamW's epsilon [default: 1e-8]
    #[arg(long, value_name = "X", allow_negative_numbers = true, help_heading = "Optimiser")]
    pub eps: Option<f64>,

    /// Held-out rows: a file, or a dataset on the hub (its validation split, else test; owner/name:subset/split)
    #[arg(long, value_name = "FILE|NAME", conflicts_with = "eval_split", help_heading = "Evaluation and checkpoints")]
    pub eval_data: Option<PathBuf>,
    /// Share of the rows to hold out, such as 0.1
    #[arg(long, value_name = "X", allow_negative_numbers = true, help_heading = "Evaluation and checkpoints")]
    pub eval_split: Option<f64>,
    /// Steps between evaluations [default: a tenth of the run]
    #[arg(long, value_name = "S", help_heading = "Evaluation and checkpoints")]
    pub eval_every: Option<u64>,
    /// Stop after this many evaluations without a new best
    #[arg(long, value_name = "N", help_heading = "Evaluation and checkpoints")]
    pub patience: Option<u32>,
    /// Steps between checkpoints [default: a tenth of the run, at most 500]
    #[arg(long, value_name = "S", help_heading = "Evaluation and checkpoints")]
    pub save_every: Option<u64>,
    /// Write metrics for other programs too: tensorboard (a file of events), csv (metrics.csv)
    #[arg(long, value_parser = word::<LogKind>(), hide_possible_values = true, value_delimiter = ',', value_name = "KINDS", help_heading = "Evaluation and checkpoints")]
    pub log: Option<Vec<LogKind>>,

    /// Let the model continue this text while it learns, and show what it writes
    #[arg(long, value_name = "TEXT", help_heading = "Evaluation and checkpoints")]
    pub sample_prompt: Option<String>,
    /// Steps between such texts [default: a tenth of the run]
    #[arg(long, value_name = "S", help_heading = "Evaluation and checkpoints")]
    pub sample_every: Option<u64>,
    /// Most tokens that it adds [default: 48]
    #[arg(long, value_name = "N", help_heading = "Evaluation and checkpoints")]
    pub sample_tokens: Option<usize>,

    /// Recompute activations in the backward pass: less memory, more time, the same numbers [default: where they do not fit]
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true, value_name = "BOOL", help_heading = "Machine")]
    pub gradient_checkpointing: Option<bool>,
    /// no, or fp16: products take their factors in 16 bits and add up in 32, which matrix units (tensor cores) do fast [default: no]
    #[arg(long, value_parser = word::<MixedPrecision>(), hide_possible_values = true, value_name = "PRECISION", help_heading = "Machine")]
    pub mixed_precision: Option<MixedPrecision>,
    /// How activations wait for the backward pass: f32, or bf16, in which most of them take half the memory; gradients change a little [default: f32]
    #[arg(long, value_parser = word::<Activations>(), hide_possible_values = true, value_name = "FORMAT", help_heading = "Machine")]
    pub activations: Option<Activations>,
    /// Most memory that the run may take on the device, such as 4GiB [default: what is free, where the system tells]
    #[arg(long, value_name = "SIZE", help_heading = "Machine")]
    pub memory: Option<Budget>,
    /// Where it computes.
    #[command(flatten)]
    pub device: DeviceArgs,
}

/// A clap parser for a file with its weight.
pub fn data_file() -> impl TypedValueParser<Value = DataFile> {
    OsStringValueParser::new().map(|text| match text.to_str() {
        // A path that is there wins over a weight behind a shorter one.
        Some(text) if !files::exists(Path::new(text)) => text.into(),
        _ => DataFile { path: text.into(), weight: 1.0 },
    })
}

impl TrainArgs {
    /// The run: flags over the file of options over defaults. Not validated yet.
    ///
    /// `--resume` without `--config` takes the options from the run folder, so `diablo train --resume --out DIR` is enough.
    pub fn into_config(self) -> Result<RunConfig> {
        if self.resume && self.out.is_none() && self.config.is_none() {
            let hint = "name the folder of the run: diablo train --resume --out RUN";
            return Err(Error::usage("--out is needed: --resume goes on with the run that it holds", hint));
        }
        let stored = self.out.as_ref().filter(|_| self.resume).map(|out| out.join(CONFIG_FILE)).filter(|p| p.is_file());
        if let (true, None, None, None, Some(out)) = (self.resume, &stored, &self.config, &self.model, &self.out) {
            let what = format!("there is no run to go on with: no {CONFIG_FILE} is here");
            return Err(Error::input(
                out.display().to_string(),
                what,
                "name the folder of a run, or say what to train too (--model, --data) and it begins",
            ));
        }
        let mut c = match self.config.as_ref().or(stored.as_ref()) {
            Some(path) => RunConfig::from_toml_file(path).map_err(|error| match error {
                // A wrong option is wrong usage wherever it stands.
                Error::Input { place, what, hint } => Error::usage(format!("{place}: {what}"), hint),
                other => other,
            })?,
            None => RunConfig::default(),
        };
        // One of an exclusive pair on the command line replaces the other from the file.
        if self.steps.is_some() {
            c.epochs = None;
        }
        if self.epochs.is_some() {
            c.steps = None;
        }
        if self.eval_data.is_some() {
            c.eval_split = None;
        }
        if self.eval_split.is_some() {
            c.eval_data = None;
        }
        if let Some(files) = self.data {
            c.data = files.into();
        }
        macro_rules! set {
            ($($field:ident),+ $(,)?) => { $(if let Some(value) = self.$field { c.$field = value; })+ };
        }
        macro_rules! set_some {
            ($($field:ident),+ $(,)?) => { $(if self.$field.is_some() { c.$field = self.$field; })+ };
        }
        set!(model, out, method, pad_blocks, targets, adapter_dropout, rank, alpha, rslora, dora, init, lora_plus_ratio);
        set!(init_from_config, split, mixed_precision, activations);
        set!(batch_size, accumulate, seq_len, packing, too_long, prompt_column, completion_column, no_shuffle, seed);
        set!(data_format, columns, chat_template, train_on, begin_token, log);
        set!(schedule, warmup, weight_decay, max_grad_norm, beta1, beta2, eps, sample_tokens);
        set_some!(blocks, init_adapter, weights, steps, epochs, lr, eval_data, eval_split, eval_every, patience, save_every);
        set_some!(sample_prompt, sample_every, gradient_checkpointing, memory);
        c.device = self.device.request(&c.device);
        c.threads = self.device.threads.or(c.threads);
        c.resume = self.resume;
        if let Some(path) = stored.filter(|_| self.config.is_none()) {
            for (option, missing) in [("model", c.model.as_os_str().is_empty()), ("data", c.data.is_empty())] {
                if missing {
                    let hint = format!("it is not as a run wrote it; say what it was with --{option}, or begin anew with another --out");
                    return Err(Error::input(path.display().to_string(), format!("names no {option}"), hint));
                }
            }
        }
        Ok(c)
    }

    /// Options given here that mean nothing to a run, for people. Files of options have all of them, whatever the method.
    pub fn idle(&self, method: Method) -> Vec<String> {
        let given = [("rank", self.rank.is_some()), ("alpha", self.alpha.is_some())];
        let idle = given.into_iter().filter(|(_, given)| *given && method != Method::Lora);
        idle.map(|(option, _)| format!("--{option} means nothing to --method {method}")).collect()
    }

    /// As [`Self::into_config`], for a command that takes the run further: files that a file of options names must be there. Without this
    /// their absence would be told as if the person had named them.
    pub fn into_run(self) -> Result<RunConfig> {
        let stored = self.out.as_ref().filter(|_| self.resume).map(|out| out.join(CONFIG_FILE)).filter(|p| p.is_file());
        let file = self.config.clone().or(stored);
        let (model, data, held_out) = (self.model.is_some(), self.data.is_some(), self.eval_data.is_some());
        let run = self.into_config()?;
        if let Some(file) = file {
            if !model {
                names::refuse_absent(&file, "model", &run.model, "")?;
            }
            if !data {
                run.data.0.iter().try_for_each(|rows| names::refuse_absent(&file, "data", &rows.path, ""))?;
            }
            if let Some(rows) = run.eval_data.as_ref().filter(|_| !held_out) {
                names::refuse_absent(&file, "eval_data", rows, "")?;
            }
        }
        Ok(run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory, Parser};

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        train: TrainArgs,
    }

    fn parse(args: &str) -> std::result::Result<TrainArgs, clap::Error> {
        Cli::try_parse_from(std::iter::once("diablo").chain(args.split_whitespace())).map(|c| c.train)
    }

    fn config(args: &str) -> RunConfig {
        parse(args).expect(args).into_config().expect(args)
    }

    #[test]
    fn clap_accepts_the_declaration() {
        Cli::command().debug_assert();
    }

    /// The rule that ties the file to the command line: a key is the long option's name.
    #[test]
    fn options_and_keys_are_the_same() {
        let command = Cli::command();
        let mut options: Vec<String> = command.get_opts().filter_map(|a| a.get_long()).map(|l| l.replace('-', "_")).collect();
        options.retain(|o| !["config", "resume"].contains(&o.as_str()));
        let mut keys: Vec<String> = crate::train::config_file::keys().map(str::to_owned).collect();
        options.sort();
        keys.sort();
        assert_eq!(options, keys);
    }

    #[test]
    fn every_flag_arrives() {
        let c = config(
            "--model m --data d --split s --out o --method lora --blocks q_proj=8,default=4 --pad-blocks --targets q_proj,v_proj --adapter-dropout 0.1 \
             --rank 4 --alpha 8 --rslora --dora --init pissa --lora-plus-ratio 16 --init-adapter a --weights nf4 --steps 9 --batch-size 2 --accumulate 3 --seq-len 64 --packing --too-long drop \
             --prompt-column q --completion-column a --data-format alpaca --columns output=x --chat-template model --train-on last --begin-token off --no-shuffle --seed 5 --lr 3e-3 --schedule linear --warmup 2 --weight-decay 0.01 \
             --max-grad-norm 0 --beta1 0.8 --beta2 0.9 --eps 1e-6 --eval-split 0.2 --eval-every 3 --patience 2 --save-every 4 --log tensorboard,csv \
             --sample-prompt p --sample-every 5 --sample-tokens 9 \
             --gradient-checkpointing --mixed-precision fp16 --activations bf16 --memory 4GiB --device cpu --threads 2",
        );
        let defaults = RunConfig::default().values();
        let same: Vec<String> = c.values().into_iter().filter(|(k, v)| defaults.get(k) == Some(v)).map(|(k, _)| k).collect();
        assert_eq!(same, ["init_from_config", "epochs", "eval_data"], "everything else was given another value");
        assert_eq!(c.targets, ["q_proj", "v_proj"]);
        assert!(!c.shuffle() && !c.resume);
    }

    #[test]
    fn flags_win_over_the_file() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("run.toml");
        std::fs::write(&path, "model = 'm'\nepochs = 2\nlr = 0.5\neval_split = 0.1\nrslora = true\nseed = 1\n").expect("writes");
        let file = format!("--config {}", path.display());
        let c = config(&file);
        assert_eq!((c.epochs, c.lr, c.seed, c.rank), (Some(2.0), Some(0.5), 1, 16));
        let c = config(&format!("{file} --steps 7 --lr 0.25 --eval-data e --rslora=false"));
        assert_eq!((c.steps, c.epochs, c.lr, c.eval_split, c.rslora, c.seed), (Some(7), None, Some(0.25), None, false, 1));
        c.validate_options().expect("no pair is left in conflict");
    }

    #[test]
    fn resume_finds_its_options() {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::write(dir.path().join("run.toml"), "model = 'm'\ndata = 'd'\nseed = 9\n").expect("writes");
        let c = config(&format!("--resume --out {}", dir.path().display()));
        assert_eq!((c.seed, c.resume, c.out.as_path()), (9, true, dir.path()));
        // Without --resume the folder's file is not looked at.
        assert_eq!(config(&format!("--out {}", dir.path().display())).seed, 42);
        // A kill may leave a folder without it: then the whole command begins the run, and less than that is refused.
        let none = dir.path().join("none").display().to_string();
        assert_eq!(config(&format!("--resume --model m --out {none}")).model, Path::new("m"));
        let e = parse(&format!("--resume --out {none}")).expect("is usage").into_config().expect_err("nothing to go on with");
        assert!(e.to_string().contains("there is no run to go on with: no run.toml"), "{e}");
        let e = parse("--resume").expect("is usage").into_config().expect_err("of what?");
        assert!(e.to_string().starts_with("--out is needed"), "{e}");
        std::fs::write(dir.path().join("run.toml"), "").expect("writes");
        let e = parse(&format!("--resume --out {}", dir.path().display())).expect("is usage").into_config().expect_err("it is empty");
        assert!(e.to_string().ends_with("run.toml: names no model"), "{e}");
    }

    #[test]
    fn what_means_nothing_is_told_where_it_was_given() {
        let idle = |args: &str| parse(args).expect("is usage").idle(config(args).method);
        let wanted = ["--rank means nothing to --method diablo", "--alpha means nothing to --method diablo"];
        assert_eq!(idle("--rank 8 --alpha 8"), wanted);
        assert!(idle("--rank 8 --alpha 8 --method lora").is_empty() && idle("--blocks 8").is_empty());
    }

    #[test]
    fn a_path_that_is_there_has_no_weight() {
        let dir = tempfile::tempdir().expect("a folder");
        let rows = dir.path().join("t=2");
        let given = format!("--data {}", rows.display());
        assert_eq!(config(&given).data.0[0].weight, 2.0);
        std::fs::write(&rows, "").expect("writes");
        assert_eq!((config(&given).data.0[0].weight, config(&given).data.first()), (1.0, rows.as_path()));
    }

    #[test]
    fn what_the_stored_options_name_is_looked_for() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut run = RunConfig { model: "./nowhere/Small".into(), data: "r.jsonl".into(), ..RunConfig::default() };
        let write = |run: &RunConfig| std::fs::write(dir.path().join("run.toml"), run.to_toml_string().expect("text")).expect("writes");
        let resumed = |more: &str| parse(&format!("--resume --out {} {more}", dir.path().display())).expect("is usage").into_run();
        write(&run);
        let e = resumed("").expect_err("no such model");
        assert!(e.to_string().contains("run.toml: its model ./nowhere/Small is not there: it was looked for at /"), "{e}");
        // As older versions wrote it: a name that was fetched has its commit.
        run.model = "nowhere/Small".into();
        write(&run);
        let e = resumed("").expect_err("no such model");
        assert!(e.to_string().contains("its model ./nowhere/Small is not there"), "{e}");
        let e = resumed("--model owner/name").expect_err("no such rows");
        assert!(e.to_string().contains("run.toml: its data r.jsonl is not there"), "{e}");
        resumed("--model owner/name --data other/rows").expect("both are given");
    }

    #[test]
    fn wrong_usage_is_refused() {
        for (args, part) in [
            ("--steps 3 --epochs 1", "cannot be used with"),
            ("--method dora", "diablo, lora, full"),
            ("--blocks x", "'x' is no number"),
            ("--eval-data f --eval-split 0.1", "cannot be used with"),
        ] {
            let e = parse(args).expect_err(args);
            assert!(e.to_string().contains(part), "{args}: {e}");
        }
        assert!(config("--model m --data d --out o --lr -1").validate().is_err());
    }
}
