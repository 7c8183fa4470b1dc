//! `diablo completions`

use super::output;
use crate::error::Result;
use clap_complete::Shell;
use std::process::ExitCode;

const AFTER_HELP: &str = "\
Examples:
  diablo completions bash > ~/.local/share/bash-completion/completions/diablo
  diablo completions zsh > ~/.zfunc/_diablo          # with ~/.zfunc in fpath, before compinit
  diablo completions fish > ~/.config/fish/completions/diablo.fish
  diablo completions powershell >> $PROFILE";

/// The command's options.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// The shell
    shell: Shell,
}

/// Runs the command.
///
/// # Errors
/// Where standard output cannot be written.
pub fn run(args: Args) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::declaration(), "diablo", &mut script);
    output::print(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}
