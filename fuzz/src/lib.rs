//! What every target of `fuzz_targets/` is: one of the readers of `tests/readers`, given bytes by libFuzzer.

mod allowance;
#[path = "../../tests/readers/mod.rs"]
mod readers;

use std::path::PathBuf;
use std::sync::OnceLock;

/// The folder that seeds are written into, one file each, instead of running; with the words that occur in them beside it.
const SEEDS: &str = "DIABLO_SEEDS";

static FOLDER: OnceLock<PathBuf> = OnceLock::new();

/// Before the first input: writes seeds if that is asked for, and makes the folder that readers may write into.
pub fn begin(target: &str) {
    if let Some(folder) = std::env::var_os(SEEDS) {
        write_seeds(target, &PathBuf::from(folder));
        std::process::exit(0);
    }
    let folder = std::env::temp_dir().join(format!("diablo-fuzz-{target}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for temporary files");
    FOLDER.get_or_init(|| folder);
}

/// One input.
pub fn run(target: &str, bytes: &[u8]) {
    let (_, reader) = readers::READERS.iter().find(|(name, _)| *name == target).expect("a reader of that name");
    let folder = FOLDER.get().expect("begun");
    allowance::watch(|| reader(folder, bytes));
}

fn write_seeds(target: &str, folder: &std::path::Path) {
    std::fs::create_dir_all(folder).expect("a folder for seeds");
    let mut words = std::collections::BTreeSet::new();
    for (index, bytes) in readers::seeds::of(target).iter().enumerate() {
        std::fs::write(folder.join(format!("seed-{index}")), bytes).expect("a seed");
        let text = String::from_utf8_lossy(bytes);
        let word = |c: char| !(c.is_ascii_alphanumeric() || "_.-".contains(c));
        words.extend(text.split(word).filter(|w| (3..40).contains(&w.len())).map(str::to_owned));
    }
    let list: String = words.iter().map(|word| format!("\"{word}\"\n")).collect();
    std::fs::write(folder.with_extension("dict"), list).expect("words");
}

/// A target of the reader with this name.
#[macro_export]
macro_rules! target {
    ($name:literal) => {
        libfuzzer_sys::fuzz_target!(init: $crate::begin($name), |bytes: &[u8]| $crate::run($name, bytes));
    };
}
