//! What shells and manuals are told: completions, manual pages, the version.

use crate::common::{diablo, line, text};
use std::process::Command;

#[test]
fn completions_are_scripts() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = diablo(&["completions", shell]).good();
        for part in ["sweep", "compare", "eval-split", "halving"] {
            assert!(script.contains(part), "{shell}: {part}");
        }
    }
    line("completions tcsh").bad(2, &["bash", "zsh"]);
    // What the shells that are here say to their scripts.
    for shell in ["bash", "zsh", "fish"] {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), diablo(&["completions", shell]).good()).unwrap();
        match Command::new(shell).arg("-n").arg(file.path()).output() {
            Ok(ended) => assert!(ended.status.success(), "{shell}: {}", String::from_utf8_lossy(&ended.stderr)),
            Err(_) => println!("skipped: no {shell}"),
        }
    }
    // The script completes what was begun.
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), diablo(&["completions", "bash"]).good()).unwrap();
    let asked =
        format!("source {}; COMP_WORDS=(diablo sw); COMP_CWORD=1; _diablo diablo sw diablo; echo ${{COMPREPLY[@]}}", text(file.path()));
    if let Ok(ended) = Command::new("bash").args(["-c", &asked]).output() {
        assert_eq!(String::from_utf8_lossy(&ended.stdout).trim(), "sweep");
    }
}

#[test]
fn every_command_has_a_manual_page() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("share/man1");
    let told = diablo(&["man", text(&pages)]).good();
    assert!(told.starts_with("wrote ") && told.contains("share/man1"), "{told}");
    let help = diablo(&["--help"]).good();
    let commands = help.lines().skip_while(|l| !l.starts_with("Commands:")).skip(1).take_while(|l| l.starts_with("  "));
    let commands: Vec<&str> =
        commands.filter(|l| !l.starts_with("   ")).filter_map(|l| l.split_whitespace().next()).filter(|c| *c != "help").collect();
    assert!(commands.len() > 15 && commands.contains(&"sweep"), "{commands:?}");
    for name in &commands {
        let page = std::fs::read_to_string(pages.join(format!("diablo-{name}.1"))).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(page.contains(&format!(".TH diablo-{name} 1")), "{page}");
    }
    let page = std::fs::read_to_string(pages.join("diablo.1")).unwrap();
    assert!(page.contains("diablo\\-sweep(1)") && !page.contains("backends"), "{page}");
    let page = std::fs::read_to_string(pages.join("diablo-train.1")).unwrap();
    for part in ["\\-\\-eval\\-split", "Examples:", "Held\\-out rows"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    // The version stands where it belongs, and commands on lines of their own.
    assert!(page.contains(concat!(".TH diablo-train 1 \"\" \"diablo ", env!("CARGO_PKG_VERSION"), "\"")), "{page}");
    assert!(page.contains("Examples:\n.nf\n  diablo train"), "{page}");
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    diablo(&["man", text(&file)]).bad(1, &["file", "something else is there"]);
}

#[test]
fn the_version_says_what_this_is() {
    let out = diablo(&["--version"]).good();
    let built = [("app", cfg!(feature = "app")), ("mpi", cfg!(feature = "mpi")), ("parquet", cfg!(feature = "parquet"))];
    let built: Vec<&str> = built.iter().filter(|(_, here)| *here).map(|(name, _)| *name).collect();
    let feature = format!("features  {}", if built.is_empty() { "none".into() } else { built.join(", ") });
    for part in [env!("CARGO_PKG_VERSION"), "target", std::env::consts::ARCH, &feature, "backends", "cpu", "wgpu      30."] {
        assert!(out.contains(part), "{part}: {out}");
    }
    assert_eq!(diablo(&["-V"]).good().trim(), concat!("diablo ", env!("CARGO_PKG_VERSION")));
}
