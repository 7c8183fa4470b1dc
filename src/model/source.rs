//! A model folder opened: its configuration, and where its numbers come from.

use super::weights::{Weights, format_of};
use super::{Checkpoint, Dtype, ModelConfig, ParamSpec};
use crate::device::Session;
use crate::error::Result;
use crate::kernels::Format;
use crate::random::Random;
use rayon::prelude::*;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Numbers that one thread draws at a time.
const DRAWN_TOGETHER: usize = 1 << 14;

/// A model to load: a checkpoint, or an architecture whose weights are drawn.
pub struct Source {
    /// The folder.
    pub folder: PathBuf,
    /// The architecture.
    pub config: ModelConfig,
    checkpoint: Option<Checkpoint>,
    weights: Option<Format>,
}

impl Source {
    /// Opens a folder with a checkpoint and checks that every parameter is there with its shape.
    ///
    /// # Errors
    /// Names the file and what does not fit.
    pub fn open(folder: &Path) -> Result<Self> {
        let config = ModelConfig::from_dir(folder)?;
        let checkpoint = Checkpoint::open(folder)?;
        checkpoint.resolve(&config)?;
        let source = Self { folder: folder.into(), config, checkpoint: Some(checkpoint), weights: None };
        let config = source.config.clone().stored_as(source.dtype());
        Ok(Self { config, ..source })
    }

    /// Opens a folder's `config.json` alone; weights are drawn when they are loaded.
    ///
    /// # Errors
    /// Names the key that does not fit.
    pub fn from_config(folder: &Path) -> Result<Self> {
        Ok(Self { folder: folder.into(), config: ModelConfig::from_dir(folder)?, checkpoint: None, weights: None })
    }

    /// An architecture that lies in no folder, its weights drawn when they are loaded.
    pub fn drawn(config: ModelConfig) -> Self {
        Self { folder: PathBuf::new(), config, checkpoint: None, weights: None }
    }

    /// The same with its frozen matrices held in another format than the checkpoint's, if one is given.
    pub fn held_in(self, weights: Option<Format>) -> Self {
        Self { weights: weights.or(self.weights), ..self }
    }

    /// The checkpoint, if the weights come from one.
    pub fn checkpoint(&self) -> Option<&Checkpoint> {
        self.checkpoint.as_ref()
    }

    /// The type that the weights are saved in.
    pub fn dtype(&self) -> Dtype {
        let by_checkpoint = || {
            let checkpoint = self.checkpoint.as_ref()?;
            let largest = checkpoint.resolve(&self.config).ok()?.into_iter().max_by_key(|(spec, _)| spec.elements())?;
            Some(largest.1.dtype)
        };
        by_checkpoint().unwrap_or(match self.config.dtype.as_deref() {
            Some("bfloat16") => Dtype::BF16,
            Some("float16") => Dtype::F16,
            _ => Dtype::F32,
        })
    }

    /// The format of each parameter on the device: as it was asked for, or as the checkpoint has it.
    ///
    /// # Errors
    /// Where the checkpoint does not fit its configuration.
    pub fn formats(&self) -> Result<HashMap<String, Format>> {
        self.formats_in(None)
    }

    /// As [`Self::formats`], in `weights` if that is given. In 4 bits the tables of tokens and positions take 8: each of their rows is read alone, and
    /// the output layer's errors reach the loss at once.
    ///
    /// # Errors
    /// As [`Self::formats`].
    pub fn formats_in(&self, weights: Option<Format>) -> Result<HashMap<String, Format>> {
        let weights = weights.or(self.weights);
        let held = |name: &str, stored: Format| match weights {
            Some(Format::Nf4) if self.config.architecture.names().tables().any(|table| table == name) => Format::Int8,
            _ => weights.unwrap_or(stored),
        };
        Ok(match &self.checkpoint {
            None => self
                .config
                .parameter_list()
                .into_iter()
                .map(|spec| (held(&spec.name, Format::F32), spec.name))
                .map(|(format, name)| (name, format))
                .collect(),
            Some(c) => {
                let stored = c.resolve(&self.config)?.into_iter();
                stored
                    .map(|(spec, tensor)| (held(&spec.name, format_of(tensor.dtype)), spec.name))
                    .map(|(format, name)| (name, format))
                    .collect()
            }
        })
    }

    /// Copies every parameter to the device, or draws it from `seed`: norms so that they multiply with 1, biases 0, matrices normal with
    /// `initializer_range` (0.02 where the configuration names none). `progress` gets bytes done and in all.
    ///
    /// # Errors
    /// Where the device was lost.
    pub fn load(&self, session: &mut Session, weights: &Weights, seed: u64, progress: &mut dyn FnMut(u64, u64)) -> Result<()> {
        let Some(checkpoint) = &self.checkpoint else {
            return self.draw(session, weights, seed, progress);
        };
        let parameters = checkpoint.resolve(&self.config)?;
        let total = parameters.iter().map(|(_, t)| t.byte_len() as u64).sum();
        let mut done = 0;
        for (spec, tensor) in &parameters {
            weights.upload(session, spec, tensor)?;
            done += tensor.byte_len() as u64;
            progress(done, total);
        }
        Ok(())
    }

    fn draw(&self, session: &mut Session, weights: &Weights, seed: u64, progress: &mut dyn FnMut(u64, u64)) -> Result<()> {
        let deviation = self.config.raw.get("initializer_range").and_then(serde_json::Value::as_f64).unwrap_or(0.02);
        let parameters: Vec<ParamSpec> = self.config.parameter_list();
        let total = parameters.iter().map(|p| p.elements() * 4).sum();
        let mut done = 0;
        for spec in &parameters {
            let count = spec.shape.iter().product::<usize>();
            let values: Vec<f32> = if spec.shape.len() == 1 {
                vec![if spec.name.ends_with(".bias") { 0.0 } else { 1.0 - self.config.norm_offset }; count]
            } else {
                let random = Random::new(seed).stream(&spec.name);
                let mut values = vec![0.0; count];
                values.par_chunks_mut(DRAWN_TOGETHER).enumerate().for_each(|(part, values)| {
                    let mut random = random.after(2 * (part * DRAWN_TOGETHER) as u64);
                    values.iter_mut().for_each(|value| *value = (random.normal() * deviation) as f32);
                });
                values
            };
            weights.upload_values(session, &spec.name, &values)?;
            done += count as u64 * 4;
            progress(done, total);
        }
        Ok(())
    }
}
