//! Files as they come, right and wrong.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::error::Error;

fn read(name: &str, bytes: impl AsRef<[u8]>) -> Result<Rows> {
    read_with(name, bytes, &Reading::default())
}

fn read_with(name: &str, bytes: impl AsRef<[u8]>, reading: &Reading) -> Result<Rows> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    read_rows(&path, reading)
}

fn row(prompt: &str, completion: &str, line: usize) -> Row {
    Row { prompt: prompt.into(), completion: completion.into(), line }
}

#[test]
fn reads_what_is_right() {
    let two = "\u{feff}\r\n{\"prompt\":\"a\",\"completion\":\"b\",\"id\":1}\r\n  \n{\"text\":\"c\\nd\"}";
    let want = Rows::Pairs(vec![row("a", "b", 2), row("", "c\nd", 4)]);
    for name in ["x.jsonl", "x.JSON", "x.ndjson", "x", "x.data"] {
        assert_eq!(read(name, two).unwrap(), want, "{name}");
    }
    assert_eq!(read("x.txt", "{\"a\r\n\rb").unwrap(), Rows::Text("{\"a\n\nb".into()));
    assert_eq!(read("x.dat", "\u{feff}Once").unwrap(), Rows::Text("Once".into()));
    let columns = Reading::pair("question", "answer");
    let got = read_with("x.jsonl", r#"{"question":"","answer":"b","text":"c"}"#, &columns).unwrap();
    assert_eq!(got, Rows::Pairs(vec![row("", "b", 1)]));
}

#[test]
fn says_what_is_wrong_and_where() {
    let good = r#"{"prompt":"a","completion":"b"}"#;
    for (rows, said) in [
        ("", "no rows"),
        (" \n\t\r\n\u{feff}", "broken JSON"),
        ("\u{feff} \n\r\n", "no rows"),
        ("GOOD\n{\"prompt\":\"a\",\n\"completion\":\"b\"}", "x.jsonl:2:14: broken JSON: EOF"),
        ("GOOD\n\n{\"prompt\":\"a\" \"completion\":\"b\"}", "x.jsonl:3:15: broken JSON: expected"),
        ("{\"prompt\":\"a\",\"completion\":\"\\ud800\"}", "broken JSON"),
        ("GOOD GOOD", "x.jsonl:1:33: broken JSON: trailing characters"),
        ("GOOD\n{\"question\":\"a\",\"answer\":\"b\"}", "x.jsonl:2: no key \"prompt\": the row has \"question\", \"answer\""),
        ("{\"prompt\":\"a\",\"text\":\"b\"}", "no key \"completion\": the row has \"prompt\", \"text\""),
        ("{}", "no key \"prompt\": the row has no key"),
        ("{\"prompt\":1,\"completion\":\"b\"}", "\"prompt\" is a number"),
        ("{\"prompt\":\"a\",\"completion\":null}", "\"completion\" is null"),
        ("{\"prompt\":\"a\",\"completion\":[\"b\"]}", "\"completion\" is an array"),
        ("{\"text\":{}}", "\"text\" is an object"),
        ("GOOD\n\"text\"", "x.jsonl:2: the row is a string"),
        ("GOOD\n{\"prompt\":\"a\",\"completion\":\"\"}", "x.jsonl:2: \"completion\" is empty"),
        ("{\"text\":\"\"}", "\"text\" is empty"),
        ("[GOOD,\n GOOD,\n {\"prompt\":1}]", "x.jsonl:3: \"prompt\" is a number"),
        ("[GOOD\n GOOD]", "broken JSON"),
        ("[]", "the array is empty"),
        ("[1]", "x.jsonl:1: the row is a number"),
        ("\u{0}\u{0}", "x.jsonl:1:1: broken JSON"),
    ] {
        let got = read("x.jsonl", rows.replace("GOOD", good)).unwrap_err().to_string();
        assert!(got.contains(said), "{rows:?}: {got}, want {said}");
    }
    let said = |bytes: &[u8]| read("x.txt", bytes).unwrap_err().to_string();
    assert!(said(b"ab\ncd\xff\xfe").ends_with("not UTF-8 at byte 5 (line 2)"));
    assert!(said(b"ab\xe2\x82").ends_with("not UTF-8 at byte 2 (line 1)"));
    assert!(said(b"\xff\xfea\0b\0").contains("UTF-16"));
    assert!(said(b"version https://git-lfs.github.com/spec/v1\n").contains("Git LFS pointer"));
    assert!(said(b" \n ").contains("no rows"));
    assert!(matches!(read_rows(Path::new("/no/such.txt"), &Reading::default()), Err(Error::Io { .. })));
}

#[test]
fn huge_and_deep_rows_are_fine_or_refused() {
    let long = "é".repeat(4 << 20);
    let got = read("x.jsonl", format!("{{\"prompt\":\"a\",\"completion\":\"{long}\"}}")).unwrap();
    assert_eq!(got, Rows::Pairs(vec![row("a", &long, 1)]));
    let deep = format!("{{\"prompt\":{}", "[".repeat(1 << 20));
    assert!(read("x.jsonl", deep).unwrap_err().to_string().contains("recursion limit"));
}
