//! Options that several commands share.

use super::output;
use crate::adapter::AdapterFile;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::generate::Sampling;
use crate::model::ModelConfig;
use crate::train::choice::Choice;
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use std::path::Path;

/// The environment variable that stands for `--device`.
pub const DEVICE_VARIABLE: &str = "DIABLO_DEVICE";
/// More threads than any machine has cores; a slip of the keys beyond it.
const MOST_THREADS: usize = 4096;

/// Where a command computes.
#[derive(Debug, Clone, Default, Args)]
pub struct DeviceArgs {
    /// auto, cpu, gpu, a device's number or part of its name [default: DIABLO_DEVICE, else auto]
    #[arg(long, value_name = "DEVICE", help_heading = "Machine")]
    pub device: Option<String>,
    /// CPU threads [default: one for each core]
    #[arg(long, value_name = "N", help_heading = "Machine")]
    pub threads: Option<usize>,
}

impl DeviceArgs {
    /// What to ask for: the option, else `stored` (a run's own choice) unless it is `auto`, else the environment, else `auto`.
    pub fn request(&self, stored: &str) -> String {
        match &self.device {
            Some(device) => device.clone(),
            None if !["", "auto"].contains(&stored) => stored.to_owned(),
            None => device_variable().unwrap_or_else(|| "auto".into()),
        }
    }

    /// Sets the threads up and opens the device.
    ///
    /// # Errors
    /// Where there is no such device, or so many threads cannot be started.
    pub fn open(&self) -> Result<Device> {
        set_threads(self.threads)?;
        Device::open(&self.request("auto"))
    }
}

/// The environment's choice of a device, if there is one.
pub fn device_variable() -> Option<String> {
    std::env::var(DEVICE_VARIABLE).ok().map(|d| d.trim().to_owned()).filter(|d| !d.is_empty())
}

/// Fixes the number of CPU threads; call it before anything computes.
///
/// # Errors
/// Where the number makes no sense or the system refuses it.
pub fn set_threads(threads: Option<usize>) -> Result<()> {
    let Some(n) = threads else { return Ok(()) };
    if !(1..=MOST_THREADS).contains(&n) {
        return Err(Error::usage(format!("--threads {n}: must be 1 to {MOST_THREADS}"), ""));
    }
    let refused = |e: rayon::ThreadPoolBuildError| Error::device(format!("{n} threads cannot be started: {e}"), "use fewer --threads");
    rayon::ThreadPoolBuilder::new().num_threads(n).build_global().map_err(refused)
}

/// How tokens are drawn.
#[derive(Debug, Clone, Args)]
pub struct SamplingArgs {
    /// Randomness: 0 takes the most likely token each time, 1 draws as the model says
    #[arg(long, value_name = "X", default_value_t = 0.0, allow_negative_numbers = true, help_heading = "Sampling")]
    temperature: f32,
    /// Draw from the K most likely tokens; 0: from all
    #[arg(long, value_name = "K", default_value_t = 0, help_heading = "Sampling")]
    top_k: usize,
    /// Draw from the most likely tokens that together have this probability
    #[arg(long, value_name = "P", default_value_t = 1.0, allow_negative_numbers = true, help_heading = "Sampling")]
    top_p: f32,
    /// Seed: the same one gives the same text
    #[arg(long, value_name = "N", default_value_t = 42, help_heading = "Sampling")]
    seed: u64,
}

impl SamplingArgs {
    /// The options as they are drawn with.
    ///
    /// # Errors
    /// As [`check_sampling`].
    pub fn sampling(&self) -> Result<Sampling> {
        let Self { temperature, top_k, top_p, seed } = *self;
        let sampling = Sampling { temperature, top_k, top_p, seed };
        check_sampling(&sampling).map(|()| sampling)
    }
}

/// Refuses what no token can be drawn with.
///
/// # Errors
/// Names the option.
pub fn check_sampling(sampling: &Sampling) -> Result<()> {
    let must = |ok: bool, what: String, rule: &str| if ok { Ok(()) } else { Err(Error::usage(format!("{what}: must be {rule}"), "")) };
    let Sampling { temperature, top_p, .. } = sampling;
    must(temperature.is_finite() && *temperature >= 0.0, format!("--temperature {temperature}"), "0 or more")?;
    must(*top_p > 0.0 && *top_p <= 1.0, format!("--top-p {top_p}"), "above 0 and at most 1")
}

/// What a command prints.
#[derive(Debug, Clone, Default, Args)]
pub struct OutputArgs {
    /// Print nothing but warnings, errors and the result; where that is files, nothing is said of them
    #[arg(long, short, conflicts_with = "json", help_heading = "Output")]
    pub quiet: bool,
    /// Print JSON on standard output
    #[arg(long, help_heading = "Output")]
    pub json: bool,
}

/// A clap parser for one of a few words, which help and errors list.
pub fn word<T: Choice>() -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(T::WORDS).try_map(|w| T::from_word(&w).ok_or("unknown word"))
}

/// Opens the adapter in a folder.
///
/// # Errors
/// Where it does not fit the model; the result of `--method full` is no adapter, and the hint says how to use it.
pub fn open_adapter(folder: &Path, config: &ModelConfig) -> Result<AdapterFile> {
    let whole = folder.join("model");
    if !folder.join(crate::adapter::files::CONFIG_FILE).exists() && whole.join("config.json").exists() {
        return Err(Error::usage(
            format!("--adapter {}: the run trained a whole model, so there is no adapter and nothing to merge", folder.display()),
            format!("it is a model of its own: --model {}", whole.display()),
        ));
    }
    AdapterFile::open(folder, config)
}

/// Says something on standard error, unless the command is to be quiet.
pub fn say(options: &OutputArgs, text: &str) {
    if !options.quiet && !options.json {
        output::complain(text);
    }
}
