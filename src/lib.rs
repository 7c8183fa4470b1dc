//! DiaBlo
pub mod adapter;
pub mod bench;
pub mod check;
pub mod cli;
pub mod data;
pub mod demo;
pub mod device;
pub mod error;
pub mod eval;
pub mod files;
pub mod generate;
pub mod kernels;
pub mod model;
pub mod random;
pub mod train;
