//! Whether a launcher started this process as one of several, and how such a process ends.

use super::{Alone, Ranks};
use crate::error::{Error, Result};

/// What launchers tell the processes that they start: how many there are (Open MPI; MPICH, Intel MPI and Slurm's PMI).
const SIZES: [&str; 2] = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE"];

/// How many processes a launcher started, where one did.
fn launched() -> Option<usize> {
    SIZES.iter().find_map(|name| std::env::var(name).ok()?.trim().parse().ok())
}

/// The ranks that this process is one of: alone, unless a launcher started several.
///
/// # Errors
/// Where there are several, and this program was built without MPI or the library is another launcher's.
pub fn join() -> Result<Box<dyn Ranks>> {
    match launched() {
        None | Some(0 | 1) => Ok(Box::new(Alone)),
        Some(several) => joined(several),
    }
}

#[cfg(feature = "mpi")]
fn joined(several: usize) -> Result<Box<dyn Ranks>> {
    let ranks = super::mpi::Mpi::join()?;
    if ranks.count() != several {
        let what = format!("the launcher started {several} processes, and this program's MPI library finds {}", ranks.count());
        return Err(Error::device(what, "use the mpirun of the MPI that diablo was built with"));
    }
    Ok(Box::new(ranks))
}

#[cfg(not(feature = "mpi"))]
fn joined(several: usize) -> Result<Box<dyn Ranks>> {
    let what = format!("mpirun started {several} processes, and this diablo was built without MPI");
    Err(Error::usage(what, "build it with: cargo build --release --features mpi"))
}

/// Ends every rank at once, with this exit code. Where there is one alone, it does nothing.
pub fn abort(code: u8) {
    #[cfg(feature = "mpi")]
    super::mpi::abort(code);
    let _ = code;
}

/// Waits for all ranks and takes leave of them. The ranks that were joined are gone by then.
pub fn leave() {
    #[cfg(feature = "mpi")]
    super::mpi::leave();
}
