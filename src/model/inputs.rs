//! What the host uploads before a plan runs, and the metrics it reads after.

use super::{ModelConfig, Rope};
use crate::device::{Category, Layout, Session, View};
use crate::error::Result;
use crate::kernels::embedding_grad::Groups;
use crate::kernels::{INPUT_WORDS, METRIC_WORDS, inputs, rope};

/// Buffers for one micro-batch of up to `rows` x `seq` tokens.
#[derive(Clone, Copy, Debug)]
pub struct Inputs {
    /// \[tokens\]: token ids.
    pub ids: View,
    /// \[tokens\]: positions within their sequence.
    pub positions: View,
    /// [tokens, 2] first key that each token sees, and one past the last.
    pub spans: View,
    /// The same where a sliding window bounds it, and the window.
    pub window: Option<(View, usize)>,
    /// \[tokens\]: places that have a target, first; [`crate::kernels::NONE`] after.
    pub target_rows: View,
    /// \[tokens\]: their targets.
    pub targets: View,
    /// \[tokens\]: the loss of each place in `target_rows`, where the host reads it; else it is scratch of the loss head.
    pub losses: Option<View>,
    /// The step's scalars; see [`crate::kernels::inputs`].
    pub step: View,
    /// See [`crate::kernels::metrics`].
    pub metrics: View,
    /// Cosines and sines by position, where the model rotates.
    pub rope: Option<View>,
    /// The same for layers with a sliding window, where they have a rope of their own.
    pub local_rope: Option<View>,
    /// Positions by token, for the embedding's gradient.
    pub groups: Groups,
    /// The same by position within a sequence, where positions are learned.
    pub position_groups: Option<Groups>,
    /// Positions in the rope table.
    pub positions_known: usize,
}

impl Inputs {
    /// Declares the buffers. `positions`: the longest sequence, in tokens.
    pub fn declare(config: &ModelConfig, layout: &mut Layout, tokens: usize, positions: usize) -> Self {
        let mut words = |label: &str, words: usize| layout.buffer(label, words, Category::Workspace);
        Self {
            ids: words("token ids", tokens),
            positions: words("positions", tokens),
            spans: words("spans", 2 * tokens),
            window: config.sliding_window.map(|window| (words("spans within the window", 2 * tokens), window)),
            target_rows: words("target rows", tokens),
            targets: words("targets", tokens),
            losses: None,
            step: words("step inputs", INPUT_WORDS),
            metrics: words("metrics", METRIC_WORDS),
            rope: (config.rotary_dim > 0).then(|| words("rope table", positions * config.rotary_dim)),
            local_rope: config.local_rope.as_ref().map(|_| words("local rope table", positions * config.rotary_dim)),
            groups: Groups {
                ids: words("distinct tokens", tokens),
                starts: words("token starts", tokens + 1),
                order: words("positions by token", tokens),
                groups: tokens,
            },
            position_groups: config.learned_positions.then(|| Groups {
                ids: words("distinct positions", tokens),
                starts: words("position starts", tokens + 1),
                order: words("tokens by position", tokens),
                groups: tokens,
            }),
            positions_known: positions,
        }
    }

    /// Uploads the tables of rotations, once after loading.
    ///
    /// # Errors
    /// Where the device was lost.
    pub fn upload_rope(&self, session: &mut Session, config: &ModelConfig) -> Result<()> {
        let table = |rope: &Rope| rope::table(&rope.inverse_frequencies(config.rotary_dim), self.positions_known);
        for (view, rope) in [(self.rope, Some(&config.rope)), (self.local_rope, config.local_rope.as_ref())] {
            if let (Some(view), Some(rope)) = (view, rope) {
                session.write_f32(view, &table(rope))?;
            }
        }
        Ok(())
    }

    /// Uploads what each token sees: `spans` hold a first key and one past the last, which is the token itself.
    ///
    /// # Errors
    /// Where the device was lost.
    pub fn upload_spans(&self, session: &mut Session, spans: &[u32]) -> Result<()> {
        session.write(self.spans, spans)?;
        let Some((view, window)) = self.window else { return Ok(()) };
        let within = |span: &[u32]| [span[0].max(span[1].saturating_sub(window as u32)), span[1]];
        let spans: Vec<u32> = spans.chunks_exact(2).flat_map(within).collect();
        session.write(view, &spans)
    }
}

/// The scalars of a step.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scalars {
    /// 1 / (targets that the loss is divided by).
    pub inverse_targets: f32,
    /// Learning rate.
    pub lr: f32,
    /// 1 - beta1^t.
    pub correction1: f32,
    /// sqrt(1 - beta2^t).
    pub correction2: f32,
    /// Dropout's seed for this micro-batch.
    pub seed: u32,
}

/// The step's inputs as words.
pub fn step_words(active_rows: u32, s: Scalars) -> [u32; INPUT_WORDS] {
    let mut words = [0; INPUT_WORDS];
    words[inputs::ACTIVE_ROWS] = active_rows;
    words[inputs::INVERSE_TARGETS] = s.inverse_targets.to_bits();
    words[inputs::LEARNING_RATE] = s.lr.to_bits();
    words[inputs::CORRECTION1] = s.correction1.to_bits();
    words[inputs::CORRECTION2] = s.correction2.to_bits();
    words[inputs::SEED] = s.seed;
    words
}
