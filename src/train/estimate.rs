//! What a run would train and take, laid out without a device: the numbers that change while a person turns a control.

use super::config::RunConfig;
use super::program::{Program, Shape};
use super::resolve::{self, Room};
use super::rows;
use crate::adapter::Spec;
use crate::device::{Ledger, Limits};
use crate::error::Result;
use crate::model::Source;

/// A run as it would be.
#[derive(Debug, Clone)]
pub struct Estimate {
    /// The adapter, its numbers of blocks chosen where the run leaves them open.
    pub spec: Spec,
    /// Numbers that train.
    pub trainable: u64,
    /// Numbers in the model without the adapter.
    pub parameters: u64,
    /// The rank of LoRA on the same layers that trains as many; 0 where the whole model trains.
    pub lora_rank: f64,
    /// Bytes by category.
    pub memory: Ledger,
    /// The longest padded row.
    pub longest: usize,
    /// Whether activations are recomputed, by the run's own choice or because they do not fit.
    pub recomputes: bool,
    /// Where it does not fit: the nearest options that do, if any do.
    pub smaller: Option<Smaller>,
}

/// Options that take less memory and compute the same steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Smaller {
    /// Rows of a micro-batch.
    pub batch_size: usize,
    /// Micro-batches of a step.
    pub accumulate: usize,
    /// Whether activations are recomputed.
    pub gradient_checkpointing: bool,
    /// Bytes that the run then takes.
    pub bytes: u64,
}

impl Estimate {
    /// Lays out the run. `writes` are the tokens of a text that it writes between steps, its prompt counted in; 0 for none. `lengths` are the rows' lengths, cut as the run cuts them; without any, rows are taken to be as long as
    /// they may be. `available` are the bytes that the device can give, where that is known.
    ///
    /// # Errors
    /// Where options contradict each other or the model.
    pub fn new(run: &RunConfig, source: &Source, lengths: &[usize], writes: usize, limits: Limits, available: Option<u64>) -> Result<Self> {
        run.validate_options()?;
        let config = &source.config;
        let (spec, _) = resolve::adapter(run, config)?;
        let formats = source.formats_in(run.weights.map(Into::into))?;
        // Packed rows fill sequences.
        let packed = [lengths.iter().sum::<usize>().min(run.seq_len)];
        let lengths = if run.packing && !lengths.is_empty() { &packed[..] } else { lengths };
        let mut shape = resolve::shape(run, crate::data::buckets(lengths, run.batch_size, run.seq_len, rows::BUCKETS), writes);
        let room = Room::of(run, available);
        let limits = limits.within(run.memory.as_ref().map(|memory| memory.bytes()));
        let memory = resolve::program(run, config, &formats, &spec, &mut shape, limits, room)?.0.estimate();
        let smaller = match room {
            Some(room) if memory.total() > room.bytes => {
                let bytes = |s: &Shape| Program::new(config, &formats, &spec, s, limits).ok().map(|p| p.estimate().total());
                let fits = |s: &Shape| bytes(s).filter(|total| *total <= room.bytes);
                less(&shape, run.accumulate).into_iter().find_map(|s| fits(&s).map(|total| (s, total))).map(|(s, bytes)| Smaller {
                    batch_size: s.batch_size,
                    accumulate: run.accumulate * shape.batch_size / s.batch_size,
                    gradient_checkpointing: s.recompute,
                    bytes,
                })
            }
            _ => None,
        };
        let trainable = spec.trainable(config);
        let rank_one = Spec { kind: Spec::lora(1, 1.0).kind, ..spec.clone() }.trainable(config);
        Ok(Self {
            trainable,
            parameters: config.num_parameters(),
            lora_rank: if rank_one == 0 { 0.0 } else { trainable as f64 / rank_one as f64 },
            memory,
            recomputes: shape.recompute,
            longest: shape.buckets.last().copied().unwrap_or(run.seq_len),
            smaller,
            spec,
        })
    }

    /// The share of the model's numbers that trains, 0 to 1.
    pub fn share(&self) -> f64 {
        self.trainable as f64 / self.parameters.max(1) as f64
    }
}

/// Shapes that take less, the one that costs the least time first. Each divides the rows of a step, `accumulate` times those of a
/// micro-batch, so that as many micro-batches as it takes are the same step.
pub(super) fn less(shape: &Shape, accumulate: usize) -> Vec<Shape> {
    let mut out = vec![Shape { recompute: true, ..shape.clone() }];
    let all = shape.batch_size.saturating_mul(accumulate);
    let mut rows = shape.batch_size;
    while let Some(fewer) = (1..=rows / 2).rev().find(|fewer| all.is_multiple_of(*fewer)) {
        rows = fewer;
        out.push(Shape { batch_size: rows, ..shape.clone() });
        out.push(Shape { batch_size: rows, recompute: true, ..shape.clone() });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ModelConfig;
    use crate::train::blocks::Blocks;

    fn demo() -> Source {
        let json = include_str!("../../assets/demo/model/config.json");
        Source::drawn(ModelConfig::from_json(json, "config.json").expect("the bundled configuration"))
    }

    #[test]
    fn what_takes_less_makes_the_same_steps() {
        let run = RunConfig { batch_size: 12, accumulate: 3, ..RunConfig::default() };
        let shape = resolve::shape(&run, vec![8], 0);
        let mut rows: Vec<usize> = less(&shape, run.accumulate).iter().map(|s| s.batch_size).collect();
        rows.dedup();
        assert_eq!(rows, [12, 6, 3, 1]);
        // Seven rows twice: two at a time are the largest share of fourteen below the half.
        let mut rows: Vec<usize> = less(&Shape { batch_size: 7, ..shape }, 2).iter().map(|s| s.batch_size).collect();
        rows.dedup();
        assert_eq!(rows, [7, 2, 1]);
    }

    #[test]
    fn more_blocks_train_less() {
        let at = |n| {
            let run = RunConfig { blocks: Some(Blocks::One(n)), batch_size: 4, seq_len: 64, ..RunConfig::default() };
            Estimate::new(&run, &demo(), &[], 0, Limits::NONE, None).expect("it divides")
        };
        let (few, many) = (at(4), at(16));
        assert_eq!(few.trainable, 4 * many.trainable);
        assert!(few.memory.total() > many.memory.total() && (few.lora_rank / many.lora_rank - 4.0).abs() < 1e-9);
        assert_eq!((few.longest, few.smaller), (64, None));
    }

    #[test]
    fn what_does_not_fit_is_answered_with_what_does() {
        let run = RunConfig { batch_size: 8, accumulate: 2, seq_len: 256, ..RunConfig::default() };
        let whole = Estimate::new(&run, &demo(), &[], 0, Limits::NONE, None).expect("lays out").memory.total();
        let tight = Estimate::new(&run, &demo(), &[], 0, Limits::NONE, Some(whole / 4)).expect("lays out");
        let smaller = tight.smaller.expect("something fits");
        assert!(smaller.bytes <= whole / 4);
        assert_eq!(smaller.batch_size * smaller.accumulate, 16);
        let none = Estimate::new(&run, &demo(), &[], 0, Limits::NONE, Some(1)).expect("lays out");
        assert_eq!(none.smaller, None);
    }

    #[test]
    fn activations_are_recomputed_where_memory_asks_for_it() {
        let at = |memory: Option<u64>, gradient_checkpointing| {
            let memory = memory.map(|m| m.to_string().parse().expect("bytes"));
            let run = RunConfig { seq_len: 256, memory, gradient_checkpointing, ..RunConfig::default() };
            Estimate::new(&run, &demo(), &[], 0, Limits::NONE, None).expect("lays out")
        };
        let (kept, less) = (at(None, None), at(None, Some(true)));
        let (whole, least) = (kept.memory.total(), less.memory.total());
        assert!(!kept.recomputes && less.recomputes && least < whole);
        let chosen = at(Some(least), None);
        assert_eq!((chosen.recomputes, chosen.memory.total(), chosen.smaller), (true, least, None));
        // What was said is kept to, and what is enough changes nothing.
        assert!(at(Some(least), Some(false)).smaller.is_some_and(|s| s.gradient_checkpointing));
        assert!(!at(Some(whole), None).recomputes);
        assert!(at(Some(least - 1), None).smaller.is_some_and(|s| s.batch_size < 8));
    }

    #[test]
    fn options_that_cannot_be_are_errors() {
        let run = RunConfig { blocks: Some(Blocks::One(7)), ..RunConfig::default() };
        let error = Estimate::new(&run, &demo(), &[], 0, Limits::NONE, None).expect_err("7 does not divide");
        assert!(error.hint().is_some_and(|h| h.contains("nearest")));
    }
}
