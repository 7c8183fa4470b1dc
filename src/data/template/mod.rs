//! Chat templates: the checkpoint's own Jinja text, which writes a conversation as the model was trained to read it.
//!
//! What transformers gives a template is here too, and nothing else: a template sees the conversation and the names of the special
//! tokens. It is bounded in steps, in depth and in what it writes.

pub mod chatting;
mod python;
mod spans;

pub use chatting::Chatting;
pub use spans::{Learned, TrainOn};

use super::rows::Chat;
use super::tokenizer::{Tokenizer, is_lfs_pointer, lfs_error};
use crate::error::{Error, Result};
use crate::guard::deep;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use minijinja::{Environment, UndefinedBehavior};
use serde_json::{Map, Value as Json, json};
use std::path::{Path, PathBuf};

/// What a template may do: a conversation of a thousand turns takes less than a tenth. Of memory it is 64 bytes each.
const FUEL: u64 = 4_000_000;
/// How deep macros and loops may call each other.
const DEPTH: usize = 100;
/// The most that a template may be, and the most that it may write.
const MOST_BYTES: usize = 16 << 20;
/// No characters: they stand around what a `{% generation %}` block writes, and are taken out again. Rows that hold them are refused.
const BEGIN: char = '\u{fdd0}';
const END: char = '\u{fdd1}';

/// A chat template.
#[derive(Clone, Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    place: String,
    special: Map<String, Json>,
    /// Whether it marks what the assistant says.
    generation: bool,
    /// Whether it knows what a call of a tool is; one that does not gets the call as a text.
    knows_calls: bool,
    /// Whether it writes what a tool answers; one that does not gets it as a user's turn.
    knows_tool: bool,
}

impl ChatTemplate {
    /// The checkpoint's own: `chat_template.jinja`, else the one in `tokenizer_config.json`. None where it has none.
    ///
    /// # Errors
    /// Where a file is broken, or the template is no template.
    pub fn of_model(folder: &Path) -> Result<Option<Self>> {
        Self::source_of_model(folder)?.map(|(source, place)| Self::new(&source, place, folder)).transpose()
    }

    /// The text of [`Self::of_model`] as it stands, and where it was found.
    ///
    /// # Errors
    /// Where a file is broken.
    pub fn source_of_model(folder: &Path) -> Result<Option<(String, String)>> {
        let own = folder.join("chat_template.jinja");
        if let Some(source) = text(&own)? {
            return Ok(Some((source, own.display().to_string())));
        }
        // Processors keep theirs in a file of its own.
        for file in ["tokenizer_config.json", "chat_template.json"] {
            let path = folder.join(file);
            let Some(source) = json(&path)?.and_then(|config| named(config.get("chat_template")?)) else { continue };
            return Ok(Some((source, format!("{}: chat_template", path.display()))));
        }
        Ok(None)
    }

    /// A template in a file, with the special tokens of the model's folder.
    ///
    /// # Errors
    /// Where there is no such file, or it is no template.
    pub fn from_file(path: &Path, folder: &Path) -> Result<Self> {
        let missing = || {
            let hint = "name a file with a chat template, or one of auto, model, none";
            Error::input(path.display().to_string(), "no such file", hint)
        };
        let source = text(path)?.ok_or_else(missing)?;
        Self::new(&source, path.display().to_string(), folder)
    }

    fn new(source: &str, place: String, folder: &Path) -> Result<Self> {
        if source.len() > MOST_BYTES {
            return Err(Error::input(place, "the template is larger than 16 MiB", ""));
        }
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|e| fault(&place, &e, ""))?);
        environment.set_undefined_behavior(UndefinedBehavior::Lenient);
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.set_fuel(Some(FUEL));
        environment.set_recursion_limit(DEPTH);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        python::install(&mut environment);
        environment.add_filter("__generation", |body: String| format!("{BEGIN}{body}{END}"));
        let (written, generation) = with_generation(source);
        environment.add_template_owned("chat", written).map_err(|e| fault(&place, &e, "it is no chat template that is understood here"))?;
        let mut template = Self {
            environment,
            place,
            special: special_tokens(folder)?,
            generation,
            knows_calls: source.contains("tool_calls"),
            knows_tool: true,
        };
        template.knows_tool = template.writes_tools();
        Ok(template)
    }

    /// Where it was read from.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Whether it marks the assistant's turns itself (`{% generation %}`).
    pub fn marks_turns(&self) -> bool {
        self.generation
    }

    /// Whether a tool's answer reaches the text under its own role.
    fn writes_tools(&self) -> bool {
        let answer = "the answer of a tool";
        let call =
            json!({"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": {}}}]});
        let probe = [json!({"role": "user", "content": "a"}), call, json!({"role": "tool", "content": answer, "name": "f"})];
        let (probe, _) = self.fitted(&probe);
        self.write(&probe, None, true).is_ok_and(|text| text.contains(answer))
    }

    /// The text of a conversation. `begin_answer` adds what stands before the assistant's next words.
    ///
    /// # Errors
    /// What the template itself says, or where it goes beyond its bounds.
    pub fn render(&self, messages: &[Json], tools: Option<&Json>, begin_answer: bool) -> Result<String> {
        let (messages, _) = self.fitted(messages);
        Ok(self.write(&messages, tools, begin_answer)?.replace([BEGIN, END], ""))
    }

    /// The ids of a conversation, and which of them are learned. `place` names the row.
    ///
    /// # Errors
    /// Where the template refuses the conversation, or writes a turn otherwise later than at first, so that it cannot be found.
    pub fn tokens(&self, chat: &Chat, tokenizer: &Tokenizer, train_on: TrainOn, place: &str) -> Result<Learned> {
        spans::tokens(self, chat, tokenizer, train_on, place)
    }

    /// The messages as this template knows them, and whether any was changed.
    pub fn fitted(&self, messages: &[Json]) -> (Vec<Json>, bool) {
        let mut changed = false;
        let mut fit = |message: &Json| {
            let mut message = message.clone();
            let Some(map) = message.as_object_mut() else { return message };
            if !self.knows_calls
                && let Some(Json::Array(calls)) = map.remove("tool_calls")
            {
                changed = true;
                let calls: Vec<String> = calls.iter().map(|call| python::to_json(call.get("function").unwrap_or(call))).collect();
                let content = map.get("content").and_then(Json::as_str).filter(|text| !text.is_empty());
                let text = content.map(str::to_owned).into_iter().chain(calls).collect::<Vec<_>>().join("\n");
                map.insert("content".into(), text.into());
            }
            if !self.knows_tool && map.get("role").and_then(Json::as_str) == Some("tool") {
                changed = true;
                map.insert("role".into(), "user".into());
            }
            message
        };
        (messages.iter().map(&mut fit).collect(), changed)
    }

    /// What the template writes, the marks of generated parts in it.
    fn write(&self, messages: &[Json], tools: Option<&Json>, begin_answer: bool) -> Result<String> {
        // Within its fuel a template can nest some 500,000 lists.
        deep(|| self.write_here(messages, tools, begin_answer)).map_err(Error::io(Path::new(&self.place)))?
    }

    fn write_here(&self, messages: &[Json], tools: Option<&Json>, begin_answer: bool) -> Result<String> {
        let mut context = self.special.clone();
        context.insert("messages".into(), messages.into());
        context.insert("tools".into(), tools.cloned().unwrap_or(Json::Null));
        context.insert("documents".into(), Json::Null);
        context.insert("add_generation_prompt".into(), begin_answer.into());
        let hint = "the conversation does not fit the template; --chat-template FILE takes another one";
        let mut out = Bounded(Vec::new());
        let template = self.environment.get_template("chat").map_err(|e| fault(&self.place, &e, hint))?;
        template.render_captured_to(Value::from(Serde(&context)), &mut out).map_err(|e| fault(&self.place, &e, hint))?;
        String::from_utf8(out.0).map_err(|_| Error::input(&*self.place, "it writes something that is no text", hint))
    }
}

/// Takes up to so many bytes.
struct Bounded(Vec<u8>);

impl std::io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + bytes.len() > MOST_BYTES {
            return Err(std::io::Error::other("the template writes more than 16 MiB"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn fault(place: &str, error: &minijinja::Error, hint: &str) -> Error {
    let line = error.line().map(|line| format!(", line {line}")).unwrap_or_default();
    let inner = std::error::Error::source(error).map(|e| format!(": {e}")).unwrap_or_default();
    let what = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    Error::input(format!("{place}{line}"), format!("the chat template says: {what}{inner}"), hint)
}

/// The text of a file; none where there is no file.
fn text(path: &Path) -> Result<Option<String>> {
    let bytes = match crate::files::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io(path)(e)),
    };
    if is_lfs_pointer(&bytes) {
        return Err(lfs_error(path));
    }
    let text = String::from_utf8(bytes).map_err(|_| Error::input(path.display().to_string(), "is not UTF-8 text", "save it as UTF-8"))?;
    Ok(Some(text))
}

fn json(path: &Path) -> Result<Option<Json>> {
    let Some(text) = text(path)? else { return Ok(None) };
    let place = || path.display().to_string();
    serde_json::from_str(&text).map(Some).map_err(|e| Error::input(place(), format!("not JSON: {e}"), "download it again"))
}

/// A template, or the one called "default" in a list of named ones.
fn named(value: &Json) -> Option<String> {
    if let Some(list) = value.as_array() {
        let of = |template: &Json| template.get("template").and_then(Json::as_str).map(str::to_owned);
        let default = list.iter().find(|t| t.get("name").and_then(Json::as_str) == Some("default"));
        return default.or(list.first()).and_then(of);
    }
    value.as_str().map(str::to_owned)
}

/// Every `..._token` that the tokenizer's files name.
fn special_tokens(folder: &Path) -> Result<Map<String, Json>> {
    let mut out = Map::new();
    for file in ["tokenizer_config.json", "special_tokens_map.json"] {
        let path: PathBuf = folder.join(file);
        let Some(Json::Object(config)) = json(&path)? else { continue };
        for (key, value) in config.iter().filter(|(key, _)| key.ends_with("_token")) {
            let token = value.as_str().or_else(|| value.get("content").and_then(Json::as_str));
            if let Some(token) = token.filter(|_| !out.contains_key(key)) {
                out.insert(key.clone(), token.into());
            }
        }
    }
    Ok(out)
}

/// The template with `{% generation %}` and `{% endgeneration %}` as a filter block, which the engine knows and treats alike; and
/// whether there are any.
fn with_generation(source: &str) -> (String, bool) {
    let (mut out, mut rest, mut found) = (String::with_capacity(source.len()), source, false);
    while let Some((before, (tag, behind))) = rest.split_once("{%").and_then(|(before, tag)| Some((before, tag.split_once("%}")?))) {
        let inner = tag.trim_start_matches(['-', '+']).trim_end_matches(['-', '+']).trim();
        let tag = match inner {
            "generation" => &tag.replacen("generation", "filter __generation", 1),
            "endgeneration" => &tag.replacen("endgeneration", "endfilter", 1),
            _ => tag,
        };
        out.extend([before, "{%", tag, "%}"]);
        found |= inner == "generation";
        rest = behind;
    }
    out.push_str(rest);
    (out, found)
}

#[cfg(test)]
mod tests;
