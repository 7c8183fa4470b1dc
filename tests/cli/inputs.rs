//! Models and rows that are broken, and models that do not fit.

use crate::common::{diablo, line, shared, text};
use crate::place::{Place, edit};
use serde_json::{Value, json};
use std::path::Path;

#[test]
fn broken_models_are_named() {
    let Some(p) = Place::new() else { return };
    let generate = |model: &Path| diablo(&["generate", "--model", text(model), "--prompt", "Ada", "--max-new-tokens", "2"]);
    let spoil = |name: &str, change: &dyn Fn(&Path)| {
        let model = p.copy(name);
        change(&model);
        model
    };
    let weights = "model.safetensors";
    let cut = |model: &Path, bytes: usize| {
        let whole = std::fs::read(model.join(weights)).unwrap();
        std::fs::write(model.join(weights), &whole[..bytes]).unwrap();
    };
    // A header that says other than what is there.
    let header = |model: &Path, change: &dyn Fn(&mut Value)| {
        let whole = std::fs::read(model.join(weights)).unwrap();
        let length = u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
        let mut header: Value = serde_json::from_slice(&whole[8..8 + length]).unwrap();
        change(&mut header);
        let header = header.to_string();
        let bytes = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &whole[8 + length..]].concat();
        std::fs::write(model.join(weights), bytes).unwrap();
    };
    let q = "model.layers.0.self_attn.q_proj.weight";
    let lfs = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 503064\n";
    generate(&p.path("nowhere")).bad(1, &["nowhere"]);
    generate(&spoil("missing", &|m| std::fs::remove_file(m.join(weights)).unwrap())).bad(1, &["missing", weights, "help: "]);
    generate(&spoil("short", &|m| cut(m, 400_000))).bad(1, &[weights, "help: "]);
    generate(&spoil("tiny", &|m| cut(m, 5))).bad(1, &[weights]);
    generate(&spoil("empty", &|m| cut(m, 0))).bad(1, &[weights]);
    generate(&spoil("lfs", &|m| std::fs::write(m.join(weights), lfs).unwrap())).bad(1, &["LFS", weights]);
    generate(&spoil("lfs2", &|m| std::fs::write(m.join("tokenizer.json"), lfs).unwrap())).bad(1, &["LFS", "tokenizer.json"]);
    generate(&spoil("huge", &|m| {
        let mut whole = std::fs::read(m.join(weights)).unwrap();
        whole[..8].fill(0xff);
        std::fs::write(m.join(weights), whole).unwrap();
    }))
    .bad(1, &[weights]);
    generate(&spoil("beyond", &|m| header(m, &|h| h[q]["data_offsets"] = json!([0, 1u64 << 60])))).bad(1, &[weights]);
    generate(&spoil("overlap", &|m| header(m, &|h| h[q]["data_offsets"] = json!([0, 64 * 64 * 4])))).bad(1, &[weights]);
    generate(&spoil("overflow", &|m| header(m, &|h| h[q]["shape"] = json!([u64::MAX, 2])))).bad(1, &[weights]);
    generate(&spoil("outside", &|m| {
        std::fs::rename(m.join(weights), m.join("../other.safetensors")).unwrap();
        let index = json!({ "weight_map": { q: "../other.safetensors" } });
        std::fs::write(m.join("model.safetensors.index.json"), index.to_string()).unwrap();
    }))
    .bad(1, &["model.safetensors.index.json", "../other.safetensors"]);
    let config = |m: &Path, change: &dyn Fn(&mut Value)| edit(&m.join("config.json"), change);
    generate(&spoil("bloom", &|m| config(m, &|c| c["architectures"] = json!(["BloomForCausalLM"]))))
        .bad(1, &["BloomForCausalLM", "Llama", "GPT2LMHeadModel"]);
    generate(&spoil("shapes", &|m| config(m, &|c| c["intermediate_size"] = json!(192)))).bad(1, &["mlp", "192"]);
    generate(&spoil("layers", &|m| config(m, &|c| c["num_hidden_layers"] = json!(3)))).bad(1, &["model.layers.2"]);
    generate(&spoil("heads", &|m| config(m, &|c| c["num_attention_heads"] = json!(3)))).bad(1, &["config.json"]);
    generate(&spoil("zero", &|m| config(m, &|c| c["hidden_size"] = json!(0)))).bad(1, &["hidden_size"]);
    generate(&spoil("text", &|m| std::fs::write(m.join("config.json"), "{").unwrap())).bad(1, &["config.json", "JSON"]);
    generate(&spoil("ids", &|m| {
        edit(&m.join("tokenizer.json"), |t| {
            let mut token = t["added_tokens"][0].clone();
            (token["id"], token["content"]) = (json!(600), json!("<x>"));
            t["added_tokens"].as_array_mut().unwrap().push(token);
        });
        // Ids follow each other: the vocabulary is filled up to it.
        edit(&m.join("tokenizer.json"), |t| {
            t["model"]["vocab"].as_object_mut().unwrap().insert("zzzzzz".into(), json!(600));
        });
    }))
    .bad(1, &["tokenizer.json", "512"]);
    let untokenised = spoil("untokenised", &|m| std::fs::remove_file(m.join("tokenizer.json")).unwrap());
    generate(&untokenised).bad(1, &["tokenizer.json"]);

    // Adapters.
    line(&format!("generate --model {} --prompt a --adapter {}", p.model(), text(&p.path("nowhere"))))
        .bad(1, &["there is no such adapter"]);
    p.train("out", "--quiet").good();
    let out = p.path("out");
    let other = shared("reference/qwen3-diablo/model").unwrap();
    line(&format!("export --model {} --adapter {} --out {}", text(&other), text(&out), text(&p.path("x"))))
        .bad(1, &["adapter_model.safetensors", "belongs to a model of another shape", "--model"]);
    assert!(!p.path("x").exists());
    edit(&out.join("adapter_config.json"), |c| c["peft_type"] = json!("IA3"));
    line(&format!("generate --model {} --prompt a --adapter {}", p.model(), text(&out))).bad(1, &["adapter_config.json", "IA3"]);
}

#[test]
fn broken_rows_are_named() {
    let Some(p) = Place::new() else { return };
    let data = p.path("rows.jsonl");
    let (model, out) = (p.model(), p.path("run"));
    let good = r#"{"prompt":"Ada has 2 + 2","completion":"4"}"#;
    let train = |rows: &str, more: &str| {
        std::fs::write(&data, rows).unwrap();
        line(&format!("train --model {model} --data {} --out {} --steps 1 {more}", text(&data), text(&out)))
    };
    train(&format!("{good}\n{good}\n{{\"prompt\": \"a\", \"completion\"\n"), "").bad(1, &["rows.jsonl:3", "broken JSON"]);
    train(&format!("{good}\n{{\"question\":\"a\",\"answer\":\"b\"}}"), "").bad(1, &["rows.jsonl:2", "\"prompt\"", "\"question\""]);
    train("", "").bad(1, &["rows.jsonl", "no rows"]);
    train("[1, 2]", "").bad(1, &["the row is a number, not an object"]);
    let long = format!("{{\"prompt\":\"a\",\"completion\":\"{}\"}}", "many words ".repeat(50));
    train(&format!("{good}\n{long}\n"), "--seq-len 32 --too-long error").bad(1, &["rows.jsonl", "32"]);
    train(&long, "--seq-len 32 --too-long drop").bad(1, &["rows.jsonl"]);
    std::fs::remove_file(&data).unwrap();
    line(&format!("train --model {model} --data {} --out {}", text(&data), text(&out))).bad(1, &["rows.jsonl"]);
    assert!(!out.exists(), "nothing was begun");
    let cut = train(&format!("{good}\n{long}\n"), "--seq-len 32 --quiet");
    assert!(cut.err.contains("1 of 2 rows are longer than 32 tokens and were cut"), "{}", cut.said());
    cut.good();
    // A file of options has lines too.
    let config = p.path("run.toml");
    std::fs::write(&config, "model = 'm'\nbatchsize = 3\n").unwrap();
    let wrong = line(&format!("train --config {}", text(&config)));
    assert!(wrong.err.contains("line 2") && wrong.err.contains("batch_size") && wrong.code != Some(0), "{}", wrong.said());
}

#[test]
fn a_run_that_does_not_fit_is_told_what_would() {
    let Some(p) = Place::new() else { return };
    let run = |options: &str| format!("train --model {} --data {} --out {} {options}", p.model(), p.data(), text(&p.path("o")));
    let kept = "--packing --gradient-checkpointing=false";
    line(&run(&format!("--batch-size 1024 --seq-len 128 --memory 64MiB {kept}")))
        .bad(1, &["the run takes", "--memory allows 64.0 MiB", "--batch-size"]);
    if Path::new("/proc/meminfo").exists() {
        line(&run(&format!("--batch-size 65536 --seq-len 256 {kept}"))).bad(1, &["the run takes", "are free", "--batch-size"]);
    } else {
        println!("skipped: this system does not tell its free memory");
    }
    assert!(!p.path("o").exists());
}
