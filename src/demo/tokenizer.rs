//! The demo's tokenizer: byte-level BPE, trained on the base text. The same text gives the same file, byte for byte.

use tokenizers::decoders::byte_level::ByteLevel;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::{AddedToken, NormalizerWrapper, Result, TokenizerBuilder};

/// The special tokens, in the order of their ids: start 0, end 1, padding 2.
pub const SPECIALS: [&str; 3] = ["<s>", "</s>", "<pad>"];

/// Trains on `text`, line by line: tokenizer.json, with at most `vocabulary` ids.
///
/// # Errors
/// What the tokenizers crate reports.
pub fn train(text: &str, vocabulary: usize) -> Result<String> {
    let mut trainer = BpeTrainer::builder()
        .vocab_size(vocabulary)
        .show_progress(false)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .special_tokens(SPECIALS.iter().map(|s| AddedToken::from(*s, true)).collect())
        .build();
    let mut tokenizer = TokenizerBuilder::<BPE, NormalizerWrapper, ByteLevel, ByteLevel, ByteLevel>::new()
        .with_model(BPE::default())
        .with_pre_tokenizer(Some(ByteLevel::new(false, true, true)))
        .with_decoder(Some(ByteLevel::default()))
        .build()?;
    tokenizer.train(&mut trainer, text.split_inclusive('\n'))?;
    tokenizer.to_string(true)
}

/// tokenizer_config.json, as transformers reads it.
pub fn config() -> String {
    let config = serde_json::json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": SPECIALS[0],
        "eos_token": SPECIALS[1],
        "pad_token": SPECIALS[2],
        "clean_up_tokenization_spaces": false,
        "model_max_length": 256,
    });
    format!("{config:#}\n")
}
