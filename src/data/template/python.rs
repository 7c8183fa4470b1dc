//! What templates take from Python: `tojson` as `json.dumps` writes it, values as `str` shows them, today's date.

use super::MOST_BYTES;
use minijinja::value::{Kwargs, Serde, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Output, State};
use serde_json::Value as Json;

/// How deep a value is written.
const DEPTH: usize = 64;
/// The longest indentation, and the longest separator, of JSON.
const LONGEST_FILLING: usize = 64;

/// Puts it all into an environment.
pub(super) fn install(environment: &mut Environment<'_>) {
    environment.set_formatter(format);
    environment.add_filter("tojson", tojson);
    environment.add_filter("string", |state: &State, value: &Value| text(value, state));
    environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, message))
    });
    environment.add_function("strftime_now", |format: String| now(&format));
}

/// A text that is being written, as long as one may be that a template writes, and paid for value by value: a value may hold another
/// many times, so that a few bytes of template stand for more values than anybody can wait for.
struct Text<'a> {
    out: String,
    /// Pays for a value.
    pay: &'a dyn Fn() -> Result<(), Error>,
}

impl<'a> Text<'a> {
    fn new(pay: &'a dyn Fn() -> Result<(), Error>) -> Self {
        Self { out: String::new(), pay }
    }

    fn push(&mut self, text: &str) -> Result<(), Error> {
        if self.out.len() + text.len() > MOST_BYTES {
            return Err(Error::new(ErrorKind::InvalidOperation, "a value is written as more than 16 MiB"));
        }
        self.out.push_str(text);
        Ok(())
    }
}

fn format(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    let written = match (value.kind(), value.as_str()) {
        (ValueKind::Undefined, _) => Ok(()),
        (_, Some(text)) => out.write_str(text),
        _ => out.write_str(&text(value, state)?),
    };
    written.map_err(Error::from)
}

/// A value as Python's `str` shows it.
fn text(value: &Value, state: &State) -> Result<String, Error> {
    if let Some(text) = value.as_str() {
        return Ok(text.to_owned());
    }
    let pay = || state.consume_fuel(1);
    let mut text = Text::new(&pay);
    shown(value, &mut text, 0)?;
    Ok(text.out)
}

/// A value as Python's `repr` shows it.
fn shown(value: &Value, text: &mut Text, depth: usize) -> Result<(), Error> {
    (text.pay)()?;
    if depth > DEPTH {
        return text.push("...");
    }
    match value.kind() {
        ValueKind::Undefined => text.push("Undefined"),
        ValueKind::None => text.push("None"),
        ValueKind::Bool => text.push(if value.is_true() { "True" } else { "False" }),
        ValueKind::Number => text.push(&number(value)),
        ValueKind::String => quoted(value.as_str().unwrap_or_default(), text),
        ValueKind::Seq | ValueKind::Iterable => {
            text.push("[")?;
            for (at, item) in value.try_iter()?.enumerate() {
                text.push(if at == 0 { "" } else { ", " })?;
                shown(&item, text, depth + 1)?;
            }
            text.push("]")
        }
        ValueKind::Map => {
            text.push("{")?;
            for (at, key) in value.try_iter()?.enumerate() {
                text.push(if at == 0 { "" } else { ", " })?;
                shown(&key, text, depth + 1)?;
                text.push(": ")?;
                shown(&value.get_item(&key).unwrap_or_default(), text, depth + 1)?;
            }
            text.push("}")
        }
        _ => text.push(&value.to_string()),
    }
}

/// A string as Python quotes it.
fn quoted(from: &str, text: &mut Text) -> Result<(), Error> {
    let quote = if from.contains('\'') && !from.contains('"') { '"' } else { '\'' };
    let mut bytes = [0; 4];
    text.push(quote.encode_utf8(&mut bytes))?;
    for c in from.chars() {
        match c {
            '\\' => text.push("\\\\"),
            '\n' => text.push("\\n"),
            '\r' => text.push("\\r"),
            '\t' => text.push("\\t"),
            c if c == quote => text.push("\\").and_then(|()| text.push(c.encode_utf8(&mut bytes))),
            c if c.is_control() => text.push(&format!("\\x{:02x}", c as u32)),
            c => text.push(c.encode_utf8(&mut bytes)),
        }?;
    }
    text.push(quote.encode_utf8(&mut bytes))
}

/// Whole numbers have no point, others Python's shortest form.
fn number(value: &Value) -> String {
    if value.is_integer() {
        return value.to_string();
    }
    let Ok(x) = f64::try_from(value.clone()) else { return value.to_string() };
    float(x)
}

/// Python's `repr` of a float: the shortest digits that give it again, with an exponent outside 1e-4 to 1e16.
fn float(x: f64) -> String {
    if !x.is_finite() {
        return if x.is_nan() { "NaN".into() } else { format!("{}Infinity", if x < 0.0 { "-" } else { "" }) };
    }
    if x == 0.0 || (1e-4..1e16).contains(&x.abs()) {
        let text = x.to_string();
        return if text.contains('.') { text } else { text + ".0" };
    }
    let text = format!("{x:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = exponent.strip_prefix('-').map_or(("+", exponent), |e| ("-", e));
    format!("{digits}e{sign}{exponent:0>2}")
}

/// `json.dumps(value, ensure_ascii=False)` of what came from JSON.
pub(super) fn to_json(value: &Json) -> String {
    let mut text = Text::new(&|| Ok(()));
    let written = dumped(&Value::from(Serde(value)), &Style::plain(), &mut text, 0);
    written.map_or_else(|_| value.to_string(), |()| text.out)
}

/// How JSON is written.
struct Style {
    ascii: bool,
    indent: Option<String>,
    between: String,
    after_key: String,
    sorted: bool,
}

impl Style {
    fn plain() -> Self {
        Self { ascii: false, indent: None, between: ", ".into(), after_key: ": ".into(), sorted: false }
    }
}

fn tojson(state: &State, value: &Value, indent: Option<Value>, options: Kwargs) -> Result<Value, Error> {
    let wrong = |what: &str| Error::new(ErrorKind::InvalidOperation, format!("tojson: {what}"));
    let named = options.get::<Option<Value>>("indent")?;
    let indent = match indent.or(named).filter(|v| !v.is_none() && !v.is_undefined()) {
        None => None,
        Some(v) => match (v.as_str(), v.as_usize()) {
            (Some(text), _) if text.len() <= LONGEST_FILLING => Some(text.to_owned()),
            (None, Some(n)) if n <= LONGEST_FILLING => Some(" ".repeat(n)),
            _ => return Err(wrong("indent must be a small number or a short string")),
        },
    };
    let mut style = Style { between: if indent.is_some() { "," } else { ", " }.into(), indent, ..Style::plain() };
    style.ascii = options.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false);
    style.sorted = options.get::<Option<bool>>("sort_keys")?.unwrap_or(false);
    if let Some(separators) = options.get::<Option<Vec<String>>>("separators")? {
        let [between, after_key] = <[String; 2]>::try_from(separators).map_err(|_| wrong("separators must be two strings"))?;
        if between.len().max(after_key.len()) > LONGEST_FILLING {
            return Err(wrong("separators must be short"));
        }
        (style.between, style.after_key) = (between, after_key);
    }
    options.assert_all_used()?;
    let pay = || state.consume_fuel(1);
    let mut text = Text::new(&pay);
    dumped(value, &style, &mut text, 0)?;
    Ok(text.out.into())
}

fn dumped(value: &Value, style: &Style, text: &mut Text, depth: usize) -> Result<(), Error> {
    let wrong = |what: String| Error::new(ErrorKind::InvalidOperation, what);
    (text.pay)()?;
    if depth > DEPTH {
        return Err(wrong("the value is too deep for JSON".into()));
    }
    match value.kind() {
        ValueKind::None => text.push("null"),
        ValueKind::Bool => text.push(if value.is_true() { "true" } else { "false" }),
        ValueKind::Number => text.push(&number(value)),
        ValueKind::String => string(value.as_str().unwrap_or_default(), style.ascii, text),
        ValueKind::Seq | ValueKind::Iterable => {
            let mut empty = true;
            text.push("[")?;
            for item in value.try_iter()? {
                parted(style, text, depth, std::mem::take(&mut empty))?;
                dumped(&item, style, text, depth + 1)?;
            }
            closed(']', style, text, depth, empty)
        }
        ValueKind::Map => {
            let mut keys: Vec<Value> = value.try_iter()?.collect();
            if style.sorted {
                let named = keys.into_iter().map(|key| Ok((name(&key, text)?, key))).collect::<Result<Vec<_>, Error>>();
                let mut named = named?;
                named.sort_by(|a, b| a.0.cmp(&b.0));
                keys = named.into_iter().map(|(_, key)| key).collect();
            }
            let mut empty = true;
            text.push("{")?;
            for key in &keys {
                parted(style, text, depth, std::mem::take(&mut empty))?;
                let name = name(key, text)?;
                string(&name, style.ascii, text)?;
                text.push(&style.after_key)?;
                dumped(&value.get_item(key)?, style, text, depth + 1)?;
            }
            closed('}', style, text, depth, empty)
        }
        kind => Err(wrong(format!("{kind} is not JSON serializable"))),
    }
}

/// What stands before an element.
fn parted(style: &Style, text: &mut Text, depth: usize, first: bool) -> Result<(), Error> {
    if !first {
        text.push(&style.between)?;
    }
    line(style, text, depth + 1)
}

/// The end of a list or an object.
fn closed(end: char, style: &Style, text: &mut Text, depth: usize, empty: bool) -> Result<(), Error> {
    if !empty {
        line(style, text, depth)?;
    }
    text.push(end.encode_utf8(&mut [0; 4]))
}

/// A new line, where there are any.
fn line(style: &Style, text: &mut Text, depth: usize) -> Result<(), Error> {
    let Some(indent) = &style.indent else { return Ok(()) };
    text.push("\n")?;
    (0..depth).try_for_each(|_| text.push(indent))
}

/// A key as a text.
fn name(key: &Value, text: &Text) -> Result<String, Error> {
    if let Some(name) = key.as_str() {
        return Ok(name.to_owned());
    }
    let mut own = Text::new(text.pay);
    shown(key, &mut own, 0)?;
    Ok(own.out)
}

fn string(from: &str, ascii: bool, text: &mut Text) -> Result<(), Error> {
    text.push("\"")?;
    for c in from.chars() {
        match c {
            '"' => text.push("\\\""),
            '\\' => text.push("\\\\"),
            '\n' => text.push("\\n"),
            '\r' => text.push("\\r"),
            '\t' => text.push("\\t"),
            '\u{8}' => text.push("\\b"),
            '\u{c}' => text.push("\\f"),
            c if (c as u32) < 0x20 => text.push(&format!("\\u{:04x}", c as u32)),
            c if ascii && !c.is_ascii() => c.encode_utf16(&mut [0; 2]).iter().try_for_each(|unit| text.push(&format!("\\u{unit:04x}"))),
            c => text.push(c.encode_utf8(&mut [0; 4])),
        }?;
    }
    text.push("\"")
}

/// The date and time, UTC: templates write days, and a run should not depend on where it is.
fn now(format: &str) -> Result<String, Error> {
    let wrong = |e: jiff::Error| Error::new(ErrorKind::InvalidOperation, format!("strftime_now({format:?}): {e}"));
    let seconds = web_time::SystemTime::now().duration_since(web_time::UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let time = jiff::Timestamp::from_second(seconds as i64).map_err(wrong)?.to_zoned(jiff::tz::TimeZone::UTC);
    jiff::fmt::strtime::format(format, &time).map_err(wrong)
}
