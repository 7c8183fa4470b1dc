//! DiaBlo
pub mod device;
pub mod error;
pub mod generate;
pub mod files;
pub mod kernels;
pub mod adapter;
pub mod cli;
pub mod data;
pub mod model;
pub mod random;
pub mod train;
