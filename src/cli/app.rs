//! `diablo app`

use crate::error::Result;
use std::path::PathBuf;
use std::process::ExitCode;

const AFTER_HELP: &str = "\
Everything the window does is a run as diablo train does it: a run begun in one
opens in the other.

Examples:
  diablo app
  diablo app --screenshots pictures      # the app trains the demo, takes a picture of each page, and closes";

/// The command's options.
#[derive(Debug, Default, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// Train the demo, put a picture of every page into this folder, and close
    #[arg(long, value_name = "DIR")]
    screenshots: Option<PathBuf>,
}

/// Whether there is a window to open, and a display to open it on.
#[cfg(feature = "app")]
pub fn can_open() -> bool {
    crate::app::platform::has_display()
}

/// Opens the window and stays until it is closed.
///
/// # Errors
/// Where no window can be opened, or a picture cannot be written.
#[cfg(feature = "app")]
pub fn run(args: Args) -> Result<ExitCode> {
    crate::app::run(args.screenshots)?;
    Ok(ExitCode::SUCCESS)
}

/// There is none.
#[cfg(not(feature = "app"))]
pub fn can_open() -> bool {
    false
}

/// Says that there is no window.
///
/// # Errors
/// Always.
#[cfg(not(feature = "app"))]
pub fn run(_args: Args) -> Result<ExitCode> {
    Err(crate::error::Error::usage(
        "this diablo was built without its window",
        "cargo builds it unless told otherwise (the feature app); every other command is here: diablo --help",
    ))
}
