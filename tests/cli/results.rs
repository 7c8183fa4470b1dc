//! What runs write, and what the other commands make of it.

use crate::common::{adapter, diablo, line, losses, shared, text};
use crate::place::{Place, names};
use serde_json::{Value, json};

#[test]
fn a_run_can_be_repeated_scored_merged() {
    let Some(p) = Place::new() else { return };
    let (out, again, merged) = (p.path("out"), p.path("again"), p.path("merged"));
    let expected = p.expected();
    let report = p.train("out", "");
    assert!(report.out.is_empty(), "standard output is for results: {}", report.said());
    for part in ["23,040 trainable", "step 20/20", "done: 20 steps", "diablo generate --model"] {
        assert!(report.err.contains(part), "{part}: {}", report.said());
    }
    report.good();
    let made = [
        ".diablo.lock",
        "adapter_config.json",
        "adapter_model.safetensors",
        "checkpoints",
        "loss.svg",
        "metrics.jsonl",
        "run.toml",
        "summary.json",
    ];
    assert_eq!(names(&out), made);
    assert_eq!(losses(&out).len(), 20);
    line(&format!("train --config {} --out {} --quiet", text(&out.join("run.toml")), text(&again))).good();
    assert_eq!(adapter(&out), adapter(&again));
    assert_eq!(losses(&out), losses(&again));

    // A folder with a run in it is not begun again, and not gone on with under other options.
    p.train("out", "").bad(2, &["holds a run already", "--resume --out"]);
    line(&format!("train --resume --out {} --seed 1", text(&out))).bad(2, &["seed (42, not 1)"]);
    assert_eq!(adapter(&out), adapter(&again));

    assert_eq!(p.generate(&p.model(), None), format!("{}\n", expected["greedy_before_text"].as_str().unwrap()));
    let after = format!("{}\n", expected["greedy_after_text"].as_str().unwrap());
    assert_eq!(p.generate(&p.model(), Some(&out)), after);

    let (model, data) = (p.model(), p.data());
    line(&format!("export --model {model} --adapter {} --out {}", text(&out), text(&merged))).good();
    assert!(names(&merged).contains(&"tokenizer.json".to_owned()));
    assert_eq!(p.generate(text(&merged), None), after);
    line(&format!("export --model {model} --adapter {} --out {}", text(&out), text(&merged))).bad(2, &["not empty"]);
    let half = line(&format!("export --model {model} --adapter {} --out {} --dtype bf16 --json", text(&out), text(&p.path("half"))));
    assert_eq!(half.json()["dtype"], "bf16");
    let sparse = |more: &str| line(&format!("export --model {model} --adapter {} --format shira {more}", text(&out)));
    let folder = p.path("sparse");
    assert_eq!(sparse(&format!("--out {} --json", text(&folder))).json()["format"], "shira");
    assert_eq!(names(&folder), ["adapter_config.json", "adapter_model.safetensors"]);
    sparse(&format!("--out {}", text(&folder))).bad(2, &["not empty"]);
    sparse(&format!("--out {} --dtype bf16", text(&p.path("x")))).bad(2, &["--dtype"]);

    let score = |more: &str| line(&format!("eval --model {model} --data {data} --json {more}")).json();
    let (before, tuned) = (score(""), score(&format!("--adapter {}", text(&out))));
    assert_eq!((before["rows"].as_u64(), before["exact_match_of"].as_u64()), (Some(80), Some(80)));
    let loss = |v: &Value| v["loss"].as_f64().unwrap();
    assert!(loss(&tuned) < loss(&before) - 1.0, "{before} {tuned}");
    assert!((loss(&tuned).exp() / tuned["perplexity"].as_f64().unwrap() - 1.0).abs() < 1e-9);
    let again = line(&format!("eval --model {} --data {data} --json --max-new-tokens 0 --batch-size 5", text(&merged))).json();
    assert!((loss(&again) - loss(&tuned)).abs() < 1e-4 && again["exact_match"].is_null(), "{again} {tuned}");
}

#[test]
fn exact_match_counts_answers() {
    let Some(p) = Place::new() else { return };
    // The model's own greedy answers are the completions of half of the rows. Without an end they run to the limit.
    let expected = p.expected();
    let (prompt, answer) = (expected["prompt"].as_str().unwrap(), expected["greedy_before_text"].as_str().unwrap());
    let data = p.path("rows.jsonl");
    let row = |answer: &str| json!({ "prompt": prompt, "completion": answer }).to_string() + "\n";
    std::fs::write(&data, row(answer) + &row("something else") + &row(answer) + &row(&format!(" {answer} "))).unwrap();
    let scores = line(&format!("eval --model {} --data {} --json --max-new-tokens 16", p.model(), text(&data))).json();
    assert_eq!((scores["exact_match_right"].as_u64(), scores["exact_match_of"].as_u64()), (Some(3), Some(4)), "{scores}");
    let shown = line(&format!("eval --model {} --data {} --max-new-tokens 16", p.model(), text(&data))).good();
    assert!(shown.contains("exact match  75.0% (3 of 4)"), "{shown}");
}

#[test]
fn full_runs_have_nothing_to_merge() {
    let Some(p) = Place::new() else { return };
    let (model, data, out) = (p.model(), p.data(), p.path("full"));
    line(&format!("train --model {model} --data {data} --out {} --method full --steps 3 --quiet", text(&out))).good();
    line(&format!("export --model {model} --adapter {} --out {}", text(&out), text(&p.path("x"))))
        .bad(2, &["nothing to merge", "--model", "full/model"]);
    p.generate(text(&out.join("model")), None);
    let lora = p.path("lora");
    line(&format!("train --model {model} --data {data} --out {} --method lora --rank 4 --steps 3 --quiet", text(&lora))).good();
    p.generate(&model, Some(&lora));
}

#[test]
fn sampling_repeats_by_its_seed() {
    let Some(p) = Place::new() else { return };
    let model = p.model();
    let draw = |seed: &str| {
        let v =
            line(&format!("generate --model {model} --prompt Ada --temperature 1.5 --top-k 200 --top-p 0.99 --seed {seed} --json")).json();
        (v["text"].as_str().unwrap().to_owned(), v["tokens"].as_array().unwrap().len())
    };
    assert_eq!(draw("1"), draw("1"));
    assert_ne!(draw("1"), draw("2"));
    let note = diablo(&["generate", "--model", &model, "--prompt", "Ada", "--max-new-tokens", "100000"]);
    assert!(note.err.contains("context of 256"), "{}", note.said());
    note.good();
}

#[test]
fn the_story_is_that_of_transformers() {
    let Some(model) = shared("real/tinystories-656k") else { return };
    let args = ["generate", "--model", text(&model), "--prompt", "Once upon a time", "--max-new-tokens", "60", "--quiet"];
    let story = diablo(&args).good();
    let want = ", a little girl named Lily lived in a small house with her mom, dad, and her dog, Spot,";
    assert!(story.starts_with(want), "{story}");
}
