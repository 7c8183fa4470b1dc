//! Runs that end early: interrupts, closed pipes, full disks, a second writer.

use crate::common::{adapter, command, diablo, line, losses, text};
use crate::place::{Place, names};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

#[test]
fn a_closed_pipe_is_no_fault() {
    let Some(p) = Place::new() else { return };
    for args in [vec!["generate", "--model", &p.model(), "--prompt", "Ada", "--quiet"], vec!["--help"], vec!["devices"]] {
        let mut child = command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let mut err = String::new();
        child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{args:?}: {err}");
        assert!(!err.contains("fault of diablo") && !err.contains("panicked"), "{err}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_behind_standard_output_is_told() {
    let Some(p) = Place::new() else { return };
    let (model, data, run) = (p.model(), p.data(), p.path("o"));
    let train = vec!["train", "--model", &model, "--data", &data, "--out", text(&run), "--steps", "2", "--json"];
    for args in [vec!["generate", "--model", &model, "--prompt", "Ada", "--quiet"], vec!["devices"], train] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let out = command(&args).stdout(full).output().unwrap();
        let err = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.code() == Some(1) && err.contains("standard output"), "{args:?}: {err}");
    }
}

#[cfg(unix)]
#[test]
fn an_interrupt_saves_and_a_resume_goes_on() {
    let Some(p) = Place::new() else { return };
    let run = "--steps 300 --save-every 1000 --eval-split 0.1 --eval-every 50 --adapter-dropout 0.1";
    let (model, data) = (p.model(), p.data());
    let train = |out: &str| format!("train --model {model} --data {data} --out {} {run} --json", text(&p.path(out)));
    line(&train("whole")).good();
    let args = train("stopped");
    let mut child = command(&args.split_whitespace().collect::<Vec<_>>()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut events = BufReader::new(child.stdout.take().unwrap()).lines().map(|l| serde_json::from_str::<Value>(&l.unwrap()).unwrap());
    assert!(events.any(|e| e["event"] == "step" && e["step"] == 7));
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let rest: Vec<Value> = events.collect();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert!(err.contains("finishing the step"), "{err}");
    let note = rest.iter().find(|e| e["event"] == "note").unwrap()["text"].as_str().unwrap();
    assert!(note.contains("go on with: diablo train --resume --out"), "{note}");
    let last = rest.iter().rfind(|e| e["event"] == "checkpoint").unwrap()["step"].as_u64().unwrap();
    assert!((7..300).contains(&last), "it stopped at {last}");
    assert_eq!(rest.iter().rfind(|e| e["event"] == "finished").unwrap()["interrupted"], true);
    assert!(!p.path("stopped").join("adapter_config.json").exists());
    line(&format!("train --resume --out {} --quiet", text(&p.path("stopped")))).good();
    assert_eq!(losses(&p.path("whole")), losses(&p.path("stopped")));
    assert_eq!(adapter(&p.path("whole")), adapter(&p.path("stopped")));
}

/// A pipe that nobody reads is full after some hundred steps. The run goes on, and ends as it was asked to.
#[cfg(unix)]
#[test]
fn an_interrupt_saves_though_nobody_reads() {
    let Some(p) = Place::new() else { return };
    let out = p.path("unread");
    let args = format!("train --model {} --data {} --out {} --steps 100000 --json", p.model(), p.data(), text(&out));
    let mut child = command(&args.split_whitespace().collect::<Vec<_>>()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let steps = || std::fs::read_to_string(out.join("metrics.jsonl")).map_or(0, |all| all.lines().count());
    let since = Instant::now();
    // A line of a step has more than a hundred bytes, and a pipe room for 65,536.
    while steps() < 700 {
        assert!(since.elapsed() < Duration::from_secs(120), "it stands at step {}", steps());
        assert_eq!(child.try_wait().unwrap(), None);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(out.join(format!("checkpoints/step-{:08}", steps())).is_dir(), "the last step was not saved");
}

#[test]
fn a_run_that_diverges_stops_and_keeps_its_checkpoint() {
    let Some(p) = Place::new() else { return };
    p.train("o", "--save-every 1 --quiet").good();
    // The rate may change between sittings; the rest of the run breaks, and what was saved is whole.
    let out = p.path("o");
    let broken = line(&format!("train --resume --out {} --steps 30 --lr 1e30 --quiet", text(&out)));
    broken.bad(1, &["step 22", "the loss is", "the checkpoint of step 21 leads there again, that of step 20 does not", "--lr"]);
    let kept = names(&out.join("checkpoints"));
    assert_eq!(kept, ["step-00000020", "step-00000021"]);
    assert_eq!(losses(&out).len(), 21);
    // The advice is true.
    std::fs::remove_dir_all(out.join("checkpoints/step-00000021")).unwrap();
    line(&format!("train --resume --out {} --steps 30 --lr 1e-3 --quiet", text(&out))).good();
}

#[test]
fn a_folder_has_one_writer() {
    let Some(p) = Place::new() else { return };
    let args =
        format!("train --model {} --data {} --out {} --steps 100000 --save-every 100000 --json", p.model(), p.data(), text(&p.path("o")));
    let args: Vec<&str> = args.split_whitespace().collect();
    let mut child = command(&args).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|l| l.unwrap().contains("\"event\":\"step\"")));
    let second = diablo(&args);
    let third = line(&format!("train --resume --out {}", text(&p.path("o"))));
    child.kill().unwrap();
    child.wait().unwrap();
    second.bad(2, &["another diablo", "is training in"]);
    third.bad(2, &["another diablo"]);
}

#[cfg(unix)]
#[test]
fn a_folder_that_cannot_be_written() {
    let Some(p) = Place::new() else { return };
    let run = format!("--model {} --data {} --steps 1", p.model(), p.data());
    line(&format!("train {run} --out /dev/null/run")).bad(1, &["/dev/null/run"]);
    line(&format!("train {run} --out /dev/null")).bad(2, &["is a file"]);
    line(&format!("train {run} --out {}", p.model())).bad(2, &["holds a model"]);
}

/// A disk that is full in the middle of a run; more room, and it goes on.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_loses_nothing() {
    let Some(p) = Place::new() else { return };
    let disk = p.path("disk");
    std::fs::create_dir(&disk).unwrap();
    let mount = |options: &str, more: &[&str]| {
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", options]).args(more).arg("tmpfs").arg(&disk).stderr(Stdio::null());
        command.status().is_ok_and(|s| s.success())
    };
    if !mount("size=800k", &[]) {
        println!("skipped: a small file system cannot be mounted here");
        return;
    }
    let out = disk.join("run");
    let run = format!("train --model {} --data {} --blocks 4 --steps 12 --save-every 3 --quiet", p.model(), p.data());
    let full = line(&format!("{run} --out {}", text(&out)));
    let left = names(&out.join("checkpoints"));
    let grown = mount("remount,size=8m", &[]);
    let resumed = line(&format!("train --resume --out {} --quiet", text(&out)));
    let bytes = std::fs::read(out.join("adapter_model.safetensors"));
    assert!(Command::new("umount").arg(&disk).status().unwrap().success());
    full.bad(1, &["error: ", "the disk is full"]);
    assert_eq!(left, ["step-00000003", "step-00000006"]);
    assert!(grown);
    resumed.good();
    line(&format!("{run} --out {}", text(&p.path("whole")))).good();
    assert_eq!(bytes.unwrap(), adapter(&p.path("whole")));
}
