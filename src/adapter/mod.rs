//! Adapters: which tensors train beside the frozen weights, how they apply, their files, merging.

pub mod authors;
pub mod change;
pub mod choose;
pub mod diablo;
mod dora;
pub mod files;
pub mod lora;
pub mod merge;
mod patterns;
pub mod pissa;
pub mod shira;
pub mod spec;
pub mod svd;

pub use crate::model::modules::MODULES;
pub use files::AdapterFile;
use files::Tensor;
pub use merge::Blend;
pub use spec::{Kind, Spec};

use crate::device::{Layout, PlanBuilder, Session, View};
use crate::error::Result;
use crate::model::linear::{Adapter, Into, Plain, Saved};
use crate::model::weights::{Linear, Site, Weight};
use crate::model::{Arena, ModelConfig, Weights};
use std::collections::BTreeMap;

/// What one site trains.
#[derive(Clone, Debug)]
enum Part {
    Diablo(diablo::Part),
    Lora(Box<lora::Part>),
}

/// An adapter laid into an arena, ready to be laid into plans.
#[derive(Clone, Debug)]
pub struct Installed {
    /// What it is.
    pub spec: Spec,
    parts: BTreeMap<Site, Part>,
    /// The linear layers of a decoder layer.
    modules: Vec<&'static str>,
    step: View,
}

impl Installed {
    /// Lays out the tensors of `spec` for every targeted layer. `step` are the step's inputs, for dropout.
    ///
    /// # Errors
    /// Where a layer cannot be divided as the spec asks.
    pub fn declare(spec: &Spec, config: &ModelConfig, layout: &mut Layout, arena: &mut Arena, step: View) -> Result<Self> {
        let mut parts = BTreeMap::new();
        for layer in 0..config.num_hidden_layers {
            for (module, d_out, d_in) in config.linear_shapes() {
                if !spec.targets.contains(&module) {
                    continue;
                }
                let site = Site { layer, module };
                let part = match &spec.kind {
                    Kind::None | Kind::Full => continue,
                    Kind::Diablo { .. } => Part::Diablo(diablo::Part::declare(spec, site, d_out, d_in, layout, arena)?),
                    Kind::Lora { .. } => Part::Lora(Box::new(lora::Part::declare(spec, site, d_out, d_in, layout, arena)?)),
                };
                parts.insert(site, part);
            }
        }
        Ok(Self { spec: spec.clone(), parts, modules: config.modules(), step })
    }

    /// Where an adapter starts: zeros for DiaBlo; for LoRA B zero and A uniform in +-1/sqrt(d_in) (peft's default), from `seed`; for
    /// DoRA the weights' own row lengths too. PiSSA takes its start out of the weights on the device, and that start is returned
    /// ([`pissa::beside_base`] needs it); otherwise nothing is.
    ///
    /// # Errors
    /// Where the device was lost, or PiSSA's rank is larger than a layer.
    pub async fn initialise(&self, session: &mut Session, weights: &Weights, seed: u64) -> Result<Vec<Tensor>> {
        let mut start = Vec::new();
        for (site, part) in &self.parts {
            let Part::Lora(part) = part else { continue };
            let linears = weights.layers.get(site.layer).into_iter().flat_map(|l| l.linears());
            let Some(linear) = linears.into_iter().find(|l| l.site == *site) else { continue };
            if matches!(self.spec.kind, Kind::Lora { pissa: true, .. }) {
                start.extend(pissa::initialise(part, session, linear).await?);
                continue;
            }
            part.initialise(session, seed, *site)?;
            if let Some(magnitude) = &part.magnitude {
                let values = read_weight(session, &linear.weight).await?;
                session.write_f32(magnitude.value, &dora::lengths(&values, linear.weight.cols))?;
            }
        }
        Ok(start)
    }
}

impl Adapter for Installed {
    fn forward(&self, plan: &mut PlanBuilder, linear: &Linear, x: View, y: View, residual: Option<View>, tokens: usize) -> Saved {
        match self.parts.get(&linear.site) {
            None => Plain.forward(plan, linear, x, y, residual, tokens),
            Some(Part::Diablo(part)) => part.forward(plan, linear, self.dropout(linear), x, y, residual, tokens),
            Some(Part::Lora(part)) => part.forward(plan, linear, self.dropout(linear), x, y, residual, tokens),
        }
    }

    fn backward(&self, plan: &mut PlanBuilder, linear: &Linear, saved: &[View], x: View, dy: View, dx: Option<Into>, tokens: usize) {
        match self.parts.get(&linear.site) {
            None => Plain.backward(plan, linear, saved, x, dy, dx, tokens),
            Some(Part::Diablo(part)) => part.backward(plan, linear, self.dropout(linear), x, dy, dx, tokens),
            Some(Part::Lora(part)) => part.backward(plan, linear, self.dropout(linear), saved, x, dy, dx, tokens),
        }
    }
}

/// A frozen weight's numbers, from the device.
async fn read_weight(session: &mut Session, weight: &Weight) -> Result<Vec<f32>> {
    let mut all = vec![0.0; weight.rows * weight.cols];
    for piece in &weight.pieces {
        let words = session.read(piece.value).await?;
        weight.format.widen(&words, 0, &mut all[piece.first_row * weight.cols..][..piece.rows * weight.cols]);
    }
    Ok(all)
}

/// Dropout on an adapter's branch.
#[derive(Clone, Copy, Debug)]
struct Dropout {
    p: f32,
    salt: u32,
    step: View,
}

impl Dropout {
    /// A copy of x with elements dropped.
    fn apply(self, plan: &mut PlanBuilder, x: View, count: usize) -> View {
        let y = plan.workspace("dropped", count);
        plan.push(crate::kernels::dropout::dropout(self.step, x, y, count, self.p, self.salt, false));
        y
    }

    /// dx += gradient through the same drop.
    fn undo(self, plan: &mut PlanBuilder, dy: View, dx: View, count: usize) {
        plan.push(crate::kernels::dropout::dropout(self.step, dy, dx, count, self.p, self.salt, true));
    }
}

impl Installed {
    fn dropout(&self, linear: &Linear) -> Option<Dropout> {
        let place = self.modules.iter().position(|m| *m == linear.site.module).unwrap_or(0);
        let salt = (linear.site.layer * self.modules.len() + place) as u32;
        (self.spec.dropout > 0.0).then_some(Dropout { p: self.spec.dropout, salt, step: self.step })
    }
}
