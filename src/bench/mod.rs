//! Measurements on random weights made in memory, at named shapes: whole steps, matrix products, decoding.

#[cfg(not(target_arch = "wasm32"))]
pub mod decoding;
pub mod products;
pub mod shapes;
pub mod step;
#[cfg(not(target_arch = "wasm32"))]
pub mod trace;

pub use step::{LoadedStep, StepCase, StepTimes, measure};

/// The middle of some numbers; not a number where there are none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The smallest of some numbers.
pub fn least(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}
