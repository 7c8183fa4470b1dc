//! Turns of a conversation, from the shapes found in the wild to the one that chat templates take.
//!
//! What comes out are objects with `role` (`system`, `user`, `assistant`, `tool` or what the file says) and `content`, always a
//! string; `tool_calls` where tools are called, as `[{"type": "function", "function": {"name", "arguments"}}]`.

use super::formats::{Columns, no_key};
use super::records::kind;
use super::rows::Chat;
use crate::error::{Error, Result};
use serde_json::{Map, Value, json};

/// More turns than anybody has written; each costs two renderings of the whole.
const MOST_TURNS: usize = 1000;

/// What the columns are called.
pub(super) struct Keys<'a> {
    pub(super) turns: &'a str,
    pub(super) who: &'a str,
    pub(super) what: &'a str,
    pub(super) tools: &'a str,
}

/// A list, also one that a CSV or Parquet file holds as a text.
pub(super) fn list(value: &Value) -> Option<Vec<Value>> {
    match value {
        Value::Array(list) => Some(list.clone()),
        Value::String(text) if text.trim_start().starts_with('[') => serde_json::from_str(text).ok(),
        _ => None,
    }
}

/// A row's conversation.
pub(super) fn chat(map: &Map<String, Value>, keys: &Keys, columns: &Columns, line: usize, place: &str) -> Result<Chat> {
    let turns = match map.get(keys.turns) {
        Some(value) => list_at(value, keys.turns, place)?,
        // A conversation whose last part is to be learned, as two lists.
        None => {
            let (prompt, completion) = (columns.name("prompt"), columns.name("completion"));
            let (Some(before), Some(after)) = (map.get(prompt), map.get(completion)) else { return Err(no_key(map, keys.turns, place)) };
            let (before, after) = (list_at(before, prompt, place)?, list_at(after, completion, place)?);
            let learned_from = before.len();
            return made(map, [before, after].concat(), learned_from, keys, columns, line, place);
        }
    };
    made(map, turns, 0, keys, columns, line, place)
}

fn list_at(value: &Value, key: &str, place: &str) -> Result<Vec<Value>> {
    list(value).ok_or_else(|| Error::input(place, format!("{key:?} is {}, not a list of turns", kind(value)), ""))
}

fn made(
    map: &Map<String, Value>,
    turns: Vec<Value>,
    learned_from: usize,
    keys: &Keys,
    columns: &Columns,
    line: usize,
    place: &str,
) -> Result<Chat> {
    let mut chat = Chat { messages: Vec::new(), learned: Vec::new(), tools: tools(map.get(keys.tools), place)?, plain: None, line };
    let system = map.get(columns.name("system")).and_then(Value::as_str).unwrap_or_default();
    if !system.is_empty() && turns.first().is_none_or(|turn| who(turn, keys) != Some("system")) {
        chat.messages.push(json!({"role": "system", "content": system}));
        chat.learned.push(false);
    }
    if turns.len() > MOST_TURNS {
        let what = format!("the conversation has {} turns, more than {MOST_TURNS}", turns.len());
        return Err(Error::input(place, what, "split it into several rows"));
    }
    for (index, turn) in turns.iter().enumerate() {
        let place = format!("{place}: {:?}, turn {}", keys.turns, index + 1);
        let Value::Object(turn) = turn else {
            return Err(Error::input(place, format!("the turn is {}, not an object", kind(turn)), ""));
        };
        chat.messages.push(message(turn, keys, &place)?);
        chat.learned.push(index >= learned_from && is_learned(turn));
    }
    if !chat.messages.iter().any(is_assistant) {
        let what = format!("{:?} holds no turn of the assistant: there is nothing to learn", keys.turns);
        return Err(Error::input(place, what, "its turns have the role assistant (ShareGPT: from gpt)"));
    }
    Ok(chat)
}

/// Whether a message is the assistant's.
pub(super) fn is_assistant(message: &Value) -> bool {
    message.get("role").and_then(Value::as_str) == Some("assistant")
}

/// Some files mark turns that are not to be learned: `"weight": 0` (OpenAI), `"train": false` (Axolotl).
fn is_learned(turn: &Map<String, Value>) -> bool {
    let weight = turn.get("weight").and_then(Value::as_f64);
    let train = turn.get("train").or(turn.get("training")).and_then(Value::as_bool);
    weight != Some(0.0) && train != Some(false)
}

fn who<'a>(turn: &'a Value, keys: &Keys) -> Option<&'a str> {
    turn.get(keys.who).and_then(Value::as_str)
}

fn message(turn: &Map<String, Value>, keys: &Keys, place: &str) -> Result<Value> {
    let who = match turn.get(keys.who) {
        Some(Value::String(who)) if !who.is_empty() => who.as_str(),
        Some(other) => return Err(Error::input(place, format!("{:?} is {}, not a name", keys.who, kind(other)), "")),
        None => return Err(no_key(turn, keys.who, place)),
    };
    let calls = ["function_call", "tool_call", "function-call"].contains(&who);
    let role = match who {
        "human" | "user" => "user",
        "gpt" | "chatgpt" | "assistant" | "bot" | "bing" | "bard" | "model" => "assistant",
        "observation" | "tool" | "function" | "function_response" | "tool_response" | "function-response" => "tool",
        "system" => "system",
        _ if calls => "assistant",
        other if keys.who == "role" => other,
        other => {
            let hint = "known are human, user, gpt, assistant, system, function_call, tool_call, observation, tool, function_response";
            return Err(Error::input(place, format!("{:?} is {other:?}, which is nobody known", keys.who), hint));
        }
    };
    let mut out = Map::new();
    out.insert("role".into(), role.into());
    let own = turn.get("tool_calls").filter(|calls| !calls.is_null());
    let content = match turn.get(keys.what) {
        Some(value) => content(value, keys.what, place)?,
        None if own.is_some() || turn.contains_key("function_call") => String::new(),
        None => return Err(no_key(turn, keys.what, place)),
    };
    if let (true, Some(calls)) = (calls, serde_json::from_str(&content).ok().and_then(|value: Value| called(&value))) {
        out.insert("content".into(), "".into());
        out.insert("tool_calls".into(), calls);
    } else {
        out.insert("content".into(), content.into());
    }
    if let Some(value) = own.or(turn.get("function_call").filter(|call| !call.is_null())) {
        let calls = called(value).ok_or_else(|| {
            Error::input(place, "a tool call without a name", "each is {\"function\": {\"name\": ..., \"arguments\": {...}}}")
        })?;
        out.insert("tool_calls".into(), calls);
    }
    // What else a template may look at: name, tool_call_id, reasoning_content, thinking.
    for (key, value) in turn {
        let known = [keys.who, keys.what, "tool_calls", "function_call", "weight", "train", "training"].contains(&key.as_str());
        if !known && !value.is_null() && !out.contains_key(key) {
            out.insert(key.clone(), value.clone());
        }
    }
    Ok(Value::Object(out))
}

/// A message's text: a string, nothing, or a list of parts that are texts.
fn content(value: &Value, key: &str, place: &str) -> Result<String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Null => Ok(String::new()),
        Value::Array(parts) => parts
            .iter()
            .map(|part| match (part, part.get("text")) {
                (Value::String(text), _) | (_, Some(Value::String(text))) => Ok(text.as_str()),
                _ => Err(Error::input(place, format!("{key:?} has a part that is no text"), "images and sound cannot be learned here")),
            })
            .collect(),
        // What a tool answered may be an object.
        Value::Object(_) => Ok(value.to_string()),
        other => Err(Error::input(place, format!("{key:?} is {}, not a string", kind(other)), "")),
    }
}

/// Calls in the one shape that templates know. Arguments that are written as a text become what the text says.
fn called(value: &Value) -> Option<Value> {
    let one = |call: &Value| -> Option<Value> {
        let function = call.get("function").filter(|f| f.is_object()).unwrap_or(call);
        let name = function.get("name")?.as_str()?;
        let arguments = match function.get("arguments").or(function.get("parameters")) {
            Some(Value::String(text)) => serde_json::from_str(text).ok().filter(Value::is_object).unwrap_or_else(|| text.clone().into()),
            Some(other) => other.clone(),
            None => json!({}),
        };
        let mut out = Map::new();
        if let Some(id) = call.get("id").filter(|id| id.is_string()) {
            out.insert("id".into(), id.clone());
        }
        out.insert("type".into(), "function".into());
        out.insert("function".into(), json!({"name": name, "arguments": arguments}));
        Some(Value::Object(out))
    };
    match value {
        Value::Array(calls) => calls.iter().map(one).collect::<Option<Vec<_>>>().filter(|calls| !calls.is_empty()).map(Value::Array),
        call => one(call).map(|call| Value::Array(vec![call])),
    }
}

/// The tools of a row, each in the shape that templates know; a text is read as JSON.
fn tools(value: Option<&Value>, place: &str) -> Result<Option<Value>> {
    let wrong =
        |what: &str| Error::input(place, format!("\"tools\" {what}"), "it must be a list of objects with a name, or that list as a text");
    let tools = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) if text.trim().is_empty() => return Ok(None),
        Some(Value::String(text)) => serde_json::from_str(text).map_err(|e| wrong(&format!("is broken JSON: {e}")))?,
        Some(other) => other.clone(),
    };
    let Value::Array(tools) = tools else { return Err(wrong(&format!("is {}, not a list", kind(&tools)))) };
    let wrapped = |tool: Value| match tool.get("name").is_some() && tool.get("function").is_none() {
        true => json!({"type": "function", "function": tool}),
        false => tool,
    };
    Ok((!tools.is_empty()).then(|| tools.into_iter().map(wrapped).collect()))
}
