//! GGUF files, read by plain code of the tests and by others.

#[path = "../common/mod.rs"]
mod common;

mod elsewhere;
mod made;
mod model_files;
mod reader;
