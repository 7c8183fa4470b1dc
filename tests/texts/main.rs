//! From rows to tokens, and from answers to scores.

#[path = "../common/mod.rs"]
mod common;

mod begin;
mod rows;
mod tasks;
mod templates;
