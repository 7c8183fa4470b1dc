//! The loss over held-out rows.

use super::feed::MicroBatch;
use super::program::Program;
use crate::data::Dataset;
use crate::device::{Session, View};
use crate::error::Result;
use crate::kernels::{METRIC_WORDS, metrics};
use crate::model::inputs::Scalars;
use crate::ranks::{Alone, Ranks};

/// A loss and what it is over.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Loss {
    /// Sum over the targets.
    pub sum: f64,
    /// Targets.
    pub targets: u64,
}

impl Loss {
    /// The mean over the targets.
    pub fn mean(self) -> f64 {
        self.sum / self.targets.max(1) as f64
    }
}

/// The loss over all targets of a data set. `progress` gets rows done and in all.
///
/// # Errors
/// Where the device was lost.
pub async fn loss(
    session: &mut Session,
    program: &Program,
    data: &Dataset,
    batch_size: usize,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Loss> {
    pass(session, program, data, batch_size, &mut Alone, None, progress).await
}

/// As [`loss()`], by several ranks: each scores its own micro-batches, and all get the sum, which is that of one rank to the bit where
/// their devices compute the same.
///
/// # Errors
/// Where the device was lost.
pub async fn loss_among(
    session: &mut Session,
    program: &Program,
    data: &Dataset,
    batch_size: usize,
    ranks: &mut dyn Ranks,
) -> Result<Loss> {
    pass(session, program, data, batch_size, ranks, None, &mut |_, _| ()).await
}

/// As [`loss()`], with the loss of each sample beside it, for a program that does not train: only such a one keeps the losses of single
/// targets. The samples' losses are summed in f64, the whole one on the device.
///
/// # Errors
/// As there.
pub async fn losses(
    session: &mut Session,
    program: &Program,
    data: &Dataset,
    batch_size: usize,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<(Loss, Vec<Loss>)> {
    let mut rows = vec![Loss::default(); data.len()];
    let total = pass(session, program, data, batch_size, &mut Alone, Some(&mut rows), progress).await?;
    Ok((total, rows))
}

async fn pass(
    session: &mut Session,
    program: &Program,
    data: &Dataset,
    batch_size: usize,
    ranks: &mut dyn Ranks,
    mut rows: Option<&mut [Loss]>,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Loss> {
    // Rows of like length share a micro-batch.
    let mut order: Vec<usize> = (0..data.len()).collect();
    order.sort_by_key(|i| data.samples[*i].ids.len());
    // The mean of each micro-batch; 0 where another rank computes it.
    let mut means = vec![0.0; order.chunks(batch_size).len()];
    for (i, indices) in order.chunks(batch_size).enumerate().filter(|(i, _)| i % ranks.count() == ranks.rank()) {
        let batch = MicroBatch::new(data, indices, batch_size, &program.buckets);
        let targets = batch.batch.target_count() as u64;
        session.run(program.begin_loss, 0)?;
        batch.upload(session, program, Scalars { inverse_targets: 1.0 / targets.max(1) as f32, ..Scalars::default() })?;
        session.run(program.loss[batch.bucket], batch.active_rows())?;
        let values = session.read_f32(View { len: METRIC_WORDS, ..program.inputs.metrics }).await?;
        means[i] = values[metrics::LOSS];
        if let (Some(rows), Some(view)) = (rows.as_deref_mut(), program.inputs.losses) {
            let each = session.read_f32(View { len: batch.batch.target_rows.len(), ..view }).await?;
            for (at, loss) in batch.batch.target_rows.iter().zip(each) {
                let row = &mut rows[indices[*at as usize / batch.batch.seq]];
                row.sum += f64::from(loss);
                row.targets += 1;
            }
        }
        progress((i * batch_size + indices.len()).min(data.len()), data.len());
    }
    ranks.add(&mut means);
    let mut total = Loss::default();
    for (indices, mean) in order.chunks(batch_size).zip(means) {
        let targets: usize = indices.iter().map(|i| data.samples[*i].targets()).sum();
        total.sum += f64::from(mean) * targets as f64;
        total.targets += targets as u64;
    }
    Ok(total)
}
