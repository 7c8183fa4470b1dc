//! Rows as a person looks at them before a run: how long they are, which are cut, and what becomes of every token.
//!
//! It is made of the same [`Dataset`] that a run makes, only uncut, so what is shown is what is learned.

use super::dataset::{Dataset, Options, TooLong};
use super::files::DataFiles;
use super::rows::{Reading, Rows, read_file};
use super::tokenizer::Tokenizer;
use crate::error::Result;
use std::ops::Range;
use std::path::Path;

/// What becomes of a token in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The model reads it and is not asked for it.
    Read,
    /// The model is asked for it: its loss counts.
    Learned,
    /// It lies beyond the sequence length.
    Cut,
}

/// One token of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Its id.
    pub id: u32,
    /// Its text, white space and all. Where the token is a part of a character: its name in the vocabulary.
    pub text: String,
    /// Whether it is a special token.
    pub special: bool,
    /// What becomes of it.
    pub fate: Fate,
}

/// What becomes of all rows at one sequence length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rows; of a text: windows.
    pub rows: usize,
    /// Rows longer than the sequence length.
    pub too_long: usize,
    /// Rows with nothing left to learn within it.
    pub without_targets: usize,
    /// Of those, rows longer than the sequence length.
    pub emptied: usize,
    /// Rows that a run takes: all but those left out as too long or without targets.
    pub samples: usize,
    /// Tokens that a pass over the rows reads.
    pub tokens: usize,
    /// Tokens that it learns.
    pub targets: usize,
    /// Tokens of the longest row.
    pub longest: usize,
}

/// Files of rows, tokenised and not cut.
#[derive(Clone, Debug)]
pub struct Preview {
    rows: Vec<Uncut>,
    text: bool,
    found: Vec<String>,
}

#[derive(Clone, Debug)]
struct Uncut {
    ids: Vec<u32>,
    learn_from: usize,
    skipped: Vec<Range<u32>>,
    /// The row's line in its file; 0 for a window of a text.
    line: usize,
    file: usize,
}

/// A row as it is at one sequence length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownRow<'a> {
    /// Its tokens, those beyond the sequence length included.
    pub ids: &'a [u32],
    /// The first token that is learned.
    pub learn_from: usize,
    /// Tokens behind it that are not.
    pub skipped: &'a [Range<u32>],
    /// Tokens that a run keeps.
    pub keep: usize,
    /// The row's line in its file, from 1, where rows have lines.
    pub line: Option<usize>,
    /// Which of the files it is in, from 0.
    pub file: usize,
}

impl Preview {
    /// Reads and tokenises files; their weights play no part. `progress` gets rows of a file done and in all.
    ///
    /// # Errors
    /// Names the file and the row that does not fit.
    pub fn read(
        files: &DataFiles,
        reading: &Reading,
        tokenizer: &Tokenizer,
        options: &Options,
        progress: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<Self> {
        let mut all = Self { rows: Vec::new(), text: false, found: Vec::new() };
        for file in &files.0 {
            all.add(&file.path, reading, tokenizer, options, progress)?;
        }
        // Among rows a text stays whole.
        all.text &= files.0.len() == 1;
        Ok(all)
    }

    fn add(
        &mut self,
        path: &Path,
        reading: &Reading,
        tokenizer: &Tokenizer,
        options: &Options,
        progress: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<()> {
        let place = path.display().to_string();
        let found = read_file(path, reading)?;
        let rows = &found.rows;
        // No row is longer than this, so nothing is cut, and a text is one window.
        let options = Options { seq_len: u32::MAX as usize, too_long: TooLong::Cut, ..options.clone() };
        let (dataset, _) = Dataset::build(rows, tokenizer, &options, &place, progress)?;
        self.rows.extend(dataset.samples.into_iter().map(|s| Uncut {
            learn_from: s.learn_from as usize,
            skipped: s.skipped,
            line: rows.line(s.row),
            file: self.found.len(),
            ids: s.ids,
        }));
        self.text |= matches!(rows, Rows::Text(_));
        self.found.push(match options.chat.describe(rows) {
            Some(how) => format!("{}, {how}", found.describe()),
            None => found.describe(),
        });
        Ok(())
    }

    /// What each file was found to be, for people.
    pub fn found(&self) -> &[String] {
        &self.found
    }

    /// Whether the file is one text, which is cut into windows as long as the sequence length.
    pub fn is_text(&self) -> bool {
        self.text
    }

    /// Tokens of a text's window: the sequence length, or the whole text where it is shorter.
    fn window(&self, seq_len: usize) -> usize {
        self.rows.first().map_or(1, |r| r.ids.len().min(seq_len)).max(1)
    }

    /// How many rows or windows there are.
    pub fn len(&self, seq_len: usize) -> usize {
        if self.text { self.rows.first().map_or(0, |r| r.ids.len() / self.window(seq_len)) } else { self.rows.len() }
    }

    /// A row, or a text's window, from 0.
    pub fn row(&self, index: usize, seq_len: usize) -> Option<ShownRow<'_>> {
        if self.text {
            let (text, window) = (self.rows.first()?, self.window(seq_len));
            let ids = text.ids.get(index * window..(index + 1) * window)?;
            return Some(ShownRow { ids, learn_from: 1, skipped: &[], keep: window, line: None, file: 0 });
        }
        let row = self.rows.get(index)?;
        Some(ShownRow {
            ids: &row.ids,
            learn_from: row.learn_from,
            skipped: &row.skipped,
            keep: row.ids.len().min(seq_len),
            line: (row.line > 0).then_some(row.line),
            file: row.file,
        })
    }

    /// The lengths of all rows, before any cutting.
    pub fn lengths(&self, seq_len: usize) -> Vec<usize> {
        if self.text { vec![self.window(seq_len); self.len(seq_len)] } else { self.rows.iter().map(|r| r.ids.len()).collect() }
    }

    /// What becomes of all rows.
    pub fn counts(&self, seq_len: usize, too_long: TooLong) -> Counts {
        let mut counts = Counts::default();
        for row in (0..self.len(seq_len)).filter_map(|i| self.row(i, seq_len)) {
            counts.rows += 1;
            counts.longest = counts.longest.max(row.ids.len());
            let cut = row.keep < row.ids.len();
            counts.too_long += usize::from(cut);
            if cut && too_long != TooLong::Cut {
                continue;
            }
            let targets = row.targets();
            counts.without_targets += usize::from(targets == 0);
            counts.emptied += usize::from(targets == 0 && cut);
            if targets > 0 {
                counts.samples += 1;
                counts.targets += targets;
                counts.tokens += row.keep;
            }
        }
        counts
    }

    /// Rows by length: where the bars begin, how wide they are, and how many rows are in each. At most `bars`.
    pub fn histogram(&self, seq_len: usize, bars: usize) -> (usize, Vec<usize>) {
        let lengths = self.lengths(seq_len);
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let width = (longest + 1).div_ceil(bars.max(1)).max(1);
        let mut counts = vec![0; longest / width + 1];
        lengths.iter().for_each(|length| counts[length / width] += 1);
        (width, counts)
    }
}

impl ShownRow<'_> {
    /// How many of its tokens a run learns, if it takes the row.
    pub fn targets(&self) -> usize {
        let skipped: usize =
            self.skipped.iter().map(|range| (range.end as usize).min(self.keep).saturating_sub(range.start as usize)).sum();
        self.keep.saturating_sub(self.learn_from) - skipped
    }

    /// What becomes of the token at a place. `too_long` decides for rows that do not fit.
    pub fn fate(&self, at: usize, too_long: TooLong) -> Fate {
        let left_out = self.keep < self.ids.len() && too_long != TooLong::Cut;
        // A row whose prompt alone fills the sequence is left out, as the run leaves it out.
        if at >= self.keep || left_out || self.keep <= self.learn_from {
            Fate::Cut
        } else if at >= self.learn_from && !self.skipped.iter().any(|range| range.contains(&(at as u32))) {
            Fate::Learned
        } else {
            Fate::Read
        }
    }

    /// The first `most` tokens, with their texts.
    ///
    /// # Errors
    /// Where the tokenizer cannot turn ids into text.
    pub fn pieces(&self, tokenizer: &Tokenizer, too_long: TooLong, most: usize) -> Result<Vec<Piece>> {
        let ids = &self.ids[..self.ids.len().min(most)];
        let texts = texts(tokenizer, ids)?;
        let piece = |(at, (id, text)): (usize, (&u32, String))| Piece {
            id: *id,
            text,
            special: tokenizer.is_special(*id),
            fate: self.fate(at, too_long),
        };
        Ok(ids.iter().zip(texts).enumerate().map(piece).collect())
    }
}

/// The text of each id. A blank that a decoder drops at the start of a text is there for every id but the first.
pub fn texts(tokenizer: &Tokenizer, ids: &[u32]) -> Result<Vec<String>> {
    let mut out = Vec::with_capacity(ids.len());
    for (at, id) in ids.iter().enumerate() {
        let alone = tokenizer.decode(&[*id], false)?;
        let text = match at.checked_sub(1) {
            None => alone,
            Some(before) => {
                let (first, both) = (tokenizer.decode(&ids[before..at], false)?, tokenizer.decode(&ids[before..=at], false)?);
                both.strip_prefix(&first).map_or(alone, str::to_owned)
            }
        };
        // A part of a character has no text of its own, nor has an id that decoders leave out. The vocabulary's sign for a blank
        // stands for one.
        let broken = text.is_empty() || text.contains('\u{fffd}');
        let name = || tokenizer.id_to_token(*id).map_or_else(|| format!("id {id}"), |name| name.replace('\u{2581}', " "));
        out.push(if broken { name() } else { text });
    }
    Ok(out)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::tokenizer::tests::small;
    use super::*;

    fn read(name: &str, text: &str) -> Preview {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        Preview::read(&path.clone().into(), &Reading::default(), &small(""), &Options { eos: 2, ..Options::default() }, &|_, _| ()).unwrap()
    }

    #[test]
    fn every_token_has_its_fate() {
        let p = read("x.jsonl", "{\"prompt\":\"ab\",\"completion\":\"cd\"}\n\n{\"text\":\"abcdefgh\"}");
        assert_eq!((p.len(512), p.is_text(), p.lengths(512)), (2, false, vec![5, 9]));
        let row = p.row(0, 4).unwrap();
        assert_eq!((row.line, row.keep, row.learn_from), (Some(1), 4, 2));
        let pieces = row.pieces(&small(""), TooLong::Cut, 100).unwrap();
        let told: Vec<_> = pieces.iter().map(|p| (p.text.as_str(), p.special, p.fate)).collect();
        assert_eq!(
            told,
            [
                ("a", false, Fate::Read),
                ("b", false, Fate::Read),
                ("c", false, Fate::Learned),
                ("d", false, Fate::Learned),
                ("</s>", true, Fate::Cut)
            ]
        );
        // The first token of a row is never learned: nothing predicts it.
        assert_eq!(p.row(1, 512).unwrap().fate(0, TooLong::Cut), Fate::Read);
        assert_eq!(p.row(0, 4).unwrap().fate(0, TooLong::Drop), Fate::Cut);
        assert_eq!(p.row(0, 2).unwrap().fate(0, TooLong::Cut), Fate::Cut);
        assert_eq!((p.row(1, 512).unwrap().line, p.row(2, 512)), (Some(3), None));
    }

    #[test]
    fn counts_are_those_of_the_dataset() {
        let tokenizer = small("");
        let dir = tempfile::tempdir().unwrap();
        let rows: String =
            (1..40).map(|i| format!("{{\"prompt\":\"{}\",\"completion\":\"{}\"}}\n", "a".repeat(i % 7), "b".repeat(1 + i % 13))).collect();
        for (name, text) in [("x.jsonl", rows.as_str()), ("x.txt", "abc abc\nabc\nabcd efgh")] {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            let preview =
                Preview::read(&path.clone().into(), &Reading::default(), &tokenizer, &Options { eos: 2, ..Options::default() }, &|_, _| ())
                    .unwrap();
            let read = super::super::read_rows(&path, &Reading::default()).unwrap();
            for seq_len in [2, 4, 8, 512] {
                for too_long in [TooLong::Cut, TooLong::Drop] {
                    let options = Options { seq_len, eos: 2, too_long, ..Options::default() };
                    let Ok((_, report)) = Dataset::build(&read, &tokenizer, &options, "x", &|_, _| ()) else { continue };
                    let counts = preview.counts(seq_len, too_long);
                    let got = (counts.rows, counts.samples, counts.tokens, counts.targets, counts.longest);
                    let want = (report.rows, report.samples, report.tokens, report.targets, report.longest);
                    assert_eq!(got, want, "{name} {seq_len} {too_long:?}");
                }
            }
            let (width, bars) = preview.histogram(512, 5);
            assert_eq!((bars.iter().sum::<usize>(), bars.len() <= 6), (preview.len(512), true), "{width}");
        }
    }

    #[test]
    fn texts_of_real_tokenizers_join_to_the_text() {
        let shared = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared"));
        let folders = ["real/qwen2-tokenizer", "real/tinystories-656k", "reference/llama-lora/model", "reference/qwen3-diablo/model"];
        let text = "Once upon a time,  there was\n\n\ta (small) fox -- 12 of them.";
        let mut seen = 0;
        for folder in folders {
            let Ok(tokenizer) = Tokenizer::from_dir(&shared.join(folder)) else { continue };
            let ids = tokenizer.encode(text).unwrap();
            // Some put a blank before every text, and take it away again when they decode.
            let joined = texts(&tokenizer, &ids).unwrap().concat();
            assert_eq!(joined.trim_start(), tokenizer.decode(&ids, false).unwrap(), "{folder}");
            seen += 1;
        }
        if seen == 0 {
            eprintln!("skipped: no ../shared");
        }
    }
}
