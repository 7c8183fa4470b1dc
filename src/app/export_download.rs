//! Export on a page: the worker puts a run together, and the browser takes it among the downloads.

use super::export::{What, Written, diablo, peft, transformers};
use super::jobs::Job;
use crate::error::Error;
use crate::model::Dtype;
use crate::train::RunRecord;
use crate::train::config::Method;
use crate::web::outside::{self, Topic};
use crate::web::parcel::Parcel;
use crate::web::protocol::{Command, Message};
use eframe::egui;
use std::path::{Path, PathBuf};

/// Asks for what was trained, or for the whole run.
pub(super) fn fetch(ctx: &egui::Context, record: &RunRecord, what: Option<What>, dtype: Option<Dtype>) -> Job<Written> {
    let parcel = match what {
        None => Parcel::Run,
        Some(What::Merged) => Parcel::Merged,
        Some(What::Adapter) => Parcel::Adapter,
    };
    let (run, model, method) = (record.folder.clone(), record.config.model.clone(), record.config.method);
    Job::wait(ctx, async move {
        outside::take(Topic::Export);
        outside::send(&Command::Export { run, parcel, dtype });
        loop {
            match outside::take(Topic::Export).pop() {
                Some(Message::Exported { name, bytes }) => return Ok(written(name, bytes, parcel, &model, method)),
                Some(Message::NotExported { what, hint }) => return Err(Error::usage(what, hint)),
                _ => outside::turn().await,
            }
        }
    })
}

/// How it is loaded, once it is unpacked.
fn written(name: String, bytes: u64, parcel: Parcel, model: &Path, method: Method) -> Written {
    let folder = Path::new(name.trim_end_matches(".tar"));
    let (tool, lines) = match (parcel, method) {
        (Parcel::Run, _) => ("diablo, on the command line", diablo(model, folder)),
        (Parcel::Adapter, Method::Lora) => ("peft", peft(model, folder)),
        (Parcel::Adapter, Method::Diablo) => ("diablo, on the command line", diablo(model, folder)),
        _ => ("transformers", transformers(folder)),
    };
    let lines = if tool.starts_with("diablo") { format!("tar xf {name}\n{lines}") } else { format!("# tar xf {name}\n{lines}") };
    Written { path: PathBuf::from(name), bytes, tool, lines }
}
