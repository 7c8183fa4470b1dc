//! Ranks: processes, on one machine or on many, that each do a part of every step of one run.
//!
//! Whoever trains knows [`Ranks`] alone. [`Alone`] is a process by itself; with the feature `mpi` the room's other file joins the
//! processes that `mpirun` started. Every call but those that only tell is collective: all ranks make it, in the same order.

use crate::error::{Error, Result};
use std::ops::Range;

#[cfg(all(feature = "mpi", not(target_arch = "wasm32")))]
mod mpi;
#[cfg(not(target_arch = "wasm32"))]
mod started;
#[cfg(not(target_arch = "wasm32"))]
pub use started::{abort, join, leave};

/// Where a rank stands among those of its own machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Here {
    /// Its place, from 0.
    pub place: usize,
    /// How many there are.
    pub count: usize,
}

/// One of several processes with one run. Whoever cannot go on ends all of them, so no call here fails.
pub trait Ranks {
    /// Which one this is, from 0. The first one writes and speaks for all.
    fn rank(&self) -> usize;

    /// How many there are.
    fn count(&self) -> usize;

    /// The same among the ranks of this machine.
    fn here(&self) -> Here;

    /// Adds up what all ranks have, in the order of ranks: the same bits everywhere, and again in another run of as many.
    fn add(&mut self, numbers: &mut [f32]);

    /// Gives every rank the first one's bytes.
    fn send(&mut self, bytes: &mut Vec<u8>);

    /// What each rank has, by rank.
    fn gather(&mut self, word: u64) -> Vec<u64>;

    /// Waits for the other ranks of this machine.
    fn wait_here(&mut self);
}

/// A process by itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl Ranks for Alone {
    fn rank(&self) -> usize {
        0
    }

    fn count(&self) -> usize {
        1
    }

    fn here(&self) -> Here {
        Here { place: 0, count: 1 }
    }

    fn add(&mut self, _: &mut [f32]) {}

    fn send(&mut self, _: &mut Vec<u8>) {}

    fn gather(&mut self, word: u64) -> Vec<u64> {
        vec![word]
    }

    fn wait_here(&mut self) {}
}

/// The part of `0..all` that one of `count` ranks does: in the order of ranks, none more than one longer than another.
pub fn part(all: usize, rank: usize, count: usize) -> Range<usize> {
    all * rank / count..all * (rank + 1) / count
}

/// Bytes that each rank sends to add up `numbers` floats: its share of them to every other one, then the sum of its own share.
pub fn sent(numbers: u64, count: usize) -> u64 {
    let count = count.max(1) as u64;
    2 * (count - 1) * numbers.div_ceil(count) * 4
}

/// Refuses to go on where a rank has another `word` than the first one: all ranks refuse together.
///
/// # Errors
/// Names the first rank that differs, and `what` differs.
pub fn agree(ranks: &mut dyn Ranks, what: &str, word: u64, hint: &str) -> Result<()> {
    let words = ranks.gather(word);
    match words.iter().position(|w| Some(w) != words.first()) {
        None => Ok(()),
        Some(rank) => Err(Error::device(format!("rank {rank} has {what} than rank 0"), hint)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_everything_once() {
        for (all, count) in [(4, 1), (4, 2), (4, 3), (4, 4), (7, 3), (1000, 7)] {
            let parts: Vec<_> = (0..count).map(|rank| part(all, rank, count)).collect();
            assert!(parts.iter().cloned().flatten().eq(0..all), "{parts:?}");
            let lengths = || parts.iter().map(ExactSizeIterator::len);
            assert!(lengths().max().unwrap_or(0) - lengths().min().unwrap_or(0) <= 1, "{parts:?}");
        }
    }

    #[test]
    fn what_is_sent_nears_twice_the_numbers() {
        assert_eq!((sent(1000, 1), sent(1000, 2), sent(1000, 4), sent(1001, 1000)), (0, 4000, 6000, 2 * 999 * 2 * 4));
    }
}
