//! Export on a desktop: into a folder.

use super::export::{What, Written};
use super::export_lines::{diablo, llama_cpp, ollama, peft, transformers};
use super::jobs::Reporter;
use super::platform;
use crate::adapter::{AdapterFile, Blend};
use crate::error::{Error, Result};
use crate::model::gguf::Encoding;
use crate::model::{Checkpoint, Source};
use crate::train::config::Method;
use crate::train::run_folder::CONFIG_FILE;
use crate::train::{RunConfig, export, gguf};
use std::path::Path;

/// Writes what a run trained into a folder.
///
/// # Errors
/// Where something is missing, the folder holds something already, or llama.cpp cannot compute the model.
pub(super) fn write(
    run: &Path,
    model: &Path,
    target: &Path,
    what: What,
    encoding: Option<Encoding>,
    reporter: &Reporter,
) -> Result<Written> {
    if what == What::Gguf {
        return one_file(run, model, target, encoding, reporter);
    }
    let source = Source::open(&crate::hub::local(model))?;
    let adapter = AdapterFile::open(run, &source.config)?;
    let weights = match what {
        What::Adapter => {
            platform::make_empty(target)?;
            adapter.save(target)?;
            crate::adapter::files::WEIGHTS_FILE
        }
        _ => {
            export::write_merged(&source, checkpoint(&source)?, &adapter, target, encoding.and_then(Encoding::dtype))?;
            "model.safetensors"
        }
    };
    let lora = matches!(adapter.spec.kind, crate::adapter::Kind::Lora { .. });
    let lines = match (what, lora) {
        (What::Adapter, true) => peft(model, target),
        (What::Adapter, false) => diablo(model, target),
        _ => transformers(target),
    };
    let bytes = platform::file_size(&target.join(weights)).unwrap_or(0);
    Ok(Written { path: target.to_path_buf(), bytes, lines: vec![lines], notes: Vec::new() })
}

/// As GGUF; of the model that the run wrote itself where all of it was trained.
fn one_file(run: &Path, model: &Path, target: &Path, encoding: Option<Encoding>, reporter: &Reporter) -> Result<Written> {
    let whole = RunConfig::from_toml_file(&run.join(CONFIG_FILE))?.method == Method::Full;
    let source = Source::open(&if whole { run.join("model") } else { crate::hub::local(model) })?;
    let adapter = if whole { None } else { Some(AdapterFile::open(run, &source.config)?) };
    let blend = adapter.as_ref().map_or_else(Blend::none, Blend::from);
    let mut watch = |done: u64, all: u64| {
        reporter.report("MiB written:", done >> 20, all.div_ceil(1 << 20));
        !reporter.cancelled()
    };
    let written = gguf::write_watched(&source, checkpoint(&source)?, blend, target, encoding, &mut watch)?;
    let lines = vec![ollama(target), llama_cpp(&written.file)];
    Ok(Written { path: target.to_path_buf(), bytes: written.bytes, lines, notes: written.notes })
}

fn checkpoint(source: &Source) -> Result<&Checkpoint> {
    let missing = || Error::input(source.folder.display().to_string(), "holds no weights to write", "");
    source.checkpoint().ok_or_else(missing)
}
