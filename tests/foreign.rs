//! Bytes from strangers: what once was too much for a reader of them (`tests/data/fuzz`, found by `make fuzz`; docs/fuzzing.md), and what a
//! fuzzer begins with.
#![allow(clippy::unwrap_used)]

mod readers;

use readers::{READERS, Reader, seeds};
use std::path::Path;
use std::time::{Duration, Instant};

/// Longer than any of them takes in a build without optimised dependencies on a busy machine, and far shorter than what hung.
const LONG: Duration = Duration::from_secs(120);

fn run(name: &str, reader: Reader, bytes: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    let began = Instant::now();
    reader(folder.path(), bytes);
    assert!(began.elapsed() < LONG, "{name} took {:?}", began.elapsed());
}

#[test]
fn what_was_found_stays_mended() {
    let kept = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/fuzz"));
    let mut seen = 0;
    for (target, reader) in READERS {
        let Ok(folder) = std::fs::read_dir(kept.join(target)) else { continue };
        for entry in folder {
            let path = entry.unwrap().path();
            println!("{}", path.display());
            run(&path.display().to_string(), *reader, &std::fs::read(&path).unwrap());
            seen += 1;
        }
    }
    assert!(seen > 0, "nothing is kept");
}

#[test]
fn what_fuzzers_begin_with_is_read() {
    for (target, reader) in READERS {
        let all = seeds::of(target);
        assert!(!all.is_empty(), "{target} has nothing to begin with");
        for (index, bytes) in all.iter().enumerate() {
            println!("{target} {index}");
            run(target, *reader, bytes);
        }
    }
}
