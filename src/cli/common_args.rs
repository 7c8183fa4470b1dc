//! Options that several commands share.

use crate::train::choice::Choice;
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};

/// Where a command computes.
#[derive(Debug, Clone, Default, Args)]
pub struct DeviceArgs {
    /// auto, cpu, gpu, a device's number or part of its name [default: auto]
    #[arg(long, value_name = "DEVICE", help_heading = "Machine")]
    pub device: Option<String>,
    /// CPU threads [default: one for each core]
    #[arg(long, value_name = "N", help_heading = "Machine")]
    pub threads: Option<usize>,
}

/// What a command prints.
#[derive(Debug, Clone, Default, Args)]
pub struct OutputArgs {
    /// Print nothing but warnings and errors
    #[arg(long, short, conflicts_with = "json", help_heading = "Output")]
    pub quiet: bool,
    /// Print JSON lines on standard output
    #[arg(long, help_heading = "Output")]
    pub json: bool,
}

/// A clap parser for one of a few words, which help and errors list.
pub fn word<T: Choice>() -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(T::WORDS).try_map(|w| T::from_word(&w).ok_or("unknown word"))
}
