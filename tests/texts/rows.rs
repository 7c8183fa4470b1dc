//! `diablo data` and `diablo chat`, as a person uses them, with the bundled model.
#![allow(clippy::unwrap_used)]

use crate::common::{Ended, command, diablo, line, losses, shared, text};
use serde_json::{Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

const TEMPLATE: &str =
    "{% for m in messages %}{{ m.role[0] }}: {{ m.content }}</s>\n{% endfor %}{% if add_generation_prompt %}a: {% endif %}";

fn model() -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/demo/model")).to_path_buf()
}

fn write(folder: &tempfile::TempDir, name: &str, content: &str) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    path
}

fn talk(args: &[&str], input: &str) -> Ended {
    let mut child = command(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap();
    let string = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ended { code: out.status.code(), out: string(out.stdout), err: string(out.stderr) }
}

#[test]
fn rows_are_shown_as_a_run_sees_them() {
    let folder = tempfile::tempdir().unwrap();
    let template = write(&folder, "t.jinja", TEMPLATE);
    let turns = |a: &str| json!({"messages": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": a}]}).to_string();
    let data = write(&folder, "chats.jsonl", &[turns("Yes."), turns("No, not at all, never, by no means."), turns("Yes.")].join("\n"));
    let args = format!("data --model {} --data {} --chat-template {} --seq-len 32", text(&model()), text(&data), text(&template));
    let shown = line(&args).good();
    for part in [
        "JSON lines, messages (messages), through the chat template",
        "rows        3, of which a run takes",
        "shortest",
        "duplicates  1 rows repeat an earlier one; the first is row 3 (line 3), as row 1 (line 1)",
        "row 1 (line 1):",
        "u: Hello</s>\na: ⟦Yes.</s>⟧\n",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(!shown.contains('\x1b'), "no colours into a pipe");
    let coloured = line(&format!("{args} --color always --show 1")).good();
    assert!(coloured.contains("\x1b[32mYes.</s>\x1b[0m"), "{coloured}");
    let all = line(&format!("{args} --train-on all --show 1")).good();
    assert!(all.contains("⟦: Hello</s>\na: Yes.</s>\n⟧"), "{all}");

    let told = line(&format!("{args} --json --from 2 --show 1")).json();
    assert_eq!((&told["rows"], &told["duplicates"], &told["first_duplicates"]), (&json!(3), &json!(1), &json!([{"row": 3, "repeats": 1}])));
    let row = &told["shown"][0];
    assert_eq!((&row["row"], &row["line"]), (&json!(2), &json!(2)));
    let learned: String =
        row["tokens"].as_array().unwrap().iter().filter(|t| t["fate"] == "learned").map(|t| t["text"].as_str().unwrap()).collect();
    // The first token may hold the blank before the word.
    assert!("No, not at all, never, by no means.</s>".starts_with(learned.trim_start()) && learned.len() > 4, "{learned}");
    let cut = row["tokens"].as_array().unwrap().iter().filter(|t| t["fate"] == "cut").count();
    assert_eq!(cut as u64, row["length"].as_u64().unwrap().saturating_sub(32));

    // A row's own orders to the terminal are not passed on.
    let bad = write(&folder, "bad.jsonl", "{\"prompt\":\"\\u001b[2Ja\",\"completion\":\"b\"}");
    let shown = line(&format!("data --model {} --data {}", text(&model()), text(&bad))).good();
    assert!(!shown.contains('\x1b') && shown.contains("prompt and completion (prompt, completion)"), "{shown}");
}

#[test]
fn wrong_rows_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let model = model();
    let data = write(&folder, "chats.jsonl", r#"{"conversations":[{"from":"human","value":"a"},{"from":"gpt","value":"b"}]}"#);
    let run = format!("data --model {} --data {}", text(&model), text(&data));
    line(&run).bad(1, &["chats.jsonl:1", "need a chat template", "--chat-template FILE"]);
    let raises = write(&folder, "t.jinja", "{{ raise_exception('roles must alternate') }}");
    line(&format!("{run} --chat-template {}", text(&raises))).bad(1, &["chats.jsonl:1", "t.jinja, line 1", "roles must alternate"]);
    line(&format!("{run} --chat-template no.jinja")).bad(1, &["no.jinja: no such file"]);
    line(&format!("{run} --data-format alpaca")).bad(1, &["chats.jsonl:1", "no key \"instruction\"", "\"conversations\""]);
    line(&format!("{run} --columns who=from")).bad(2, &["'who' is none of"]);
    line(&format!("{run}=0")).bad(2, &["--data", "above 0"]);
    line("data --model m").bad(2, &["--data is needed"]);
}

#[test]
fn a_run_learns_from_several_files_of_several_formats() {
    let folder = tempfile::tempdir().unwrap();
    let template = write(&folder, "t.jinja", TEMPLATE);
    let chats = write(
        &folder,
        "a.json",
        r#"[{"conversations":[{"from":"human","value":"Hi"},{"from":"gpt","value":"Hello."}]},{"conversations":[{"from":"human","value":"Hi"},{"from":"gpt","value":"Yes."}]}]"#,
    );
    let table = write(&folder, "b.csv", "question,answer\nWho?,Fox.\nWhere?,Home.\nWhy?,So.\nHow?,Well.\n");
    let out = folder.path().join("run");
    let files = format!("--data {}=3 --data {}=0.5 --chat-template {}", text(&chats), text(&table), text(&template));
    let run = format!("train --model {} {files} --blocks 4 --epochs 1 --batch-size 2 --seq-len 64 --out {}", text(&model()), text(&out));
    let ended = line(&run);
    for part in [
        "a.json: JSON, ShareGPT (conversations), 2 rows; through the chat template",
        "b.csv: CSV, prompt and completion (question, answer), 4 rows",
        "6 rows a pass, by its weight of 3",
        "2 rows a pass, by its weight of 0.5",
    ] {
        assert!(ended.err.contains(part), "{part}: {}", ended.said());
    }
    ended.good();
    assert_eq!(losses(&out).len(), 4, "8 rows, 2 a step");
    let again = folder.path().join("again");
    line(&format!("train --config {} --out {} --quiet", text(&out.join("run.toml")), text(&again))).good();
    assert_eq!(losses(&out), losses(&again));
    let info = line(&format!("info --model {} {files} --json", text(&model()))).json();
    assert!(info["data"][0].as_str().unwrap().contains("ShareGPT"), "{info}");
    let scores =
        line(&format!("eval --model {} --data {} --chat-template {} --json", text(&model()), text(&chats), text(&template))).json();
    assert_eq!((&scores["rows"], &scores["exact_match_of"]), (&json!(2), &json!(2)));

    // The run folder knows the model and the template.
    let said = talk(&["chat", text(&out), "--max-new-tokens", "8"], "Hi\n/base\nHi\n");
    assert!(said.err.contains("t.jinja") && said.err.contains("the model without an adapter speaks"), "{}", said.said());
    assert_eq!(said.good().lines().count(), 2);
}

#[test]
fn a_talk_from_a_pipe() {
    let folder = tempfile::tempdir().unwrap();
    let template = write(&folder, "t.jinja", TEMPLATE);
    let model = model();
    let args = ["chat", "--model", text(&model), "--chat-template", text(&template), "--max-new-tokens", "6", "--quiet"];
    let one = talk(&args, "Once upon a time\n").good();
    assert!(one.trim().len() > 1 && one.ends_with('\n'), "{one:?}");
    // Greedy: the same words again after the conversation was forgotten, and for another answer to the same question. What the cache
    // keeps changes nothing.
    let many = talk(&args, "Once upon a time\n/again\n/clear\n\nOnce upon \\\na time\n/clear\nOnce upon a time").good();
    let lines: Vec<&str> = many.lines().collect();
    assert_eq!((lines.len(), lines[0], lines[1], lines[3]), (4, one.trim_end(), one.trim_end(), one.trim_end()), "{many:?}");

    let ended = talk(&args, "/nonsense\n/top-p 7\n/temperature x\n/adapter\n/again\n/help\n/settings\n/quit\nnever read\n");
    for part in [
        "/nonsense is no command",
        "--top-p 7",
        "/temperature x",
        "there is no adapter",
        "nothing was asked yet",
        "/clear ",
        "temperature 0, top-k 0, top-p 1, seed 42",
    ] {
        assert!(ended.err.contains(part), "{part}: {}", ended.said());
    }
    assert_eq!(ended.good(), "");

    // Old turns make room for new ones.
    let small = [&args[..args.len() - 1], &["--context", "48"]].concat();
    let ended = talk(&small, &"Once upon a time there was a fox\n".repeat(5));
    assert!(ended.err.contains("no longer fit and were forgotten"), "{}", ended.said());
    assert_eq!(ended.good().lines().count(), 5);
    let long = talk(&small, &format!("{}\nOnce\n", "Once upon a time ".repeat(40)));
    assert!(long.err.contains("leave no room"), "{}", long.said());
    assert_eq!(long.good().lines().count(), 1);

    // Without a template a line is continued as it stands, as `generate` does it.
    let plain = talk(&["chat", "--model", text(&model), "--max-new-tokens", "12", "--quiet"], "The fox\n").good();
    let generated = diablo(&["generate", "--model", text(&model), "--prompt", "The fox", "--max-new-tokens", "12", "--quiet"]).good();
    assert_eq!(plain, generated);
    line("chat").bad(2, &["--model"]);
}

#[test]
fn real_rows_are_shown() {
    let (Some(model), Some(data)) = (shared("real/qwen2-tokenizer"), shared("real/conversations/glaive_toolcall_en_demo.json")) else {
        return;
    };
    let args = format!("data --model {} --data {} --seq-len 256", text(&model), text(&data));
    let shown = line(&format!("{args} --show 1")).good();
    for part in [
        "JSON, ShareGPT (conversations, tools), through the chat template",
        "it knows no tools",
        "148 rows are longer than --seq-len 256: 145 are cut, 3 have nothing left to learn and are left out",
        "<|im_end|>⟧",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let told: Value = line(&format!("{args} --json --show 0")).json();
    assert_eq!(told["rows"], json!(300));
}
