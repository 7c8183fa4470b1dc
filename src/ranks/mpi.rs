//! Ranks by MPI. Calls of the library that fail end the job by themselves (its default), so nothing here returns their errors.

use super::{Here, Ranks};
use crate::error::{Error, Result};
use ::mpi::Threading;
use ::mpi::environment::{Universe, initialize_with_threading};
use ::mpi::topology::SimpleCommunicator;
use ::mpi::traits::{Communicator, CommunicatorCollectives, Root};
use std::sync::{Mutex, PoisonError};

/// Numbers that are added up at a time: 16 MiB, which bounds what the exchange takes beside them, and stays within MPI's 32-bit counts.
const PIECE: usize = 4 << 20;

/// The library while it is in use. A panic must not end it: that would wait for ranks which wait for this one.
static UNIVERSE: Mutex<Option<Universe>> = Mutex::new(None);

/// This process among those that `mpirun` started.
pub struct Mpi {
    world: SimpleCommunicator,
    here: SimpleCommunicator,
    /// What goes out, and the sums that come back.
    outgoing: Vec<f32>,
    /// Every rank's numbers for this rank's share.
    incoming: Vec<f32>,
}

impl Mpi {
    /// Joins them. Only the thread that did may call the rest.
    ///
    /// # Errors
    /// Where the library was started before, or gives no threads.
    pub fn join() -> Result<Self> {
        // Other threads compute and never call it.
        let Some((universe, threading)) = initialize_with_threading(Threading::Funneled) else {
            return Err(Error::device("MPI was started before", "join once in a process"));
        };
        let world = universe.world();
        *UNIVERSE.lock().unwrap_or_else(PoisonError::into_inner) = Some(universe);
        if threading < Threading::Funneled {
            return Err(Error::device("this MPI library allows no threads", "use one built with MPI_THREAD_FUNNELED, as Open MPI is"));
        }
        let here = world.split_shared(world.rank());
        Ok(Self { world, here, outgoing: Vec::new(), incoming: Vec::new() })
    }
}

impl Ranks for Mpi {
    fn rank(&self) -> usize {
        self.world.rank() as usize
    }

    fn count(&self) -> usize {
        self.world.size() as usize
    }

    fn here(&self) -> Here {
        Here { place: self.here.rank() as usize, count: self.here.size() as usize }
    }

    /// An all-reduce in two halves: every rank adds up a share of the numbers, in the order of ranks, and gives the sum to all. As much
    /// is sent as in a ring; MPI's own may add in an order of its choice.
    fn add(&mut self, numbers: &mut [f32]) {
        let count = self.count();
        for piece in numbers.chunks_mut(PIECE) {
            let share = piece.len().div_ceil(count);
            self.outgoing.clear();
            self.outgoing.extend_from_slice(piece);
            self.outgoing.resize(share * count, 0.0);
            self.incoming.resize(share * count, 0.0);
            self.world.all_to_all_into(&self.outgoing[..], &mut self.incoming[..]);
            let (sum, others) = self.incoming.split_at_mut(share);
            for other in others.chunks_exact(share) {
                sum.iter_mut().zip(other).for_each(|(sum, x)| *sum += x);
            }
            self.world.all_gather_into(&*sum, &mut self.outgoing[..]);
            piece.copy_from_slice(&self.outgoing[..piece.len()]);
        }
    }

    fn send(&mut self, bytes: &mut Vec<u8>) {
        let first = self.world.process_at_rank(0);
        let mut length = bytes.len() as u64;
        first.broadcast_into(&mut length);
        bytes.resize(length as usize, 0);
        for piece in bytes.chunks_mut(4 * PIECE) {
            first.broadcast_into(piece);
        }
    }

    fn gather(&mut self, word: u64) -> Vec<u64> {
        let mut words = vec![0; self.count()];
        self.world.all_gather_into(&word, &mut words[..]);
        words
    }

    fn wait_here(&mut self) {
        self.here.barrier();
    }
}

/// Ends every rank at once, where MPI is in use.
pub fn abort(code: u8) {
    if let Some(universe) = UNIVERSE.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
        universe.world().abort(i32::from(code));
    }
}

/// Waits for all ranks and ends the library.
pub fn leave() {
    drop(UNIVERSE.lock().unwrap_or_else(PoisonError::into_inner).take());
}
