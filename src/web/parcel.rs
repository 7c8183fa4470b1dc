//! What a visitor takes with them, put together by the worker, which has all files.

use serde::{Deserialize, Serialize};

#[cfg(target_arch = "wasm32")]
mod pack;
#[cfg(target_arch = "wasm32")]
pub use pack::{Packed, pack};

/// What is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Parcel {
    /// The adapter alone.
    Adapter,
    /// Base and adapter as one model.
    Merged,
    /// The same as one GGUF file.
    Gguf,
    /// The run's folder without its checkpoints.
    Run,
}
