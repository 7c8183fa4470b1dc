//! Decoding alone: a prompt read as one batch, then one token after the other, for one text or several beside each other.

use super::least;
use crate::device::Device;
use crate::error::{Error, Result};
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
    /// For each token after it, of all texts together.
    pub tokens: Vec<f64>,
}

/// Reads a prompt of `prompt` random tokens, twice, and then `tokens` more, one at a time; each comes back to the host as it does
/// when a text is written. `rows` texts of the same prompt go on beside each other.
///
/// # Errors
/// Where the device cannot hold the model or was lost.
pub fn measure(
    device: &Device,
    config: &ModelConfig,
    weights: Option<Format>,
    rows: usize,
    prompt: usize,
    tokens: usize,
) -> Result<DecodeTimes> {
    let source = Source::drawn(config.clone()).held_in(weights);
    let mut decoder = pollster::block_on(Decoder::with_rows(device, &source, None, rows, prompt + tokens, &mut |_, _| ()))?;
    if decoder.rows() < rows {
        let what = format!("--batch-size {rows}: the device's buffers hold the keys of {} texts", decoder.rows());
        return Err(Error::usage(what, "use a smaller --batch-size or --seq-len"));
    }
    let mut random = Random::new(2);
    let mut draw = |count: usize| (0..count).map(|_| random.below(config.vocab_size as u64) as u32).collect::<Vec<_>>();
    let (session, decoding) = decoder.parts();
    let text = draw(prompt);
    let mut read = |row: usize| -> Result<f64> {
        let begun = Instant::now();
        decoding.keep(row, 0);
        pollster::block_on(decoding.feed(session, row, &text))?;
        Ok(begun.elapsed().as_secs_f64())
    };
    let mut reads = vec![read(0)?];
    for row in 0..rows {
        reads.push(read(row)?);
    }
    let mut step = |ids: &[u32]| -> Result<f64> {
        let begun = Instant::now();
        let tokens: Vec<(usize, u32)> = ids.iter().copied().enumerate().collect();
        pollster::block_on(decoding.step(session, &tokens))?;
        Ok(begun.elapsed().as_secs_f64())
    };
    let tokens = draw(tokens * rows).chunks(rows).map(&mut step).collect::<Result<_>>()?;
    Ok(DecodeTimes { prompt: least(&reads), tokens })
}
