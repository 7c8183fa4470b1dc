//! `diablo export`

use super::common_args::{OutputArgs, open_adapter, say};
use super::progress::{Look, Reporter};
use super::{located, output};
use crate::adapter::files::WEIGHTS_FILE;
use crate::adapter::{AdapterFile, Blend, shira};
use crate::device::human_bytes;
use crate::error::{Error, Result};
use crate::model::gguf::Encoding;
use crate::model::{Checkpoint, Source};
use crate::train::choice::choice;
use crate::train::run_folder::CONFIG_FILE;
use crate::train::{RunConfig, export, gguf, names, recipe, resolve};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const AFTER_HELP: &str = "\
The folder holds model.safetensors, config.json and the tokenizer's files;
transformers and other tools load it as it is. With --format gguf it holds
model.gguf, which llama.cpp, LM Studio and Ollama load, and a Modelfile for the
last. With --format shira it holds DiaBlo's blocks as an adapter that stock
peft loads beside the base model. (LoRA needs no export: peft loads the run.)
With --format recipe it holds the run itself for PyTorch: a script for peft and
accelerate, the options, the rows as tokens and the adapter as it starts;
--adapter is the run's folder then. Several adapters of one base are added up:
give --adapter again, with =FACTOR behind it to weigh.

Examples:
  diablo export --model models/SmolLM2-135M --adapter runs/first --out merged
  diablo export --model models/SmolLM2-135M --adapter runs/first --out merged-f16 --dtype f16
  diablo export --model models/SmolLM2-135M --adapter runs/a=0.7 --adapter runs/b=0.3 --out both
  diablo export --model models/SmolLM2-135M --adapter runs/first --out for-ollama --format gguf \\
      --dtype q8_0 && cd for-ollama && ollama create mine -f Modelfile
  diablo export --model models/SmolLM2-135M --adapter runs/first --out for-peft --format shira
  diablo export --model models/SmolLM2-135M --adapter runs/first --out recipe --format recipe";

choice! {
    /// What is written.
    Format {
        /// Base and adapter as one model.
        Merged = "merged",
        /// The same in one file, for llama.cpp.
        Gguf = "gguf",
        /// DiaBlo as peft's SHiRA, without the base.
        Shira = "shira",
        /// The run itself, for PyTorch.
        Recipe = "recipe",
    }
}

/// The command's options.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// Folder of the model that the adapter was trained on, or its name on the hub
    #[arg(long, value_name = "DIR|NAME")]
    model: PathBuf,
    /// Adapter to merge into it: a run folder, one that peft wrote, or an adapter.chkpt of the DiaBlo authors. Several may be given,
    /// each with a factor behind it. With --format gguf it may be left out
    #[arg(long, value_name = "DIR[=FACTOR]")]
    adapter: Vec<PathBuf>,
    /// Folder to write; it is made, and must be empty
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Type of the weights; q8_0 and q4_0 (8.5 and 4.5 bits a number) are GGUF's alone [default: the model's own]
    #[arg(long, value_parser = super::common_args::word::<Encoding>())]
    dtype: Option<Encoding>,
    /// merged: one model; gguf: one model in one file, for llama.cpp and Ollama; shira: DiaBlo's blocks as an adapter for peft;
    /// recipe: the run itself for peft and accelerate [default: merged]
    #[arg(long, value_parser = super::common_args::word::<Format>())]
    format: Option<Format>,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs the command.
///
/// # Errors
/// Where an adapter does not fit the model, or the folder cannot be written.
pub fn run(args: Args) -> Result<ExitCode> {
    let format = args.format.unwrap_or(Format::Merged);
    if args.adapter.is_empty() && format != Format::Gguf {
        return Err(Error::usage("--adapter is needed: there is nothing to merge", "--format gguf writes a model without one too"));
    }
    let source = Source::open(&located::model(&args.model, args.output.quiet || args.output.json)?)?;
    if format == Format::Recipe {
        return write_recipe(&args, &source);
    }
    let named: Vec<(PathBuf, f64)> = args.adapter.iter().map(|word| with_factor(word)).collect::<Result<_>>()?;
    let opened = |(folder, factor): &(PathBuf, f64)| Ok((open_adapter(folder, &source.config)?, *factor));
    let adapters: Vec<(AdapterFile, f64)> = named.iter().map(opened).collect::<Result<_>>()?;
    if format == Format::Shira {
        return write_shira(&args, &source, &adapters);
    }
    let blend = Blend::new(adapters.iter().map(|(adapter, factor)| (adapter, *factor)).collect())?;
    let Some(checkpoint) = source.checkpoint() else { return Ok(ExitCode::FAILURE) };
    let of = |(adapter, factor): &(AdapterFile, f64)| match *factor {
        1.0 => resolve::describe(&adapter.spec),
        factor => format!("{factor} x {}", resolve::describe(&adapter.spec)),
    };
    if !adapters.is_empty() {
        let all: Vec<String> = adapters.iter().map(of).collect();
        say(&args.output, &format!("merging {} into {}", all.join(" + "), args.model.display()));
    }
    match format {
        Format::Gguf => write_gguf(&args, &source, checkpoint, blend),
        _ => write_merged(&args, &source, checkpoint, blend),
    }
}

/// `DIR=FACTOR`, or a folder whose name may hold a sign like it.
fn with_factor(word: &Path) -> Result<(PathBuf, f64)> {
    let text = word.to_string_lossy();
    let split = text.rsplit_once('=').filter(|_| !word.exists());
    let Some((folder, factor)) = split else { return Ok((word.to_path_buf(), 1.0)) };
    match factor.parse::<f64>() {
        Ok(0.0) => Err(Error::usage(format!("--adapter {text}: a factor of 0 takes nothing of it"), "leave this adapter out")),
        Ok(number) if number.is_finite() => Ok((folder.into(), number)),
        _ => Err(Error::usage(format!("--adapter {text}: {factor:?} is no number to weigh with"), "write it as --adapter runs/a=0.7")),
    }
}

fn write_merged(args: &Args, source: &Source, checkpoint: &Checkpoint, blend: Blend) -> Result<ExitCode> {
    let dtype = args.dtype.and_then(Encoding::dtype);
    if let (Some(blocks), None) = (args.dtype, dtype) {
        return Err(Error::usage(format!("--dtype {blocks} is a type of GGUF files"), "add --format gguf, or use f32, bf16 or f16"));
    }
    export::write_merged(source, checkpoint, blend, &args.out, dtype)?;
    let name = dtype.unwrap_or(source.dtype()).name().to_lowercase();
    let bytes = std::fs::metadata(args.out.join("model.safetensors")).map_or(0, |m| m.len());
    told(args, source, &args.out, &name, bytes, &[])
}

fn write_gguf(args: &Args, source: &Source, checkpoint: &Checkpoint, blend: Blend) -> Result<ExitCode> {
    let written = gguf::write(source, checkpoint, blend, &args.out, args.dtype)?;
    let name = args.dtype.unwrap_or(source.dtype().into()).to_string();
    told(args, source, &written.file, &name, written.bytes, &written.notes)
}

/// Says what was written.
fn told(args: &Args, source: &Source, written: &Path, dtype: &str, bytes: u64, notes: &[String]) -> Result<ExitCode> {
    let parameters = source.config.num_parameters();
    if args.output.json {
        let file = (written != args.out).then_some(written);
        let mut all = json!({ "out": args.out, "parameters": parameters, "dtype": dtype, "bytes": bytes });
        if let Some(file) = file {
            all["file"] = json!(file);
            all["notes"] = json!(notes);
        }
        output::print_json(&all)?;
        return Ok(ExitCode::SUCCESS);
    }
    let text = format!("wrote {} | {} parameters as {dtype} | {}", written.display(), output::grouped(parameters), human_bytes(bytes));
    say(&args.output, &text);
    notes.iter().for_each(|note| output::complain(&format!("note: {note}")));
    Ok(ExitCode::SUCCESS)
}

fn write_recipe(args: &Args, source: &Source) -> Result<ExitCode> {
    if args.dtype.is_some() {
        return Err(Error::usage("--dtype is for merged weights; a recipe has none", "leave --dtype out"));
    }
    let [folder] = &args.adapter[..] else {
        return Err(Error::usage("--format recipe writes one run", "give one --adapter: the run's folder"));
    };
    let path = folder.join(CONFIG_FILE);
    if !path.is_file() {
        let what = format!("--adapter {}: is no run ({CONFIG_FILE} is missing), and a recipe needs its options", folder.display());
        return Err(Error::usage(what, "name the folder that diablo train made"));
    }
    let run = RunConfig::from_toml_file(&path)?;
    for rows in run.data.0.iter().map(|file| &file.path).chain(&run.eval_data) {
        names::refuse_absent(&path, "data", rows, "")?;
    }
    let given = args.model.display().to_string();
    let model = match args.model.canonicalize() {
        Ok(path) => (path.display().to_string(), None),
        // A name on the hub.
        Err(_) => match given.split_once('@') {
            Some((name, revision)) => (name.to_owned(), Some(revision)),
            None => (given.clone(), None),
        },
    };
    let quiet = args.output.quiet || args.output.json;
    let mut reporter = Reporter::new(Look::choose(quiet, false));
    let written = recipe::write(&run, source, (&model.0, model.1), &args.out, &mut |event| reporter.report(&event))?;
    drop(reporter);
    if args.output.json {
        output::print_json(&json!({ "out": args.out, "format": "recipe", "rows": written.rows, "steps": written.steps }))?;
    } else {
        let (rows, steps) = (output::grouped(written.rows as u64), output::grouped(written.steps));
        say(&args.output, &format!("wrote {} | {rows} rows, {steps} steps | read train.py there", args.out.display()));
    }
    Ok(ExitCode::SUCCESS)
}

fn write_shira(args: &Args, source: &Source, adapters: &[(AdapterFile, f64)]) -> Result<ExitCode> {
    if args.dtype.is_some() {
        return Err(Error::usage("--dtype is for merged weights; an adapter is written in 32 bits", "leave --dtype out"));
    }
    let [(adapter, 1.0)] = adapters else {
        return Err(Error::usage("--format shira writes one adapter as it is", "give one --adapter, without a factor"));
    };
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
