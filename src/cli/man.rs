//! `diablo man`

use crate::error::{Error, Result};
use crate::files::{self, atomic_write_bytes};
use clap_mangen::Man;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const AFTER_HELP: &str = "\
A page for the program and one for each command: diablo.1, diablo-train.1 and so on.

Example:
  diablo man ~/.local/share/man/man1 && man diablo-train";

/// The command's options.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// Folder for the pages; it is made
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// Where the folder cannot be written.
pub fn run(args: Args) -> Result<ExitCode> {
    files::create_dir_all(&args.folder).map_err(Error::io(&args.folder))?;
    // What this build was made for is no matter of a manual.
    let mut whole = super::declaration().long_version(env!("CARGO_PKG_VERSION")).disable_help_subcommand(true);
    whole.build();
    write(&whole, &args.folder)?;
    Ok(ExitCode::SUCCESS)
}

/// The page of a command, and those of the commands below it.
fn write(command: &clap::Command, folder: &Path) -> Result<()> {
    let man = Man::new(command.clone());
    let path = folder.join(man.get_filename());
    let mut page = Vec::new();
    man.render(&mut page).map_err(Error::io(&path))?;
    atomic_write_bytes(&path, &page)?;
    command.get_subcommands().filter(|below| !below.is_hide_set()).try_for_each(|below| write(below, folder))
}
