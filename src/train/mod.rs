//! The run: its options, schedule, metrics, checkpoints and pictures.

pub mod adapters;
pub mod blocks;
pub mod budget;
pub mod checkpoint;
pub use crate::choice;
pub mod compare;
pub mod config;
pub mod config_file;
pub mod curve;
pub mod driver;
pub mod estimate;
pub mod event;
pub mod export;
pub mod feed;
pub mod gguf;
pub mod heldout;
pub mod inspect;
pub mod logs;
pub mod metrics;
pub mod names;
pub mod plot;
pub mod program;
#[cfg(not(target_arch = "wasm32"))]
pub mod recipe;
pub mod record;
pub mod resolve;
pub mod rows;
pub mod run_folder;
pub mod schedule;
pub mod state;
#[cfg(not(target_arch = "wasm32"))]
pub mod sweep;
pub mod trainer;
pub(crate) mod validate;
pub mod writer;

pub use config::RunConfig;
pub use event::Event;
pub use record::RunRecord;
pub use trainer::{Flow, Outcome, Trainer};
