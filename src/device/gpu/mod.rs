//! The GPU executor: a plan's buffers, bind groups and pipelines on a wgpu device, made once; a step costs only encoding.

pub mod adapters;
mod arrival;
mod choice;
#[cfg(not(target_arch = "wasm32"))]
mod kept;
mod memory;
mod pipelines;
mod scratch;
mod session;
#[cfg(not(target_arch = "wasm32"))]
mod timing;
mod waiting;

pub use adapters::{AdapterReport, Gpu};
pub use session::{GpuSession, PendingRead};
