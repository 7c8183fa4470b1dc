//! Runs beside each other: what is told of each, its curves, files to take away, and the runs that could come next.
//!
//! | file | what it is |
//! | --- | --- |
//! | `facts.rs` | a run in a line of a table, and which of several is best |
//! | `track.rs` | its losses against steps, tokens or seconds, few enough to be drawn each frame |
//! | `sibling.rs` | the same run with another method, size or rate |
//! | `alike.rs` | in which of the things that a loss depends on runs differ; what they are called beside each other |
//! | `export.rs` | tables and curves as CSV, the plot as SVG and PNG |

pub mod alike;
pub mod export;
pub mod facts;
pub mod sibling;
pub mod track;

pub use alike::{differences, names};
pub use facts::{Column, Facts};
pub use sibling::{Size, Variant};
pub use track::{Against, Measure, Point, Track};

use super::metrics::METRICS_FILE;
use super::record::RunRecord;
use super::run_folder::{CONFIG_FILE, SUMMARY_FILE};
use crate::error::Result;
use crate::files;
use crate::model::ModelConfig;
use std::path::Path;

/// A run as it is compared.
#[derive(Clone, Debug)]
pub struct Compared {
    /// The run as it was read.
    pub record: RunRecord,
    /// Its line in the table.
    pub facts: Facts,
    /// Its curves.
    pub track: Track,
    /// The model that it began with; absent where that cannot be read any more.
    pub model: Option<ModelConfig>,
}

impl Compared {
    /// Reads a run folder. Takes a while where the run is long: call it from a job.
    ///
    /// # Errors
    /// Names the file that is missing or broken.
    pub fn open(folder: &Path) -> Result<Self> {
        let record = RunRecord::open(folder)?;
        let model = ModelConfig::from_dir(&crate::hub::local(&record.config.model)).ok();
        Ok(Self { facts: Facts::of(&record), track: Track::of(&record.metrics), model, record })
    }
}

/// A number that changes whenever there is more to read in a run folder; 0 where there is nothing.
pub fn stamp(folder: &Path) -> u64 {
    let size = |name: &str| files::metadata(&folder.join(name)).map_or(0, |m| m.len);
    // Only metrics grow step by step; the others are written once, so that their sizes need not be told apart from it.
    size(METRICS_FILE) + size(CONFIG_FILE) + size(SUMMARY_FILE)
}
