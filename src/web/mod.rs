//! The program in a browser.
//!
//! A page and its worker run the same WebAssembly, each an instance of its own. The worker trains; the page draws. They talk by
//! the messages of [`protocol`], as JSON, with files beside them. The worker's files are those of [`crate::files::memory`]: the
//! page's script fills them from the visitor's choice and from the browser's storage, and brings back to the storage what a run
//! writes.

pub mod address;
pub mod parcel;
pub mod protocol;
pub mod talk;
pub mod tar;

#[cfg(target_arch = "wasm32")]
mod line;
#[cfg(all(target_arch = "wasm32", feature = "app"))]
pub mod outside;
#[cfg(all(target_arch = "wasm32", feature = "app"))]
pub mod page;
#[cfg(target_arch = "wasm32")]
mod picked;
#[cfg(target_arch = "wasm32")]
mod proof;
#[cfg(all(target_arch = "wasm32", target_feature = "atomics"))]
mod threads;
#[cfg(target_arch = "wasm32")]
pub mod worker;

/// What happens when the WebAssembly is loaded: nothing yet, a page or a worker asks for what it needs.
pub fn start() {}
