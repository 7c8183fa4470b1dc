//! Samples from rows: masks, cutting, windows, splits.
#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::tokenizer::tests::small;
use super::*;

fn rows(pairs: &[(&str, &str)]) -> Rows {
    let row = |(i, (p, c)): (usize, &(&str, &str))| Row { prompt: (*p).into(), completion: (*c).into(), line: i + 1 };
    Rows::Pairs(pairs.iter().enumerate().map(row).collect())
}

fn options(seq_len: usize, too_long: TooLong) -> Options {
    Options { seq_len, eos: 2, too_long, ..Options::default() }
}

fn build(rows: &Rows, options: &Options) -> Result<(Dataset, Report)> {
    Dataset::build(rows, &small(""), options, "x.jsonl", &|_, _| {})
}

#[test]
fn prompt_is_masked_and_the_end_is_learned() {
    let (data, report) = build(&rows(&[("ab", "c"), ("", "ab")]), &options(8, TooLong::Error)).unwrap();
    assert_eq!(data.samples[0], Sample { ids: vec![3, 4, 5, 2], learn_from: 2, row: 0, ..Sample::default() });
    assert_eq!(data.samples[1], Sample { ids: vec![3, 4, 2], learn_from: 1, row: 1, ..Sample::default() });
    assert_eq!((report.rows, report.samples, report.tokens, report.targets, report.longest), (2, 2, 7, 4, 4));
    assert_eq!(report.histogram, [0, 0, 2]);
    let begun = Options { begin: vec![1], ..options(8, TooLong::Error) };
    let (data, _) = build(&rows(&[("a", "b"), ("", "b")]), &begun).unwrap();
    assert_eq!(data.samples[0], Sample { ids: vec![1, 3, 4, 2], learn_from: 2, row: 0, ..Sample::default() });
    assert_eq!(data.samples[1], Sample { ids: vec![1, 4, 2], learn_from: 1, row: 1, ..Sample::default() });
}

#[test]
fn long_rows_are_cut_dropped_or_refused() {
    let all = rows(&[("a", "b"), ("ab", "cdef"), ("abcdef", "a"), ("abcd", "b")]);
    let (data, report) = build(&all, &options(4, TooLong::Cut)).unwrap();
    assert_eq!(data.samples.iter().map(|s| (s.row, s.ids.len(), s.targets())).collect::<Vec<_>>(), [(0, 3, 2), (1, 4, 2)]);
    assert_eq!((report.cut, report.dropped, report.without_targets, report.longest, report.samples), (1, 0, 2, 8, 2));
    let (data, report) = build(&all, &options(4, TooLong::Drop)).unwrap();
    assert_eq!((data.len(), report.cut, report.dropped, report.without_targets), (1, 0, 3, 0));
    let said = build(&all, &options(4, TooLong::Error)).unwrap_err().to_string();
    assert!(said.starts_with("x.jsonl:2: the row has 7 tokens, more than"), "{said}");
    let said = build(&all, &options(2, TooLong::Drop)).unwrap_err().to_string();
    assert!(said.contains("of 4 rows 4 were dropped"), "{said}");
    let error = build(&rows(&[("abcd", "b")]), &options(3, TooLong::Cut)).unwrap_err();
    assert!(error.to_string().contains("1 had no target") && error.hint().unwrap().contains("6 tokens"), "{error}");
    assert_eq!(build(&all, &options(1, TooLong::Cut)).unwrap_err().exit_code(), 2);
    assert_eq!(build(&all, &options(0, TooLong::Cut)).unwrap_err().exit_code(), 2);
    assert!(build(&Rows::Pairs(vec![]), &options(4, TooLong::Cut)).is_err());
}

#[test]
fn text_is_cut_into_windows() {
    let (data, report) = build(&Rows::Text("abc\nde\nfg\n".into()), &options(4, TooLong::Cut)).unwrap();
    assert_eq!(
        data.samples,
        [
            Sample { ids: vec![3, 4, 5, 31], learn_from: 1, row: 0, ..Sample::default() },
            Sample { ids: vec![6, 7, 31, 8], learn_from: 1, row: 1, ..Sample::default() }
        ]
    );
    assert_eq!((report.rows, report.remainder, report.tokens, report.targets), (2, 2, 8, 6));
    let (data, report) = build(&Rows::Text("ab".into()), &options(4, TooLong::Cut)).unwrap();
    assert_eq!((data.lengths(), report.remainder, report.targets), (vec![2], 0, 1));
    for text in ["", "a"] {
        assert!(build(&Rows::Text(text.into()), &options(4, TooLong::Cut)).unwrap_err().to_string().contains("tokens"));
    }
}

#[test]
fn the_last_tenth_is_held_out() {
    let data =
        |n: usize| Dataset { samples: (0..n).map(|row| Sample { ids: vec![3, 4], learn_from: 1, row, ..Sample::default() }).collect() };
    for n in [0, 1, 2, 9, 10, 19, 20, 30, 1000, 1234, 99_999] {
        let (train, held) = data(n).split_held_out(0.1).unwrap();
        assert_eq!(held.len(), if n < 2 { 0 } else { (n / 10).max(1) }, "{n}");
        assert_eq!(train.len() + held.len(), n);
        assert!(train.samples.iter().chain(&held.samples).enumerate().all(|(i, s)| i == s.row));
    }
    let held = |n, fraction| data(n).split_held_out(fraction).unwrap().1.len();
    assert_eq!((held(100, 0.29), held(100, 0.0), held(3, 0.999), held(7, 1.0 / 7.0)), (29, 0, 2, 1));
    for bad in [-0.1, 1.0, 5.0, f64::NAN, f64::INFINITY] {
        assert_eq!(data(5).split_held_out(bad).unwrap_err().exit_code(), 2);
    }
}

#[test]
fn progress_rises_to_the_total() {
    let many = rows(&[("a", "b"); 1000]);
    let (calls, last) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let progress = |done: usize, total: usize| {
        assert_eq!(total, 1000);
        assert!(last.swap(done, Ordering::SeqCst) < done);
        calls.fetch_add(1, Ordering::SeqCst);
    };
    let (data, _) = Dataset::build(&many, &small(""), &options(8, TooLong::Cut), "x", &progress).unwrap();
    assert_eq!((last.into_inner(), calls.into_inner()), (1000, 16));
    assert!(data.samples.iter().enumerate().all(|(i, s)| i == s.row));
}
