//! A model that is open in the app: its source, its tokenizer, and what is told of it.

use super::jobs::Reporter;
use crate::data::{ChatTemplate, Tokenizer, training_eos};
use crate::error::{Error, Result};
use crate::hub::{self, Told};
use crate::model::Source;
use crate::train::RunConfig;
use std::path::{Path, PathBuf};

/// A model that is open.
pub struct OpenModel {
    /// Its short name: the folder's, or the hub's.
    pub name: String,
    /// What finds the same again: the folder, or the hub's name with the commit.
    pub path: PathBuf,
    /// Configuration and weights.
    pub source: Source,
    /// Tokenizer and end token, or why there are none: such a model can be looked at, not trained.
    tokenizer: Result<(Tokenizer, u32)>,
    /// Whether it has a chat template that can be used.
    pub has_template: bool,
}

impl OpenModel {
    /// Opens a folder, or fetches what a name on the hub stands for.
    ///
    /// # Errors
    /// Names the file and what does not fit.
    pub fn open(path: &Path, reporter: &Reporter) -> Result<Self> {
        let hub::Model { name: path, folder } = hub::model(path, true, &mut |told| told_to(reporter, told))?;
        let folder = folder.as_path();
        reporter.report("opening the weights", 0, 0);
        let source = Source::open(folder)?;
        reporter.report("opening the tokenizer", 0, 0);
        let tokenizer = Tokenizer::from_dir(folder).and_then(|tokenizer| {
            tokenizer.check_against(source.config.vocab_size)?;
            let eos = training_eos(folder, &tokenizer, &source.config.eos_token_id)?;
            Ok((tokenizer, eos))
        });
        let has_template = ChatTemplate::of_model(folder).is_ok_and(|template| template.is_some());
        Ok(Self { name: short_name(&path), path, source, tokenizer, has_template })
    }

    /// The tokens of a text that a run writes between steps: its prompt and what is added, as far as the context goes.
    pub fn writes(&self, run: &RunConfig) -> usize {
        let (Some(prompt), Ok((tokenizer, _))) = (&run.sample_prompt, self.tokenizer()) else { return 0 };
        let (folder, config) = (&self.source.folder, &self.source.config);
        let begin = run.begin_token.ids(tokenizer, folder, config.bos_token_id).map_or(0, |ids| ids.len());
        let prompt = tokenizer.encode(prompt).map_or(0, |ids| ids.len());
        if prompt == 0 { 0 } else { (begin + prompt + run.sample_tokens).min(config.max_position_embeddings) }
    }

    /// The tokenizer and the end token.
    ///
    /// # Errors
    /// Why the folder has none that fits.
    pub fn tokenizer(&self) -> Result<(&Tokenizer, u32)> {
        match &self.tokenizer {
            Ok((tokenizer, eos)) => Ok((tokenizer, *eos)),
            Err(error) => Err(Error::input(error.place(), error.what(), error.hint().unwrap_or_default())),
        }
    }
}

/// Shows how a download goes, where a job shows how far it is.
pub fn told_to(reporter: &Reporter, told: Told) {
    match told {
        Told::Bytes { what, done, total } => reporter.report(format!("fetching {what}"), done, total),
        Told::Note(text) | Told::Warning(text) => reporter.report(text, 0, 0),
    }
}

/// A folder's own name; one that says only "model" is told with the folder above it. A hub's without owner and commit.
fn short_name(folder: &Path) -> String {
    if hub::Name::of(folder).is_some() {
        return hub::short(folder);
    }
    let part = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    match (part(folder), folder.parent().and_then(part)) {
        (Some(name), Some(above)) if name == "model" => format!("{above}/{name}"),
        (Some(name), _) => name,
        (None, _) => folder.display().to_string(),
    }
}
