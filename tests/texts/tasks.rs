//! `diablo eval --task`: likelihoods against sums of the decoder's own logits and against transformers, choices, final numbers, intervals.

use crate::common::{command, demo, demo_that_begins, diablo, end, python, text};
use diablo::adapter::AdapterFile;
use diablo::data::Tokenizer;
use diablo::device::Device;
use diablo::eval::{ChoiceScore, Options, multiple_choice, numbers};
use diablo::generate::Decoder;
use diablo::model::Source;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Of a candidate's log-likelihood, in parts: sums of a few dozen losses in f32.
const CLOSE: f64 = 1e-5;

fn write(folder: &Path, name: &str, rows: &[Value]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, rows.iter().map(|row| format!("{row}\n")).collect::<String>()).expect("a file");
    path
}

/// The demo's held-out questions, each with its own completion and those of the rows behind it, the right one at `i % 3`.
fn questions(rows: usize) -> Vec<Value> {
    let held_out = std::fs::read_to_string(demo("held-out.jsonl")).expect("rows");
    let pairs: Vec<Value> = held_out.lines().map(|line| serde_json::from_str(line).expect("a row")).collect();
    let completion = |i: usize| pairs[i % pairs.len()]["completion"].as_str().expect("a text").trim().to_owned();
    let choices = |i: usize| -> Vec<String> { (0..3).map(|k| completion(i + 5 * ((k + 3 - i % 3) % 3))).collect() };
    (0..rows).map(|i| json!({"question": pairs[i]["prompt"], "choices": choices(i), "answer": i % 3})).collect()
}

/// Rows as LLM-Adapters has them.
fn instructions() -> Vec<Value> {
    let row = |asked: &str, words: &str, answer: &str| {
        let instruction = format!("{asked}\n\nAnswer format: {words}");
        json!({"instruction": instruction, "input": "", "output": format!("the correct answer is {answer}"), "answer": answer})
    };
    vec![
        row("Please answer the following question with true or false, question: is Otter green?", "true/false", "true"),
        row("Please choose the correct answer: What is it?\n\nAnswer1: x Answer2: y Answer3: z", "answer1/answer2/answer3", "answer2"),
    ]
}

fn scored(file: &Path, options: &Options, device: &str) -> Vec<ChoiceScore> {
    let source = Source::open(&demo("model")).expect("a model");
    let device = Device::open(device).expect("a device");
    let files = [file.to_path_buf()];
    pollster::block_on(multiple_choice(&device, &source, None, &files, options, &mut |_| ())).expect("scores").rows
}

/// The log-likelihood of `ids[from..]` by one step of the decoder after the other, in f64.
fn by_hand(decoder: &mut Decoder, ids: &[u32], from: usize) -> f64 {
    decoder.reset();
    let mut logits = pollster::block_on(decoder.feed(&ids[..from])).expect("logits");
    let mut sum = 0.0;
    for at in from..ids.len() {
        let largest = logits.iter().copied().fold(f32::MIN, f32::max);
        let total: f64 = logits.iter().map(|x| f64::from(x - largest).exp()).sum();
        sum += f64::from(logits[ids[at] as usize] - largest) - total.ln();
        if at + 1 < ids.len() {
            logits = pollster::block_on(decoder.feed(&ids[at..=at])).expect("logits");
        }
    }
    sum
}

/// Prompt and candidate in tokens, as texts that are tokenised apart, and from where it counts.
fn tokens(tokenizer: &Tokenizer, prompt: &str, lead: &str, candidate: &str) -> (Vec<u32>, usize) {
    let prompt = tokenizer.encode(prompt).expect("ids");
    let answer = tokenizer.encode(&format!("{lead}{candidate}")).expect("ids");
    let from = prompt.len() + tokenizer.encode(lead.trim_end()).expect("ids").len();
    ([prompt, answer].concat(), from)
}

/// Every candidate of the two kinds of rows: prompt, lead, candidate.
fn texts(plain: &[Value], alpaca: &[Value]) -> Vec<(String, String, String)> {
    let string = |value: &Value| value.as_str().expect("a text").to_owned();
    let mut out = Vec::new();
    for row in plain {
        out.extend(
            row["choices"].as_array().expect("a list").iter().map(|c| (string(&row["question"]), String::new(), format!(" {}", string(c)))),
        );
    }
    for row in alpaca {
        let asked = string(&row["instruction"]);
        let prompt = format!(
            "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n\
             ### Instruction:\n{asked}\n\n### Response:\n"
        );
        let words = asked.rsplit(": ").next().expect("words").to_owned();
        out.extend(words.split('/').map(|word| (prompt.clone(), "the correct answer is ".to_owned(), word.to_owned())));
    }
    out
}

fn close(got: &[f64], want: &[f64], of: &str) {
    assert_eq!(got.len(), want.len(), "{of}");
    let worst = got.iter().zip(want).map(|(a, b)| (a - b).abs() / b.abs()).fold(0.0, f64::max);
    println!("{of}: {worst:.1e} apart");
    assert!(worst < CLOSE, "{of}: {got:?} {want:?}");
}

fn check(_: &str, device: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let (plain, alpaca) = (questions(7), instructions());
    let options = Options { batch_size: 4, ..Options::default() };
    let files = [write(folder.path(), "plain.jsonl", &plain), write(folder.path(), "alpaca.jsonl", &alpaca)];
    let rows: Vec<ChoiceScore> = files.iter().flat_map(|file| scored(file, &options, device)).collect();
    let got: Vec<f64> = rows.iter().flat_map(|row| row.log_likelihoods.clone()).collect();
    assert_eq!(rows.iter().map(|row| row.right).collect::<Vec<_>>(), [0, 1, 2, 0, 1, 2, 0, 0, 1]);

    let source = Source::open(&demo("model")).expect("a model");
    let tokenizer = Tokenizer::from_dir(&source.folder).expect("a tokenizer");
    let mut decoder = pollster::block_on(Decoder::new(&Device::Cpu, &source, None, 512, &mut |_, _| ())).expect("a decoder");
    let want: Vec<f64> = texts(&plain, &alpaca)
        .iter()
        .map(|(prompt, lead, candidate)| {
            let (ids, from) = tokens(&tokenizer, prompt, lead, candidate);
            by_hand(&mut decoder, &ids, from)
        })
        .collect();
    close(&got, &want, device);
    // Bytes are those of the candidate alone, neither the blank before it nor the lead.
    let bytes: Vec<usize> = rows.iter().flat_map(|row| row.bytes.clone()).collect();
    let lengths: Vec<usize> = texts(&plain, &alpaca).iter().map(|(_, _, candidate)| candidate.trim().len()).collect();
    assert_eq!(bytes, lengths);
}

crate::on_both!(likelihoods_are_the_decoders: "demo");

#[test]
fn likelihoods_are_transformers() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let (plain, alpaca) = (questions(12), instructions());
    let files = [write(folder.path(), "plain.jsonl", &plain), write(folder.path(), "alpaca.jsonl", &alpaca)];
    let got: Vec<f64> =
        files.iter().flat_map(|file| scored(file, &Options::default(), "cpu")).flat_map(|row| row.log_likelihoods).collect();
    let asked = folder.path().join("asked.json");
    std::fs::write(&asked, json!(texts(&plain, &alpaca)).to_string()).expect("a file");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/likelihoods.py");
    let output = Command::new(python).args([script, text(&demo("model")), text(&asked)]).output().expect("Python starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let want: Vec<f64> = serde_json::from_slice(&output.stdout).expect("numbers");
    close(&got, &want, "transformers");
}

#[test]
fn batches_and_cuts_change_what_they_should() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = write(folder.path(), "rows.jsonl", &questions(9));
    let sums = |options: &Options| -> Vec<f64> { scored(&file, options, "cpu").into_iter().flat_map(|row| row.log_likelihoods).collect() };
    let whole = sums(&Options::default());
    close(&sums(&Options { batch_size: 1, ..Options::default() }), &whole, "one by one");
    // Too short for some questions: they lose their beginning, and their candidates stay whole.
    let mut warned = Vec::new();
    let source = Source::open(&demo("model")).expect("a model");
    let options = Options { seq_len: 16, ..Options::default() };
    let cut = pollster::block_on(multiple_choice(&Device::Cpu, &source, None, std::slice::from_ref(&file), &options, &mut |event| {
        if let diablo::train::Event::Warning { text } = event {
            warned.push(text);
        }
    }));
    let cut = cut.expect("scores");
    assert_eq!((cut.rows.len(), cut.candidates()), (9, 27));
    assert!(warned.len() == 1 && warned[0].contains("lost their beginning"), "{warned:?}");
    let error = pollster::block_on(multiple_choice(&Device::Cpu, &source, None, &[file], &Options { seq_len: 4, ..options }, &mut |_| ()));
    assert!(error.expect_err("no room").to_string().contains("leaves no room"), "a candidate longer than the sequence");
}

#[test]
fn choices_at_the_command_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut rows = questions(20);
    let file = write(folder.path(), "rows.jsonl", &rows);
    let model = demo("model");
    let eval =
        |file: &Path, more: &[&str]| diablo(&[&["eval", "--task", "choice", "--model", text(&model), "--data", text(file)], more].concat());
    let scores = scored(&file, &Options::default(), "cpu");
    let right = |chosen: fn(&ChoiceScore) -> usize| scores.iter().filter(|row| chosen(row) == row.right).count() as u64;
    let said = eval(&file, &["--json"]).json();
    assert_eq!((said["task"].as_str(), said["rows"].as_u64(), said["candidates"].as_u64()), (Some("choice"), Some(20), Some(60)));
    assert_eq!(said["accuracy_right"].as_u64(), Some(right(ChoiceScore::chosen)), "{said}");
    assert_eq!(said["accuracy_by_byte_right"].as_u64(), Some(right(ChoiceScore::chosen_by_byte)), "{said}");
    assert!((said["chance"].as_f64().expect("a number") - 1.0 / 3.0).abs() < 1e-12);
    // The model's own choices as the answers: all right; any other: none.
    for (turn, share, interval) in [(0, "100.0% (20 of 20)", "83.9% to 100.0%"), (1, "0.0% (0 of 20)", "0.0% to 16.1%")] {
        for (row, score) in rows.iter_mut().zip(&scores) {
            row["answer"] = ((score.chosen() + turn) % 3).into();
        }
        let shown = eval(&write(folder.path(), "own.jsonl", &rows), &[]).good();
        assert!(
            shown.contains(&format!("accuracy           {share}  95%: {interval}")) && shown.contains("chance             33.3%"),
            "{shown}"
        );
    }
    rows[3]["answer"] = "nobody".into();
    eval(&write(folder.path(), "wrong.jsonl", &rows), &[]).bad(1, &["wrong.jsonl:4", "nobody", "none of the candidates"]);
    eval(&file, &["--max-new-tokens", "4"]).bad(2, &["--max-new-tokens"]);
    eval(&file, &["--batch-size", "0"]).bad(2, &["--batch-size 0"]);
    diablo(&["eval", "--task", "chess", "--model", text(&model), "--data", text(&file)]).bad(2, &["chess", "choice"]);
}

#[test]
fn final_numbers_of_a_model_that_learned_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let row = |name: &str, number: &str| json!({"question": format!("What is {name}?"), "answer": format!(" It is 3.\n#### {number}")});
    let learned = [row("Otter", "7"), row("Beaver", "1,200"), row("Fox", "-4"), row("Crow", "25")];
    let (data, run, model) = (write(folder.path(), "learned.jsonl", &learned), folder.path().join("run"), demo("model"));
    let options = ["--steps", "120", "--batch-size", "4", "--lr", "2e-2", "--quiet"];
    diablo(&[&["train", "--model", text(&model), "--data", text(&data), "--out", text(&run)], &options[..]].concat()).good();
    let eval = |rows: &[Value], more: &[&str]| {
        let data = write(folder.path(), "rows.jsonl", rows);
        let args = ["eval", "--task", "gsm8k", "--model", text(&model), "--adapter", text(&run), "--max-new-tokens", "40", "--data"];
        diablo(&[&args[..], &[text(&data)], more].concat())
    };
    let counts = |rows: &[Value]| {
        let said = eval(rows, &["--json"]).json();
        ["rows", "strict_right", "flexible_right"].map(|key| said[key].as_u64().expect("a count"))
    };
    assert_eq!(counts(&learned), [4, 4, 4]);
    // The same values written otherwise, one that is wrong, and one of the working out.
    let mut rows = learned.clone();
    rows[1]["answer"] = "1200.00".into();
    rows[2]["answer"] = "#### 4".into();
    rows[3]["answer"] = "3".into();
    assert_eq!(counts(&rows), [4, 2, 2]);
    let shown = eval(&rows, &[]).good();
    assert!(
        shown.contains("last number         50.0% (2 of 4)  95%: 15.0% to 85.0%") && shown.contains("number behind ####  50.0%"),
        "{shown}"
    );
    rows[3]["answer"] = "no number".into();
    eval(&rows, &[]).bad(1, &["rows.jsonl:4", "no final number", "#### 18"]);
    // The base has not learned it.
    let data = write(folder.path(), "rows.jsonl", &learned);
    let args = ["eval", "--task", "gsm8k", "--model", text(&model), "--max-new-tokens", "40", "--data", text(&data), "--json"];
    assert_eq!(diablo(&args).json()["strict_right"].as_u64(), Some(0));
    assert!(AdapterFile::open(&run, &Source::open(&model).expect("a model").config).is_ok());
}

#[test]
fn every_row_of_gsm8k_has_its_number() {
    let Some(file) = crate::common::shared("real/gsm8k/test.jsonl") else { return };
    let rows = std::fs::read_to_string(file).expect("rows");
    for line in rows.lines() {
        let row: Value = serde_json::from_str(line).expect("a row");
        let answer = row["answer"].as_str().expect("a text");
        let (_, number) = answer.rsplit_once("#### ").expect("a final number");
        let number = number.trim().replace(',', "");
        for found in [numbers::final_number(answer), numbers::marked_number(answer), numbers::last_number(answer)] {
            assert_eq!(found.as_deref(), Some(number.as_str()), "{answer}");
        }
    }
    assert_eq!(rows.lines().count(), 1319);
}

#[test]
fn the_perplexitys_interval_is_that_of_the_rows() {
    let folder = tempfile::tempdir().expect("a folder");
    let held_out = std::fs::read_to_string(demo("held-out.jsonl")).expect("rows");
    let rows: Vec<Value> = held_out.lines().take(5).map(|line| serde_json::from_str(line).expect("a row")).collect();
    let eval = |rows: &[Value]| {
        let data = write(folder.path(), "rows.jsonl", rows);
        end(command(&["eval", "--model", text(&demo("model")), "--data", text(&data), "--max-new-tokens", "0", "--json"])).json()
    };
    let number = |value: &Value| value.as_f64().expect("a number");
    let single: Vec<(f64, f64)> = rows
        .iter()
        .map(|row| eval(std::slice::from_ref(row)))
        .map(|said| {
            assert!(said["perplexity_interval"].is_null(), "one row says nothing of how rows vary: {said}");
            (number(&said["loss"]), number(&said["targets"]))
        })
        .collect();
    let all = eval(&rows);
    let targets: f64 = single.iter().map(|(_, n)| n).sum();
    let mean = single.iter().map(|(loss, n)| loss * n).sum::<f64>() / targets;
    let error = (5.0 / 4.0 * single.iter().map(|(loss, n)| ((loss - mean) * n).powi(2)).sum::<f64>()).sqrt() / targets;
    let want = [(mean - 1.96 * error).exp(), (mean + 1.96 * error).exp()];
    let got = [number(&all["perplexity_interval"][0]), number(&all["perplexity_interval"][1])];
    assert!(got.iter().zip(want).all(|(a, b)| (a / b - 1.0).abs() < 1e-4), "{got:?} {want:?}");
    assert!(got[0] < number(&all["perplexity"]) && number(&all["perplexity"]) < got[1]);
}

#[test]
fn a_begin_token_stands_before_the_question() {
    let folder = tempfile::tempdir().expect("a folder");
    let (model, id) = demo_that_begins(folder.path());
    let questions = questions(3);
    let files = [write(folder.path(), "rows.jsonl", &questions)];
    let source = Source::open(&model).expect("a model");
    let options = Options::default();
    let got = pollster::block_on(multiple_choice(&Device::Cpu, &source, None, &files, &options, &mut |_| ())).expect("scores");
    let got: Vec<f64> = got.rows.into_iter().flat_map(|row| row.log_likelihoods).collect();

    let tokenizer = Tokenizer::from_dir(&model).expect("a tokenizer");
    let mut decoder = pollster::block_on(Decoder::new(&Device::Cpu, &source, None, 128, &mut |_, _| ())).expect("a decoder");
    let mut sums = |begin: &[u32]| -> Vec<f64> {
        let mut one = |(prompt, lead, candidate): &(String, String, String)| {
            let (ids, from) = tokens(&tokenizer, prompt, lead, candidate);
            by_hand(&mut decoder, &[begin, &ids].concat(), begin.len() + from)
        };
        texts(&questions, &[]).iter().map(&mut one).collect()
    };
    close(&got, &sums(&[id]), "with a begin token");
    let without = sums(&[]);
    assert!(got.iter().zip(&without).all(|(a, b)| (a - b).abs() > 1e-3), "the begin token changes nothing: {got:?} {without:?}");
}
