//! The loss of a run as an SVG picture.

#[cfg(not(target_arch = "wasm32"))]
mod axis;
mod marks;
#[cfg(not(target_arch = "wasm32"))]
mod svg;
pub use marks::log_marks;
#[cfg(not(target_arch = "wasm32"))]
pub use svg::{Picture, loss_plot};

/// Draws nothing: a worker has no fonts to measure, and a page draws its own plots.
///
/// # Errors
/// None.
#[cfg(target_arch = "wasm32")]
pub fn loss_plot(_: &std::path::Path, _: &[Series], _: &str) -> crate::error::Result<()> {
    Ok(())
}

/// How a series is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeriesLook {
    /// Many noisy points: the raw curve faint, a smoothed one strong.
    Curve,
    /// Few exact points, such as held-out losses: dots on a dashed line.
    Points,
}

/// One run's numbers in a plot.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// Step and loss. What is not finite is left out.
    pub points: Vec<(f64, f64)>,
    /// How it is drawn.
    pub look: SeriesLook,
    /// Which colour; series of one run share theirs.
    pub colour: usize,
}
