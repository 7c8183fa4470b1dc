//! Models, methods and the trainer, as a library: against numbers of others, and against themselves.

#[path = "../common/mod.rs"]
mod common;

mod adapters;
mod beside;
mod blocks;
mod first_steps;
mod gpt2;
mod inside;
mod methods;
mod packing;
mod references;
mod tinystories;
mod training;
mod weights;
