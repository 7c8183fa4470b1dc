//! Which files of a dataset are wanted: those of one split of one subset, by how datasets lay their files out.
//!
//! `data/train-00000-of-00002.parquet`, `main/test.jsonl`, `train/a.csv`, `rows.json`: a split is named by the file or a folder, by the
//! words that Python's `datasets` looks for; what is left of the folders is the subset; where no file names a split, all are `train`.
//! A list of files in the dataset's card is not read.

use super::name::Name;
use super::shelf::Kind;
use super::visit::{Hub, Visit};
use super::{Rows, Told};
use crate::error::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};

/// What is read as rows.
const ROWS: [&str; 7] = ["parquet", "pq", "jsonl", "ndjson", "json", "csv", "tsv"];
/// Files that speak of rows and hold none.
const ABOUT: [&str; 5] = ["dataset_infos.json", "dataset_info.json", "dataset_dict.json", "state.json", "config.json"];
/// The names of splits, the usual one first.
const SPLITS: [&[&str]; 3] = [&["train", "training"], &["validation", "valid", "val", "dev"], &["test", "testing", "eval", "evaluation"]];
/// What a subset is called that has no name.
const UNNAMED: &str = "default";
/// Choices that are listed.
const LISTED: usize = 30;

/// A file of rows, by its place.
#[derive(Debug, PartialEq, Eq)]
struct Found<'a> {
    file: &'a str,
    subset: String,
    split: Option<String>,
}

/// What was chosen.
#[derive(Debug, PartialEq, Eq)]
struct Chosen {
    files: Vec<String>,
    /// In words.
    what: String,
    /// Whether these are a whole split, of which no shard may be missing.
    whole: bool,
}

/// Why nothing was.
#[derive(Debug, PartialEq, Eq)]
struct Unclear {
    what: String,
    hint: String,
}

/// Brings files of rows into the cache.
pub(super) fn bring(hub: &Hub, name: &Name, splits: &[&str], tell: &mut dyn FnMut(Told)) -> Result<Rows> {
    let visit = hub.visit(Kind::Dataset, name, tell)?;
    let chosen = choose(&visit.list, name, splits).map_err(|unclear| refused(&visit, unclear))?;
    if let Some(shard) = absent_shard(&chosen.files).filter(|_| chosen.whole) {
        return Err(match visit.complete {
            true => visit.lacks(format!("it holds {} but not {shard}", chosen.files.join(", ")), "tell its owner"),
            false => visit.missing(&shard),
        });
    }
    visit.bring(&chosen.files, tell)?;
    visit.warn(tell);
    let files = chosen.files.iter().map(|file| visit.path(file)).collect();
    let choice = Some(format!("{}: {}", visit.pinned().display(), chosen.what));
    Ok(Rows { name: visit.pinned(), files, choice })
}

/// The files of a list that a fetch would bring; for `fuzz/`.
#[cfg(feature = "fuzzing")]
pub(super) fn chosen_of(list: &[String], name: &Name, splits: &[&str]) -> Result<Vec<String>> {
    let chosen = choose(list, name, splits).map_err(|unclear| Error::input("the hub", unclear.what, unclear.hint))?;
    match absent_shard(&chosen.files).filter(|_| chosen.whole) {
        Some(absent) => Err(Error::input("the hub", absent, "")),
        None => Ok(chosen.files),
    }
}

fn refused(visit: &Visit<'_>, Unclear { what, hint }: Unclear) -> Error {
    if visit.complete {
        return visit.lacks(what, hint);
    }
    visit.lacks(format!("{what}, as far as the cache has it"), format!("{hint}\nor run once without HF_HUB_OFFLINE"))
}

fn choose(list: &[String], name: &Name, splits: &[&str]) -> std::result::Result<Chosen, Unclear> {
    let Name { repository, part, .. } = name;
    if let Some(file) = part.as_ref().filter(|part| list.contains(part)) {
        return Ok(Chosen { files: vec![file.clone()], what: file.clone(), whole: false });
    }
    let mut found: Vec<Found<'_>> = list.iter().filter(|file| holds_rows(file)).map(|file| sort(file)).collect();
    if found.is_empty() {
        let hint = "rows are read from .parquet, .jsonl, .json and .csv; a dataset that is a script has a branch refs/convert/parquet";
        return Err(Unclear { what: "holds no files of rows".into(), hint: hint.into() });
    }
    let mut wanted: Vec<String> = splits.iter().map(|split| usual(split)).collect();
    if let Some(part) = part {
        let (subset, split) = narrowed(&found, part)
            .ok_or_else(|| Unclear { what: format!("has no subset, split or file {part}"), hint: choices(repository, &found) })?;
        if let Some(subset) = subset {
            found.retain(|f| f.subset == subset);
        }
        if let Some(split) = split {
            wanted = vec![split];
        }
    }
    if found.iter().all(|f| f.split.is_none()) {
        found.iter_mut().for_each(|f| f.split = Some("train".into()));
    }
    let is = |f: &Found<'_>, split: &str| f.split.as_deref() == Some(split);
    let Some(split) = wanted.iter().find(|split| found.iter().any(|f| is(f, split))) else {
        let what = format!("has no split {}{}", wanted.join(" or "), part.as_ref().map(|p| format!(" of {p}")).unwrap_or_default());
        return Err(Unclear { what, hint: choices(repository, &found) });
    };
    let of_split: Vec<&Found<'_>> = found.iter().filter(|f| is(f, split)).collect();
    let subsets: BTreeSet<&str> = of_split.iter().map(|f| f.subset.as_str()).collect();
    if subsets.len() > 1 {
        let what = format!("has several subsets with a split {split}: {}", listed(subsets.iter().map(|s| (*s).to_owned())));
        let one = subsets.first().copied().unwrap_or_default();
        return Err(Unclear { what, hint: format!("name one, as in {repository}:{one}") });
    }
    let kinds: BTreeSet<&str> = of_split.iter().map(|f| extension(f.file)).collect();
    let mut files: Vec<String> = of_split.iter().map(|f| f.file.to_owned()).collect();
    files.sort();
    if kinds.len() > 1 {
        let what = format!("has split {split} in several formats: {}", listed(files.iter().cloned()));
        return Err(Unclear { what, hint: format!("name a file, as in {repository}:{}", files.first().map_or("", |f| f)) });
    }
    let subset = subsets.first().filter(|s| **s != UNNAMED).map(|s| format!(" of {s}")).unwrap_or_default();
    let what = format!("split {split}{subset}: {}", listed(files.iter().cloned()));
    Ok(Chosen { files, what, whole: true })
}

/// What a part names: a subset, a split, or a split of a subset.
fn narrowed(found: &[Found<'_>], part: &str) -> Option<(Option<String>, Option<String>)> {
    if found.iter().any(|f| f.subset == part) {
        return Some((Some(part.into()), None));
    }
    let split = usual(part);
    if found.iter().any(|f| f.split.as_deref() == Some(&split)) {
        return Some((None, Some(split)));
    }
    let (subset, split) = part.rsplit_once('/')?;
    let split = usual(split);
    found.iter().any(|f| f.subset == subset && f.split.as_deref().unwrap_or("train") == split).then(|| (Some(subset.into()), Some(split)))
}

fn choices(repository: &str, found: &[Found<'_>]) -> String {
    let all: BTreeSet<String> = found.iter().map(|f| format!("{}/{}", f.subset, f.split.as_deref().unwrap_or("train"))).collect();
    let one = all.first().cloned().unwrap_or_default();
    format!("it has {}; name one, as in {repository}:{one}, or a file", listed(all.into_iter()))
}

fn listed(names: impl ExactSizeIterator<Item = String>) -> String {
    let count = names.len();
    let text = names.take(LISTED).collect::<Vec<_>>().join(", ");
    if count > LISTED { format!("{text} and {} more", count - LISTED) } else { text }
}

fn extension(file: &str) -> &str {
    file.rsplit('/').next().unwrap_or(file).rsplit_once('.').map_or("", |(_, e)| e)
}

fn holds_rows(file: &str) -> bool {
    let own = file.rsplit('/').next().unwrap_or(file);
    ROWS.contains(&extension(file).to_ascii_lowercase().as_str()) && !ABOUT.contains(&own) && !file.split('/').any(|p| p.starts_with('.'))
}

/// The usual name of a split.
fn usual(split: &str) -> String {
    let known = SPLITS.iter().find(|names| names.contains(&split.to_ascii_lowercase().as_str()));
    known.map_or_else(|| split.to_owned(), |names| names[0].to_owned())
}

/// The split that a word of a name stands for: words end at `-`, `_`, `.`, blanks and digits.
fn split_in(name: &str) -> Option<String> {
    let words = name.split(|c: char| c.is_ascii_digit() || "-_. ".contains(c)).map(str::to_ascii_lowercase);
    words.into_iter().find_map(|word| SPLITS.iter().find(|names| names.contains(&word.as_str())).map(|names| names[0].to_owned()))
}

/// `train` of `train-00000-of-00002`, with the shard's number and how many there are.
fn shard(stem: &str) -> Option<(&str, u32, u32)> {
    let (head, count) = stem.rsplit_once("-of-")?;
    let (name, number) = head.rsplit_once('-')?;
    // Behind the count there may be a hash.
    let count = count.split('-').next()?;
    let digits = |text: &str| (text.len() == 5).then(|| text.parse().ok()).flatten();
    Some((name, digits(number)?, digits(count)?))
}

fn stem(own: &str) -> &str {
    own.rsplit_once('.').map_or(own, |(stem, _)| stem)
}

fn sort(file: &str) -> Found<'_> {
    let mut folders: Vec<&str> = file.split('/').collect();
    let own = stem(folders.pop().unwrap_or(file));
    // A shard's name is its split's, whatever that is: train_sft too.
    let plain = |name: &&str| name.chars().all(|c| c.is_alphanumeric() || c == '_');
    let mut split = match shard(own) {
        Some((name, ..)) => Some(name).filter(plain).map(usual).or_else(|| split_in(name)),
        None => split_in(own),
    };
    if split.is_none() {
        split = folders.iter().rev().find_map(|folder| split_in(folder));
    }
    folders.retain(|folder| *folder != "data" && !SPLITS.iter().any(|names| names.contains(&folder.to_ascii_lowercase().as_str())));
    let subset = if folders.is_empty() { UNNAMED.to_owned() } else { folders.join("/") };
    Found { file, subset, split }
}

/// A shard that the others say there is.
fn absent_shard(files: &[String]) -> Option<String> {
    let mut there: BTreeMap<(&str, &str, u32), BTreeSet<u32>> = BTreeMap::new();
    let mut ends = BTreeMap::new();
    for file in files {
        let (folder, own) = file.rsplit_once('/').map_or(("", file.as_str()), |(folder, own)| (folder, own));
        // A hash behind the count differs from shard to shard.
        let Some((name, number, count)) = shard(stem(own)) else { continue };
        there.entry((folder, name, count)).or_default().insert(number);
        ends.entry((folder, name, count)).or_insert(extension(own));
    }
    there.into_iter().find_map(|(set, numbers)| {
        let (folder, name, count) = set;
        let absent = (0..count).find(|number| !numbers.contains(number))?;
        let begin = format!("{name}-{absent:05}-of-{count:05}.{}", ends[&set]);
        Some(if folder.is_empty() { begin } else { format!("{folder}/{begin}") })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(list: &[&str], name: &str, splits: &[&str]) -> std::result::Result<Vec<String>, Unclear> {
        let list: Vec<String> = list.iter().map(|f| (*f).to_owned()).collect();
        choose(&list, &Name::parse(name).expect("a name"), splits).map(|c| c.files)
    }

    const GSM8K: [&str; 6] = [
        ".gitattributes",
        "README.md",
        "main/test-00000-of-00001.parquet",
        "main/train-00000-of-00001.parquet",
        "socratic/test-00000-of-00001.parquet",
        "socratic/train-00000-of-00001.parquet",
    ];

    #[test]
    fn usual_layouts_are_understood() {
        for (list, name, split, want) in [
            (
                &["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet", "data/test-00000-of-00001.parquet"][..],
                "a/b",
                "train",
                2,
            ),
            (&GSM8K[..], "openai/gsm8k:main", "train", 1),
            (&GSM8K[..], "openai/gsm8k:main/test", "train", 1),
            (&GSM8K[..], "openai/gsm8k:main/test-00000-of-00001.parquet", "train", 1),
            (&["alpaca_data_cleaned.json", "README.md", "dataset_infos.json"], "a/b", "train", 1),
            (&["train.jsonl", "test.jsonl"], "a/b", "test", 1),
            (&["train/a.csv", "train/b.csv", "dev/a.csv"], "a/b", "train", 2),
            (&["train/a.csv", "train/b.csv", "dev/a.csv"], "a/b", "validation", 1),
            (&["data/train_sft-00000-of-00001-0a1b.parquet", "data/test_sft-00000-of-00001-2c3d.parquet"], "a/b", "train_sft", 1),
            (&["en/train.jsonl", "de/train.jsonl"], "a/b:de", "train", 1),
            (&["one/rows.jsonl", "two/rows.jsonl"], "a/b:two", "train", 1),
            (&["one/rows.jsonl", "two/rows.jsonl"], "a/b:two/train", "test", 1),
            (&["my-training-set.jsonl", "my-eval-set.jsonl"], "a/b", "train", 1),
        ] {
            let files = chosen(list, name, &[split]).unwrap_or_else(|e| panic!("{name}: {e:?}"));
            assert_eq!(files.len(), want, "{name} {split}: {files:?}");
        }
        assert_eq!(chosen(&GSM8K, "openai/gsm8k:main/test", &["train"]).expect("chosen"), ["main/test-00000-of-00001.parquet"]);
        assert_eq!(chosen(&["en/train.jsonl", "de/train.jsonl"], "a/b:de", &["train"]).expect("chosen"), ["de/train.jsonl"]);
    }

    #[test]
    fn held_out_rows_are_the_first_split_that_is_there() {
        let list = ["train.jsonl", "validation.jsonl", "test.jsonl"];
        assert_eq!(chosen(&list, "a/b", &["validation", "test"]).expect("chosen"), ["validation.jsonl"]);
        assert_eq!(chosen(&[list[0], list[2]], "a/b", &["validation", "test"]).expect("chosen"), ["test.jsonl"]);
    }

    #[test]
    fn what_is_unclear_lists_the_choices() {
        for (list, name, split, what, hint) in [
            (&GSM8K[..], "openai/gsm8k", "train", "several subsets with a split train: main, socratic", "openai/gsm8k:main"),
            (&GSM8K[..], "openai/gsm8k:mian", "train", "no subset, split or file mian", "it has main/test, main/train, socratic/test"),
            (&GSM8K[..], "openai/gsm8k:main", "validation", "no split validation of main", "main/test, main/train"),
            (&["data/train_sft-00000-of-00001.parquet"], "a/b", "train", "no split train", "default/train_sft"),
            (&["train.csv", "train.jsonl"], "a/b", "train", "several formats: train.csv, train.jsonl", "a/b:train.csv"),
            (&["README.md", "build.py"], "a/b", "train", "no files of rows", "refs/convert/parquet"),
        ] {
            let unclear = chosen(list, name, &[split]).expect_err(name);
            assert!(unclear.what.contains(what) && unclear.hint.contains(hint), "{name}: {unclear:?}");
        }
    }

    #[test]
    fn a_shard_that_is_missing_is_named() {
        let files = |names: &[&str]| names.iter().map(|f| (*f).to_owned()).collect::<Vec<_>>();
        let all = ["data/train-00000-of-00003.parquet", "data/train-00001-of-00003.parquet", "data/train-00002-of-00003.parquet"];
        assert_eq!(absent_shard(&files(&all)), None);
        assert_eq!(absent_shard(&files(&[all[0], all[2]])).as_deref(), Some(all[1]));
        assert_eq!(absent_shard(&files(&["a.jsonl", "train-1-of-2.jsonl"])), None);
        assert_eq!(absent_shard(&files(&["train-00000-of-00001-0a1b2c.parquet"])), None);
    }

    /// Each file looked for among all of them, for each of them, takes minutes here.
    #[test]
    fn many_shards_are_looked_through_once() {
        let all: Vec<String> = (0..20_000).map(|n| format!("data/train-{n:05}-of-20000.parquet")).collect();
        let began = std::time::Instant::now();
        assert_eq!(absent_shard(&all), None);
        assert_eq!(absent_shard(&all[..19_999]).as_deref(), Some("data/train-19999-of-20000.parquet"));
        assert!(began.elapsed() < std::time::Duration::from_secs(5), "{:?}", began.elapsed());
    }
}
