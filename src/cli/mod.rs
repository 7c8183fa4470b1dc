//! The command line.

pub mod common_args;
pub mod interrupt;
pub mod progress;
pub mod train_args;
