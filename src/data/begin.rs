//! The token that texts begin with, where they have one.

use super::special::training_bos;
use super::tokenizer::Tokenizer;
use crate::choice::choice;
use crate::error::Result;
use std::path::Path;

choice! {
    /// Whether a begin token stands before what no chat template writes.
    Begin {
        /// Where the tokenizer puts one itself, as it does for transformers.
        Auto = "auto",
        /// Also where it puts none: the checkpoint's `bos_token`.
        On = "on",
        /// None.
        Off = "off",
    }
}

impl Begin {
    /// The ids that stand before every text. `folder` is the checkpoint's, `config_bos` its config's `bos_token_id`.
    ///
    /// # Errors
    /// Where one is asked for and the checkpoint names none, or the tokenizer fails.
    pub fn ids(self, tokenizer: &Tokenizer, folder: &Path, config_bos: Option<u32>) -> Result<Vec<u32>> {
        if self == Self::Off {
            return Ok(Vec::new());
        }
        let own = tokenizer.begin()?;
        if self == Self::On && own.is_empty() { Ok(vec![training_bos(folder, tokenizer, config_bos)?]) } else { Ok(own) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::tokenizer::tests::small;
    use super::*;

    #[test]
    fn a_tokenizer_that_begins_texts_is_heard() {
        let dir = tempfile::tempdir().unwrap();
        let template = r#""post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],"pair":[{"Sequence":{"id":"A","type_id":0}},{"Sequence":{"id":"B","type_id":0}}],"special_tokens":{"<s>":{"id":"<s>","ids":[1],"tokens":["<s>"]}}},"#;
        let (begins, plain) = (small(template), small(""));
        let ids = |begin: Begin, tokenizer: &Tokenizer, config| begin.ids(tokenizer, dir.path(), config).unwrap();
        assert_eq!(
            (ids(Begin::Auto, &begins, Some(9)), ids(Begin::On, &begins, Some(9)), ids(Begin::Off, &begins, Some(9))),
            (vec![1], vec![1], vec![])
        );
        assert_eq!(
            (ids(Begin::Auto, &plain, Some(9)), ids(Begin::On, &plain, Some(9)), ids(Begin::Off, &plain, None)),
            (vec![], vec![9], vec![])
        );
        assert!(Begin::On.ids(&plain, dir.path(), None).unwrap_err().to_string().contains("no begin token"));
    }
}
