//! The number that a worked answer ends in, as text, so that it is compared exactly.
//!
//! A number is digits, with a point and more digits or without; commas are read over where they part groups of three digits. A minus before
//! it counts, also around a dollar sign, unless a letter or digit stands before the minus (`10-5` is a difference). What follows is left
//! alone: a full stop, a percent sign, a unit. Numbers are the same where their values are: `$1,200.00` is `1200`, `.50` is `0.5`.

/// What GSM8K puts before the final number.
const MARK: &str = "####";

/// The last number of a text (lm-evaluation-harness: flexible-extract).
pub fn last_number(text: &str) -> Option<String> {
    numbers(text).pop().map(|(_, number)| number)
}

/// The number right behind the first `####` that has one (lm-evaluation-harness: strict-match). A dollar sign may stand before it.
pub fn marked_number(text: &str) -> Option<String> {
    let behind = |(at, _): (usize, &str)| {
        let rest = text[at + MARK.len()..].trim_start_matches([' ', '\t']);
        numbers(rest).into_iter().next().filter(|(begin, _)| *begin == 0).map(|(_, number)| number)
    };
    text.match_indices(MARK).find_map(behind)
}

/// The final number of a row's own answer: behind its mark, or the last one where there is no mark.
pub fn final_number(answer: &str) -> Option<String> {
    if answer.contains(MARK) { marked_number(answer) } else { last_number(answer) }
}

/// Every number of a text, each with the byte that it begins at, sign included.
fn numbers(text: &str) -> Vec<(usize, String)> {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let digits = |from: usize| (from..bytes.len()).take_while(|at| digit(*at)).count();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let pointed = bytes[at] == b'.' && digit(at + 1) && !(at > 0 && digit(at - 1));
        if !digit(at) && !pointed {
            at += 1;
            continue;
        }
        let first = at;
        at += digits(at);
        let mut whole = text[first..at].to_owned();
        // 1,234,567: groups of exactly three behind at most three digits.
        while (1..=3).contains(&digits(first)) && bytes.get(at) == Some(&b',') && digits(at + 1) == 3 {
            whole.push_str(&text[at + 1..at + 4]);
            at += 4;
        }
        let mut fraction = "";
        if bytes.get(at) == Some(&b'.') && digit(at + 1) {
            let end = at + 1 + digits(at + 1);
            fraction = text[at + 1..end].trim_end_matches('0');
            at = end;
        }
        let (begin, minus) = sign(&text[..first]);
        let whole = whole.trim_start_matches('0');
        let whole = if whole.is_empty() { "0" } else { whole };
        let point = if fraction.is_empty() { "" } else { "." };
        let minus = if minus && (whole, fraction) != ("0", "") { "-" } else { "" };
        found.push((begin, format!("{minus}{whole}{point}{fraction}")));
    }
    found
}

/// Where a number begins whose digits stand behind this text, and whether it is below zero.
fn sign(before: &str) -> (usize, bool) {
    let dollar = |text: &str| text.strip_suffix('$').map_or(text.len(), str::len);
    let unsigned = &before[..dollar(before)];
    let Some(rest) = unsigned.strip_suffix(['-', '\u{2212}']) else { return (unsigned.len(), false) };
    let rest = &rest[..dollar(rest)];
    if rest.ends_with(char::is_alphanumeric) { (unsigned.len(), false) } else { (rest.len(), true) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_number_of_a_text() {
        for (text, number) in [
            ("The answer is 18.", "18"),
            ("16 - 3 - 4 = <<16-3-4=9>>9 eggs, so she makes $18 a day", "18"),
            ("It costs $1,234,567.50 in all", "1234567.5"),
            ("-$5", "-5"),
            ("$-5", "-5"),
            ("\u{2212}7 degrees", "-7"),
            ("x = -3", "-3"),
            ("from 10-5", "5"),
            ("- 4 apples", "4"),
            ("about 12%", "12"),
            ("007", "7"),
            ("-0.0", "0"),
            (".50", "0.5"),
            ("3.14.15", "15"),
            ("18.00", "18"),
            ("100.", "100"),
            ("either 3, 4", "4"),
            ("(2,34)", "34"),
            ("1,2345", "2345"),
            ("2023,100", "100"),
            ("12 \u{4e2a}", "12"),
        ] {
            assert_eq!(last_number(text).as_deref(), Some(number), "{text}");
        }
        assert_eq!(last_number("none, not one. $ - ."), None);
        assert_eq!(last_number(""), None);
    }

    #[test]
    fn the_number_behind_the_mark() {
        for (text, number) in [
            ("so 9 * 2 = 18\n#### 18", Some("18")),
            ("#### 18\n\nQuestion: 5 and 6?", Some("18")),
            ("#### $1,080.", Some("1080")),
            ("####-3", Some("-3")),
            ("#### -$3.20", Some("-3.2")),
            ("#### the answer is 18", None),
            ("#### \n#### 4", Some("4")),
            ("The answer is 18", None),
        ] {
            assert_eq!(marked_number(text).as_deref(), number, "{text}");
        }
    }

    #[test]
    fn the_number_of_a_row() {
        assert_eq!(final_number("5 and\n#### 1,000").as_deref(), Some("1000"));
        assert_eq!(final_number("18.0").as_deref(), Some("18"));
        assert_eq!(final_number("5 and\n#### none"), None);
    }
}
