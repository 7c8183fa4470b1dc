//! DiaBlo: fine-tune small transformers with diagonal blocks, on any GPU, without CUDA and without Python.
//!
//! The method ("Diagonal Blocks Are Sufficient For Finetuning", arXiv 2506.03230): a weight W stays frozen and only the diagonal
//! blocks of an added matrix train, y = (W + blockdiag(D_1..D_N)) x. LoRA and full fine-tuning stand beside it.
//!
//! ```no_run
//! use diablo::train::{Event, RunConfig, Trainer};
//!
//! let run = RunConfig {
//!     model: "models/SmolLM2-135M".into(),
//!     data: "train.jsonl".into(),
//!     out: "runs/first".into(),
//!     ..RunConfig::default()
//! };
//! let mut show = |event: Event| {
//!     if let Event::Step(m) = event {
//!         println!("step {} loss {:.4}", m.step, m.loss);
//!     }
//! };
//! let mut trainer = Trainer::prepare(run, &mut show)?;
//! trainer.run(&mut show, &|| false)?;
//! # Ok::<(), diablo::error::Error>(())
//! ```
//!
//! ARCHITECTURE.md in the repository is the map: what lies on which floor, and why.

pub mod adapter;
#[cfg(feature = "app")]
pub mod app;
pub mod bench;
pub mod check;
pub mod choice;
#[cfg(not(target_arch = "wasm32"))]
pub mod cli;
pub mod data;
pub mod demo;
pub mod device;
mod digest;
pub mod error;
pub mod eval;
pub mod files;
pub mod generate;
mod guard;
pub mod hub;
pub mod kernels;
pub mod model;
#[cfg(not(target_arch = "wasm32"))]
pub mod paper;
mod quoting;
pub mod random;
pub mod ranks;
pub mod train;
#[cfg(any(target_arch = "wasm32", test, feature = "fuzzing"))]
pub mod web;
