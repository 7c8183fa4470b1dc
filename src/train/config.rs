//! Everything a run is told: one struct that the command line, `run.toml` and the app fill.

use super::blocks::Blocks;
use super::budget::Budget;
use super::choice::choice;
use super::logs::LogKind;
use super::schedule::ScheduleKind;
use crate::data::{Begin, Columns, DataFiles, Format as DataFormat, Reading, TrainOn};
use crate::kernels::Format;
use crate::model::Activations;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The seven linear layers of a transformer block: what trains unless the run says otherwise.
pub const PROJECTIONS: [&str; 7] = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];

/// The learning rate of a run that names none.
///
/// Blocks start at zero and have no scale, so they stand a rate several times LoRA's (where alpha / r already multiplies by two).
/// Whole models are the most easily spoilt. Small models take more than these.
pub const DEFAULT_LR: [(Method, f64); 3] = [(Method::Diablo, 1e-3), (Method::Lora, 2e-4), (Method::Full, 2e-5)];

/// The learning rate of a model that starts from random weights.
pub const FROM_SCRATCH_LR: f64 = 1e-3;

/// The largest seed: TOML's whole numbers are signed.
pub const MAX_SEED: u64 = i64::MAX as u64;

choice! {
    /// What trains.
    Method {
        /// Diagonal blocks beside frozen weights.
        Diablo = "diablo",
        /// A low-rank product beside frozen weights.
        Lora = "lora",
        /// Every weight.
        Full = "full",
    }
}

choice! {
    /// Where LoRA's factors start.
    Init {
        /// A uniform in +-1/sqrt(d_in), B zero.
        Uniform = "uniform",
        /// The weight's principal singular vectors, which are taken out of the base (PiSSA).
        Pissa = "pissa",
    }
}

choice! {
    /// What becomes of a row longer than the sequence.
    TooLong {
        /// Its end is cut off.
        Cut = "cut",
        /// It is left out.
        Drop = "drop",
        /// The run is refused.
        Error = "error",
    }
}

choice! {
    /// In how many bits products compute.
    MixedPrecision {
        /// In 32.
        No = "no",
        /// Factors in 16 (IEEE), sums in 32.
        Fp16 = "fp16",
    }
}

choice! {
    /// How frozen weights are held.
    WeightsFormat {
        /// 32-bit floats.
        F32 = "f32",
        /// The upper halves of 32-bit floats.
        Bf16 = "bf16",
        /// IEEE 16-bit floats.
        F16 = "f16",
        /// 8 bits, and a scale for each 64 numbers.
        Int8 = "int8",
        /// 4-bit NormalFloat, and a scale for each 64 numbers; tables of tokens in 8 bits.
        Nf4 = "nf4",
    }
}

impl From<WeightsFormat> for Format {
    fn from(weights: WeightsFormat) -> Self {
        match weights {
            WeightsFormat::F32 => Self::F32,
            WeightsFormat::Bf16 => Self::Bf16,
            WeightsFormat::F16 => Self::F16,
            WeightsFormat::Int8 => Self::Int8,
            WeightsFormat::Nf4 => Self::Nf4,
        }
    }
}

/// The options of a run. In TOML a key is the long option's name with `_` for `-`.
///
/// Paths are kept as they were given and are relative to the working directory, also those that come from a file: a `run.toml`
/// means the same as the command line that it stands for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunConfig {
    /// The checkpoint's folder, or a name on the hub; see [`super::names`].
    pub model: PathBuf,
    /// The files of rows to train on, or names on the hub.
    pub data: DataFiles,
    /// The split of datasets on the hub whose name says none.
    pub split: String,
    /// The run folder.
    pub out: PathBuf,

    /// What trains.
    pub method: Method,
    /// The number of diagonal blocks; without one, the trainable share comes closest to LoRA rank 16's.
    pub blocks: Option<Blocks>,
    /// Lets N not divide a side: blocks of ceil(side / N), the last ones padded with zeros.
    pub pad_blocks: bool,
    /// The layers that get an adapter.
    pub targets: Vec<String>,
    /// Dropout on the adapter's branch.
    pub adapter_dropout: f64,
    /// LoRA's rank r.
    pub rank: usize,
    /// LoRA's alpha; its branch is scaled by alpha / r.
    pub alpha: f64,
    /// Scales LoRA's branch by alpha / sqrt(r) instead.
    pub rslora: bool,
    /// Brings the rows of the weight and LoRA's product together to trained lengths (DoRA).
    pub dora: bool,
    /// Where LoRA's factors start.
    pub init: Init,
    /// B's learning rate is this times A's (LoRA+).
    pub lora_plus_ratio: f64,
    /// An adapter to start from.
    pub init_adapter: Option<PathBuf>,
    /// How frozen weights are held; as the checkpoint has them where this is absent.
    pub weights: Option<WeightsFormat>,
    /// Starts from random weights in the shape that `config.json` describes (method `full`).
    pub init_from_config: bool,

    /// Optimiser steps. Excludes `epochs`.
    pub steps: Option<u64>,
    /// Passes over the rows; 1 where `steps` is absent too.
    pub epochs: Option<f64>,
    /// Rows in a micro-batch.
    pub batch_size: usize,
    /// Micro-batches in an optimiser step.
    pub accumulate: usize,
    /// The longest row, in tokens.
    pub seq_len: usize,
    /// Puts short rows side by side into sequences of `seq_len` tokens, each seeing itself alone. A row of a micro-batch is then such a
    /// sequence.
    pub packing: bool,
    /// What becomes of a longer row.
    pub too_long: TooLong,
    /// The column of what the model reads.
    pub prompt_column: String,
    /// The column of what it learns to write.
    pub completion_column: String,
    /// What the columns of a row mean.
    pub data_format: DataFormat,
    /// Columns that are called otherwise than usual; these win over the two above. See [`RunConfig::reading`].
    pub columns: Columns,
    /// `auto`, `model`, `none` or a file; see [`crate::data::Chatting::new`].
    pub chat_template: String,
    /// From which parts of a row is learned.
    pub train_on: TrainOn,
    /// Whether a begin token stands before rows that no chat template writes.
    pub begin_token: Begin,
    /// Takes the rows in file order. Stands for `--no-shuffle`; see [`RunConfig::shuffle`].
    pub no_shuffle: bool,
    /// The seed of everything random.
    pub seed: u64,

    /// The highest learning rate; see [`RunConfig::resolved_lr`].
    pub lr: Option<f64>,
    /// The learning rate after the warm-up.
    pub schedule: ScheduleKind,
    /// Steps of warm-up, from rate 0.
    pub warmup: u64,
    /// AdamW's decoupled weight decay.
    pub weight_decay: f64,
    /// The gradient's norm is clipped to this; 0 leaves it alone.
    pub max_grad_norm: f64,
    /// AdamW's first decay rate.
    pub beta1: f64,
    /// AdamW's second decay rate.
    pub beta2: f64,
    /// AdamW's epsilon.
    pub eps: f64,

    /// Held-out rows from a file or a dataset on the hub. Excludes `eval_split`.
    pub eval_data: Option<PathBuf>,
    /// The share of the rows, at their end, that is held out.
    pub eval_split: Option<f64>,
    /// Steps between evaluations; see [`RunConfig::eval_interval`].
    pub eval_every: Option<u64>,
    /// Stops after this many evaluations in a row without a new best one.
    pub patience: Option<u32>,
    /// Steps between checkpoints; see [`RunConfig::save_interval`].
    pub save_every: Option<u64>,
    /// Logs for other programs beside `metrics.jsonl`.
    pub log: Vec<LogKind>,

    /// A text that the model continues while it learns, so that one sees it learn.
    pub sample_prompt: Option<String>,
    /// Steps between such texts; see [`RunConfig::sample_interval`].
    pub sample_every: Option<u64>,
    /// The most tokens that it adds.
    pub sample_tokens: usize,

    /// Recomputes activations in the backward pass: less memory, more time, the same numbers. Where it is absent they are recomputed
    /// if keeping them does not fit; see [`super::resolve::program`].
    pub gradient_checkpointing: Option<bool>,
    /// In how many bits the products of a training step compute.
    pub mixed_precision: MixedPrecision,
    /// How activations wait for the backward pass.
    pub activations: Activations,
    /// The most memory that the run may take on its device.
    pub memory: Option<Budget>,
    /// `auto`, `cpu`, `gpu`, a device's number or part of its name.
    pub device: String,
    /// CPU threads; without it, one for each core.
    pub threads: Option<usize>,

    /// Goes on with the run that `out` holds. Never stored: it says how this sitting starts, not what the run is.
    #[serde(skip)]
    pub resume: bool,
}

impl Default for RunConfig {
    fn default() -> Self {
        Self {
            model: PathBuf::new(),
            data: DataFiles::default(),
            split: super::names::TRAIN.into(),
            out: PathBuf::new(),
            method: Method::Diablo,
            blocks: None,
            pad_blocks: false,
            targets: PROJECTIONS.map(str::to_owned).to_vec(),
            adapter_dropout: 0.0,
            rank: 16,
            alpha: 32.0,
            rslora: false,
            dora: false,
            init: Init::Uniform,
            lora_plus_ratio: 1.0,
            init_adapter: None,
            weights: None,
            init_from_config: false,
            steps: None,
            epochs: None,
            batch_size: 8,
            accumulate: 1,
            seq_len: 512,
            packing: false,
            too_long: TooLong::Cut,
            prompt_column: "prompt".into(),
            completion_column: "completion".into(),
            data_format: DataFormat::Auto,
            columns: Columns::default(),
            chat_template: crate::data::template::chatting::AUTO.into(),
            train_on: TrainOn::Assistant,
            begin_token: Begin::Auto,
            no_shuffle: false,
            seed: 42,
            lr: None,
            schedule: ScheduleKind::Cosine,
            warmup: 0,
            weight_decay: 0.0,
            max_grad_norm: 1.0,
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            eval_data: None,
            eval_split: None,
            eval_every: None,
            patience: None,
            save_every: None,
            log: Vec::new(),
            sample_prompt: None,
            sample_every: None,
            sample_tokens: 48,
            gradient_checkpointing: None,
            mixed_precision: MixedPrecision::No,
            activations: Activations::F32,
            memory: None,
            device: "auto".into(),
            threads: None,
            resume: false,
        }
    }
}

/// What a checkpoint depends on: a resume with another value would go on with something else.
///
/// The rest (rates, lengths of the run, evaluation, device) may change between sittings.
const FIXED_KEYS: [&str; 33] = [
    "model",
    "data",
    "split",
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
    "init_adapter",
    "weights",
    "init_from_config",
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
    "eval_split",
    "activations",
    "mixed_precision",
];

/// Those of them that came later: they count where they are not as [`RunConfig::before`], so that checkpoints of older versions still resume.
const LATER_KEYS: [&str; 10] =
    ["activations", "mixed_precision", "split", "data_format", "columns", "chat_template", "train_on", "begin_token", "dora", "init"];

/// Options that a run's result does not hang on.
const FREE_KEYS: [&str; 6] = ["out", "device", "threads", "memory", "gradient_checkpointing", "log"];

impl RunConfig {
    /// The defaults of runs whose `run.toml` does not know the later options: rows had no begin token then.
    pub(super) fn before() -> Self {
        Self { begin_token: Begin::Off, ..Self::default() }
    }

    /// Whether the rows are taken in a seeded random order.
    pub fn shuffle(&self) -> bool {
        !self.no_shuffle
    }

    /// How the rows are read.
    pub fn reading(&self) -> Reading {
        let mut columns = self.columns.clone();
        columns.set("prompt", &self.prompt_column);
        columns.set("completion", &self.completion_column);
        Reading { format: self.data_format, columns }
    }

    /// The learning rate, given or by [`DEFAULT_LR`].
    pub fn resolved_lr(&self) -> f64 {
        let default = || DEFAULT_LR.iter().find(|(m, _)| *m == self.method).map_or(1e-3, |(_, lr)| *lr);
        self.lr.unwrap_or_else(|| if self.init_from_config { FROM_SCRATCH_LR } else { default() })
    }

    /// The same run with the learning rate and the length spelt out, as `run.toml` keeps it: a later version with other defaults
    /// still runs the same.
    pub fn resolved(&self) -> Self {
        let mut c = self.clone();
        c.lr = Some(self.resolved_lr());
        if c.steps.is_none() && c.epochs.is_none() {
            c.epochs = Some(1.0);
        }
        c
    }

    /// Optimiser steps for so many training rows: `steps`, or `epochs` times the steps of one pass, the last one perhaps not full.
    pub fn total_steps(&self, rows: u64) -> u64 {
        let per_step = (self.batch_size as u64).saturating_mul(self.accumulate as u64).max(1);
        self.steps.unwrap_or_else(|| (self.epochs.unwrap_or(1.0) * rows as f64 / per_step as f64).ceil().max(1.0) as u64)
    }

    /// Whether rows are held out.
    pub fn has_eval(&self) -> bool {
        self.eval_data.is_some() || self.eval_split.is_some()
    }

    /// Steps between evaluations: as given, or a tenth of the run.
    pub fn eval_interval(&self, total: u64) -> u64 {
        self.eval_every.unwrap_or((total / 10).max(1))
    }

    /// Steps between checkpoints: as given, or a tenth of the run, but at most 500.
    pub fn save_interval(&self, total: u64) -> u64 {
        self.save_every.unwrap_or((total / 10).clamp(1, 500))
    }

    /// Steps between texts: as given, or a tenth of the run.
    pub fn sample_interval(&self, total: u64) -> u64 {
        self.sample_every.unwrap_or((total / 10).max(1))
    }

    /// A short fingerprint of the options that a checkpoint depends on.
    pub fn fingerprint(&self) -> String {
        let map = self.values();
        // FNV-1a: written out because it must stay the same in every version.
        let before = Self::before().values();
        let counts = |k: &&&str| !LATER_KEYS.contains(*k) || map.get(**k) != before.get(**k);
        let hash = FIXED_KEYS
            .iter()
            .filter(counts)
            .flat_map(|k| format!("{k}={}\n", map.get(*k).unwrap_or(&serde_json::Value::Null)).into_bytes());
        format!("{:016x}", hash.fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)))
    }

    /// The options, of those a checkpoint depends on, in which two runs differ, as `key (theirs, not ours)`.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let (ours, theirs) = (self.values(), other.values());
        let show = |v: Option<&serde_json::Value>| match v {
            None | Some(serde_json::Value::Null) => "none".to_owned(),
            Some(v) => v.to_string(),
        };
        let differing = FIXED_KEYS.iter().filter(|k| ours.get(**k) != theirs.get(**k));
        differing.map(|k| format!("{k} ({}, not {})", show(theirs.get(*k)), show(ours.get(*k)))).collect()
    }

    /// The options in which two runs differ, but for where and how fast they compute, and which logs they write beside their metrics.
    pub fn changes(&self, other: &Self) -> Vec<String> {
        let (ours, theirs) = (self.values(), other.values());
        ours.keys().filter(|k| !FREE_KEYS.contains(&k.as_str()) && ours.get(*k) != theirs.get(*k)).cloned().collect()
    }

    /// The run with its local paths as they were written before they were marked; see [`super::names::marked`].
    pub(super) fn unmarked(&self) -> Self {
        let mut run = self.clone();
        super::names::each_path(&mut run, |path| path.strip_prefix("./").map(Path::to_path_buf).unwrap_or_else(|_| path.to_path_buf()));
        run
    }

    /// Every stored option by name.
    pub(crate) fn values(&self) -> serde_json::Map<String, serde_json::Value> {
        // Only a path that is no text can fail here, and `validate` refuses those.
        match serde_json::to_value(self) {
            Ok(serde_json::Value::Object(map)) => map,
            _ => serde_json::Map::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_resolved_by_method() {
        let mut c = RunConfig::default();
        assert_eq!(c.resolved_lr(), 1e-3);
        c.method = Method::Lora;
        assert_eq!(c.resolved_lr(), 2e-4);
        c.method = Method::Full;
        assert_eq!(c.resolved_lr(), 2e-5);
        c.init_from_config = true;
        assert_eq!(c.resolved_lr(), FROM_SCRATCH_LR);
        c.lr = Some(0.5);
        assert_eq!((c.resolved_lr(), c.resolved().epochs), (0.5, Some(1.0)));
    }

    #[test]
    fn steps_of_a_run() {
        let mut c = RunConfig { batch_size: 4, accumulate: 2, ..RunConfig::default() };
        assert_eq!((c.total_steps(80), c.total_steps(81), c.total_steps(1)), (10, 11, 1));
        c.epochs = Some(0.5);
        assert_eq!(c.total_steps(80), 5);
        c.steps = Some(7);
        assert_eq!((c.total_steps(80), c.eval_interval(7), c.save_interval(100_000)), (7, 1, 500));
    }

    #[test]
    fn fingerprint_covers_what_a_checkpoint_needs() {
        let a = RunConfig::default();
        for key in FIXED_KEYS {
            assert!(a.values().contains_key(key), "{key} is no option");
        }
        let longer = RunConfig { steps: Some(9), lr: Some(1.0), device: "cpu".into(), ..a.clone() };
        assert_eq!(a.fingerprint(), longer.fingerprint());
        // Options that came later do not change it where they are left alone.
        assert_eq!(RunConfig::before().fingerprint(), "d0102c747ef3ee65");
        assert_ne!(a.fingerprint(), RunConfig::before().fingerprint());
        assert_ne!(a.fingerprint(), RunConfig { dora: true, ..a.clone() }.fingerprint());
        let other = RunConfig { seed: 1, blocks: Some(Blocks::One(8)), ..a.clone() };
        assert_ne!(a.fingerprint(), other.fingerprint());
        assert_eq!(other.differences(&a), ["blocks (none, not 8)", "seed (42, not 1)"]);
    }
}
