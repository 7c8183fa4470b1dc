//! DiaBlo
pub mod check;
pub mod device;
pub mod error;
pub mod files;
pub mod kernels;
pub mod cli;
pub mod model;
pub mod train;
