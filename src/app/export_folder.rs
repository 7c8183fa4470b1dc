//! Export on a desktop: into a folder.

use super::export::{What, Written, diablo, peft, transformers};
use super::platform;
use crate::adapter::AdapterFile;
use crate::error::{Error, Result};
use crate::model::{Dtype, Source};
use crate::train::export;
use std::path::Path;

/// Writes what a run trained into a folder.
///
/// # Errors
/// Where something is missing, or the folder holds something already.
pub(super) fn write(run: &Path, model: &Path, target: &Path, what: What, dtype: Option<Dtype>) -> Result<Written> {
    let source = Source::open(&crate::hub::local(model))?;
    let adapter = AdapterFile::open(run, &source.config)?;
    let weights = match what {
        What::Merged => {
            let missing = || Error::input(model.display().to_string(), "holds no weights to merge into", "");
            export::write_merged(&source, source.checkpoint().ok_or_else(missing)?, &adapter, target, dtype)?;
            "model.safetensors"
        }
        What::Adapter => {
            platform::make_empty(target)?;
            adapter.save(target)?;
            crate::adapter::files::WEIGHTS_FILE
        }
    };
    let lora = matches!(adapter.spec.kind, crate::adapter::Kind::Lora { .. });
    let (tool, lines) = match (what, lora) {
        (What::Merged, _) => ("transformers", transformers(target)),
        (What::Adapter, true) => ("peft", peft(model, target)),
        (What::Adapter, false) => ("diablo, on the command line", diablo(model, target)),
    };
    Ok(Written { path: target.to_path_buf(), bytes: platform::file_size(&target.join(weights)).unwrap_or(0), tool, lines })
}
