//! A chat template with a conversation, both from strangers: the template, a row of JSON, and the tokenizer's names of special tokens.

use super::rows::demo_tokenizer;
use super::{parts, put, told};
use diablo::data::{ChatTemplate, Reading, Rows, TrainOn, read_rows};
use serde_json::Value;
use std::path::Path;

/// Longer texts are not tokenised: that takes its time, and shows nothing new.
const LONG: usize = 100_000;

pub fn read(folder: &Path, bytes: &[u8]) {
    put(folder, ["chat_template.jinja", "row.jsonl", "tokenizer_config.json"], bytes);
    let Some(Some(template)) = told(ChatTemplate::of_model(folder)) else { return };
    // As a face has them, which made them itself, and as a file of rows has them.
    let row: Option<Value> = parts::<3>(bytes)[1].and_then(|row| serde_json::from_slice(row).ok());
    let messages = row.as_ref().and_then(|row| row.get("messages")?.as_array().cloned()).unwrap_or_default();
    let tools = row.as_ref().and_then(|row| row.get("tools"));
    let Some(text) = told(template.render(&messages, tools, true)) else { return };
    assert!(text.len() <= 16 << 20, "{} bytes", text.len());
    let Some(Rows::Chats(chats)) = told(read_rows(&folder.join("row.jsonl"), &Reading::default())) else { return };
    let Some(chat) = chats.first().filter(|_| text.len() <= LONG) else { return };
    for train_on in [TrainOn::Assistant, TrainOn::Last, TrainOn::All] {
        let Some(learned) = told(template.tokens(chat, demo_tokenizer(), train_on, "row")) else { return };
        assert_eq!(learned.ids.len(), learned.mask.len());
    }
}
