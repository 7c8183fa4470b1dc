//! Adapters: which tensors train beside the frozen weights, how they apply, their files, merging.

pub mod change;
pub mod choose;
pub mod diablo;
pub mod files;
pub mod lora;
pub mod merge;
pub mod spec;

pub use crate::model::modules::MODULES;
pub use files::AdapterFile;
pub use spec::{Kind, Spec};

use crate::device::{Layout, PlanBuilder, Session, View};
use crate::error::Result;
use crate::model::linear::{Adapter, Into, Plain};
use crate::model::weights::{Linear, Site};
use crate::model::{Arena, ModelConfig};
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

    /// Where an adapter starts: zeros for DiaBlo; for LoRA B zero and A uniform in +-1/sqrt(d_in) (peft's default), from `seed`.
    ///
    /// # Errors
    /// Where the device was lost.
    pub fn initialise(&self, session: &mut Session, seed: u64) -> Result<()> {
        for (site, part) in &self.parts {
            if let Part::Lora(part) = part {
                part.initialise(session, seed, *site)?;
            }
        }
        Ok(())
    }
}

impl Adapter for Installed {
    fn forward(&self, plan: &mut PlanBuilder, linear: &Linear, x: View, y: View, residual: Option<View>, tokens: usize) -> Option<View> {
        match self.parts.get(&linear.site) {
            None => Plain.forward(plan, linear, x, y, residual, tokens),
            Some(Part::Diablo(part)) => part.forward(plan, linear, self.dropout(linear), x, y, residual, tokens),
            Some(Part::Lora(part)) => part.forward(plan, linear, self.dropout(linear), x, y, residual, tokens),
        }
    }

    fn backward(&self, plan: &mut PlanBuilder, linear: &Linear, kept: Option<View>, x: View, dy: View, dx: Option<Into>, tokens: usize) {
        match self.parts.get(&linear.site) {
            None => Plain.backward(plan, linear, kept, x, dy, dx, tokens),
            Some(Part::Diablo(part)) => part.backward(plan, linear, self.dropout(linear), x, dy, dx, tokens),
            Some(Part::Lora(part)) => part.backward(plan, linear, self.dropout(linear), kept, x, dy, dx, tokens),
        }
    }
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
