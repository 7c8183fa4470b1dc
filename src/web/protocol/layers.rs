//! What a run says of its layers, in messages.

use crate::adapter::MODULES;
use crate::adapter::change::Cells;
use crate::error::{Error, Result};
use crate::model::weights::Site;
use crate::train::inspect::{CellValues, SiteChange};
use serde::{Deserialize, Serialize};

/// [`SiteChange`] in a message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Moved {
    /// Decoder layer.
    pub layer: usize,
    /// Its linear layer.
    pub module: String,
    /// Outputs of its weight.
    pub d_out: usize,
    /// Inputs of its weight.
    pub d_in: usize,
    /// Cells along each side.
    pub grid: usize,
    /// Norm of what was added to each cell.
    pub change: Vec<f32>,
    /// Norm of each cell of the frozen weight.
    pub weight: Vec<f32>,
}

/// [`CellValues`] in a message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// Decoder layer.
    pub layer: usize,
    /// Its linear layer.
    pub module: String,
    /// Row and column of the cell.
    pub at: (usize, usize),
    /// First output and first input.
    pub origin: (usize, usize),
    /// Outputs and inputs.
    pub shape: (usize, usize),
    /// What was added to the weight.
    pub change: Vec<f32>,
    /// The last step's gradient.
    pub gradient: Option<Vec<f32>>,
    /// The frozen weight.
    pub weight: Vec<f32>,
}

pub(super) fn site(layer: usize, module: &str) -> Result<Site> {
    let known = MODULES.into_iter().find(|m| *m == module);
    let module = known.ok_or_else(|| Error::input("module", format!("{module:?} is none of {}", MODULES.join(", ")), ""))?;
    Ok(Site { layer, module })
}

impl From<SiteChange> for Moved {
    fn from(s: SiteChange) -> Self {
        let Cells { d_out, d_in, grid } = s.cells;
        Self { layer: s.site.layer, module: s.site.module.into(), d_out, d_in, grid, change: s.change, weight: s.weight }
    }
}

impl Moved {
    pub(super) fn change(self) -> Option<SiteChange> {
        let cells = Cells { d_out: self.d_out, d_in: self.d_in, grid: self.grid };
        Some(SiteChange { site: site(self.layer, &self.module).ok()?, cells, change: self.change, weight: self.weight })
    }
}

impl From<CellValues> for Cell {
    fn from(c: CellValues) -> Self {
        Self {
            layer: c.site.layer,
            module: c.site.module.into(),
            at: c.at,
            origin: c.origin,
            shape: c.shape,
            change: c.change,
            gradient: c.gradient,
            weight: c.weight,
        }
    }
}

impl Cell {
    pub(super) fn values(self) -> Option<CellValues> {
        Some(CellValues {
            site: site(self.layer, &self.module).ok()?,
            at: self.at,
            origin: self.origin,
            shape: self.shape,
            change: self.change,
            gradient: self.gradient,
            weight: self.weight,
        })
    }
}
