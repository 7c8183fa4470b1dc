//! `diablo compare --paper`: rates, budgets, means over seeds, kills.
#![allow(clippy::unwrap_used)]

use crate::common::{command, json_file, line, text};
use crate::demo_place::{Place, best as lowest};
use serde_json::Value;
use std::path::Path;
use std::process::Stdio;

/// What `compare --paper` wrote, without times.
fn paper(out: &Path) -> Value {
    let mut all = json_file(out, "paper.json");
    for line in all["results"].as_array_mut().unwrap() {
        line.as_object_mut().unwrap().remove("seconds_per_step");
        for run in line["runs"].as_array_mut().unwrap() {
            run.as_object_mut().unwrap().retain(|key, _| !["seconds_per_step", "folder"].contains(&key.as_str()));
        }
    }
    all
}

#[test]
fn a_comparison_as_papers_print_it() {
    let p = Place::new();
    let out = p.path("paper");
    let more = "--blocks 16 --seeds 2 --seed 7 --exact-match";
    let args = |out: &Path| format!("compare --paper {} {more} --out {} --svg {}", p.options(4), text(out), text(&p.path("p.svg")));
    let ended = line(&args(&out));
    let table = ended.good();
    let all = paper(&out);
    let lines = all["results"].as_array().unwrap();
    assert_eq!(lines.iter().map(|l| l["method"].as_str().unwrap()).collect::<Vec<_>>(), ["diablo", "lora", "full"]);
    // As many trained numbers, as nearly as a whole rank allows.
    let trained: Vec<f64> = lines.iter().map(|l| l["trainable"].as_f64().unwrap()).collect();
    assert_eq!((lines[0]["size"].as_str(), lines[1]["size"].as_str()), (Some("diablo, 16 blocks"), Some("lora, rank 5, alpha 10")));
    assert!((trained[0] / trained[1] - 1.0).abs() < 0.1 && trained[2] > 10.0 * trained[0], "{trained:?}");
    for line in lines {
        let method = line["method"].as_str().unwrap();
        // The best of the rates, with half and twice of it beside it.
        let rates: Vec<(f64, f64)> = line["rates"]
            .as_array()
            .unwrap()
            .iter()
            .map(|r| (r["rate"].as_f64().unwrap(), r["held_out_loss"].as_f64().unwrap_or(f64::INFINITY)))
            .collect();
        let best = rates.iter().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
        assert_eq!(line["learning_rate"].as_f64(), Some(best.0));
        assert_eq!(line["settled"], true, "{line}");
        for factor in [0.5, 2.0] {
            assert!(rates.iter().any(|(rate, _)| (rate / best.0 / factor - 1.0).abs() < 0.01), "{method}: {rates:?}");
        }
        // Means of the runs' own folders.
        let name = |seed: u64| format!("lr-{}_seed-{seed}", diablo::train::compare::sibling::rate(best.0));
        let losses = [7, 8].map(|seed| lowest(&out.join(method).join(name(seed))).0);
        let mean = (losses[0] + losses[1]) / 2.0;
        let deviation = ((losses[0] - mean).powi(2) + (losses[1] - mean).powi(2)).sqrt();
        let told = &line["held_out_loss"];
        assert!((told["mean"].as_f64().unwrap() - mean).abs() < 1e-12, "{method}: {told} {losses:?}");
        assert!((told["standard_deviation"].as_f64().unwrap() - deviation).abs() < 1e-12, "{method}: {told} {losses:?}");
        assert!(table.contains(&format!("{mean:.4} ± {deviation:.4}")), "{method}: {table}");
        assert!(line["exact_match"]["mean"].is_number());
        // What losing rates left behind is small.
        for entry in std::fs::read_dir(out.join(method)).unwrap() {
            let run = entry.unwrap().path();
            assert!(!run.join("checkpoints").exists(), "{run:?}");
            let winner = [name(7), name(8)].iter().any(|n| run.ends_with(n));
            assert_eq!(run.join("model").exists(), method == "full" && winner, "{run:?}");
        }
    }
    // The rows, the steps and the batches are the same for all.
    let config = |method: &str| {
        let folder = std::fs::read_dir(out.join(method)).unwrap().next().unwrap().unwrap().path();
        diablo::train::RunConfig::from_toml_file(&folder.join("run.toml")).unwrap()
    };
    let (a, b, c) = (config("diablo"), config("lora"), config("full"));
    for other in [&b, &c] {
        assert_eq!(
            (a.steps, a.batch_size, &a.data, &a.eval_data, a.warmup),
            (other.steps, other.batch_size, &other.data, &other.eval_data, other.warmup)
        );
    }
    assert_eq!(b.alpha / b.rank as f64, 2.0);
    assert!(std::fs::read_to_string(p.path("p.svg")).unwrap().contains("LoRA, held out, seed 8"));
    // Again it is refused, and gone on with nothing is left to do.
    line(&args(&out)).bad(2, &["holds a comparison already", "compare --paper --resume --out"]);
    let again = line(&format!("compare --paper --resume --out {}", text(&out)));
    assert!(!again.err.contains("seed 7"), "{}", again.said());
    assert_eq!(again.good().trim(), table.trim());
    line(&format!("compare --paper --resume --out {} --steps 9", text(&out))).bad(2, &["this comparison: it had another steps"]);

    // Killed and interrupted in between, it ends as the one that was not.
    #[cfg(unix)]
    {
        use std::io::{BufRead, BufReader};
        let cut = p.path("cut");
        let mut args = args(&cut) + " --methods diablo,lora";
        for (signal, sign, code) in [("-KILL", "DiaBlo, rate", None), ("-INT", "LoRA, rate", Some(130))] {
            let list: Vec<&str> = args.split_whitespace().collect();
            let mut child = command(&list).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
            let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map_while(|l| l.ok());
            assert!(said.any(|l| l.contains(sign)) && said.any(|l| l.contains("saved step")));
            assert!(std::process::Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
            let rest: Vec<String> = said.collect();
            assert_eq!(child.wait().unwrap().code(), code, "{rest:?}");
            args = format!("compare --paper --resume --out {}", text(&cut));
        }
        line(&args).good();
        let (cut, whole) = (paper(&cut), all["results"].as_array().unwrap());
        assert_eq!(cut["results"].as_array().unwrap()[..], whole[..2]);
    }
}

#[test]
fn comparisons_that_cannot_be_are_refused() {
    let p = Place::new();
    let out = p.path("paper");
    for (more, parts) in [
        ("--method lora", &["--method lora", "--methods"][..]),
        ("--methods dibalo", &["'dibalo' is no method", "diablo, lora, full"]),
        ("--blocks 7", &["7 diagonal blocks"]),
        ("--weights nf4", &["--weights nf4"]),
        ("--seeds 0", &["--seeds 0"]),
        ("--init-adapter x", &["--init-adapter"]),
    ] {
        line(&format!("compare --paper {} --out {} {more}", p.options(2), text(&out))).bad(2, parts);
        assert!(!out.exists(), "{more}: nothing was begun");
    }
    let (model, data) = (p.files.model(), p.files.train());
    let given = format!("compare --paper --model {} --data {} --out {}", text(&model), text(&data), text(&out));
    line(&given).bad(2, &["held-out rows", "--eval-split"]);
    line(&format!("{given} --eval-split 0.1 --exact-match")).bad(2, &["--exact-match", "--eval-data"]);
    line(&format!("compare --paper --out {}", text(&p.files.folder))).bad(2, &["not empty and holds no comparison"]);
    line(&format!("compare --paper --resume --out {}", text(&out))).bad(2, &["holds no comparison"]);
    line("compare runs/a --lr 3").bad(2, &["--paper"]);
    line("compare runs/a --seeds 3").bad(2, &["--paper"]);
    line("compare runs/a --paper").bad(2, &["runs/a: --paper makes the runs"]);
}

/// The command that the README's table comes from, cut short.
#[test]
fn the_bundled_model_is_compared_without_a_word() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("paper");
    let json = line(&format!("compare --paper --out {} --steps 4 --warmup 0 --seeds 1 --methods diablo --json", text(&out))).json();
    let line = &json["results"][0];
    assert_eq!((line["trainable"].as_u64(), line["runs"][0]["of"].as_u64()), (Some(49_152), Some(128)));
    assert!(line["held_out_loss"]["standard_deviation"].is_null());
}
