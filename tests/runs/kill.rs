//! A run that is killed again and again ends with the same bytes as one that never was.
#![cfg(unix)]
#![allow(clippy::unwrap_used)]

use crate::common::{adapter, command, diablo, losses, shared, text};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

const KILLS: usize = 20;

fn options(case: &Path) -> Vec<String> {
    // Everything that a checkpoint must carry: shuffled rows, dropout, accumulation, a schedule, held-out rows, odd intervals.
    let run = "--method diablo --blocks 4 --adapter-dropout 0.1 --batch-size 3 --accumulate 2 --steps 160 --lr 2e-3 --warmup 10 \
               --eval-split 0.1 --eval-every 13 --save-every 5 --seq-len 64 --json";
    let mut options: Vec<String> = vec!["train".into(), "--model".into(), text(&case.join("model")).into(), "--data".into()];
    options.push(text(&case.join("train.jsonl")).into());
    options.extend(run.split_whitespace().map(str::to_owned));
    options
}

#[test]
fn twenty_kills_change_nothing() {
    let Some(case) = shared("reference/llama-diablo") else { return };
    let folder = tempfile::tempdir().unwrap();
    let (whole, killed) = (folder.path().join("whole"), folder.path().join("killed"));
    let options = options(&case);
    let start = |out: &Path| {
        // One that was killed before it wrote its options has to be told them again; the others know them.
        let known = out.join("run.toml").is_file();
        let mut args: Vec<&str> = if known { vec!["train", "--json"] } else { options.iter().map(String::as_str).collect() };
        args.extend(["--resume", "--out", text(out)]);
        let mut command = command(&args);
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        command
    };
    assert!(start(&whole).output().unwrap().status.success());

    let mut random = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64 | 1;
    println!("seed {random}");
    let mut next = |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    let mut at = Vec::new();
    while at.len() < KILLS {
        let mut child = start(&killed).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Some die before their first step (the very first of them before its folder is made), some in a step, some while they save.
        let steps = if at.is_empty() { 0 } else { next(11) };
        let mut last = 0;
        let mut seen = 0;
        while seen < steps {
            let Some(Ok(line)) = lines.next() else { break };
            let event: serde_json::Value = serde_json::from_str(&line).unwrap();
            if event["event"] == "step" {
                seen += 1;
                last = event["step"].as_u64().unwrap();
            }
        }
        std::thread::sleep(Duration::from_micros(next(12_000)));
        // SIGKILL on Unix.
        child.kill().unwrap();
        let ended = child.wait().unwrap();
        assert!(ended.code().is_none(), "it ended before the kill after {at:?}: raise --steps");
        at.push(last);
    }
    println!("killed after the steps {at:?}");
    assert!(killed.join("checkpoints").is_dir(), "no life reached a checkpoint");
    diablo(&["train", "--resume", "--quiet", "--out", text(&killed)]).good();
    assert_eq!(losses(&whole), losses(&killed));
    assert_eq!(adapter(&whole), adapter(&killed));
    let left: Vec<_> = std::fs::read_dir(killed.join("checkpoints")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(left.iter().all(|n| n == "best.json" || n.to_string_lossy().starts_with("step-")), "{left:?}");
    assert!(left.len() <= 4, "{left:?}");
}
