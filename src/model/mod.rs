//! Models: config.json to architecture, safetensors in and out.

pub mod checkpoint;
pub mod config;
pub mod container;
mod index;
pub mod rope;
pub mod save;
pub mod tensor;

pub use checkpoint::Checkpoint;
pub use config::{Family, ModelConfig, ParamSpec};
pub use container::SafetensorsFile;
pub use rope::{Rope, RopeScaling};
pub use save::{TensorSpec, write_safetensors};
pub use tensor::{Dtype, TensorView};
