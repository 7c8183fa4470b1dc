//! Text to ids and back, by the checkpoint's own `tokenizer.json`.

use std::ops::Range;
use std::path::{Path, PathBuf};

use tokenizers::models::ModelWrapper;

use super::charsmap;
use super::lines::pieces;
use crate::error::{Error, Result};
use crate::guard::caught;

/// Texts up to twice this many bytes are tokenised in one piece.
///
/// Without a pre-tokenizer a piece is one word to the merges: longer ones cost more a byte, shorter ones cut the text where
/// nothing else would.
const PIECE: usize = 8 * 1024;
/// What a Git LFS pointer starts with: the text that lies in the file's place when the download was skipped.
const LFS: &[u8] = b"version https://git-lfs";

/// A checkpoint's tokenizer.
///
/// Truncation, padding and merge dropout are switched off, whatever the file says: a training run must see every token, and
/// the same tokens each time.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    path: PathBuf,
    largest: Option<(u32, String)>,
}

impl Tokenizer {
    /// Reads `tokenizer.json` from a model folder.
    pub fn from_dir(dir: &Path) -> Result<Self> {
        Self::from_file(&dir.join("tokenizer.json"))
    }

    /// Reads a `tokenizer.json`, wherever it lies.
    pub fn from_file(path: &Path) -> Result<Self> {
        let place = path.display().to_string();
        let bytes = match crate::files::read(path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::input(
                    place,
                    "no such file",
                    "the model folder must hold tokenizer.json; older checkpoints have only tokenizer.model or vocab.json: \
                     load and save them once with transformers to get it",
                ));
            }
            Err(e) => return Err(Error::io(path)(e)),
        };
        if is_lfs_pointer(&bytes) {
            return Err(lfs_error(path));
        }
        let wrong = |what: String| {
            Error::input(&*place, format!("not a tokenizer: {what}"), "download the file again, or save it again with transformers")
        };
        charsmap::check(&bytes).map_err(|e| wrong(e.to_string()))?;
        let inner = caught(|| tokenizers::Tokenizer::from_bytes(&bytes)).map_err(wrong)?.map_err(|e| wrong(e.to_string()))?;
        caught(|| Self::new(inner, path)).map_err(wrong)?
    }

    fn new(mut inner: tokenizers::Tokenizer, path: &Path) -> Result<Self> {
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|e| Error::input(path.display().to_string(), format!("truncation: {e}"), ""))?;
        if let ModelWrapper::BPE(bpe) = inner.get_model()
            && bpe.dropout.is_some()
        {
            let mut sure = bpe.clone();
            sure.dropout = None;
            inner.with_model(sure);
        }
        let largest = inner.get_vocab(true).into_iter().map(|(token, id)| (id, token)).max();
        Ok(Self { inner, path: path.to_path_buf(), largest })
    }

    /// The ids of `text`, without special tokens added. (Special tokens written in the text are still recognised.)
    ///
    /// A text beyond 16 KiB is cut at line ends into pieces of at least 8 KiB, which are tokenised apart. With the usual
    /// pre-tokenizers this gives the ids of the whole. Tokenizers that put a blank before every text (SentencePiece without a
    /// pre-tokenizer) put one before every piece.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let mut ids = Vec::new();
        for piece in pieces(text, PIECE) {
            self.encode_into(piece, &mut ids)?;
        }
        Ok(ids)
    }

    /// As [`encode`](Self::encode), with the bytes of the text that each id stands for. An id for white space alone has at least one.
    pub fn encode_offsets(&self, text: &str) -> Result<(Vec<u32>, Vec<Range<usize>>)> {
        let (mut ids, mut offsets, mut from) = (Vec::new(), Vec::new(), 0);
        for piece in pieces(text, PIECE) {
            if !piece.is_empty() {
                let encoding = self.done("tokenise", || self.inner.encode(piece, false))?;
                ids.extend_from_slice(encoding.get_ids());
                // Tokenizers that trim white space off their offsets leave nothing of a token that is nothing else.
                let widened = |(start, end): &(usize, usize)| {
                    let start = if start == end { start.saturating_sub(1) } else { *start };
                    from + start..from + end
                };
                offsets.extend(encoding.get_offsets().iter().map(widened));
            }
            from += piece.len();
        }
        Ok((ids, offsets))
    }

    /// Whether the tokenizer puts a blank before every text by itself, as SentencePiece's does for Llama 2 and Mistral.
    ///
    /// # Errors
    /// Where the tokenizer fails.
    pub fn puts_blank(&self) -> Result<bool> {
        let first = self.encode("a")?.first().and_then(|id| self.id_to_token(*id));
        Ok(first.is_some_and(|token| token.starts_with(['\u{2581}', '\u{120}'])))
    }

    /// The ids that the tokenizer's own template puts before a text: a begin token, or none.
    pub fn begin(&self) -> Result<Vec<u32>> {
        Ok(self.around()?.0)
    }

    /// The ids that the tokenizer's own template puts before and behind a text.
    ///
    /// # Errors
    /// Where the tokenizer fails.
    pub fn around(&self) -> Result<(Vec<u32>, Vec<u32>)> {
        let ids = |special: bool| -> Result<Vec<u32>> {
            let encoding = self.done("tokenise", || self.inner.encode_fast("a", special))?;
            Ok(encoding.get_ids().to_vec())
        };
        let (plain, mut whole) = (ids(false)?, ids(true)?);
        let begin = whole.windows(plain.len().max(1)).position(|w| w == plain).unwrap_or(0);
        let behind = whole.split_off((begin + plain.len()).min(whole.len()));
        whole.truncate(begin);
        Ok((whole, behind))
    }

    /// As [`encode`](Self::encode), but in one piece, however long. For lines.
    pub(super) fn encode_into(&self, text: &str, ids: &mut Vec<u32>) -> Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        let encoding = self.done("tokenise", || self.inner.encode_fast(text, false))?;
        ids.extend_from_slice(encoding.get_ids());
        Ok(())
    }

    /// The text of `ids`; `skip_special` leaves special tokens out. Ids that the tokenizer does not know are left out too.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String> {
        self.done("decode", || self.inner.decode(ids, skip_special))
    }

    /// The largest id, added tokens included, plus one.
    ///
    /// A model's embedding may have more rows (padding), never fewer.
    pub fn vocab_size(&self) -> usize {
        self.largest.as_ref().map_or(0, |(id, _)| (*id as usize).saturating_add(1))
    }

    /// The id of a token, added tokens included.
    pub fn token_to_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// The token of an id, as it stands in the vocabulary.
    pub fn id_to_token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// Whether an id is a special token: one that a text's own characters do not give.
    pub fn is_special(&self, id: u32) -> bool {
        self.inner.get_added_vocabulary().get_added_tokens_decoder().get(&id).is_some_and(|token| token.special)
    }

    /// Where the tokenizer was read from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Fails if the tokenizer can give an id for which the model's embedding has no row.
    pub fn check_against(&self, vocab_size: usize) -> Result<()> {
        match &self.largest {
            Some((id, token)) if *id as usize >= vocab_size => Err(Error::input(
                self.path.display().to_string(),
                format!("token {token:?} has id {id}, but the model's embedding ends before {vocab_size} (vocab_size in config.json)"),
                "tokenizer.json and the weights are from different models, or tokens were added without enlarging the embedding",
            )),
            _ => Ok(()),
        }
    }

    /// What the tokenizer makes of something; it may break on rules that do not go together.
    fn done<T>(&self, doing: &str, work: impl FnOnce() -> tokenizers::Result<T>) -> Result<T> {
        let wrong = |what: String| Error::input(self.path.display().to_string(), format!("cannot {doing}: {what}"), "");
        caught(work).map_err(wrong)?.map_err(|e| wrong(e.to_string()))
    }
}

/// Whether a file's content is a Git LFS pointer.
pub(super) fn is_lfs_pointer(bytes: &[u8]) -> bool {
    bytes.starts_with(LFS)
}

/// The error for a Git LFS pointer in a file's place.
pub(super) fn lfs_error(path: &Path) -> Error {
    let hint = "run `git lfs pull` in that folder, or download the file itself";
    Error::input(path.display().to_string(), "a Git LFS pointer, not the file itself", hint)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod tests {
    use super::*;

    /// A tokenizer with a byte-per-token vocabulary: `a` is 3, `b` 4, ... and a few special tokens.
    pub(crate) fn small(extra: &str) -> Tokenizer {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokenizer.json");
        std::fs::write(&path, small_json(extra)).unwrap();
        Tokenizer::from_file(&path).unwrap()
    }

    fn small_json(extra: &str) -> String {
        let mut vocab = String::from(r#""<unk>":0,"<s>":1,"</s>":2"#);
        for (i, c) in ('a'..='z').chain([' ', '.']).enumerate() {
            vocab += &format!(r#","{c}":{}"#, i + 3);
        }
        vocab += r#","\n":31"#;
        let post = if extra.contains("post_processor") { "" } else { r#""post_processor":null,"# };
        format!(
            r#"{{"version":"1.0",{extra}"added_tokens":[{{"id":2,"content":"</s>","single_word":false,"lstrip":false,"rstrip":false,
            "normalized":false,"special":true}}],"normalizer":null,"pre_tokenizer":null,{post}"decoder":{{"type":"Fuse"}},
            "model":{{"type":"BPE","dropout":0.5,"unk_token":"<unk>","continuing_subword_prefix":null,"end_of_word_suffix":null,
            "fuse_unk":false,"byte_fallback":false,"vocab":{{{vocab}}},"merges":[]}}}}"#
        )
    }

    #[test]
    fn truncation_padding_and_dropout_are_off() {
        let t = small(
            r#""truncation":{"direction":"Right","max_length":2,"strategy":"LongestFirst","stride":0},
            "padding":{"strategy":{"Fixed":8},"direction":"Right","pad_to_multiple_of":null,"pad_id":0,"pad_type_id":0,"pad_token":"<unk>"},"#,
        );
        assert_eq!(t.encode("abcd").unwrap(), [3, 4, 5, 6]);
        assert!(t.encode("").unwrap().is_empty());
        assert_eq!(t.decode(&[3, 4, 2, 5], true).unwrap(), "abc");
        assert_eq!(t.decode(&[3, 2, 999], false).unwrap(), "a</s>");
        assert!(matches!(t.inner.get_model(), ModelWrapper::BPE(bpe) if bpe.dropout.is_none()));
    }

    #[test]
    fn tokenizers_that_put_a_blank_are_known() {
        assert!(!small("").puts_blank().unwrap());
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokenizer.json");
        let metaspace = r#""pre_tokenizer":{"type":"Metaspace","replacement":"▁","prepend_scheme":"always","split":false}"#;
        let json = small_json("").replace(r#""pre_tokenizer":null"#, metaspace).replace(r#""\n":31"#, r#""▁":31"#);
        std::fs::write(&path, json).unwrap();
        assert!(Tokenizer::from_file(&path).unwrap().puts_blank().unwrap());
    }

    #[test]
    fn a_tokenizer_larger_than_the_embedding_is_named() {
        let t = small("");
        assert_eq!(t.vocab_size(), 32);
        t.check_against(32).unwrap();
        let said = t.check_against(31).unwrap_err().to_string();
        assert!(said.contains("tokenizer.json") && said.contains("\"\\n\" has id 31") && said.contains("before 31"), "{said}");
    }

    #[test]
    fn bad_files_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let err = || Tokenizer::from_dir(dir.path()).err().unwrap();
        assert!(err().to_string().ends_with("tokenizer.json: no such file"), "{}", err());
        let path = dir.path().join("tokenizer.json");
        for (content, said) in [
            ("", "not a tokenizer: EOF"),
            ("{\"version\":\"1.0\"", "not a tokenizer: EOF"),
            ("\u{0}\u{1}", "not a tokenizer: expected value"),
            ("[]", "not a tokenizer"),
            ("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "Git LFS pointer"),
        ] {
            std::fs::write(&path, content).unwrap();
            assert!(err().to_string().contains(said), "{}", err());
            assert!(err().hint().is_some());
        }
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(matches!(err(), Error::Io { .. }));
    }
}
