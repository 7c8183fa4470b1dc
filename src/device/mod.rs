//! The two executors of a plan, and the ledger of what they hold.
//!
//! A [`Device`] is where plans run: a GPU through wgpu, or this machine's CPU. [`Device::load`] gives a [`Session`]: buffers
//! allocated, pipelines compiled, ready to run.

pub mod cpu;
pub mod gpu;
pub mod kernel;
pub mod ledger;
pub mod plan;

pub use kernel::{Access, Call, Kernel};
pub use ledger::{Category, Ledger, human_bytes};
pub use plan::{Layout, Limits, Op, Plan, PlanBuilder, View};

use crate::error::Result;

/// Where plans run.
#[derive(Clone)]
pub enum Device {
    /// This machine's processor, on rayon's threads.
    Cpu,
    /// A GPU (or a software driver) through wgpu.
    Gpu(gpu::Gpu),
}

impl Device {
    /// Finds the device a person asked for: `auto`, `cpu`, `gpu`, an adapter's index, or part of its name.
    ///
    /// # Errors
    /// Where nothing fits; the hint lists what there is, or names the driver package to install.
    pub fn open(request: &str) -> Result<Self> {
        gpu::adapters::open(request)
    }

    /// A short name: `CPU (2 threads)`, or the adapter's own.
    pub fn name(&self) -> String {
        match self {
            Self::Cpu => format!("CPU ({} threads)", rayon::current_num_threads()),
            Self::Gpu(gpu) => gpu.name().to_string(),
        }
    }

    /// The largest bindings and buffers it takes.
    pub fn limits(&self) -> Limits {
        match self {
            Self::Cpu => Limits::NONE,
            Self::Gpu(gpu) => gpu.plan_limits(),
        }
    }

    /// Whether this is the CPU executor.
    pub fn is_cpu(&self) -> bool {
        matches!(self, Self::Cpu)
    }

    /// Allocates the buffers of the plans and makes them ready to run. Buffers start as zeros.
    ///
    /// # Errors
    /// Where the device has not enough memory or refuses a shader.
    pub fn load(&self, layout: &Layout, plans: Vec<Plan>) -> Result<Session> {
        Ok(match self {
            Self::Cpu => Session::Cpu(cpu::CpuSession::new(layout, plans)?),
            Self::Gpu(gpu) => Session::Gpu(Box::new(gpu::GpuSession::new(gpu.clone(), layout, plans)?)),
        })
    }
}

/// A read that was asked for and may not have arrived.
#[derive(Debug)]
pub struct Ticket(TicketState);

#[derive(Debug)]
enum TicketState {
    Here(Vec<u32>),
    Pending(gpu::PendingRead),
}

/// Plans loaded on a device.
pub enum Session {
    /// On the CPU executor.
    Cpu(cpu::CpuSession),
    /// On a GPU.
    Gpu(Box<gpu::GpuSession>),
}

impl Session {
    /// Copies words to the start of a view.
    ///
    /// # Errors
    /// Where the device was lost.
    pub fn write(&mut self, view: View, words: &[u32]) -> Result<()> {
        match self {
            Self::Cpu(s) => {
                s.write(view, words);
                Ok(())
            }
            Self::Gpu(s) => s.write(view, words),
        }
    }

    /// As [`Self::write`], for floats.
    ///
    /// # Errors
    /// Where the device was lost.
    pub fn write_f32(&mut self, view: View, values: &[f32]) -> Result<()> {
        self.write(view, bytemuck::cast_slice(values))
    }

    /// Runs a plan, leaving out operations that need more rows than `active_rows`. On a GPU this returns before it is done.
    ///
    /// # Errors
    /// Where the device was lost or refused a command.
    pub fn run(&mut self, plan: usize, active_rows: u32) -> Result<()> {
        match self {
            Self::Cpu(s) => {
                s.run(plan, active_rows);
                Ok(())
            }
            Self::Gpu(s) => s.run(plan, active_rows),
        }
    }

    /// Waits for what was submitted and copies a view out.
    ///
    /// # Errors
    /// Where the device was lost.
    pub fn read(&mut self, view: View) -> Result<Vec<u32>> {
        match self {
            Self::Cpu(s) => Ok(s.read(view)),
            Self::Gpu(s) => s.read(view),
        }
    }

    /// As [`Self::read`], for floats.
    ///
    /// # Errors
    /// Where the device was lost.
    pub fn read_f32(&mut self, view: View) -> Result<Vec<f32>> {
        Ok(bytemuck::cast_vec(self.read(view)?))
    }

    /// Asks for a view's words as they are after everything submitted so far, without waiting.
    ///
    /// # Errors
    /// Where the device was lost.
    pub fn request(&mut self, view: View) -> Result<Ticket> {
        Ok(Ticket(match self {
            Self::Cpu(s) => TicketState::Here(s.read(view)),
            Self::Gpu(s) => TicketState::Pending(s.request(view)?),
        }))
    }

    /// The words asked for, if they are here; with `wait`, waits until they are.
    ///
    /// # Errors
    /// Where the device was lost.
    pub fn collect(&mut self, ticket: Ticket, wait: bool) -> Result<std::result::Result<Vec<u32>, Ticket>> {
        match (self, ticket.0) {
            (_, TicketState::Here(words)) => Ok(Ok(words)),
            (Self::Gpu(s), TicketState::Pending(read)) => Ok(s.collect(read, wait)?.map_err(|read| Ticket(TicketState::Pending(read)))),
            (Self::Cpu(_), TicketState::Pending(_)) => unreachable!("a GPU's ticket on the CPU"),
        }
    }

    /// Waits until everything submitted is done.
    ///
    /// # Errors
    /// Where the device was lost.
    pub fn wait(&mut self) -> Result<()> {
        match self {
            Self::Cpu(_) => Ok(()),
            Self::Gpu(s) => s.wait(),
        }
    }

    /// Bytes the device holds for these plans.
    pub fn ledger(&self) -> &Ledger {
        match self {
            Self::Cpu(s) => s.ledger(),
            Self::Gpu(s) => s.ledger(),
        }
    }
}
