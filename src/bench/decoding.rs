//! Decoding alone: a prompt read as one batch, then one token after the other.

use super::least;
use crate::device::Device;
use crate::error::Result;
use crate::generate::Decoder;
use crate::kernels::Format;
use crate::model::{ModelConfig, Source};
use crate::random::Random;
use std::time::Instant;

/// Seconds that decoding took.
#[derive(Clone, Debug)]
pub struct DecodeTimes {
    /// For the whole prompt, at best.
    pub prompt: f64,
    /// For each token after it.
    pub tokens: Vec<f64>,
}

/// Reads a prompt of `prompt` random tokens, twice, and then `tokens` more, one at a time; each comes back to the host as it does
/// when a text is written.
///
/// # Errors
/// Where the device cannot hold the model or was lost.
pub fn measure(device: &Device, config: &ModelConfig, weights: Option<Format>, prompt: usize, tokens: usize) -> Result<DecodeTimes> {
    let source = Source::drawn(config.clone()).held_in(weights);
    let mut decoder = pollster::block_on(Decoder::new(device, &source, None, prompt + tokens, &mut |_, _| ()))?;
    let mut random = Random::new(2);
    let mut draw = |count: usize| (0..count).map(|_| random.below(config.vocab_size as u64) as u32).collect::<Vec<_>>();
    let feed = |decoder: &mut Decoder, ids: &[u32]| -> Result<f64> {
        let begun = Instant::now();
        pollster::block_on(decoder.feed(ids))?;
        Ok(begun.elapsed().as_secs_f64())
    };
    let text = draw(prompt);
    let first = feed(&mut decoder, &text)?;
    decoder.reset();
    let again = feed(&mut decoder, &text)?;
    let tokens = draw(tokens).chunks(1).map(|id| feed(&mut decoder, id)).collect::<Result<_>>()?;
    Ok(DecodeTimes { prompt: least(&[first, again]), tokens })
}
