//! The demo: a bundled base model, what it is taught, and the comparison that `diablo demo` shows.

pub mod tokenizer;
pub mod world;
