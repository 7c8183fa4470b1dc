//! The run: its options, schedule, metrics, checkpoints and pictures.

pub mod blocks;
pub mod checkpoint;
pub mod choice;
pub mod config;
pub mod config_file;
pub mod event;
pub mod metrics;
pub mod plot;
pub mod run_folder;
pub mod schedule;
mod validate;
