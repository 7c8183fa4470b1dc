//! Micro-batches to the device.

use super::program::Program;
use crate::data::batch::{Grouped, grouped};
use crate::data::{Batch, Dataset, bucket_for};
use crate::device::Session;
use crate::error::Result;
use crate::kernels::NONE;
use crate::kernels::embedding_grad::Groups;
use crate::model::inputs::{Scalars, step_words};

/// A micro-batch with the bucket it fits.
pub struct MicroBatch {
    /// Its numbers.
    pub batch: Batch,
    /// Index of the bucket.
    pub bucket: usize,
}

impl MicroBatch {
    /// The samples with these indices.
    pub fn new(data: &Dataset, indices: &[usize], batch_size: usize, buckets: &[usize]) -> Self {
        let samples: Vec<_> = indices.iter().map(|i| &data.samples[*i]).collect();
        let longest = samples.iter().map(|s| s.ids.len()).max().unwrap_or(1);
        let seq = bucket_for(longest, buckets).expect("buckets cover the longest sample");
        let bucket = buckets.iter().position(|b| *b == seq).expect("a bucket of the list");
        Self { batch: Batch::assemble(&samples, batch_size, seq), bucket }
    }

    /// Rows that have a target.
    pub fn active_rows(&self) -> u32 {
        self.batch.target_rows.len() as u32
    }

    /// Uploads everything that the plans read.
    ///
    /// # Errors
    /// Where the device was lost.
    pub fn upload(&self, session: &mut Session, program: &Program, scalars: Scalars) -> Result<()> {
        let (b, to) = (&self.batch, &program.inputs);
        let tokens = b.ids.len();
        session.write(to.ids, &b.ids)?;
        session.write(to.positions, &b.positions)?;
        to.upload_spans(session, &spans(b))?;
        let mut rows = b.target_rows.clone();
        let mut targets: Vec<u32> = rows.iter().map(|r| b.targets[*r as usize]).collect();
        rows.resize(tokens, NONE);
        targets.resize(tokens, NONE);
        session.write(to.target_rows, &rows)?;
        session.write(to.targets, &targets)?;
        if program.weights.embed.pieces.iter().any(|p| p.grad.is_some()) {
            upload_groups(session, to.groups, b.by_token.clone(), tokens)?;
            if let Some(groups) = to.position_groups {
                upload_groups(session, groups, grouped(&b.positions, b.by_token.order.clone()), tokens)?;
            }
        }
        session.write(to.step, &step_words(self.active_rows(), scalars))
    }
}

/// Uploads groups; those that a smaller batch leaves over are empty.
fn upload_groups(session: &mut Session, to: Groups, mut groups: Grouped, tokens: usize) -> Result<()> {
    let last = groups.starts.last().copied().unwrap_or(0);
    groups.keys.resize(tokens, NONE);
    groups.starts.resize(tokens + 1, last);
    session.write(to.ids, &groups.keys)?;
    session.write(to.starts, &groups.starts)?;
    session.write(to.order, &groups.order)
}

/// Each token sees itself and what stands before it in its own row; padding sees nothing.
fn spans(batch: &Batch) -> Vec<u32> {
    let mut spans = vec![0; 2 * batch.ids.len()];
    for (row, length) in batch.lengths.iter().enumerate() {
        for t in 0..*length as usize {
            let at = row * batch.seq + t;
            spans[2 * at] = batch.firsts[at];
            spans[2 * at + 1] = t as u32 + 1;
        }
    }
    spans
}
