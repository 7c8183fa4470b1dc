//! `diablo export`

use super::common_args::{OutputArgs, open_adapter, say};
use super::{located, output};
use crate::adapter::files::WEIGHTS_FILE;
use crate::adapter::{AdapterFile, shira};
use crate::device::human_bytes;
use crate::error::{Error, Result};
use crate::model::Source;
use crate::train::choice::choice;
use crate::train::{export, resolve};
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

const AFTER_HELP: &str = "\
The folder holds model.safetensors, config.json and the tokenizer's files; transformers and other
tools load it as it is. With --format shira it holds DiaBlo's blocks as an adapter that stock peft
loads beside the base model. (LoRA needs no export: peft loads the run's folder.)

Examples:
  diablo export --model models/SmolLM2-135M --adapter runs/first --out merged
  diablo export --model models/SmolLM2-135M --adapter runs/first --out merged-f16 --dtype f16
  diablo export --model models/SmolLM2-135M --adapter runs/first --out for-peft --format shira";

choice! {
    /// What is written.
    Format {
        /// Base and adapter as one model.
        Merged = "merged",
        /// DiaBlo as peft's SHiRA, without the base.
        Shira = "shira",
    }
}

choice! {
    /// The type of exported weights.
    Dtype {
        /// 32 bits.
        F32 = "f32",
        /// 16 bits with f32's range.
        Bf16 = "bf16",
        /// 16 bits, IEEE.
        F16 = "f16",
    }
}

impl From<Dtype> for crate::model::Dtype {
    fn from(dtype: Dtype) -> Self {
        match dtype {
            Dtype::F32 => Self::F32,
            Dtype::Bf16 => Self::BF16,
            Dtype::F16 => Self::F16,
        }
    }
}

/// The command's options.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// Folder of the model that the adapter was trained on, or its name on the hub
    #[arg(long, value_name = "DIR|NAME")]
    model: PathBuf,
    /// Adapter to merge into it: a run folder, one that peft wrote, or an adapter.chkpt of the DiaBlo authors
    #[arg(long, value_name = "DIR")]
    adapter: PathBuf,
    /// Folder to write; it is made, and must be empty
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Type of the weights [default: the model's own]
    #[arg(long, value_parser = super::common_args::word::<Dtype>())]
    dtype: Option<Dtype>,
    /// merged: one model; shira: DiaBlo's blocks as an adapter for peft [default: merged]
    #[arg(long, value_parser = super::common_args::word::<Format>())]
    format: Option<Format>,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs the command.
///
/// # Errors
/// Where the adapter does not fit the model, or the folder cannot be written.
pub fn run(args: Args) -> Result<ExitCode> {
    let source = Source::open(&located::model(&args.model, args.output.quiet || args.output.json)?)?;
    let adapter = open_adapter(&args.adapter, &source.config)?;
    if args.format == Some(Format::Shira) {
        return write_shira(&args, &source, &adapter);
    }
    let dtype = args.dtype.map(crate::model::Dtype::from);
    let written = dtype.unwrap_or(source.dtype());
    let Some(checkpoint) = source.checkpoint() else { return Ok(ExitCode::FAILURE) };
    say(&args.output, &format!("merging {} into {}", resolve::describe(&adapter.spec), args.model.display()));
    export::write_merged(&source, checkpoint, &adapter, &args.out, dtype)?;
    let parameters = source.config.num_parameters();
    let bytes = std::fs::metadata(args.out.join("model.safetensors")).map_or(0, |m| m.len());
    let name = written.name().to_lowercase();
    if args.output.json {
        output::print_json(&json!({ "out": args.out, "parameters": parameters, "dtype": name, "bytes": bytes }))?;
    } else {
        let text = format!("wrote {} | {} parameters as {name} | {}", args.out.display(), output::grouped(parameters), human_bytes(bytes));
        say(&args.output, &text);
    }
    Ok(ExitCode::SUCCESS)
}

fn write_shira(args: &Args, source: &Source, adapter: &AdapterFile) -> Result<ExitCode> {
    if args.dtype.is_some() {
        return Err(Error::usage("--dtype is for merged weights; an adapter is written in 32 bits", "leave --dtype out"));
    }
    shira::save(adapter, &source.config, &args.out)?;
    let bytes = std::fs::metadata(args.out.join(WEIGHTS_FILE)).map_or(0, |m| m.len());
    if args.output.json {
        output::print_json(&json!({ "out": args.out, "format": "shira", "bytes": bytes }))?;
    } else {
        let text = format!("wrote {} | {} as SHiRA | {}", args.out.display(), resolve::describe(&adapter.spec), human_bytes(bytes));
        say(&args.output, &text);
    }
    Ok(ExitCode::SUCCESS)
}
