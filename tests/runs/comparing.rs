//! Several runs: `diablo compare`, and `diablo sweep` with kills, interrupts and runs that go wrong.
#![allow(clippy::unwrap_used)]

use crate::common::{adapter, command, diablo, json_file, line, losses, text};
use crate::demo_place::{Place, best};
use serde_json::Value;
use std::path::Path;
use std::process::Stdio;

/// The runs of a table for programs, in its order.
fn runs(table: &Value) -> Vec<String> {
    let key = if table["runs"].is_array() { "runs" } else { "points" };
    table[key].as_array().unwrap().iter().map(|run| run["run"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn runs_beside_each_other() {
    let p = Place::new();
    p.train("runs/slow", "--blocks 16 --lr 1e-5");
    p.train("runs/fast", "--blocks 16 --lr 1e-2");
    p.train("runs/lora", "--method lora --rank 5 --lr 4e-3");
    let svg = p.path("compare.svg");
    let folder = p.path("runs");
    let ended = line(&format!("compare {} --svg {}", text(&folder), text(&svg)));
    assert!(ended.err.is_empty(), "{}", ended.said());
    let out = ended.good();
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 4, "{out}");
    for part in ["run", "method", "trained", "memory", "step", "tokens/s", "rate", "steps", "loss", "best held-out", "at"] {
        assert!(lines[0].contains(part), "{part}: {out}");
    }
    for part in ["slow", "diablo, 16 blocks", "49,152 (5.", " MiB", " ms", "1e-5"] {
        assert!(out.contains(part), "{part}: {out}");
    }
    // The lowest held-out loss comes first and alone has the mark.
    let mut order: Vec<(f64, &str)> = ["slow", "fast", "lora"].map(|name| (best(&folder.join(name)).0, name)).to_vec();
    order.sort_by(|a, b| a.0.total_cmp(&b.0));
    let first: Vec<&str> = lines[1..].iter().map(|l| l.split_whitespace().next().unwrap()).collect();
    assert_eq!(first, order.iter().map(|(_, name)| *name).collect::<Vec<_>>());
    assert!(lines[1].contains(&format!("{:.4}*", order[0].0)) && out.matches('*').count() == 1, "{out}");
    let drawn = std::fs::read_to_string(&svg).unwrap();
    assert!(drawn.contains("lora, held out") && drawn.trim_end().ends_with("</svg>"));

    let json = line(&format!("compare {} {} --json", text(&folder.join("slow")), text(&folder.join("lora")))).json();
    let slow = json["runs"].as_array().unwrap().iter().find(|r| r["run"] == "slow").unwrap().clone();
    let (loss, step) = best(&folder.join("slow"));
    assert_eq!((slow["best_held_out_loss"].as_f64(), slow["best_held_out_step"].as_u64()), (Some(loss), Some(step)));
    assert_eq!(
        (slow["trainable"].as_u64(), slow["learning_rate"].as_f64(), slow["ended"].as_bool()),
        (Some(49_152), Some(1e-5), Some(true))
    );
    assert!(slow["tokens_per_second"].as_f64().unwrap() > 0.0 && slow["memory_bytes"].as_u64().unwrap() > 1 << 20);
    assert_eq!(json["differences"].as_array().unwrap().len(), 0);

    // Other rows: it is compared, and said.
    let other = p.path("other.jsonl");
    std::fs::write(&other, std::fs::read_to_string(p.files.train()).unwrap().lines().take(40).collect::<Vec<_>>().join("\n")).unwrap();
    let options = p.options(6).replace(text(&p.files.train()), text(&other));
    line(&format!("train {options} --blocks 16 --out {} --quiet", text(&p.path("other")))).good();
    // One that was cut off: as if it had been killed in step 4.
    let cut = p.path("cut");
    std::fs::create_dir(&cut).unwrap();
    for name in ["run.toml", "summary.json"] {
        std::fs::copy(folder.join("fast").join(name), cut.join(name)).unwrap();
    }
    let metrics = std::fs::read_to_string(folder.join("fast/metrics.jsonl")).unwrap();
    let kept: Vec<&str> = metrics.lines().take(3).collect();
    std::fs::write(cut.join("metrics.jsonl"), kept.join("\n") + "\n{\"step\":4,\"lo").unwrap();
    let ended = line(&format!("compare {} {} {}", text(&folder.join("fast")), text(&p.path("other")), text(&cut)));
    for part in ["not of the same rows", "  data: ", "other.jsonl (other)", "not at their end yet: cut"] {
        assert!(ended.err.contains(part), "{part}: {}", ended.said());
    }
    assert!(ended.out.contains("3 of 6"), "{}", ended.said());

    line(&format!("compare {}", text(&p.path("nowhere")))).bad(1, &["nowhere", "no such folder"]);
    line(&format!("compare {}", text(&p.files.model()))).bad(1, &["no run", "run.toml", "--out"]);
    line(&format!("compare {}", text(&other))).bad(1, &["is a file"]);
    line("compare").bad(2, &["RUN"]);
    std::fs::write(cut.join("metrics.jsonl"), "{}\n{}\n").unwrap();
    line(&format!("compare {}", text(&cut))).bad(1, &["metrics.jsonl: line 1"]);
}

#[test]
fn a_sweep_tries_every_combination() {
    let p = Place::new();
    let more = "--set lr=1e-5,1e-2 --set blocks=8,16";
    let ended = p.sweep("s", 6, more);
    let out = p.path("s");
    let names = ["lr-1e-5_blocks-8", "lr-1e-5_blocks-16", "lr-1e-2_blocks-8", "lr-1e-2_blocks-16"];
    let mut order: Vec<(f64, &str)> = names.map(|name| (best(&out.join(name)).0, name)).to_vec();
    order.sort_by(|a, b| a.0.total_cmp(&b.0));
    let state = json_file(&out, "sweep.json");
    assert_eq!(runs(&state), order.iter().map(|(_, n)| *n).collect::<Vec<_>>());
    assert!(state["points"].as_array().unwrap().iter().all(|point| point["state"] == "ended"));
    assert_eq!(state["points"][0]["values"]["lr"], "1e-2");
    let table = ended.good();
    let shown: Vec<&str> = table.trim().lines().skip(1).filter_map(|l| l.split_whitespace().next()).collect();
    assert_eq!(shown, runs(&state));
    assert!(std::fs::read_to_string(out.join("sweep.svg")).unwrap().contains("lr-1e-2_blocks-16, held out"));

    // A point is the run that `diablo train` would have done.
    p.train("alone", "--blocks 16 --lr 1e-2");
    assert_eq!(adapter(&p.path("alone")), adapter(&out.join("lr-1e-2_blocks-16")));
    assert_eq!(losses(&p.path("alone")), losses(&out.join("lr-1e-2_blocks-16")));

    // Begun again, it is refused; gone on with, nothing is done twice; and values may be added.
    p.sweep("s", 6, more).bad(2, &["holds a sweep already", "sweep --resume --out"]);
    let stamp = |name: &str| std::fs::metadata(out.join(name).join("run.toml")).unwrap().modified().unwrap();
    let before = stamp(names[0]);
    line(&format!("sweep --resume --out {} --quiet --set lr=1e-5,3e-3 --set blocks=8", text(&out))).good();
    assert_eq!(stamp(names[0]), before);
    // Three rates by two numbers of blocks.
    assert_eq!(runs(&json_file(&out, "sweep.json")).len(), 6);
    line(&format!("sweep --resume --out {} --quiet --set rank=3", text(&out))).bad(2, &["--set rank", "add values to lr, blocks"]);
    assert_eq!(best(&out.join("lr-3e-3_blocks-8")).1, best(&out.join(names[2])).1);
    line(&format!("sweep --resume --out {} --quiet --steps 9", text(&out))).bad(2, &["another steps"]);

    // Rows are read once, and anew for a point that has others.
    let read = |set: &str, name: &str| {
        let ended = line(&format!("sweep {} --set {set} --out {}", p.options(2), text(&p.path(name))));
        let read = ended.err.matches("JSON lines").count();
        ended.good();
        read
    };
    assert_eq!((read("lr=1e-3,2e-3,3e-3", "once"), read("seq_len=48,64", "twice")), (2, 4));

    // Some of the grid.
    p.sweep("r", 2, "--set lr=1e-3,2e-3,3e-3 --set rank=1,2,3 --method lora --random 2 --seed 5").good();
    assert_eq!(runs(&json_file(&p.path("r"), "sweep.json")).len(), 2);
    line(&format!("sweep --resume --out {} --set lr=5e-3", text(&p.path("r")))).bad(2, &["2 combinations at random", "--random"]);
    let shared = std::fs::read_to_string(p.path("r").join("sweep.toml")).unwrap();
    assert!(shared.lines().next().unwrap().contains("diablo sweep --resume --out "), "{shared}");
}

#[test]
fn wrong_sweeps_are_refused_before_the_first_run() {
    let p = Place::new();
    for (more, parts) in [
        ("--set lr", &["has no '='"][..]),
        ("--set rnak=8", &["'rnak'", "did you mean 'rank'"]),
        ("--set lr=1e-3,-1", &["--lr -1"]),
        ("--set blocks=8,7", &["7 diagonal blocks"]),
        ("--set out=a,b", &["cannot differ"]),
        ("--set lr=1e-3 --random 0", &["--random 0"]),
        ("--set steps=3,4 --set epochs=1", &["exclude each other"]),
    ] {
        p.sweep("s", 2, more).bad(2, parts);
        assert!(!p.path("s").exists(), "{more}: nothing was begun");
    }
    let (model, data, out) = (p.files.model(), p.files.train(), p.path("s"));
    line(&format!("sweep --model {} --data {} --out {} --set lr=1,2", text(&model), text(&data), text(&out)))
        .bad(2, &["needs held-out rows", "--eval-split"]);
    line(&format!("sweep --resume --out {}", text(&out))).bad(2, &["holds no sweep"]);
    line("sweep --out o").bad(2, &["--set"]);
    std::fs::create_dir(&out).unwrap();
    std::fs::write(out.join("notes.txt"), "mine").unwrap();
    p.sweep("s", 2, "--set lr=1").bad(2, &["not empty and holds no sweep"]);
}

#[test]
fn a_point_that_diverges_does_not_end_the_sweep() {
    let p = Place::new();
    let ended = p.sweep("s", 8, "--set lr=1e30,1e-3 --set max_grad_norm=0 --blocks 16");
    assert!(ended.err.contains("lr-1e30_max_grad_norm-0 came to no end"), "{}", ended.said());
    ended.good();
    let state = json_file(&p.path("s"), "sweep.json");
    assert_eq!(runs(&state), ["lr-1e-3_max_grad_norm-0", "lr-1e30_max_grad_norm-0"]);
    assert_eq!((&state["points"][0]["state"], &state["points"][1]["state"]), (&"ended".into(), &"diverged".into()));
    // What diverged is not tried again.
    let again = line(&format!("sweep --resume --out {}", text(&p.path("s"))));
    assert!(!again.err.contains("point "), "{}", again.said());
    again.good();
    // Where nothing came to its end, neither did the sweep.
    let none = p.sweep("none", 4, "--set lr=1e30,1e29 --set max_grad_norm=0 --blocks 16");
    none.bad(1, &["every run diverged"]);
    assert!(!none.err.contains("not at their end yet"), "{}", none.said());
}

/// The sweep's runs, byte for byte.
fn results(out: &Path, names: &[&str]) -> Vec<(Vec<u8>, Vec<String>)> {
    names.iter().map(|name| (adapter(&out.join(name)), losses(&out.join(name)))).collect()
}

#[cfg(unix)]
#[test]
fn stopped_and_killed_sweeps_go_on() {
    use std::io::{BufRead, BufReader};
    let p = Place::new();
    let names = ["lr-1e-3", "lr-1e-2", "lr-3e-3"];
    let more = "--set lr=1e-3,1e-2,3e-3 --blocks 16";
    p.sweep("whole", 40, more).good();
    let out = p.path("cut");
    let mut args = format!("sweep {} --out {} {more}", p.options(40), text(&out));
    // Killed in the first point, interrupted in the second.
    for (signal, sign, code) in [("-KILL", "point 1 of 3: ", None), ("-INT", "point 2 of 3: ", Some(130))] {
        let list: Vec<&str> = args.split_whitespace().collect();
        let mut child = command(&list).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(|l| l.ok());
        assert!(lines.any(|l| l.contains(sign)));
        // In the middle of its steps, after a checkpoint.
        assert!(lines.any(|l| l.contains("saved step")));
        assert!(std::process::Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
        let rest: Vec<String> = lines.collect();
        assert_eq!(child.wait().unwrap().code(), code, "{rest:?}");
        if code.is_some() {
            assert!(rest.iter().any(|l| l.contains("go on with: diablo sweep --resume --out")), "{rest:?}");
            assert!(!out.join("lr-1e-2/loss.svg").exists(), "it was stopped in the middle");
        }
        args = format!("sweep --resume --out {}", text(&out));
    }
    let list: Vec<&str> = args.split_whitespace().collect();
    let ended = diablo(&list);
    assert!(!ended.err.contains("point 1 of 3") && ended.err.contains("point 3 of 3"), "{}", ended.said());
    ended.good();
    assert!(results(&out, &names) == results(&p.path("whole"), &names));
}

#[test]
fn halving_lets_the_better_go_on() {
    let p = Place::new();
    let set = "--set lr=1e-6,1e-2,1e-3,3e-3 --blocks 16";
    p.sweep("h", 16, &format!("{set} --halving")).good();
    let out = p.path("h");
    let names = ["lr-1e-6", "lr-1e-2", "lr-1e-3", "lr-3e-3"];
    let mut lengths: Vec<usize> = names.iter().map(|name| losses(&out.join(name)).len()).collect();
    lengths.sort_unstable();
    assert_eq!(lengths, [4, 4, 8, 16]);
    assert_eq!(losses(&out.join("lr-1e-6")).len(), 4, "the worst goes no further");
    // The one that came to its end is the run that was never stopped.
    let winner = *names.iter().find(|name| losses(&out.join(name)).len() == 16).unwrap();
    line(&format!("train --config {} --out {} --quiet", text(&out.join(winner).join("run.toml")), text(&p.path("alone")))).good();
    assert_eq!(adapter(&out.join(winner)), adapter(&p.path("alone")));
    let state = json_file(&out, "sweep.json");
    let states: Vec<&str> = state["points"].as_array().unwrap().iter().map(|point| point["state"].as_str().unwrap()).collect();
    assert_eq!((states.iter().filter(|s| **s == "left behind").count(), states.iter().filter(|s| **s == "ended").count()), (3, 1));
    // Killed in the second round, it decides and ends as if it had not been.
    #[cfg(unix)]
    {
        use std::io::{BufRead, BufReader};
        let cut = p.path("cut");
        let args = format!("sweep {} {set} --halving --out {}", p.options(16), text(&cut));
        let list: Vec<&str> = args.split_whitespace().collect();
        let mut child = command(&list).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(|l| l.ok());
        assert!(lines.any(|l| l.contains("to 0.5 of its steps")) && lines.any(|l| l.contains("saved step")));
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().code(), None, "it ended before the kill");
        line(&format!("sweep --resume --out {} --quiet", text(&cut))).good();
        for name in names {
            assert_eq!(losses(&cut.join(name)), losses(&out.join(name)), "{name}");
        }
        assert_eq!(adapter(&cut.join(winner)), adapter(&out.join(winner)));
    }
    let seldom = p.options(16).replace("--eval-every 2", "--eval-every 5");
    line(&format!("sweep {seldom} {set} --halving --out {}", text(&p.path("late"))))
        .bad(2, &["--halving: after 4 of 16 steps", "--eval-every"]);
}
