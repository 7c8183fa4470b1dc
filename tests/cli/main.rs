//! The command line, as a person uses it.
#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;

mod endings;
mod inputs;
mod place;
mod refusals;
mod results;
mod shells;
mod usage;
