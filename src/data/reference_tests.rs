//! The same tokens as PyTorch and transformers were given, and the real tokenizers.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::*;

/// The folder of reference data beside the project, if it is there.
fn shared() -> Option<PathBuf> {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared"));
    if !path.is_dir() {
        println!("skipped: no ../shared");
        return None;
    }
    Some(path.to_path_buf())
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn grid(value: &Value) -> Vec<Vec<i64>> {
    serde_json::from_value(value.clone()).unwrap()
}

#[test]
fn every_micro_batch_is_the_reference_s() {
    let Some(shared) = shared() else { return };
    let mut names: Vec<_> =
        std::fs::read_dir(shared.join("reference")).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir()).collect();
    names.sort();
    assert!(names.len() >= 7);
    for dir in names {
        let model = dir.join("model");
        let tokenizer = Tokenizer::from_dir(&model).unwrap();
        let config = json(&model.join("config.json"));
        tokenizer.check_against(config["vocab_size"].as_u64().unwrap() as usize).unwrap();
        let eos = training_eos(&model, &tokenizer, &[config["eos_token_id"].as_u64().unwrap() as u32]).unwrap();
        let file = dir.join("train.jsonl");
        let rows = read_rows(&file, &Reading::default()).unwrap();
        let options = Options { seq_len: 256, eos, too_long: TooLong::Error, ..Options::default() };
        let (data, report) = Dataset::build(&rows, &tokenizer, &options, &file.display().to_string(), &|_, _| {}).unwrap();
        let lengths = buckets(&data.lengths(), 4, 256, 4);
        let mut order = Order::new(data.len(), None);
        let (mut position, mut targets) = (0, 0);
        let steps = json(&dir.join("tokens.json"));
        for (step, want) in steps.as_array().unwrap().iter().enumerate() {
            let (ids, labels) = (grid(&want["ids"]), grid(&want["labels"]));
            let samples: Vec<&Sample> = (0..ids.len() as u64).map(|k| &data.samples[order.sample_index(position + k)]).collect();
            position += ids.len() as u64;
            let width = samples.iter().map(|s| s.ids.len()).max().unwrap();
            assert_eq!(width, ids[0].len());
            for seq in [width, bucket_for(width, &lengths).unwrap()] {
                let batch = Batch::assemble(&samples, ids.len(), seq);
                for r in 0..ids.len() {
                    let (length, first) = (batch.lengths[r] as usize, r * seq);
                    let got: Vec<i64> = batch.ids[first..first + length].iter().map(|id| i64::from(*id)).collect();
                    assert_eq!(got, ids[r][..length], "{} step {step} row {r}", dir.display());
                    // What the reference has behind the row's end is its padding: id 2, nothing learned.
                    assert!(ids[r][length..].iter().all(|id| *id == 2) && labels[r][length..].iter().all(|l| *l == -100));
                    // The reference's labels stand at their own token, ours one before.
                    let label = |at: usize| labels[r].get(at + 1).copied().unwrap_or(-100);
                    let want: Vec<u32> = (0..seq).map(|t| u32::try_from(label(t)).unwrap_or(IGNORE)).collect();
                    assert_eq!(batch.targets[first..first + seq], want, "{} step {step} row {r}", dir.display());
                }
                assert_eq!(batch.tokens(), samples.iter().map(|s| s.ids.len()).sum::<usize>());
                targets += batch.target_count();
            }
        }
        assert_eq!((position, targets), (data.len() as u64, 2 * report.targets));
        let expected = json(&dir.join("expected.json"));
        for when in ["greedy_before", "greedy_after"] {
            let all: Vec<u32> = serde_json::from_value(expected[when].clone()).unwrap();
            let until = all.iter().position(|id| *id == eos).unwrap_or(all.len());
            assert_eq!(tokenizer.decode(&all[..until], true).unwrap(), expected[format!("{when}_text")].as_str().unwrap());
        }
    }
}

/// FNV-1a over little-endian ids: one number to compare many.
fn digest<'a>(ids: impl Iterator<Item = &'a u32>) -> u64 {
    ids.flat_map(|id| id.to_le_bytes()).fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3))
}

#[test]
fn a_real_text_gives_the_windows_of_the_reference() {
    let Some(shared) = shared() else { return };
    let tokenizer = Tokenizer::from_dir(&shared.join("real/tinystories-656k")).unwrap();
    let Rows::Text(text) = read_rows(&shared.join("real/tinyshakespeare/input.txt"), &Reading::default()).unwrap() else { panic!() };
    let text: String = text.chars().take(400_000).collect();
    let options = Options { seq_len: 128, eos: 2, too_long: TooLong::Cut, ..Options::default() };
    let start = Instant::now();
    let (data, report) = Dataset::build(&Rows::Text(text), &tokenizer, &options, "input.txt", &|_, _| {}).unwrap();
    println!("400,000 characters in {:?}", start.elapsed());
    assert!(start.elapsed() < Duration::from_secs(20));
    // From the same file by the same library in Python, line by line. (transformers 5.23 builds its own Llama tokenizer, which
    // drops unknown characters: it has two tokens fewer here, the `&` of two lines.)
    assert_eq!((report.tokens + report.remainder, data.len()), (TOKENS, TOKENS / 128));
    let one = Options { seq_len: TOKENS, ..options };
    let Rows::Text(text) = read_rows(&shared.join("real/tinyshakespeare/input.txt"), &Reading::default()).unwrap() else { panic!() };
    let whole = Rows::Text(text.chars().take(400_000).collect());
    let (whole, _) = Dataset::build(&whole, &tokenizer, &one, "input.txt", &|_, _| {}).unwrap();
    assert_eq!(digest(whole.samples[0].ids.iter()), DIGEST);
    let windows = data.len();
    let (train, held) = data.split_held_out(0.1).unwrap();
    assert_eq!((train.len(), held.len()), (windows - windows / 10, windows / 10));
}

const TOKENS: usize = 195_192;
const DIGEST: u64 = 0xef3a_fa9e_b92a_7ddf;

#[test]
fn short_texts_are_tokenised_whole() {
    let Some(shared) = shared() else { return };
    let tokenizer = Tokenizer::from_dir(&shared.join("real/tinystories-656k")).unwrap();
    let ids = tokenizer.encode("One day, Tom\nsaw  a big dog.\n\nHe é 你好 ran.").unwrap();
    assert_eq!(ids, [80, 299, 380, 3, 497, 592, 604, 122, 3, 810, 0, 80, 0, 80, 494, 10]);
    assert_eq!(training_eos(&shared.join("real/tinystories-656k"), &tokenizer, &[]).unwrap(), 2);
    assert_eq!(tokenizer.vocab_size(), 2048);
    let start = Instant::now();
    let text = "The cat sat on the mat and looked.\n".repeat(10_000);
    let short = &text[..16 * 1024];
    let mut whole = Vec::new();
    tokenizer.encode_into(short, &mut whole).unwrap();
    assert_eq!(tokenizer.encode(short).unwrap(), whole);
    assert!(tokenizer.encode(&text).unwrap().len() > 50_000);
    // One line of that length, as hostile files have: slower, but not by its square.
    let mut ids = Vec::new();
    tokenizer.encode_into(&text.replace('\n', " "), &mut ids).unwrap();
    println!("350,000 bytes in pieces and in one line in {:?}", start.elapsed());
    assert!(start.elapsed() < Duration::from_secs(30));
}

#[test]
fn pieces_give_the_tokens_of_the_whole() {
    let Some(shared) = shared() else { return };
    let dir = shared.join("real/qwen2-tokenizer");
    let tokenizer = Tokenizer::from_dir(&dir).unwrap();
    assert_eq!(tokenizer.vocab_size(), 151_646);
    assert_eq!(training_eos(&dir, &tokenizer, &[151_643]).unwrap(), 151_645);
    assert_eq!(stop_ids(&dir, &tokenizer, &[151_643]).unwrap(), [151_643, 151_645]);
    let text = std::fs::read_to_string(shared.join("real/tinyshakespeare/input.txt")).unwrap();
    let mut whole = Vec::new();
    tokenizer.encode_into(&text, &mut whole).unwrap();
    assert_eq!(tokenizer.encode(&text).unwrap(), whole);
}

#[test]
fn streamed_text_is_the_whole_text() {
    let Some(shared) = shared() else { return };
    for name in ["real/qwen2-tokenizer", "real/tinystories-656k", "reference/llama-diablo/model"] {
        let tokenizer = Tokenizer::from_dir(&shared.join(name)).unwrap();
        let mut cases: Vec<Vec<u32>> =
            ["Hello 🦙🎟 你好, é\n\n  x", " a", "", "The  end.\u{fffd} é"].iter().map(|t| tokenizer.encode(t).unwrap()).collect();
        // Any ids a model may come up with: broken characters, special tokens, unknown ids.
        let mut order = Order::new(tokenizer.vocab_size() + 3, Some(5));
        cases.extend((0..200).map(|c| (0..25).map(|i| order.sample_index(c * 25 + i) as u32).collect()));
        for (ids, skip) in cases.iter().flat_map(|ids| [(ids, true), (ids, false)]) {
            let mut stream = DecodeStream::new(&tokenizer, skip);
            let mut text = String::new();
            for id in ids {
                let part = stream.push(*id).unwrap().unwrap_or_default();
                assert!(!part.ends_with('\u{fffd}'));
                text += &part;
            }
            text += &stream.finish().unwrap().unwrap_or_default();
            assert_eq!(text, tokenizer.decode(ids, skip).unwrap(), "{name} {ids:?}");
        }
    }
}

#[test]
fn real_rows_are_read() {
    let Some(shared) = shared() else { return };
    let file = shared.join("real/gsm8k/test.jsonl");
    let columns = Reading::pair("question", "answer");
    let rows = read_rows(&file, &columns).unwrap();
    assert!(matches!(&rows, Rows::Pairs(rows) if rows.len() == 1_319 && rows[1_318].line == 1_319));
    assert_eq!(read_rows(&file, &Reading::default()).unwrap(), rows);
    let tokenizer = Tokenizer::from_dir(&shared.join("real/tinystories-656k")).unwrap();
    let options = Options { seq_len: 512, eos: 2, too_long: TooLong::Cut, ..Options::default() };
    let start = Instant::now();
    let (data, report) = Dataset::build(&rows, &tokenizer, &options, "test.jsonl", &|_, _| {}).unwrap();
    println!("{report:?}\nbuckets {:?} in {:?}", buckets(&data.lengths(), 8, 512, 4), start.elapsed());
    assert_eq!(report.rows, report.samples + report.dropped + report.without_targets);
    assert_eq!(report.histogram.iter().sum::<usize>(), 1_319);
}
