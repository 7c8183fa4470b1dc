//! A real checkpoint on real text: `../shared/README.md` has what PyTorch reaches.

use crate::common::shared;
use diablo::data::{Begin, Tokenizer};
use diablo::device::Device;
use diablo::generate::{Decoder, Sampler, Sampling};
use diablo::model::Source;
use diablo::train::blocks::Blocks;
use diablo::train::config::Method;
use diablo::train::schedule::ScheduleKind;
use diablo::train::{RunConfig, Trainer};

/// The first 400,000 characters, without the two `&`: tokenizer.json makes them <unk>, and transformers' own tokenizer, which PyTorch's
/// figures come from, leaves them out. The tokens are then the same, 195,190 of them.
fn tokens_as_pytorch(text: &str) -> String {
    text.chars().take(400_000).filter(|c| *c != '&').collect()
}

/// 300 steps of 8 x 128 tokens over the first 400,000 characters, the last tenth of the windows held out.
fn held_out_loss(method: Method, lr: f64) -> Option<f64> {
    let (model, text) = (shared("real/tinystories-656k")?, shared("real/tinyshakespeare")?);
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("text.txt");
    let text = std::fs::read_to_string(text.join("input.txt")).expect("the text");
    std::fs::write(&data, tokens_as_pytorch(&text)).expect("written");
    let run = RunConfig {
        model,
        data: data.into(),
        out: folder.path().join("run"),
        method,
        blocks: Some(Blocks::One(8)).filter(|_| method == Method::Diablo),
        rank: 8,
        alpha: 16.0,
        // As in PyTorch's run.
        begin_token: Begin::Off,
        steps: Some(300),
        batch_size: 8,
        seq_len: 128,
        lr: Some(lr),
        schedule: ScheduleKind::Constant,
        eval_split: Some(0.1),
        eval_every: Some(300),
        save_every: Some(300),
        no_shuffle: true,
        device: "cpu".into(),
        ..RunConfig::default()
    };
    let mut before = None;
    let mut trainer = Trainer::prepare(run, &mut |_| ()).expect("a run");
    let outcome = trainer
        .run(
            &mut |event| {
                if let diablo::train::Event::Eval { step: 0, loss, .. } = event {
                    before = Some(loss);
                }
            },
            &|| false,
        )
        .expect("the run");
    let before = before.expect("a loss before the first step");
    assert!((before - 6.273).abs() <= 0.001, "held-out loss before training {before}");
    let after = outcome.last_eval_loss.expect("a held-out loss");
    println!(
        "{method:?} at {lr}: held-out loss {before:.4} before, {after:.4} after; {:.0} tokens/s",
        outcome.tokens as f64 / outcome.seconds
    );
    Some(after)
}

fn reaches(method: Method, lr: f64, pytorch: f64) {
    if let Some(loss) = held_out_loss(method, lr) {
        assert!((loss - pytorch).abs() <= 0.02, "{loss}, and PyTorch {pytorch}");
    }
}

#[test]
fn diablo_at_3e_3() {
    reaches(Method::Diablo, 3e-3, 4.289);
}

#[test]
fn diablo_at_3e_2() {
    reaches(Method::Diablo, 3e-2, 3.914);
}

#[test]
fn lora_at_1e_2() {
    reaches(Method::Lora, 1e-2, 3.979);
}

#[test]
fn lora_at_1e_3() {
    reaches(Method::Lora, 1e-3, 4.251);
}

#[test]
fn the_greedy_story_is_that_of_transformers() {
    let Some(folder) = shared("real/tinystories-656k") else { return };
    let source = Source::open(&folder).expect("model");
    let tokenizer = Tokenizer::from_dir(&folder).expect("tokenizer");
    let mut decoder = pollster::block_on(Decoder::new(&Device::Cpu, &source, None, 128, &mut |_, _| ())).expect("decoder");
    let mut prompt = tokenizer.begin().expect("this tokenizer begins texts with <s>");
    prompt.extend(tokenizer.encode("Once upon a time").expect("tokens"));
    let mut sampler = Sampler::new(Sampling::GREEDY);
    let story = pollster::block_on(decoder.continue_tokens(&tokenizer, &prompt, 40, &[], &mut sampler, &mut |_| true)).expect("a story");
    let start = ", a little girl named Lily lived in a small house with her mom, dad, and her dog, Spot,";
    assert!(story.text.starts_with(start), "{}", story.text);
}
