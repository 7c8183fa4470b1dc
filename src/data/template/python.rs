//! What templates take from Python: `tojson` as `json.dumps` writes it, values as `str` shows them, today's date.

use minijinja::value::{Kwargs, Serde, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Output, State};
use serde_json::Value as Json;

/// How deep a value is written.
const DEPTH: usize = 64;

/// Puts it all into an environment.
pub(super) fn install(environment: &mut Environment<'_>) {
    environment.set_formatter(format);
    environment.add_filter("tojson", tojson);
    environment.add_filter("string", |value: &Value| text(value));
    environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, message))
    });
    environment.add_function("strftime_now", |format: String| now(&format));
}

fn format(out: &mut Output, _: &mut State, value: &Value) -> Result<(), Error> {
    let written = match (value.kind(), value.as_str()) {
        (ValueKind::Undefined, _) => Ok(()),
        (_, Some(text)) => out.write_str(text),
        _ => out.write_str(&text(value)),
    };
    written.map_err(Error::from)
}

/// A value as Python's `str` shows it.
fn text(value: &Value) -> String {
    match value.as_str() {
        Some(text) => text.to_owned(),
        None => shown(value, 0),
    }
}

/// A value as Python's `repr` shows it.
fn shown(value: &Value, depth: usize) -> String {
    if depth > DEPTH {
        return "...".into();
    }
    let list = |value: &Value| -> Vec<Value> { value.try_iter().map(Iterator::collect).unwrap_or_default() };
    match value.kind() {
        ValueKind::Undefined => "Undefined".into(),
        ValueKind::None => "None".into(),
        ValueKind::Bool => if value.is_true() { "True" } else { "False" }.into(),
        ValueKind::Number => number(value),
        ValueKind::String => quoted(value.as_str().unwrap_or_default()),
        ValueKind::Seq => format!("[{}]", list(value).iter().map(|v| shown(v, depth + 1)).collect::<Vec<_>>().join(", ")),
        ValueKind::Map => {
            let entry = |key: &Value| {
                let held = value.get_item(key).unwrap_or_default();
                format!("{}: {}", shown(key, depth + 1), shown(&held, depth + 1))
            };
            format!("{{{}}}", list(value).iter().map(entry).collect::<Vec<_>>().join(", "))
        }
        _ => value.to_string(),
    }
}

/// A string as Python quotes it.
fn quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::from(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\x{:02x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push(quote);
    out
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
    dumped(&Value::from(Serde(value)), &Style::plain(), 0).unwrap_or_else(|_| value.to_string())
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

fn tojson(value: &Value, indent: Option<Value>, options: Kwargs) -> Result<Value, Error> {
    let wrong = |what: &str| Error::new(ErrorKind::InvalidOperation, format!("tojson: {what}"));
    let named = options.get::<Option<Value>>("indent")?;
    let indent = match indent.or(named).filter(|v| !v.is_none() && !v.is_undefined()) {
        None => None,
        Some(v) => match (v.as_str(), v.as_usize()) {
            (Some(text), _) => Some(text.to_owned()),
            (_, Some(n)) if n <= 64 => Some(" ".repeat(n)),
            _ => return Err(wrong("indent must be a small number or a string")),
        },
    };
    let mut style = Style { between: if indent.is_some() { "," } else { ", " }.into(), indent, ..Style::plain() };
    style.ascii = options.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false);
    style.sorted = options.get::<Option<bool>>("sort_keys")?.unwrap_or(false);
    if let Some(separators) = options.get::<Option<Vec<String>>>("separators")? {
        let [between, after_key] = <[String; 2]>::try_from(separators).map_err(|_| wrong("separators must be two strings"))?;
        (style.between, style.after_key) = (between, after_key);
    }
    options.assert_all_used()?;
    dumped(value, &style, 0).map(Value::from)
}

fn dumped(value: &Value, style: &Style, depth: usize) -> Result<String, Error> {
    let wrong = |what: String| Error::new(ErrorKind::InvalidOperation, what);
    if depth > DEPTH {
        return Err(wrong("the value is too deep for JSON".into()));
    }
    let around = |open: char, parts: Vec<String>, close: char| match &style.indent {
        _ if parts.is_empty() => format!("{open}{close}"),
        None => format!("{open}{}{close}", parts.join(&style.between)),
        Some(indent) => {
            let (inner, outer) = (indent.repeat(depth + 1), indent.repeat(depth));
            format!("{open}\n{inner}{}\n{outer}{close}", parts.join(&format!("{}\n{inner}", style.between)))
        }
    };
    Ok(match value.kind() {
        ValueKind::None => "null".into(),
        ValueKind::Bool => if value.is_true() { "true" } else { "false" }.into(),
        ValueKind::Number => number(value),
        ValueKind::String => string(value.as_str().unwrap_or_default(), style.ascii),
        ValueKind::Seq | ValueKind::Iterable => {
            let parts = value.try_iter()?.map(|v| dumped(&v, style, depth + 1)).collect::<Result<_, _>>()?;
            around('[', parts, ']')
        }
        ValueKind::Map => {
            let mut keys: Vec<Value> = value.try_iter()?.collect();
            if style.sorted {
                keys.sort_by_key(text);
            }
            let entry = |key: &Value| -> Result<String, Error> {
                let name = string(&text(key), style.ascii);
                Ok(format!("{name}{}{}", style.after_key, dumped(&value.get_item(key)?, style, depth + 1)?))
            };
            around('{', keys.iter().map(entry).collect::<Result<_, _>>()?, '}')
        }
        kind => return Err(wrong(format!("{kind} is not JSON serializable"))),
    })
}

fn string(text: &str, ascii: bool) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if (c as u32) < 0x20 => out.push_str(&format!("\\u{:04x}", c as u32)),
            c if ascii && !c.is_ascii() => {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// The date and time, UTC: templates write days, and a run should not depend on where it is.
fn now(format: &str) -> Result<String, Error> {
    let wrong = |e: jiff::Error| Error::new(ErrorKind::InvalidOperation, format!("strftime_now({format:?}): {e}"));
    let seconds = web_time::SystemTime::now().duration_since(web_time::UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let time = jiff::Timestamp::from_second(seconds as i64).map_err(wrong)?.to_zoned(jiff::tz::TimeZone::UTC);
    jiff::fmt::strtime::format(format, &time).map_err(wrong)
}
