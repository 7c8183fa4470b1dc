//! A look inside a run between two steps: how far each layer has moved, and one block of it in full.

use super::trainer::Trainer;
use super::{resolve, state};
use crate::adapter::change::Cells;
use crate::adapter::{AdapterFile, Kind, diablo, lora, pissa};
use crate::error::{Error, Result};
use crate::kernels::inputs;
use crate::model::weights::Site;

/// Cells along a side where the method has no blocks of its own.
pub const GRID: usize = 16;

/// One linear layer's change.
#[derive(Clone, Debug, PartialEq)]
pub struct SiteChange {
    /// Which layer.
    pub site: Site,
    /// How its weight is cut.
    pub cells: Cells,
    /// Norm of what was added to each cell, row by row.
    pub change: Vec<f32>,
    /// Norm of each cell of the frozen weight; empty where the model started from random weights.
    pub weight: Vec<f32>,
}

/// One cell in full, [outputs, inputs].
#[derive(Clone, Debug, PartialEq)]
pub struct CellValues {
    /// Which layer.
    pub site: Site,
    /// Row and column of the cell.
    pub at: (usize, usize),
    /// First output and first input.
    pub origin: (usize, usize),
    /// Outputs and inputs.
    pub shape: (usize, usize),
    /// What was added to the weight.
    pub change: Vec<f32>,
    /// The last step's gradient, where the numbers are themselves trained: not for LoRA, whose factors are.
    pub gradient: Option<Vec<f32>>,
    /// The frozen weight; empty as in [`SiteChange::weight`].
    pub weight: Vec<f32>,
}

impl Trainer {
    /// The linear layers that the method moves, in the model's order.
    pub fn sites(&self) -> Vec<Site> {
        let full = self.spec.kind == Kind::Full;
        let layers = 0..self.source.config.num_hidden_layers;
        let moved = |module: &&'static str| full || self.spec.targets.contains(module);
        let modules: Vec<_> = self.source.config.modules().into_iter().filter(moved).collect();
        layers.flat_map(|layer| modules.iter().map(move |module| Site { layer, module })).collect()
    }

    fn cells(&self, site: Site) -> Cells {
        let shapes = self.source.config.linear_shapes();
        let (d_out, d_in) = shapes.iter().find(|s| s.0 == site.module).map_or((0, 0), |s| (s.1, s.2));
        let grid = match &self.spec.kind {
            Kind::Diablo { blocks, .. } => blocks.get(site.module).copied().unwrap_or(1),
            _ => GRID.min(d_out).min(d_in).max(1),
        };
        Cells { d_out, d_in, grid }
    }

    fn frozen(&self, site: Site) -> Result<Vec<f32>> {
        let Some(checkpoint) = self.source.checkpoint() else { return Ok(Vec::new()) };
        let name = format!("{}.weight", site.path());
        let found = checkpoint.resolve(&self.source.config)?.into_iter().find(|(spec, _)| spec.name == name);
        found.map_or(Ok(Vec::new()), |(_, tensor)| Ok(tensor.read()?.to_f32()))
    }

    /// How far each layer has moved. The frozen weights' norms are computed once.
    ///
    /// # Errors
    /// Where the device was lost.
    pub async fn changes(&mut self) -> Result<Vec<SiteChange>> {
        let adapter = self.adapter_now().await?;
        let tensors = &adapter.tensors;
        let sites = self.sites();
        let mut all = Vec::with_capacity(sites.len());
        for site in sites {
            let cells = self.cells(site);
            let of = |name: String| tensors.iter().find(|t| t.name == name).map(|t| t.values.as_slice()).unwrap_or_default();
            let known = self.weight_norms.contains_key(&site);
            // What a full run has added is known only beside what it started from.
            // So it is with DoRA, whose lengths scale the weight itself.
            let beside = matches!(self.spec.kind, Kind::Full | Kind::Lora { dora: true, .. });
            let frozen = if known && !beside { Vec::new() } else { self.frozen(site)? };
            let norms = || if frozen.is_empty() { Vec::new() } else { cells.norms(&frozen) };
            let weight = self.weight_norms.entry(site).or_insert_with(norms).clone();
            let change = match &adapter.spec.kind {
                Kind::Diablo { .. } => cells.block_norms(of(diablo::tensor_name(site))),
                Kind::Lora { dora: true, .. } => cells.norms(&merged_change(&adapter, site, &frozen, cells.d_in)),
                Kind::Lora { rank, .. } => {
                    let [a, b] = lora::tensor_names(site).map(of);
                    cells.low_rank_norms(a, b, *rank, adapter.spec.lora_scale())
                }
                Kind::Full | Kind::None => cells.norms(&moved(of(format!("{}.weight", site.path())), &frozen)),
            };
            all.push(SiteChange { site, cells, change, weight });
        }
        Ok(all)
    }

    /// One cell in full.
    ///
    /// # Errors
    /// Where there is no such cell, or the device was lost.
    pub async fn cell(&mut self, site: Site, at: (usize, usize)) -> Result<CellValues> {
        let cells = self.cells(site);
        if at.0 >= cells.grid || at.1 >= cells.grid {
            let what = format!("{}: no cell {}, {} among {} x {}", site.path(), at.0, at.1, cells.grid, cells.grid);
            return Err(Error::usage(what, ""));
        }
        let (outputs, inputs) = (cells.outputs(at.0), cells.inputs(at.1));
        let frozen = self.frozen(site)?;
        let weight = if frozen.is_empty() { Vec::new() } else { cells.cell(&frozen, at.0, at.1) };
        let empty = || vec![0.0; outputs.len() * inputs.len()];
        let (change, gradient) = match self.spec.kind.clone() {
            Kind::Diablo { .. } if at.0 != at.1 => (empty(), None),
            Kind::Diablo { .. } => {
                let (values, gradient) = self.trained(&diablo::tensor_name(site)).await?;
                (cells.block_cell(&values, at.0), Some(cells.block_cell(&gradient, at.0)))
            }
            Kind::Lora { .. } => {
                let adapter = self.adapter_now().await?;
                let of = |name: String| adapter.tensors.iter().find(|t| t.name == name).map(|t| t.values.as_slice()).unwrap_or_default();
                let change = match adapter.spec.kind {
                    Kind::Lora { rank, dora: false, .. } => {
                        let [a, b] = lora::tensor_names(site).map(of);
                        cells.low_rank_cell(a, b, rank, adapter.spec.lora_scale(), at.0, at.1)
                    }
                    _ => cells.cell(&merged_change(&adapter, site, &frozen, cells.d_in), at.0, at.1),
                };
                (change, None)
            }
            Kind::Full | Kind::None => {
                let (values, gradient) = self.trained(&format!("{}.weight", site.path())).await?;
                (cells.cell(&moved(&values, &frozen), at.0, at.1), Some(cells.cell(&gradient, at.0, at.1)))
            }
        };
        let (origin, shape) = ((outputs.start, inputs.start), (outputs.len(), inputs.len()));
        Ok(CellValues { site, at, origin, shape, change, gradient, weight })
    }

    /// What trains, as it would be written now.
    async fn adapter_now(&mut self) -> Result<AdapterFile> {
        let tensors = state::values(&mut self.session, &self.program).await?;
        Ok(pissa::beside_base(AdapterFile { spec: self.spec.clone(), base: String::new(), tensors }, &self.start))
    }

    /// Values and gradients of a tensor that trains.
    async fn trained(&mut self, name: &str) -> Result<(Vec<f32>, Vec<f32>)> {
        let (mut values, mut gradients) = (Vec::new(), Vec::new());
        for t in self.program.arena.tensors.iter().filter(|t| t.name == name) {
            values.extend(&self.session.read_f32(t.value).await?[..t.len]);
            gradients.extend(&self.session.read_f32(t.grad).await?[..t.len]);
        }
        if let Some(loss_scale) = self.program.loss_scale {
            let step = self.session.read_f32(self.program.inputs.step).await?;
            gradients.iter_mut().for_each(|g| *g *= step[inputs::INVERSE_TARGETS] / loss_scale);
        }
        if values.is_empty() {
            return Err(Error::usage(format!("{name} does not train ({})", resolve::describe(&self.spec)), ""));
        }
        Ok((values, gradients))
    }
}

/// What merging would add to a frozen weight.
fn merged_change(adapter: &AdapterFile, site: Site, frozen: &[f32], d_in: usize) -> Vec<f32> {
    let mut merged = frozen.to_vec();
    adapter.merge_into(site, &mut merged, d_in);
    moved(&merged, frozen)
}

/// Values less where they started; all of them where they started as random numbers that nobody kept.
fn moved(values: &[f32], frozen: &[f32]) -> Vec<f32> {
    if frozen.is_empty() { values.to_vec() } else { values.iter().zip(frozen).map(|(v, w)| v - w).collect() }
}
