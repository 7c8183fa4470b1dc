//! Rows of multiple choice: what is asked, the candidates, and which of them is right.
//!
//! | row | candidates | right one |
//! | --- | --- | --- |
//! | `question` (or `prompt`, `ctx`) and `choices` (or `options`, `endings`): a list of texts, or `{"text": [..], "label": [..]}` | the list | `answer` (or `answerKey`, `label`): an index from 0, a label, or the text |
//! | `instruction` that says `Answer format: answer1/answer2`, as in the commonsense sets of LLM-Adapters (arXiv 2304.01933) | those words | `answer`: one of the words |
//! | `instruction` with `Answer1: .. Answer2: ..` | `answer1`, `answer2`, .. | the same |

use super::conversations::list;
use super::formats::{Columns, alpaca, no_key, string};
use super::records::{self, Content, Record, kind};
use super::rows::{Reading, Row, Rows};
use crate::error::{Error, Result};
use serde_json::{Map, Value};
use std::path::Path;

/// Columns that hold the candidates.
const CHOICES: [&str; 3] = ["choices", "options", "endings"];
/// Columns that say which one is right.
const ANSWERS: [&str; 3] = ["answer", "answerKey", "label"];
/// Columns that ask, beside what `prompt` is called.
const ASKS: [&str; 3] = ["question", "query", "ctx"];
/// What stands before the candidates within an instruction, in any case.
const WORDS: &str = "answer format:";
/// Words before a candidate in `output` that are longer than this many bytes are reasoning, which would give the answer away.
const LONGEST_LEAD: usize = 64;
const HINT: &str = "a row has question, choices (a list of texts) and answer (an index from 0, or the text); or instruction with \
                    \"Answer format: answer1/answer2\", and answer";

/// One question with its candidates.
#[derive(Clone, Debug, PartialEq)]
pub struct ChoiceRow {
    /// The question as a row of its own, whose completion is the right candidate.
    pub asked: Rows,
    /// What is written before a candidate: of `the correct answer is answer2` in the column `output` all but the answer.
    pub lead: String,
    /// At least two texts, none empty.
    pub candidates: Vec<String>,
    /// The right one's index.
    pub right: usize,
    /// The row's line in its file (in Parquet: its number), from 1.
    pub line: usize,
}

impl ChoiceRow {
    /// Whether what stands before the answer, where no template writes it, ends in white space.
    pub fn ends_in_blank(&self) -> bool {
        let prompt = match &self.asked {
            Rows::Pairs(rows) => rows.first().map(|row| row.prompt.as_str()),
            Rows::Chats(chats) => chats.first().and_then(|chat| chat.plain.as_ref()).map(|(prompt, _)| prompt.as_str()),
            Rows::Text(_) => None,
        };
        prompt.is_some_and(|prompt| prompt.ends_with(char::is_whitespace))
    }
}

/// Reads a file's questions. A lead that is not the same in every row is none: it would tell the rows apart.
///
/// # Errors
/// Names the file, the line and the key that is not as it must be.
pub fn read_choices(path: &Path, reading: &Reading) -> Result<Vec<ChoiceRow>> {
    let place = path.display().to_string();
    let (_, content) = records::read(path, false, true)?;
    let Content::Records(records) = content else {
        return Err(Error::input(place, "plain text holds no questions", HINT));
    };
    let mut rows: Vec<ChoiceRow> =
        records.iter().map(|record| row(record, &reading.columns, &format!("{place}:{}", record.line))).collect::<Result<_>>()?;
    if rows.windows(2).any(|two| two[0].lead != two[1].lead) {
        rows.iter_mut().for_each(|row| row.lead.clear());
    }
    Ok(rows)
}

fn row(record: &Record, columns: &Columns, place: &str) -> Result<ChoiceRow> {
    let (map, line) = (&record.map, record.line);
    let filled = |key: &&str| map.get(*key).is_some_and(|value| !value.is_null());
    let asks = [columns.name("prompt")].into_iter().chain(ASKS).find(filled);
    let instruction = columns.name("instruction");
    let question = string(map, asks.unwrap_or(instruction), place).map_err(hinted)?;
    if question.trim().is_empty() {
        return Err(Error::input(place, format!("{:?} is empty: nothing is asked", asks.unwrap_or(instruction)), HINT));
    }
    let key = ANSWERS.into_iter().find(filled).ok_or_else(|| hinted(no_key(map, "answer", place)))?;
    let answer = &map[key];
    let (candidates, labels) = match CHOICES.into_iter().find(filled) {
        Some(key) => listed(&map[key], key, place)?,
        None => {
            (words(&question, answer).filter(|named| !named.is_empty()).ok_or_else(|| hinted(no_key(map, "choices", place)))?, Vec::new())
        }
    };
    if candidates.len() < 2 || candidates.iter().any(|text| text.trim().is_empty()) {
        return Err(Error::input(place, format!("{} candidates, of which none may be empty: {candidates:?}", candidates.len()), HINT));
    }
    let right = right(answer, &candidates, &labels)
        .ok_or_else(|| Error::input(place, format!("{key:?} is {answer}, which is none of the candidates {candidates:?}"), HINT))?;
    let lead = map.get(columns.name("output")).and_then(Value::as_str).and_then(|text| lead(text, &candidates[right])).unwrap_or_default();
    let completion = format!("{lead}{}", candidates[right]);
    let asked = match asks {
        Some(_) => Rows::Pairs(vec![Row { prompt: question, completion, line }]),
        None => {
            let mut whole = map.clone();
            whole.insert(columns.name("output").into(), completion.into());
            Rows::Chats(vec![alpaca(&whole, columns, line, place)?])
        }
    };
    Ok(ChoiceRow { asked, lead, candidates, right, line })
}

/// The same error with what rows of multiple choice need.
fn hinted(error: Error) -> Error {
    Error::input(error.place(), error.what(), HINT)
}

/// The candidates of a column, and their labels where they have some.
fn listed(value: &Value, key: &str, place: &str) -> Result<(Vec<String>, Vec<String>)> {
    let texts = |value: &Value| -> Option<Vec<String>> {
        list(value)?.iter().map(|item| if item.is_object() || item.is_array() { None } else { Some(plain(item)) }).collect()
    };
    let both = |map: &Map<String, Value>| Some((texts(map.get("text")?)?, texts(map.get("label")?)?));
    let found = match value {
        Value::Object(map) => both(map),
        other => texts(other).map(|texts| (texts, Vec::new())),
    };
    found.ok_or_else(|| Error::input(place, format!("{key:?} is {}, not a list of texts", kind(value)), HINT))
}

/// A value as a text, without quotation marks.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), |text| text.trim().to_owned())
}

/// The candidates that an instruction names.
fn words(instruction: &str, answer: &Value) -> Option<Vec<String>> {
    // Lower case of ASCII alone: places stay the same.
    let lower = instruction.to_ascii_lowercase();
    if let Some(at) = lower.rfind(WORDS) {
        let line = instruction[at + WORDS.len()..].lines().next().unwrap_or_default();
        return Some(line.trim().trim_end_matches('.').split('/').map(|word| word.trim().to_owned()).collect());
    }
    let answer = plain(answer).to_ascii_lowercase();
    if ["true", "false"].contains(&answer.as_str()) {
        return Some(vec!["true".into(), "false".into()]);
    }
    let stem = answer.trim_end_matches(|c: char| c.is_ascii_digit());
    let named = |number: usize| lower.contains(&format!("{stem}{number}:"));
    let count = (1..).take_while(|number| named(*number)).count();
    (!stem.is_empty() && stem.len() < answer.len()).then(|| (1..=count).map(|number| format!("{stem}{number}")).collect())
}

/// Which candidate an answer means: its text, its label, its text in another case, or its index.
fn right(answer: &Value, candidates: &[String], labels: &[String]) -> Option<usize> {
    let within = |index: usize| (index < candidates.len()).then_some(index);
    if let Value::Number(number) = answer {
        return number.as_u64().and_then(|index| usize::try_from(index).ok()).and_then(within);
    }
    let text = plain(answer);
    let place = |list: &[String]| list.iter().position(|item| item.trim() == text);
    let loosely = || candidates.iter().position(|item| item.trim().eq_ignore_ascii_case(&text));
    place(candidates).or_else(|| place(labels)).or_else(loosely).or_else(|| text.parse().ok().and_then(within))
}

/// What stands before the candidate at the end of a row's output.
fn lead(output: &str, candidate: &str) -> Option<String> {
    let lead = output.trim_end().trim_end_matches('.').strip_suffix(candidate)?;
    let whole_word = lead.ends_with(char::is_whitespace);
    (whole_word && lead.len() <= LONGEST_LEAD && !lead.contains('\n')).then(|| lead.to_owned())
}

#[cfg(test)]
#[path = "choices_tests.rs"]
mod tests;
