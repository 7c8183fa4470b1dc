//! A desktop: threads, the system's dialogs and folders.

use super::{APP_ID, Ask};
use crate::app::jobs::Job;
use crate::app::shared::Machine;
use crate::demo::Files;
use crate::error::{Error, Result};
use eframe::egui;
use std::path::{Path, PathBuf};

/// Whether the app is a page in a browser, where files come and go in another way.
pub const IS_PAGE: bool = false;

/// What may be handed to a job.
pub trait Movable: Send {}
impl<T: Send> Movable for T {}

/// Runs work on a thread of its own.
pub fn spawn(work: impl FnOnce() + Movable + 'static) {
    std::thread::spawn(work);
}

/// Asks the drivers what there is to compute with.
pub fn machine(ctx: &egui::Context) -> Job<Machine> {
    Job::start(ctx, |_| Ok(Machine::look()))
}

/// Whether a window can be opened at all. Where it cannot, the command line is what is left.
pub fn has_display() -> bool {
    // Elsewhere than on these systems a desktop is always there.
    if !cfg!(all(unix, not(target_os = "macos"))) {
        return true;
    }
    ["DISPLAY", "WAYLAND_DISPLAY", "WAYLAND_SOCKET"].iter().any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

/// Where the app keeps what belongs to no project: the bundled demo, runs of a person who has chosen no other place.
pub fn data_folder() -> PathBuf {
    eframe::storage_dir(APP_ID).unwrap_or_else(|| std::env::temp_dir().join(APP_ID))
}

/// Writes the bundled demo below the app's own folder, unless it lies there already, and says where.
///
/// # Errors
/// Where the folder cannot be written.
pub fn demo_files(home: &Path) -> Result<Files> {
    let folder = home.join("demo");
    Files::find(&folder).map_or_else(|| Files::write(&folder), Ok)
}

/// Whether it is known if the demo's files can be had: at once.
pub fn is_demo_settled() -> bool {
    true
}

/// The folder that new runs are put into: `runs` where a person started the app in a folder of their own, else one at home.
pub fn runs_folder() -> PathBuf {
    let home = std::env::home_dir();
    let here = std::env::current_dir().ok().filter(|here| here.parent().is_some() && Some(here) != home.as_ref());
    match (here, home) {
        (Some(_), _) => PathBuf::from("runs"),
        (None, Some(home)) => home.join("diablo").join("runs"),
        (None, None) => data_folder().join("runs"),
    }
}

/// The same place, named from the root: what is pasted elsewhere must lead there from anywhere.
pub fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

/// Opens the system's own dialog. The result is `None` where the person thought better of it.
pub fn pick(ctx: &egui::Context, ask: Ask, title: &str, start: Option<&Path>) -> Job<Option<PathBuf>> {
    let mut dialog = rfd::AsyncFileDialog::new().set_title(title);
    if let Some(folder) = start.and_then(|path| if path.is_dir() { Some(path) } else { path.parent() }).filter(|f| f.is_dir()) {
        // A relative folder would be taken from wherever the dialog's own process stands.
        dialog = dialog.set_directory(std::path::absolute(folder).unwrap_or_else(|_| folder.to_path_buf()));
    }
    // Made here: macOS wants dialogs begun on the main thread. Waited for elsewhere.
    let answer: std::pin::Pin<Box<dyn Future<Output = Option<rfd::FileHandle>> + Send>> = match ask {
        Ask::Folder => Box::pin(dialog.pick_folder()),
        Ask::File => Box::pin(
            dialog
                .add_filter("Rows of text", &["jsonl", "ndjson", "json", "txt", "text", "md"])
                .add_filter("All files", &["*"])
                .pick_file(),
        ),
    };
    Job::start(ctx, move |_| Ok(pollster::block_on(answer).map(|handle| handle.path().to_path_buf())))
}

/// What was dropped onto the window in this frame.
pub fn dropped(ctx: &egui::Context) -> Vec<PathBuf> {
    ctx.input(|i| i.raw.dropped_files.iter().map(|f| f.path().to_path_buf()).collect())
}

/// Writes a small file that a person asked for.
///
/// # Errors
/// Where it cannot be written.
pub fn save(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
    }
    crate::files::atomic_write_bytes(path, bytes)
}
