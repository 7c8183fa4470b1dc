//! From rows to tokens, and from answers to scores.

#[path = "../common/mod.rs"]
mod common;

mod rows;
mod tasks;
mod templates;
