//! `--log tensorboard,csv`: what is in the files, read without the library and by TensorBoard itself.
#![allow(clippy::unwrap_used)]

use crate::common::{command, line, text};
use diablo::demo::Files;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

/// Step and value of each tag, in the file's order.
type Scalars = BTreeMap<String, Vec<(u64, f32)>>;

/// CRC-32C, a bit at a time.
fn crc(data: &[u8]) -> u32 {
    let step = |c: u32| if c & 1 == 1 { (c >> 1) ^ 0x82f6_3b78 } else { c >> 1 };
    !data.iter().fold(!0u32, |c, b| (0..8).fold(c ^ u32::from(*b), |c, _| step(c)))
}

fn masked(data: &[u8]) -> u32 {
    crc(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// The contents of each frame, lengths and checksums checked.
fn frames(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        assert_eq!((word(8), word(12 + length)), (masked(&bytes[..8]), masked(&bytes[12..12 + length])));
        all.push(bytes[12..12 + length].to_vec());
        bytes = &bytes[16 + length..];
    }
    all
}

/// The fields of a protobuf message: number, and the bytes of its value.
fn fields(bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let mut at = 0;
    let varint = |at: &mut usize| {
        let (mut n, mut shift) = (0u64, 0);
        loop {
            let b = bytes[*at];
            *at += 1;
            n |= u64::from(b & 0x7f) << shift;
            shift += 7;
            if b < 0x80 {
                return n;
            }
        }
    };
    let mut all = Vec::new();
    while at < bytes.len() {
        let key = varint(&mut at);
        let length = match key & 7 {
            0 => {
                all.push((key >> 3, varint(&mut at).to_le_bytes().to_vec()));
                continue;
            }
            1 => 8,
            2 => varint(&mut at) as usize,
            5 => 4,
            kind => panic!("a field of kind {kind}"),
        };
        all.push((key >> 3, bytes[at..at + length].to_vec()));
        at += length;
    }
    all
}

fn field(message: &[(u64, Vec<u8>)], number: u64) -> Option<Vec<u8>> {
    message.iter().find(|(n, _)| *n == number).map(|(_, value)| value.clone())
}

fn read(path: &Path) -> Scalars {
    let events: Vec<_> = frames(&std::fs::read(path).unwrap()).iter().map(|frame| fields(frame)).collect();
    assert_eq!(field(&events[0], 3).unwrap(), b"brain.Event:2");
    let mut scalars = Scalars::new();
    for event in &events[1..] {
        let step = u64::from_le_bytes(field(event, 2).unwrap().try_into().unwrap());
        for (_, value) in fields(&field(event, 5).unwrap()) {
            let value = fields(&value);
            let tag = String::from_utf8(field(&value, 1).unwrap()).unwrap();
            let number = f32::from_le_bytes(field(&value, 2).unwrap().try_into().unwrap());
            scalars.entry(tag).or_default().push((step, number));
        }
    }
    scalars
}

/// The same from `metrics.jsonl`.
fn wanted(out: &Path) -> Scalars {
    let mut scalars = Scalars::new();
    for line in std::fs::read_to_string(out.join("metrics.jsonl")).unwrap().lines() {
        let m: Value = serde_json::from_str(line).unwrap();
        for (tag, key) in [
            ("loss/train", "loss"),
            ("loss/held_out", "eval_loss"),
            ("gradient_norm", "grad_norm"),
            ("learning_rate", "lr"),
            ("tokens_per_second", "tokens_per_second"),
            ("epoch", "epoch"),
        ] {
            if let Some(x) = m[key].as_f64() {
                scalars.entry(tag.into()).or_default().push((m["step"].as_u64().unwrap(), x as f32));
            }
        }
    }
    scalars
}

/// `metrics.csv` against `metrics.jsonl`, cell by cell.
fn check_csv(out: &Path) {
    let metrics = std::fs::read_to_string(out.join("metrics.jsonl")).unwrap();
    let mut table = csv::Reader::from_path(out.join("metrics.csv")).unwrap();
    let head = table.headers().unwrap().clone();
    let rows: Vec<csv::StringRecord> = table.records().map(|r| r.unwrap()).collect();
    assert_eq!(rows.len(), metrics.lines().count());
    for (row, line) in rows.iter().zip(metrics.lines()) {
        let m: Value = serde_json::from_str(line).unwrap();
        assert!(m.as_object().unwrap().keys().all(|key| head.iter().any(|h| h == key)), "{head:?}");
        for (key, cell) in head.iter().zip(row) {
            match m[key].as_f64() {
                // The JSON reader may miss a number's last bit.
                Some(x) => assert!((cell.parse::<f64>().unwrap() - x).abs() <= f64::EPSILON * x.abs(), "{key}: {cell} {x}"),
                None => assert_eq!(cell, "", "{key}"),
            }
        }
    }
}

#[test]
fn logs_hold_each_step_once_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let files = Files::write(&folder.path().join("demo")).unwrap();
    let out = folder.path().join("run");
    let options = format!(
        "train --model {} --data {} --eval-split 0.01 --out {} --blocks 16 --steps 40 --batch-size 4 --seq-len 64 --eval-every 6 --save-every 5 \
         --log tensorboard,csv --json",
        text(&files.model()),
        text(&files.train()),
        text(&out)
    );
    let mut child = command(&options.split_whitespace().collect::<Vec<_>>()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(|l| l.ok());
    assert!(lines.any(|l| l.contains("\"event\":\"step\"") && l.contains("\"step\":13,")));
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().code(), None, "it ended before the kill");
    // And a step that was half written.
    let events = out.join("events.out.tfevents.diablo");
    for path in [&events, &out.join("metrics.csv")] {
        assert!(std::fs::read(path).unwrap().len() > 500);
        std::fs::OpenOptions::new().append(true).open(path).unwrap().write_all(b"99,1").unwrap();
    }
    line(&format!("train --resume --out {} --quiet", text(&out))).good();
    let (got, want) = (read(&events), wanted(&out));
    assert_eq!((got.len(), got["loss/train"].len(), got["loss/held_out"].len()), (6, 40, 7));
    assert_eq!(got, want);
    assert!(got["loss/train"].iter().map(|(step, _)| *step).eq(1..=40));
    check_csv(&out);
    by_tensorboard(&out, &want);

    // A run that asked for nothing has neither, and what is asked for twice is refused.
    let plain = folder.path().join("plain");
    let run = format!("train --model {} --data {} --out {} --steps 1 --quiet", text(&files.model()), text(&files.train()), text(&plain));
    line(&run).good();
    assert!(!plain.join("metrics.csv").exists() && !plain.join("events.out.tfevents.diablo").exists());
    line(&format!("{run} --log csv,csv")).bad(2, &["--log", "twice"]);
    line(&format!("{run} --log paper")).bad(2, &["tensorboard, csv"]);
}

/// The same through TensorBoard's own reader, where Python has it.
fn by_tensorboard(out: &Path, want: &Scalars) {
    let script = "\
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator(sys.argv[1], size_guidance={'scalars': 0, 'tensors': 0})
events.Reload()
tags = events.Tags()
tags = {t: [(e.step, e.value) for e in events.Scalars(t)] for t in tags['scalars']} or {
    t: [(e.step, e.tensor_proto.float_val[0]) for e in events.Tensors(t)] for t in tags['tensors']}
print(json.dumps(tags))";
    let python = std::env::var("DIABLO_PYTHON").ok().filter(|p| !p.is_empty()).unwrap_or_else(|| "python3".into());
    if !Command::new(&python).args(["-c", "import tensorboard"]).output().is_ok_and(|o| o.status.success()) {
        println!("skipped: no Python with tensorboard");
        return;
    }
    let ended = Command::new(&python).args(["-c", script, text(out)]).output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let got: Scalars = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!(&got, want);
}
