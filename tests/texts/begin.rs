//! What a run leaves for those who ask its adapter: the begin token of its rows, and how it held the weights.

use crate::common::{demo, demo_that_begins, diablo, text};
use diablo::data::{Begin, Tokenizer};
use diablo::model::Source;
use diablo::train::{RunConfig, rows};
use std::path::Path;

const PROMPT: &str = "Where does Otter live?";

fn samples(model: &Path, data: &Path, begin_token: Begin) -> Vec<(Vec<u32>, u32)> {
    let run = RunConfig { model: model.into(), data: data.into(), seq_len: 32, begin_token, ..RunConfig::default() };
    let source = Source::open(model).expect("a model");
    let (data, _) = rows::load(&run, &source, &mut |_| ()).expect("rows");
    data.samples.into_iter().map(|sample| (sample.ids, sample.learn_from)).collect()
}

#[test]
fn rows_begin_as_the_tokenizer_says_or_as_they_are_told_to() {
    let folder = tempfile::tempdir().expect("a folder");
    let (begins, id) = demo_that_begins(folder.path());
    let file = folder.path().join("story.txt");
    std::fs::write(&file, "Otter lives by the river. ".repeat(40)).expect("a file");
    for data in [demo("train.jsonl"), file.clone()] {
        let plain = samples(&begins, &data, Begin::Off);
        assert_eq!(samples(&demo("model"), &data, Begin::Auto), plain, "a tokenizer that puts none");
        let with = samples(&begins, &data, Begin::Auto);
        assert_eq!(samples(&demo("model"), &data, Begin::On), with, "the checkpoint's own, though its tokenizer puts none");
        assert!(with.iter().all(|(ids, from)| ids[0] == id && ids.len() <= 32 && *from > 1));
        if data != file {
            let put = |(ids, from): &(Vec<u32>, u32)| ([&[id], &ids[..]].concat(), from + 1);
            let short = |(ids, _): &&(Vec<u32>, u32)| ids.len() < 32;
            assert_eq!(with[..20], plain.iter().filter(short).map(put).collect::<Vec<_>>()[..20]);
        } else {
            // Windows of one token less, none of which is lost or learned twice.
            let text = |rows: &[(Vec<u32>, u32)], from: usize| rows.iter().flat_map(|(ids, _)| ids[from..].to_vec()).collect::<Vec<u32>>();
            let (with, plain) = (text(&with, 1), text(&plain, 0));
            let least = with.len().min(plain.len());
            assert_eq!(with[..least], plain[..least]);
        }
    }
}

/// An adapter is scored on weights as its run had them, rounded ones too.
#[test]
fn an_adapter_is_asked_on_the_weights_it_was_trained_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let (model, train, held_out, out) = (demo("model"), demo("train.jsonl"), demo("held-out.jsonl"), folder.path().join("run"));
    let args = ["train", "--model", text(&model), "--data", text(&train), "--eval-data", text(&held_out), "--out", text(&out)];
    let more = ["--weights", "nf4", "--steps", "8", "--batch-size", "4", "--seq-len", "64", "--lr", "1e-2", "--device", "cpu", "--quiet"];
    diablo(&[&args[..], &more].concat()).good();
    let steps = std::fs::read_to_string(out.join("metrics.jsonl")).expect("metrics");
    let last: serde_json::Value = serde_json::from_str(steps.lines().last().expect("a step")).expect("JSON");
    let held = last["eval_loss"].as_f64().expect("a loss");
    let scored = |more: &[&str]| {
        let args = ["eval", "--model", text(&model), "--adapter", text(&out), "--data", text(&held_out)];
        let options = ["--seq-len", "64", "--max-new-tokens", "0", "--device", "cpu", "--json"];
        diablo(&[&args[..], &options, more].concat()).json()["loss"].as_f64().expect("a loss")
    };
    assert!((scored(&[]) - held).abs() < 1e-5, "{} by eval, {held} by the run", scored(&[]));
    assert!((scored(&["--weights", "bf16"]) - held).abs() > 1e-3, "rounding changes nothing");
}

/// What a run's rows begin with stands before what its adapter continues and is scored on, whoever asks; a run from before there was the
/// option had none.
#[test]
fn an_adapter_is_asked_as_it_was_trained() {
    let folder = tempfile::tempdir().expect("a folder");
    let (model, _) = demo_that_begins(folder.path());
    let tokens = Tokenizer::from_dir(&model).expect("a tokenizer").encode(PROMPT).expect("ids").len();
    let (model, train, held_out) = (text(&model).to_owned(), demo("train.jsonl"), demo("held-out.jsonl"));
    let mut losses = Vec::new();
    for (begin, method) in [("auto", "diablo"), ("off", "lora"), ("auto", "full"), ("off", "full")] {
        let out = folder.path().join(format!("{method}-{begin}"));
        let whole = out.join("model");
        let args = [
            "train",
            "--model",
            &model,
            "--data",
            text(&train),
            "--eval-data",
            text(&held_out),
            "--out",
            text(&out),
            "--begin-token",
            begin,
        ];
        let more =
            ["--method", method, "--steps", "4", "--batch-size", "4", "--seq-len", "64", "--sample-prompt", PROMPT, "--sample-every", "4"];
        let machine = ["--sample-tokens", "8", "--eval-every", "4", "--lr", "1e-3", "--device", "cpu", "--quiet"];
        diablo(&[&args[..], &more, &machine].concat()).good();
        let who = if method == "full" { vec!["--model", text(&whole)] } else { vec!["--model", &model, "--adapter", text(&out)] };
        let ask = |more: &[&str]| {
            let args = ["generate", "--prompt", PROMPT, "--max-new-tokens", "8", "--device", "cpu", "--json"];
            diablo(&[&args[..], &who, more].concat()).json()
        };
        let (told, begun) = (ask(&[]), usize::from(begin == "auto"));
        assert_eq!(told["prompt_tokens"], tokens + begun, "{method}, {begin}");
        assert_eq!(ask(&["--begin-token", "on"])["prompt_tokens"], tokens + 1);
        assert_eq!(ask(&["--begin-token", "off"])["prompt_tokens"], tokens);
        let written = std::fs::read_to_string(out.join("samples.jsonl")).expect("texts");
        let last: serde_json::Value = serde_json::from_str(written.lines().last().expect("a text")).expect("JSON");
        assert_eq!((&last["step"], &last["text"]), (&4.into(), &told["text"]), "what the run wrote at its end, {method}, {begin}");

        let score = ["eval", "--data", text(&held_out), "--seq-len", "64", "--max-new-tokens", "0", "--device", "cpu", "--json"];
        let scored = diablo(&[&score[..], &who].concat()).json()["loss"].as_f64().expect("a loss");
        let steps = std::fs::read_to_string(out.join("metrics.jsonl")).expect("metrics");
        let last: serde_json::Value = serde_json::from_str(steps.lines().last().expect("a step")).expect("JSON");
        let held = last["eval_loss"].as_f64().expect("a loss");
        // A whole model is written in the base's 16 bits, which its run did not compute with.
        let close = if method == "full" { 2e-2 } else { 1e-5 };
        assert!((scored - held).abs() < close, "{method}, {begin}: {scored} by eval, {held} by the run");
        losses.push(scored);

        let file = out.join("run.toml");
        let told = std::fs::read_to_string(&file).expect("run.toml");
        let older = told.replace(&format!("begin_token = \"{begin}\"\n"), "");
        assert_ne!(older, told);
        std::fs::write(&file, older).expect("written");
        assert_eq!(ask(&[])["prompt_tokens"], tokens, "a run of before");
    }
    assert!((losses[2] - losses[3]).abs() > 1e-4, "the begin token changes nothing: {losses:?}");
}
