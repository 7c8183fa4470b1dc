//! What the model writes while it learns: the run's sample prompt, continued greedily between two steps.

use super::config::RunConfig;
use crate::data::{Tokenizer, stop_ids};
use crate::device::Session;
use crate::error::{Error, Result};
use crate::files::{self, append_line, atomic_write_bytes, read_text};
use crate::generate::{Sampler, Sampling, continue_tokens};
use crate::model::{Decoding, Source};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The file that keeps what was written, a line each.
pub const SAMPLES_FILE: &str = "samples.jsonl";

const SAMPLES_LIMIT: u64 = 64 << 20;

/// A text that the model wrote.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Written {
    /// Steps done.
    pub step: u64,
    /// What it was given.
    pub prompt: String,
    /// What it added.
    pub text: String,
}

/// Removes what was written after `step`, which will be written again; without a step all of it.
///
/// # Errors
/// Where the file cannot be read or replaced.
pub fn forget_after(folder: &Path, step: Option<u64>) -> Result<()> {
    let path = folder.join(SAMPLES_FILE);
    if !files::is_file(&path) {
        return Ok(());
    }
    let kept: String = read(&path)?
        .into_iter()
        .filter(|w| step.is_some_and(|s| w.step <= s))
        .filter_map(|w| serde_json::to_string(&w).ok().map(|line| line + "\n"))
        .collect();
    atomic_write_bytes(&path, kept.as_bytes())
}

/// What is in the file. A line that a kill tore is left out.
///
/// # Errors
/// Where the file cannot be read.
pub fn read(path: &Path) -> Result<Vec<Written>> {
    Ok(read_text(path, SAMPLES_LIMIT)?.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

/// Continues one prompt again and again.
pub struct Writer {
    tokenizer: Tokenizer,
    prompt: String,
    ids: Vec<u32>,
    stop: Vec<u32>,
    most: usize,
}

impl Writer {
    /// For a run that has a sample prompt.
    ///
    /// # Errors
    /// Where the prompt has no tokens, or leaves no room in the model's context.
    pub fn open(run: &RunConfig, source: &Source) -> Result<Option<Self>> {
        let Some(prompt) = run.sample_prompt.clone() else { return Ok(None) };
        let tokenizer = Tokenizer::from_dir(&source.folder)?;
        let text = tokenizer.encode(&prompt)?;
        if text.is_empty() {
            return Err(Error::usage("--sample-prompt: the text has no tokens", "give some text to continue"));
        }
        let mut ids = run.begin_token.ids(&tokenizer, &source.folder, source.config.bos_token_id)?;
        ids.extend(text);
        let room = source.config.max_position_embeddings.saturating_sub(ids.len());
        if room == 0 {
            let what = format!("--sample-prompt: its {} tokens fill the model's context", ids.len());
            return Err(Error::usage(what, "use a shorter text"));
        }
        let stop = stop_ids(&source.folder, &tokenizer, &source.config.eos_token_id)?;
        Ok(Some(Self { tokenizer, prompt, stop, most: run.sample_tokens.min(room), ids }))
    }

    /// Tokens of its longest text, prompt included.
    pub fn capacity(&self) -> usize {
        self.ids.len() + self.most
    }

    /// Continues the prompt with the weights as they are, and keeps the text in the run folder.
    ///
    /// # Errors
    /// Where the device was lost or the file cannot be written.
    pub async fn write(&self, session: &mut Session, decoding: &mut Decoding, step: u64, folder: &Path) -> Result<Written> {
        let mut sampler = Sampler::new(Sampling::GREEDY);
        let all = &mut |_: &str| true;
        let out = continue_tokens(session, decoding, &self.tokenizer, &self.ids, self.most, &self.stop, &mut sampler, all).await?;
        let written = Written { step, prompt: self.prompt.clone(), text: out.text };
        let line = serde_json::to_string(&written).unwrap_or_default();
        append_line(&folder.join(SAMPLES_FILE), &line)?;
        Ok(written)
    }
}
