//! Files of rows, of every kind that is text: read, tokenised, shown. The first byte says what the file's name and format are.

use super::{seeds, told};
use diablo::data::preview::Preview;
use diablo::data::{ChatTemplate, Chatting, Dataset, Format, Options, Reading, Tokenizer, TrainOn, read_choices, read_file, summary};
use std::path::Path;
use std::sync::OnceLock;

const NAMES: [&str; 7] = ["rows.jsonl", "rows.json", "rows.csv", "rows.tsv", "rows.txt", "rows", "rows.md"];
const FORMATS: [Format; 6] = [Format::Auto, Format::Pairs, Format::Alpaca, Format::ShareGpt, Format::Messages, Format::Text];

pub fn read(folder: &Path, bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    let (name, format) = (NAMES[usize::from(*kind) % NAMES.len()], FORMATS[usize::from(*kind) / NAMES.len() % FORMATS.len()]);
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    file(&path, format);
    std::fs::remove_file(&path).unwrap();
}

/// Everything that a face does with a file of rows.
pub(super) fn file(path: &Path, format: Format) {
    let reading = Reading { format, ..Reading::default() };
    let Some(found) = told(read_file(path, &reading)) else { return drop(told(read_choices(path, &reading))) };
    assert!(found.format != Format::Auto && !found.describe().is_empty());
    let (tokenizer, chat) = parts();
    let options = Options { seq_len: 16, eos: 1, chat: chat.clone(), ..Options::default() };
    told(chat.questions(&found.rows, tokenizer));
    if let Some((dataset, report)) = told(Dataset::build(&found.rows, tokenizer, &options, "rows", &|_, _| ())) {
        assert_eq!((dataset.len(), report.samples), (report.samples, dataset.samples.len()));
        assert!(dataset.samples.iter().all(|s| s.ids.len() <= 16 && s.targets() < 16.min(s.ids.len().max(1)) + 1));
    }
    if let Some(preview) = told(Preview::read(&path.into(), &reading, tokenizer, &options, &|_, _| ())) {
        let counts = preview.counts(16, options.too_long);
        assert!(counts.samples <= counts.rows);
        summary::quantiles(&preview.lengths(16));
        summary::duplicates(&preview, 16);
        preview.histogram(16, 8);
        if let Some(row) = preview.row(0, 16) {
            told(row.pieces(tokenizer, options.too_long, 8));
        }
    }
    told(read_choices(path, &reading));
}

/// The demo's tokenizer, and a template that shows all that a message has.
fn parts() -> &'static (Tokenizer, Chatting) {
    static PARTS: OnceLock<(Tokenizer, Chatting)> = OnceLock::new();
    PARTS.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("tokenizer.json"), seeds::TOKENIZER).unwrap();
        std::fs::write(folder.path().join("t.jinja"), seeds::TURNS).unwrap();
        let template = folder.path().join("t.jinja");
        assert!(ChatTemplate::from_file(&template, folder.path()).is_ok());
        let chat = Chatting::new(template.to_str().unwrap(), folder.path(), TrainOn::Assistant).unwrap();
        (Tokenizer::from_dir(folder.path()).unwrap(), chat)
    })
}

/// The demo's tokenizer.
pub(super) fn demo_tokenizer() -> &'static Tokenizer {
    &parts().0
}
