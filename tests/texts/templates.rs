//! Chat templates against transformers: text, ids and mask of every conversation.
//!
//! The conversations in `templates/conversations.json` go through the templates beside it, which do what those of well-known families do;
//! what transformers makes of them is kept in `templates/expected.json` (`DIABLO_KEEP=1` writes it anew). Where Python with transformers is
//! found, it is asked again, and real conversations and instructions go through Qwen2's own template too.
#![allow(clippy::unwrap_used)]

use crate::common::{python, shared, text};
use diablo::data::{Chat, ChatTemplate, Reading, Rows, Tokenizer, TrainOn, read_rows};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

const TEMPLATES: [&str; 5] = ["headers", "alternating", "turns", "thinking", "marked"];

fn folder() -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/templates")).to_path_buf()
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// What transformers makes of these cases.
fn transformers(python: &str, cases: &[Value]) -> Vec<Value> {
    let dir = tempfile::tempdir().unwrap();
    let (asked, told) = (dir.path().join("cases.json"), dir.path().join("results.json"));
    std::fs::write(&asked, serde_json::to_vec(cases).unwrap()).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/chat_templates.py");
    let output = Command::new(python).args([script, text(&asked), text(&told)]).env("TZ", "UTC").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_value(read(&told)).unwrap()
}

/// A conversation, a template, a tokenizer.
struct Case {
    name: String,
    template: ChatTemplate,
    source: String,
    chat: Chat,
    model: PathBuf,
}

impl Case {
    fn new(name: String, file: &Path, chat: &Chat, model: &Path) -> Self {
        let template = ChatTemplate::from_file(file, model).unwrap();
        let source = std::fs::read_to_string(file).unwrap();
        Self { name, template, source, chat: chat.clone(), model: model.to_path_buf() }
    }

    fn for_python(&self) -> Value {
        let config = read(&self.model.join("tokenizer_config.json"));
        let special: Map<String, Value> = config
            .as_object()
            .unwrap()
            .iter()
            .filter(|(k, v)| k.ends_with("_token") && v.is_string())
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        let (messages, _) = self.template.fitted(&self.chat.messages);
        let tokenizer = self.model.join("tokenizer.json");
        json!({"tokenizer": tokenizer, "template": self.source, "special": special, "messages": messages, "tools": self.chat.tools})
    }

    /// Compares with what transformers made of it. Whether there was a mask to compare.
    fn check(&self, want: &Value, tokenizer: &Tokenizer) -> bool {
        let (name, tools) = (&self.name, self.chat.tools.as_ref());
        let text = self.template.render(&self.chat.messages, tools, false);
        if let Some(error) = want.get("error") {
            let said = text.expect_err(&format!("{name}: transformers says {error}")).to_string();
            assert!(!said.is_empty(), "{name}");
            return false;
        }
        assert_eq!(text.unwrap(), want["text"].as_str().unwrap(), "{name}");
        assert_eq!(self.template.render(&self.chat.messages, tools, true).unwrap(), want["asked"].as_str().unwrap(), "{name}");
        let learned = self.template.tokens(&self.chat, tokenizer, TrainOn::Assistant, "x:1").unwrap();
        assert_eq!(json!(learned.ids), want["ids"], "{name}");
        if want["mask"].is_null() {
            // No prefix: whatever is learned, something is, and less than all.
            assert!(learned.mask.contains(&true) && learned.mask.contains(&false), "{name}");
            return false;
        }
        let mask: Vec<u8> = learned.mask.iter().map(|m| u8::from(*m)).collect();
        assert_eq!(json!(mask), want["mask"], "{name}");
        true
    }
}

fn own_cases() -> Vec<Case> {
    let model = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/demo/model"));
    let Rows::Chats(chats) = read_rows(&folder().join("conversations.json"), &Reading::default()).unwrap() else { panic!() };
    let mut cases = Vec::new();
    for template in TEMPLATES {
        for (i, chat) in chats.iter().enumerate() {
            let file = folder().join(format!("{template}.jinja"));
            cases.push(Case::new(format!("{template} {i}"), &file, chat, model));
        }
    }
    cases
}

#[test]
fn texts_ids_and_masks_are_those_of_transformers() {
    let cases = own_cases();
    let kept = folder().join("expected.json");
    if let Some(python) = python() {
        let asked: Vec<Value> = cases.iter().map(Case::for_python).collect();
        let told = transformers(&python, &asked);
        if std::env::var_os("DIABLO_KEEP").is_some() {
            let lines: Vec<String> = told.iter().map(Value::to_string).collect();
            std::fs::write(&kept, format!("[\n{}\n]\n", lines.join(",\n"))).unwrap();
        }
        let errors = |v: &[Value]| v.iter().map(|r| r.get("error").is_some()).collect::<Vec<_>>();
        let expected: Vec<Value> = serde_json::from_value(read(&kept)).unwrap();
        assert_eq!(errors(&told), errors(&expected));
        assert!(told.iter().zip(&expected).all(|(t, e)| t.get("error").is_some() || t == e), "transformers has changed its mind");
    }
    let expected: Vec<Value> = serde_json::from_value(read(&kept)).unwrap();
    assert_eq!(expected.len(), cases.len());
    let tokenizer = Tokenizer::from_dir(&cases[0].model).unwrap();
    let masks = cases.iter().zip(&expected).filter(|(case, want)| case.check(want, &tokenizer)).count();
    assert!(masks >= 11, "{masks} masks of {}", cases.len());
}

#[test]
fn real_conversations_are_written_as_transformers_writes_them() {
    let (Some(model), Some(python)) = (shared("real/qwen2-tokenizer"), python()) else { return };
    let tokenizer = Tokenizer::from_dir(&model).unwrap();
    let own = model.join("chat_template.jinja");
    // In both layouts.
    let (inside, beside) = (tempfile::tempdir().unwrap(), ChatTemplate::of_model(&model).unwrap().unwrap());
    std::fs::write(inside.path().join("tokenizer_config.json"), std::fs::read(model.join("tokenizer_config.json")).unwrap()).unwrap();
    let inside = ChatTemplate::of_model(inside.path()).unwrap().unwrap();
    let mut cases = Vec::new();
    for file in ["real/conversations/glaive_toolcall_en_demo.json", "real/instructions/instruction-data.json"] {
        let Rows::Chats(chats) = read_rows(&shared(file).unwrap(), &Reading::default()).unwrap() else { panic!() };
        for (i, chat) in chats.iter().take(300).enumerate() {
            let text = inside.render(&chat.messages, None, false).unwrap();
            assert_eq!(text, beside.render(&chat.messages, None, false).unwrap());
            cases.push(Case::new(format!("{file} {i}"), &own, chat, &model));
            if i < 40 {
                for template in TEMPLATES {
                    cases.push(Case::new(format!("{file} {i} {template}"), &folder().join(format!("{template}.jinja")), chat, &model));
                }
            }
        }
    }
    let today = json!({"role": "system", "content": "What day is today?"});
    let asked = [today, json!({"role": "user", "content": "a"}), json!({"role": "assistant", "content": "b"})].to_vec();
    let chat = Chat { learned: vec![true; 3], messages: asked, tools: None, plain: None, line: 1 };
    cases.push(Case::new("today".into(), &folder().join("headers.jinja"), &chat, &model));
    let told = transformers(&python, &cases.iter().map(Case::for_python).collect::<Vec<_>>());
    let masks = cases.iter().zip(&told).filter(|(case, want)| case.check(want, &tokenizer)).count();
    let errors = told.iter().filter(|want| want.get("error").is_some()).count();
    println!("{} conversations, {masks} masks, {errors} refused by both", cases.len());
    assert!(masks > 700, "{masks} masks of {}", cases.len());
}
