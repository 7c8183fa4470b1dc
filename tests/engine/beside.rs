//! Texts written beside each other are token by token those that are written alone, on both executors.

use crate::common::{diablo, line, shared, text};
use diablo::data::Tokenizer;
use diablo::device::Device;
use diablo::generate::{Continuation, Decoder, Request, Sampler, Sampling};
use diablo::model::Source;
use pollster::block_on;
use std::path::{Path, PathBuf};

/// A real model; one with a sliding window; one with learned positions.
fn models() -> Vec<PathBuf> {
    let here = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name).join("model");
    [shared("real/tinystories-656k")].into_iter().flatten().chain([here("mistral-diablo"), here("gpt2-diablo")]).collect()
}

/// Prompts of different lengths, one of them longer than what is read at once, each with the most tokens that may follow.
fn prompts(tokenizer: &Tokenizer, room: usize) -> Vec<(Vec<u32>, usize)> {
    let long = "One day a little girl found a big red box under the tree. ".repeat(4);
    let texts = ["Once upon a time", "Tom", &long, "The dog ran to the", "a", "Lily and Ben like to play in the park with", "He was"];
    let most = [12, 0, 9, 14, 1, 12, 5];
    let cut = |text: &str| {
        let mut ids = tokenizer.encode(text).expect("tokens");
        ids.truncate(room - 30);
        ids
    };
    texts.iter().zip(most).map(|(text, most)| (cut(text), most)).collect()
}

fn check(_: &str, device: &str) {
    let device = Device::open(device).expect("device");
    for model in models() {
        let source = Source::open(&model).expect("a model");
        let tokenizer = Tokenizer::from_dir(&model).expect("a tokenizer");
        let capacity = 128.min(source.config.max_position_embeddings);
        let prompts = prompts(&tokenizer, capacity);
        let mut decoder = block_on(Decoder::new(&device, &source, None, capacity, &mut |_, _| ())).expect("a decoder");
        let mut alone = |stop: &[u32], how: Sampling| -> Vec<Continuation> {
            let mut one = |(prompt, most): &(Vec<u32>, usize)| {
                let mut sampler = Sampler::new(how);
                block_on(decoder.continue_tokens(&tokenizer, prompt, *most, stop, &mut sampler, &mut |_| true)).expect("a text")
            };
            prompts.iter().map(&mut one).collect()
        };
        let drawn = Sampling { temperature: 0.8, top_k: 20, top_p: 0.95, seed: 5 };
        let free = alone(&[], Sampling::GREEDY);
        // Tokens in the middle of two texts end them, so that others take their rows.
        let stop = [free[0].ids[5], free[3].ids[9]];
        let cases: [(&[u32], Sampling); 3] = [(&[], Sampling::GREEDY), (&stop, Sampling::GREEDY), (&[], drawn)];
        let wanted = cases.map(|(stop, how)| alone(stop, how));
        assert!(wanted[1].iter().any(|text| text.ended), "nothing ended by itself");
        for rows in [3, 16] {
            let mut decoder = block_on(Decoder::with_rows(&device, &source, None, rows, capacity, &mut |_, _| ())).expect("a decoder");
            assert_eq!(decoder.rows(), rows);
            // One after the other: what a row held before is forgotten.
            for ((stop, how), want) in cases.iter().zip(&wanted) {
                let mut samplers = vec![Sampler::new(*how); prompts.len()];
                let mut heard = vec![String::new(); prompts.len()];
                let mut ended = Vec::new();
                let each = prompts.iter().zip(&mut samplers);
                let requests = each.map(|((prompt, most), sampler)| Request { prompt, most: *most, sampler }).collect();
                let mut print = |place: usize, piece: &str| {
                    heard[place].push_str(piece);
                    true
                };
                let got = block_on(decoder.continue_all(&tokenizer, requests, stop, &mut print, &mut |n| ended.push(n)));
                let got = got.expect("texts");
                assert_eq!(got, *want, "{} with {rows} rows on {}", model.display(), device.name());
                assert!(heard.iter().zip(&got).all(|(heard, text)| *heard == text.text));
                assert_eq!(ended, (1..=prompts.len()).collect::<Vec<_>>());
            }
        }
    }
}

/// One that is told to stop does not go on, and takes nothing from the others.
#[test]
fn a_text_that_nobody_hears_ends() {
    let Some(model) = models().pop() else { return };
    let source = Source::open(&model).expect("a model");
    let tokenizer = Tokenizer::from_dir(&model).expect("a tokenizer");
    let prompts = [tokenizer.encode("one").expect("tokens"), tokenizer.encode("another").expect("tokens")];
    let mut decoder = block_on(Decoder::with_rows(&Device::Cpu, &source, None, 2, 64, &mut |_, _| ())).expect("a decoder");
    let mut write = |hears: &dyn Fn(usize, usize) -> bool| {
        let mut samplers = vec![Sampler::new(Sampling::GREEDY); 2];
        let requests = prompts.iter().zip(&mut samplers).map(|(prompt, sampler)| Request { prompt, most: 20, sampler }).collect();
        let mut pieces = [0; 2];
        let mut print = |place: usize, _: &str| {
            pieces[place] += 1;
            hears(place, pieces[place])
        };
        block_on(decoder.continue_all(&tokenizer, requests, &[], &mut print, &mut |_| ())).expect("texts")
    };
    let whole = write(&|_, _| true);
    let cut = write(&|place, pieces| place == 1 || pieces < 2);
    assert!(cut[0].ids.len() < 20 && whole[0].ids.starts_with(&cut[0].ids), "{cut:?}");
    assert_eq!(cut[1], whole[1]);
    let full = block_on(decoder.feed(&[0; 65])).expect_err("too long").to_string();
    assert!(full.contains("65 tokens do not fit: the cache holds 64"), "{full}");
}

/// `diablo eval` counts the same answers right, however many it writes at once.
#[test]
fn exact_match_does_not_depend_on_the_batch() {
    let Some(model) = shared("real/tinystories-656k") else { return };
    let dir = tempfile::tempdir().expect("a folder");
    let model = text(&model);
    let mut rows = String::new();
    for (i, prompt) in ["Once upon a time", "Tom", "The dog ran", "One day", "Lily and Ben like to", "He was"].into_iter().enumerate() {
        let args = ["generate", "--model", model, "--prompt", prompt, "--max-new-tokens", "10", "--json"];
        let written = diablo(&args).json()["text"].clone();
        // What the model writes, but for two rows.
        let completion = if i % 3 == 1 { "something else".into() } else { written };
        rows += &format!("{}\n", serde_json::json!({"prompt": prompt, "completion": completion}));
    }
    let data = dir.path().join("rows.jsonl");
    std::fs::write(&data, rows).expect("written");
    for batch in [1, 2, 4, 8] {
        let scores =
            line(&format!("eval --model {model} --data {} --max-new-tokens 10 --batch-size {batch} --json", data.display())).json();
        assert_eq!((&scores["exact_match_right"], &scores["exact_match_of"]), (&4.into(), &6.into()), "{batch}: {scores}");
    }
}

crate::on_both!(beside_as_alone: "beside");
