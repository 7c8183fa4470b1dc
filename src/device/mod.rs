//! The two executors of a plan, and the ledger of what they hold.
//!
//! A [`Device`] is where plans run: a GPU through wgpu, or this machine's CPU. [`Device::load`] gives a [`Session`]: buffers
//! allocated, pipelines compiled, ready to run.
//!
//! What waits for a device is `async`: a browser gives its answers only between tasks. Natively such a call waits on its own
//! thread and is done when it is polled first, so `pollster::block_on` costs nothing.

pub mod cpu;
pub mod gpu;
pub mod kernel;
pub mod ledger;
pub mod plan;

pub use kernel::{Access, Call, Kernel, Needs};
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
    pub async fn find(request: &str) -> Result<Self> {
        Self::find_among(request, 0).await
    }

    /// As [`Self::find`], for the `place`-th of several processes on this machine: of GPUs that fit the request as well as each other
    /// every process takes another one, in turn.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub async fn find_among(request: &str, place: usize) -> Result<Self> {
        gpu::adapters::open(request, place).await
    }

    /// As [`Self::find`], waiting on this thread. Not for browsers.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub fn open(request: &str) -> Result<Self> {
        pollster::block_on(Self::find(request))
    }

    /// A short name: `CPU (2 threads)`, or the adapter's own.
    pub fn name(&self) -> String {
        match self {
            Self::Cpu => match rayon::current_num_threads() {
                1 => "CPU (1 thread)".into(),
                threads => format!("CPU ({threads} threads)"),
            },
            Self::Gpu(gpu) => gpu.name().to_string(),
        }
    }

    /// The largest bindings and buffers it takes.
    pub fn limits(&self) -> Limits {
        match self {
            Self::Cpu => Limits::NONE,
            Self::Gpu(gpu) => gpu.report().limits(),
        }
    }

    /// Whether it can run a kernel.
    pub fn offers(&self, needs: Needs) -> bool {
        match self {
            Self::Cpu => true,
            Self::Gpu(gpu) => gpu.offers(needs),
        }
    }

    /// The file that says that this device's matrix units were given up, where they were: two trials of them did not end, or they gave other
    /// numbers.
    pub fn given_up(&self) -> Option<std::path::PathBuf> {
        match self {
            Self::Cpu => None,
            Self::Gpu(gpu) => gpu.report().given_up.clone(),
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
    pub async fn load(&self, layout: &Layout, plans: &[Plan]) -> Result<Session> {
        let mut session = match self {
            Self::Cpu => Session::Cpu(cpu::CpuSession::new()),
            Self::Gpu(gpu) => Session::Gpu(Box::new(gpu::GpuSession::new(gpu.clone()))),
        };
        session.extend(layout, plans).await?;
        Ok(session)
    }
}

/// When an operation of a plan ran, and for how long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OpTime {
    /// The kernel's name.
    pub kernel: &'static str,
    /// Seconds from the plan's first operation.
    pub begin: f64,
    /// How long it took.
    pub seconds: f64,
    /// Its floating-point operations.
    pub flops: u64,
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
    /// Adds the buffers that `layout` has beyond those allocated already, and more plans over them; the first new plan's index.
    /// New buffers start as zeros; transient memory is not shared with the plans loaded before.
    ///
    /// # Errors
    /// As [`Device::load`].
    pub async fn extend(&mut self, layout: &Layout, plans: &[Plan]) -> Result<usize> {
        match self {
            Self::Cpu(s) => s.extend(layout, plans),
            Self::Gpu(s) => s.extend(layout, plans).await,
        }
    }

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

    /// The kernels that a plan's operations run by on this device, in order: where several can do the same, the one it chose.
    pub fn kernels(&self, plan: usize) -> Vec<&'static str> {
        match self {
            Self::Cpu(s) => s.kernels(plan),
            Self::Gpu(s) => s.kernels(plan),
        }
    }

    /// Runs a plan as [`Self::run`] does, one operation at a time, and times each.
    ///
    /// # Errors
    /// Where the device was lost or has no clock.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn profile(&mut self, plan: usize, active_rows: u32) -> Result<Vec<OpTime>> {
        match self {
            Self::Cpu(s) => Ok(s.profile(plan, active_rows)),
            Self::Gpu(s) => s.profile(plan, active_rows),
        }
    }

    /// Waits for what was submitted and copies a view out.
    ///
    /// # Errors
    /// Where the device was lost.
    pub async fn read(&mut self, view: View) -> Result<Vec<u32>> {
        match self {
            Self::Cpu(s) => Ok(s.read(view)),
            Self::Gpu(s) => {
                let read = s.request(view)?;
                s.finish(read).await
            }
        }
    }

    /// As [`Self::read`], for floats.
    ///
    /// # Errors
    /// Where the device was lost.
    pub async fn read_f32(&mut self, view: View) -> Result<Vec<f32>> {
        Ok(bytemuck::cast_vec(self.read(view).await?))
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

    /// The words asked for if they are here, or the ticket back.
    ///
    /// # Errors
    /// Where the device was lost.
    pub fn collect(&mut self, ticket: Ticket) -> Result<std::result::Result<Vec<u32>, Ticket>> {
        match (self, ticket.0) {
            (_, TicketState::Here(words)) => Ok(Ok(words)),
            (Self::Gpu(s), TicketState::Pending(read)) => Ok(s.collect(read)?.map_err(|read| Ticket(TicketState::Pending(read)))),
            (Self::Cpu(_), TicketState::Pending(_)) => unreachable!("a GPU's ticket on the CPU"),
        }
    }

    /// Waits for the words asked for.
    ///
    /// # Errors
    /// Where the device was lost.
    pub async fn finish(&mut self, ticket: Ticket) -> Result<Vec<u32>> {
        match (self, ticket.0) {
            (_, TicketState::Here(words)) => Ok(words),
            (Self::Gpu(s), TicketState::Pending(read)) => s.finish(read).await,
            (Self::Cpu(_), TicketState::Pending(_)) => unreachable!("a GPU's ticket on the CPU"),
        }
    }

    /// Waits until everything submitted is done.
    ///
    /// # Errors
    /// Where the device was lost.
    pub async fn wait(&mut self) -> Result<()> {
        match self {
            Self::Cpu(_) => Ok(()),
            Self::Gpu(s) => s.wait().await,
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
