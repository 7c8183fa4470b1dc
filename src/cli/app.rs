//! `diablo app`

use crate::error::Result;
use std::process::ExitCode;

/// The command's options.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Opens the window and stays until it is closed.
///
/// # Errors
/// Where no window can be opened.
pub fn run(_args: &Args) -> Result<ExitCode> {
    crate::app::run()?;
    Ok(ExitCode::SUCCESS)
}
