//! `diablo man`

use super::output;
use crate::error::{Error, Result};
use crate::files::{self, atomic_write_bytes};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const AFTER_HELP: &str = "\
A page for the program and one for each command: diablo.1, diablo-train.1 and
so on.

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
    let pages = write(&whole, &args.folder)?;
    output::print(&format!("wrote {pages} pages into {}", args.folder.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// The page of a command, and those of the commands below it; how many they are.
fn write(command: &clap::Command, folder: &Path) -> Result<usize> {
    let man = Man::new(command.clone());
    let path = folder.join(man.get_filename());
    let mut page = Vec::new();
    render(&man, command, &mut page).map_err(Error::io(&path))?;
    atomic_write_bytes(&path, &page)?;
    let below = command.get_subcommands().filter(|below| !below.is_hide_set());
    below.map(|below| write(below, folder)).sum::<Result<usize>>().map(|pages| pages + 1)
}

/// As [`Man::render`], which leaves an empty date out of the title's line, so that all behind it moves one place, and runs the lines of
/// examples together.
fn render(man: &Man, command: &clap::Command, page: &mut Vec<u8>) -> std::io::Result<()> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    page.extend_from_slice(format!(".TH {name} 1 \"\" \"diablo {}\" \"\"\n", env!("CARGO_PKG_VERSION")).as_bytes());
    man.render_name_section(page)?;
    man.render_synopsis_section(page)?;
    man.render_description_section(page)?;
    if command.get_arguments().any(|arg| !arg.is_hide_set()) {
        man.render_options_section(page)?;
    }
    if command.get_subcommands().any(|below| !below.is_hide_set()) {
        man.render_subcommands_section(page)?;
    }
    if let Some(more) = command.get_after_help() {
        render_notes(&more.to_string(), page)?;
    }
    if command.get_version().is_some() {
        man.render_version_section(page)?;
    }
    Ok(())
}

/// What stands behind the options in a command's help.
fn render_notes(text: &str, page: &mut Vec<u8>) -> std::io::Result<()> {
    let mut roff = Roff::new();
    roff.control("SH", ["NOTES"]);
    let lines: Vec<&str> = text.lines().collect();
    for part in lines.chunk_by(|a, b| a.starts_with(' ') == b.starts_with(' ')) {
        // Commands stand on lines of their own.
        let as_it_is = part[0].starts_with(' ');
        if as_it_is {
            roff.control("nf", []);
        }
        for line in part {
            match line.is_empty() {
                true => roff.control("PP", []),
                false => roff.text([roman(*line)]),
            };
        }
        if as_it_is {
            roff.control("fi", []);
        }
    }
    roff.to_writer(page)
}
