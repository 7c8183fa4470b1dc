//! Models: config.json to architecture, safetensors in and out, forward and backward laid into a plan.

pub mod arena;
pub mod checkpoint;
pub mod config;
pub mod container;
pub mod decoding;
pub mod gguf;
pub mod head;
mod index;
pub mod inputs;
pub mod layers;
pub mod linear;
pub mod modules;
pub mod names;
pub mod outline;
pub mod rope;
pub mod save;
pub mod source;
pub mod tensor;
pub mod torch;
pub mod weights;

pub use arena::Arena;
pub use checkpoint::Checkpoint;
pub use config::{Family, ModelConfig, ParamSpec};
pub use container::SafetensorsFile;
pub use decoding::Decoding;
pub use index::shard_files;
pub use inputs::Inputs;
pub use layers::{Cache, Graph};
pub use linear::Adapter;
pub use rope::{Rope, RopeScaling};
pub use save::{TensorSpec, write_safetensors};
pub use source::Source;
pub use tensor::{Dtype, StoredTensor, TensorView};
pub use torch::TorchFile;
pub use weights::Weights;
