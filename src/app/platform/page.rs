//! A browser: one thread, files that the page's script brings, and others that it takes away.

use super::Ask;
use crate::app::jobs::Job;
use crate::app::shared::{Machine, MachineDevice};
use crate::demo::Files;
use crate::device::plan::Limits;
use crate::error::{Error, Result};
use crate::web::outside::{self, Topic};
use crate::web::protocol::{Command, Message};
use eframe::egui;
use std::path::{Path, PathBuf};

/// Whether the app is a page in a browser, where files come and go in another way.
pub const IS_PAGE: bool = true;

/// What may be handed to a job: nothing leaves the one thread.
pub trait Movable {}
impl<T> Movable for T {}

/// Runs work after the next picture, which says that it is being done.
pub fn spawn(work: impl FnOnce() + Movable + 'static) {
    wasm_bindgen_futures::spawn_local(async {
        outside::turn().await;
        work();
    });
}

/// Asks the worker what there is to compute with.
pub fn machine(ctx: &egui::Context) -> Job<Machine> {
    Job::wait(ctx, async {
        outside::send(&Command::Devices);
        loop {
            if let Some(Message::Devices { adapters, chosen, why }) = outside::take(Topic::Machine).pop() {
                let text = |adapter: &serde_json::Value, key: &str| adapter[key].as_str().unwrap_or("?").to_owned();
                let gpus = adapters.iter().enumerate().map(|(i, a)| MachineDevice {
                    request: i.to_string(),
                    name: format!("{} ({})", text(a, "name"), text(a, "kind")),
                    free: None,
                    limits: Limits::NONE,
                });
                return Ok(Machine::of(gpus, chosen, why));
            }
            outside::turn().await;
        }
    })
}

/// Where the app keeps what belongs to no project.
pub fn data_folder() -> PathBuf {
    PathBuf::from("/")
}

/// The demo's files, once the script has fetched them.
///
/// # Errors
/// Where it has not.
pub fn demo_files(home: &Path) -> Result<Files> {
    let files = Files { folder: home.join("demo") };
    if crate::files::is_file(&files.train()) {
        return Ok(files);
    }
    Err(Error::usage("the demo's files are not here", "check the network and load the page again"))
}

/// Whether it is known if the demo's files can be had: once they have come, or failed to.
pub fn is_demo_settled() -> bool {
    outside::demo_came().is_some()
}

/// The folder that new runs are put into.
pub fn runs_folder() -> PathBuf {
    PathBuf::from("/runs")
}

/// What is downloaded lies wherever the visitor puts it: its name alone is known.
pub fn absolute(path: &Path) -> PathBuf {
    path.file_name().map_or_else(|| path.to_path_buf(), PathBuf::from)
}

/// Opens the browser's dialog. The result is `None` where the person thought better of it.
pub fn pick(ctx: &egui::Context, ask: Ask, _title: &str, _start: Option<&Path>) -> Job<Option<PathBuf>> {
    Job::wait(ctx, async move { Ok(outside::pick(ask == Ask::Folder).await) })
}

/// What was dropped onto the page since the last frame.
pub fn dropped(_: &egui::Context) -> Vec<PathBuf> {
    outside::dropped()
}

/// Hands over a file that a person asked for: the browser puts it among the downloads.
///
/// # Errors
/// None.
pub fn save(path: &Path, bytes: &[u8]) -> Result<()> {
    outside::save(path, bytes);
    Ok(())
}
