//! A tokenizer's files, and a text that goes through it.

use super::{parts, put, tiny, told};
use diablo::data::{Tokenizer, Vocabulary, preview, stop_ids, training_bos, training_eos};
use std::path::Path;

/// Bytes of a text: more of it shows nothing new.
const TEXT: usize = 256;

pub fn read(folder: &Path, bytes: &[u8]) {
    put(folder, ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "generation_config.json", "text.txt"], bytes);
    let Some(tokenizer) = told(Tokenizer::from_dir(folder)) else { return };
    told(tokenizer.check_against(tokenizer.vocab_size())).expect("its own size");
    told(training_eos(folder, &tokenizer, &[]));
    told(stop_ids(folder, &tokenizer, &[]));
    told(training_bos(folder, &tokenizer, None));
    told(tokenizer.puts_blank());
    told(tokenizer.around());
    told(Vocabulary::of_model(folder, tiny(), &mut Vec::new()));
    let text = String::from_utf8_lossy(parts::<5>(bytes)[4].unwrap_or(b"Where is it? </s> \xc3\xa9 12\n"));
    let text: String = text.chars().take(TEXT).collect();
    let Some(ids) = told(tokenizer.encode(&text)) else { return };
    let (same, offsets) = tokenizer.encode_offsets(&text).expect("as without offsets");
    assert_eq!((&same, same.len()), (&ids, offsets.len()));
    assert!(offsets.iter().all(|range| range.end <= text.len()), "{offsets:?} of {} bytes", text.len());
    let small = tokenizer.vocab_size();
    assert!(ids.iter().all(|id| (*id as usize) < small), "{ids:?} of {small}");
    told(tokenizer.decode(&ids, true));
    told(preview::texts(&tokenizer, &ids[..ids.len().min(8)]));
}
