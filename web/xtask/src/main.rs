//! `build` makes web/dist; `build-for-tests` makes the same page sooner, in web/tests/dist; `serve` shows one on this machine.

mod build;
mod compress;
mod hash;
mod policy;
mod serve;

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "usage: xtask build | build-for-tests | serve [PORT [FOLDER]]";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["build"] => build::build(&Folders::find()?, build::Purpose::Visitors),
        ["build-for-tests"] => build::build(&Folders::find()?, build::Purpose::Tests),
        ["serve"] => serve::serve(&Folders::find()?.dist, 8080),
        ["serve", port] => serve::serve(&Folders::find()?.dist, read(port)?),
        ["serve", port, folder] => serve::serve(Path::new(folder), read(port)?),
        _ => bail!(USAGE),
    }
}

fn read(port: &str) -> Result<u16> {
    port.parse().with_context(|| format!("{port} is no port"))
}

/// Where things lie.
struct Folders {
    /// The program's crate.
    root: PathBuf,
    /// What the page is made of.
    page: PathBuf,
    /// What comes out.
    dist: PathBuf,
    /// What comes out for tests.
    tests: PathBuf,
}

impl Folders {
    fn find() -> Result<Self> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let web = here.parent().context("xtask lies in web/")?;
        let root = web.parent().context("web/ lies in the crate")?;
        Ok(Self { root: root.into(), page: web.join("page"), dist: web.join("dist"), tests: web.join("tests/dist") })
    }
}
