//! The losses of samples, in batches.

use super::Model;
use crate::adapter::Spec;
use crate::data::{self, Dataset};
use crate::error::Result;
use crate::kernels::adamw::AdamW;
use crate::model::Activations;
use crate::train::heldout::{self, Loss};
use crate::train::program::{Program, Shape};
use crate::train::resolve::{self, Room};
use crate::train::{Event, rows};

/// The loss over all targets, and that of each sample. No sample may be longer than `seq_len`. `what` is going on, for the progress.
pub(super) async fn losses(
    model: &Model<'_>,
    data: &Dataset,
    batch_size: usize,
    seq_len: usize,
    what: &str,
    events: &mut dyn FnMut(Event),
) -> Result<(Loss, Vec<Loss>)> {
    let Model { device, source, adapter } = *model;
    let config = &source.config;
    config.check_length(data.longest_row())?;
    let shape = Shape {
        batch_size,
        buckets: data::buckets(&data.lengths(), batch_size, seq_len, rows::BUCKETS),
        trains: false,
        recompute: false,
        activations: Activations::F32,
        half: false,
        adamw: AdamW { beta1: 0.0, beta2: 0.0, eps: 0.0, weight_decay: 0.0, rate: 1.0 },
        max_grad_norm: 0.0,
        writes: 0,
    };
    let none = Spec::none();
    let spec = Spec { dropout: 0.0, ..adapter.map_or(&none, |a| &a.spec).clone() };
    let formats = source.formats()?;
    let limits = device.limits();
    let program = Program::new(config, &formats, &spec, &shape, limits)?;
    let free = device.is_cpu().then(resolve::available_memory).flatten();
    resolve::check_fit(&program, free.map(|bytes| Room { bytes, given: false }), config, &formats, &spec, &shape, limits, None)?;
    let mut session = device.load(&program.layout, &program.plans).await?;
    source.load(&mut session, &program.weights, 0, &mut |done, total| {
        events(Event::Loading { what: "weights".into(), done, total });
    })?;
    if let Some(adapter) = adapter {
        adapter.upload(&mut session, &program.arena, "the adapter")?;
    }
    program.inputs.upload_rope(&mut session, config)?;
    heldout::losses(&mut session, &program, data, batch_size, &mut |done, total| {
        events(Event::Progress { what: what.into(), done: done as u64, total: total as u64 });
    })
    .await
}
