//! Several voices continue one prompt, a token each in turn, so that their answers grow beside each other.
//!
//! The model is loaded once. An adapter that is asked for the first time, or has changed on disk since, is put beside the others.

use super::{Decoder, Sampler, Sampling};
use crate::adapter::AdapterFile;
use crate::adapter::files::CONFIG_FILE as ADAPTER_FILE;
use crate::data::{Begin, ChatTemplate, DecodeStream, Tokenizer, stop_ids};
use crate::device::Device;
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::model::Source;
use crate::train::adapters::begin_token;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::path::{Path, PathBuf};
use web_time::Instant;

/// Tokens of prompt and answer that are given room at first; a longer text loads the model anew.
const ROOM: usize = 1024;

/// Who is to speak: the model as it is, or with the adapter of a folder.
pub type Voice = Option<PathBuf>;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Question {
    /// The text that is continued.
    pub prompt: String,
    /// Whether the model's chat template writes it as a person's turn, so that the answer is the assistant's.
    #[serde(default)]
    pub chat: bool,
    /// Who continues it.
    pub voices: Vec<Voice>,
    /// How tokens are drawn; every voice begins its own stream of the same seed.
    pub sampling: Sampling,
    /// The most tokens of an answer.
    pub most: usize,
}

/// How an answer ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct End {
    /// Its tokens.
    pub tokens: usize,
    /// Tokens of the prompt, begin token included.
    pub prompt_tokens: usize,
    /// Seconds that this voice took, prompt included.
    pub seconds: f64,
    /// Whether the model ended it by itself.
    pub by_itself: bool,
}

/// A part of an answer.
#[derive(Debug)]
pub enum Part {
    /// More text.
    Text(String),
    /// There is no more.
    Ended(End),
    /// This voice cannot speak; the others do.
    Failed(Error),
}

/// A model that is loaded, with the voices that have spoken so far.
pub struct Together<'a> {
    device: Device,
    source: &'a Source,
    tokenizer: &'a Tokenizer,
    stop: Vec<u32>,
    template: Option<ChatTemplate>,
    loaded: Option<(Decoder, usize)>,
    adapters: Vec<Added>,
}

/// An adapter beside the model.
struct Added {
    folder: PathBuf,
    digest: u64,
    number: usize,
}

/// A voice in the middle of its answer.
struct Speech<'a> {
    /// Its place in the question.
    place: usize,
    /// Its number in the decoder.
    number: usize,
    sampler: Sampler,
    stream: Option<DecodeStream<'a>>,
    logits: Vec<f32>,
    end: End,
}

impl<'a> Together<'a> {
    /// Nobody has spoken yet, nothing is loaded.
    ///
    /// # Errors
    /// Where the tokenizer has no end token.
    pub fn new(device: Device, source: &'a Source, tokenizer: &'a Tokenizer) -> Result<Self> {
        let stop = stop_ids(&source.folder, tokenizer, &source.config.eos_token_id)?;
        Ok(Self { device, source, tokenizer, stop, template: None, loaded: None, adapters: Vec::new() })
    }

    /// Answers a question. `say` gets every part with the voice's place in the question, and ends all of it by returning false.
    ///
    /// # Errors
    /// Where the prompt is empty or too long, the device cannot hold the model, or it was lost. A voice whose adapter cannot be
    /// opened is no error of the whole: it says so itself.
    pub async fn answer(
        &mut self,
        question: &Question,
        progress: &mut dyn FnMut(u64, u64),
        say: &mut dyn FnMut(usize, Part) -> bool,
    ) -> Result<()> {
        self.answer_among(question, progress, say, async || ()).await
    }

    /// As [`Together::answer`] where one thread does other things too: `breath` lets them have a turn between two tokens.
    ///
    /// # Errors
    /// As there.
    pub async fn answer_among(
        &mut self,
        question: &Question,
        progress: &mut dyn FnMut(u64, u64),
        say: &mut dyn FnMut(usize, Part) -> bool,
        breath: impl AsyncFn(),
    ) -> Result<()> {
        let ids = self.tokenizer.encode(&self.written(question)?)?;
        if ids.is_empty() {
            return Err(Error::usage("the prompt has no tokens", "write some text to continue"));
        }
        let context = self.source.config.max_position_embeddings;
        let prompts: Vec<Vec<u32>> =
            question.voices.iter().map(|voice| self.begun(&ids, question.chat, voice.as_deref())).collect::<Result<_>>()?;
        let longest = prompts.iter().map(Vec::len).max().unwrap_or(0);
        if longest >= context {
            let what = format!("{longest} tokens leave no room in the model's context of {context} tokens");
            return Err(Error::usage(what, "use a shorter prompt"));
        }
        let most = question.most.min(context - longest);
        self.make_room(longest + most, context, progress).await?;
        let mut speeches: Vec<Speech<'a>> = Vec::new();
        for (place, voice) in question.voices.iter().enumerate() {
            let number = match voice {
                None => 0,
                Some(folder) => match self.number(folder).await {
                    Ok(number) => number,
                    // A lost device is an error of all of them.
                    Err(error @ Error::Device { .. }) => return Err(error),
                    Err(error) => {
                        if !say(place, Part::Failed(error)) {
                            return Ok(());
                        }
                        continue;
                    }
                },
            };
            speeches.push(self.open(place, number, &prompts[place], question.sampling).await?);
        }
        while !speeches.is_empty() {
            let mut at = 0;
            breath().await;
            while at < speeches.len() {
                let Some(go_on) = self.say_one(&mut speeches[at], most, say).await? else { return Ok(()) };
                if go_on {
                    at += 1;
                } else {
                    speeches.remove(at);
                }
            }
        }
        Ok(())
    }

    /// The ids with the begin token that a voice expects before them. Chat templates write their own.
    fn begun(&self, ids: &[u32], chat: bool, voice: Option<&Path>) -> Result<Vec<u32>> {
        let (folder, config) = (&self.source.folder, &self.source.config);
        let begin = if chat { Begin::Off } else { begin_token(Begin::Auto, folder, voice) };
        Ok([begin.ids(self.tokenizer, folder, config.bos_token_id)?, ids.to_vec()].concat())
    }

    /// The text that voices go on from.
    fn written(&mut self, question: &Question) -> Result<String> {
        if !question.chat {
            return Ok(question.prompt.clone());
        }
        if self.template.is_none() {
            self.template = ChatTemplate::of_model(&self.source.folder)?;
        }
        let template = self
            .template
            .as_ref()
            .ok_or_else(|| Error::input(self.source.folder.display().to_string(), "the model has no chat template", "ask without one"))?;
        template.render(&[json!({"role": "user", "content": question.prompt})], None, true)
    }

    /// Loads the model, or loads it again where a longer text than before needs room.
    async fn make_room(&mut self, tokens: usize, context: usize, progress: &mut dyn FnMut(u64, u64)) -> Result<()> {
        if self.loaded.as_ref().is_some_and(|(_, capacity)| *capacity >= tokens) {
            return Ok(());
        }
        // The old one first: the device may not hold both.
        self.loaded = None;
        self.adapters.clear();
        let capacity = tokens.next_power_of_two().max(ROOM).min(context);
        let decoder = Decoder::new(&self.device, self.source, None, capacity, progress).await?;
        self.loaded = Some((decoder, capacity));
        Ok(())
    }

    fn decoder(&mut self) -> Result<&mut Decoder> {
        let loaded = self.loaded.as_mut().map(|(decoder, _)| decoder);
        loaded.ok_or_else(|| Error::device("the model is not loaded", "ask again"))
    }

    /// The number of a folder's adapter in the decoder.
    async fn number(&mut self, folder: &Path) -> Result<usize> {
        let file = open_adapter(folder, self.source)?;
        let digest = digest(&file);
        if let Some(added) = self.adapters.iter().find(|a| a.folder == folder && a.digest == digest) {
            return Ok(added.number);
        }
        let number = self.decoder()?.add(Some(&file)).await?;
        self.adapters.retain(|a| a.folder != folder);
        self.adapters.push(Added { folder: folder.to_path_buf(), digest, number });
        Ok(number)
    }

    async fn open(&mut self, place: usize, number: usize, prompt: &[u32], sampling: Sampling) -> Result<Speech<'a>> {
        let begun = Instant::now();
        let decoder = self.decoder()?;
        decoder.switch(number);
        decoder.reset();
        let logits = decoder.feed(prompt).await?;
        let end = End { prompt_tokens: prompt.len(), seconds: begun.elapsed().as_secs_f64(), ..End::default() };
        let stream = Some(DecodeStream::new(self.tokenizer, true));
        Ok(Speech { place, number, sampler: Sampler::new(sampling), stream, logits, end })
    }

    /// A voice's next token. Whether there are more; `None` where nobody listens any longer.
    async fn say_one(&mut self, speech: &mut Speech<'a>, most: usize, say: &mut dyn FnMut(usize, Part) -> bool) -> Result<Option<bool>> {
        let begun = Instant::now();
        let id = speech.sampler.pick(&mut speech.logits);
        speech.end.by_itself = self.stop.contains(&id);
        let mut listens = true;
        if !speech.end.by_itself && speech.end.tokens < most {
            speech.end.tokens += 1;
            if let Some(text) = speech.stream.as_mut().map_or(Ok(None), |stream| stream.push(id))? {
                listens = say(speech.place, Part::Text(text));
            }
        }
        let more = listens && !speech.end.by_itself && speech.end.tokens < most;
        if more {
            let decoder = self.decoder()?;
            decoder.switch(speech.number);
            speech.logits = decoder.feed(&[id]).await?;
        }
        speech.end.seconds += begun.elapsed().as_secs_f64();
        if more {
            return Ok(Some(true));
        }
        if let Some(text) = speech.stream.take().map_or(Ok(None), DecodeStream::finish)? {
            listens &= say(speech.place, Part::Text(text));
        }
        listens &= say(speech.place, Part::Ended(speech.end));
        Ok(listens.then_some(false))
    }
}

/// Whether a folder has an adapter to speak with.
pub fn has_adapter(folder: &Path) -> bool {
    crate::files::is_file(&folder.join(ADAPTER_FILE))
}

fn open_adapter(folder: &Path, source: &Source) -> Result<AdapterFile> {
    let whole = folder.join("model");
    if !has_adapter(folder) && crate::files::is_file(&whole.join("config.json")) {
        return Err(Error::input(
            folder.display().to_string(),
            "this run trained a whole model, so there is no adapter",
            format!("open {} as the model", whole.display()),
        ));
    }
    AdapterFile::open(folder, &source.config)
}

/// Another number for other numbers: a run that went on has another adapter in the same folder.
fn digest(file: &AdapterFile) -> u64 {
    let mut digest = Digest::default();
    digest.take(file.tensors.iter().flat_map(|t| t.values.iter().map(|v| v.to_bits())));
    digest.word()
}
