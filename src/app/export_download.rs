//! Export on a page: the worker puts a run together, and the browser takes it among the downloads.

use super::export::{What, Written};
use super::export_lines::{Lines, diablo, llama_cpp, ollama_with, peft, transformers};
use super::jobs::Job;
use crate::error::Error;
use crate::model::gguf::Encoding;
use crate::train::RunRecord;
use crate::train::config::Method;
use crate::web::outside::{self, Topic};
use crate::web::parcel::Parcel;
use crate::web::protocol::{Command, Message};
use eframe::egui;
use std::path::{Path, PathBuf};

/// Asks for what was trained, or for the whole run.
pub(super) fn fetch(ctx: &egui::Context, record: &RunRecord, what: Option<What>, dtype: Option<Encoding>) -> Job<Written> {
    let parcel = match what {
        None => Parcel::Run,
        Some(What::Merged) => Parcel::Merged,
        Some(What::Gguf) => Parcel::Gguf,
        Some(What::Adapter) => Parcel::Adapter,
    };
    let (run, model, method) = (record.folder.clone(), record.config.model.clone(), record.config.method);
    Job::wait(ctx, async move {
        outside::take(Topic::Export);
        outside::send(&Command::Export { run, parcel, dtype });
        loop {
            match outside::take(Topic::Export).pop() {
                Some(Message::Exported { name, bytes, notes, modelfile }) => {
                    let lines = match modelfile {
                        Some(modelfile) => vec![llama_cpp(Path::new(&name)), ollama_with(&modelfile, Path::new(&name))],
                        None => vec![unpacked(&name, parcel, &model, method)],
                    };
                    return Ok(Written { path: PathBuf::from(name), bytes, lines, notes });
                }
                Some(Message::NotExported { what, hint }) => return Err(Error::usage(what, hint)),
                _ => outside::turn().await,
            }
        }
    })
}

/// How it is loaded, once it is unpacked.
fn unpacked(name: &str, parcel: Parcel, model: &Path, method: Method) -> Lines {
    let folder = Path::new(name.trim_end_matches(".tar"));
    let (tool, lines) = match (parcel, method) {
        (Parcel::Adapter, Method::Lora) => peft(model, folder),
        (Parcel::Run, _) | (Parcel::Adapter, Method::Diablo) => diablo(model, folder),
        _ => transformers(folder),
    };
    let lines = if tool.starts_with("diablo") { format!("tar xf {name}\n{lines}") } else { format!("# tar xf {name}\n{lines}") };
    (tool, lines)
}
