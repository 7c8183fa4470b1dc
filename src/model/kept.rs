//! How what the forward pass keeps waits for the backward pass.
//!
//! Rounded are the inputs of norms and activations, which are most of it. Queries, keys, values and what attention made of them stay whole:
//! the backward pass takes differences of what it computes from them again.

use crate::choice::choice;
use crate::device::{PlanBuilder, View};
use crate::kernels::narrow::{narrow, words};
use crate::kernels::widen::widen;

choice! {
    /// How activations are held until the backward pass reads them.
    #[derive(Default)]
    Activations {
        /// As they are.
        #[default]
        F32 = "f32",
        /// Rounded to bf16, which has the range of 32 bits: real checkpoints have activations beyond what f16 holds.
        Bf16 = "bf16",
    }
}

/// An activation between the passes.
#[derive(Clone, Copy)]
pub(super) enum Kept {
    /// As it is.
    Whole(View),
    /// In bf16, and how many numbers.
    Narrow(View, usize),
}

impl Kept {
    /// Keeps `count` numbers. What the forward pass goes on with stays as it is.
    pub fn new(plan: &mut PlanBuilder, x: View, count: usize, activations: Activations) -> Self {
        match activations {
            Activations::F32 => Self::Whole(x),
            Activations::Bf16 => {
                let y = plan.activation("kept in bf16", words(count));
                plan.push(narrow(x, y, count));
                Self::Narrow(y, count)
            }
        }
    }

    /// In 32 bits, for the backward pass.
    pub fn open(self, plan: &mut PlanBuilder) -> View {
        match self {
            Self::Whole(view) => view,
            Self::Narrow(x, count) => {
                let y = plan.workspace("widened", count);
                plan.push(widen(x, y, count));
                y
            }
        }
    }
}
