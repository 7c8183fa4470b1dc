//! A run in a thread of its own.

use super::Heard;
use crate::app::platform;
use crate::device::gpu::{Gpu, adapters};
use crate::device::{Device, gpu::AdapterReport};
use crate::error::{Error, Result};
use crate::train::driver::{News, Order, State, drive};
use crate::train::{Event, RunConfig, RunRecord};
use eframe::egui;
use std::sync::mpsc;
use std::time::Duration;

/// News reach the screen this often at most: a small model does more steps in a second than anybody can see.
const FRAME: Duration = Duration::from_millis(33);
/// The same for what steps bring where the processor draws the window: there a frame takes tens of milliseconds on all cores, which
/// are the run's. What a person does is answered at once either way.
const SOFTWARE_FRAME: Duration = Duration::from_secs(1);

/// The window's end of the newest run.
pub(super) struct Link {
    /// The device that the window draws with; a run on the same adapter shares it.
    window: Option<Gpu>,
    /// Between two frames that show nothing but another step.
    pace: Duration,
    ends: Option<(mpsc::Sender<Order>, mpsc::Receiver<Heard>)>,
}

impl Link {
    /// No run yet.
    pub(super) fn new(cc: &eframe::CreationContext<'_>) -> Self {
        let window = cc.wgpu_render_state.as_ref().map(|r| Gpu::shared(&r.adapter, r.device.clone(), r.queue.clone()));
        let software = window.as_ref().is_some_and(|gpu| gpu.report().is_software());
        Self { window, pace: if software { SOFTWARE_FRAME } else { FRAME }, ends: None }
    }

    /// The device that the window draws with.
    pub(super) fn window(&self) -> Option<&Gpu> {
        self.window.as_ref()
    }

    /// Gives an order to the run.
    pub(super) fn order(&self, order: Order) {
        if let Some((orders, _)) = &self.ends {
            // A thread that has ended hears nothing, and has said why.
            let _ = orders.send(order);
        }
    }

    /// What the run has said since.
    pub(super) fn heard(&self) -> Vec<Heard> {
        self.ends.iter().flat_map(|(_, heard)| heard.try_iter()).collect()
    }

    /// Begins a run. An earlier one's thread ends.
    pub(super) fn begin(&mut self, ctx: &egui::Context, run: RunConfig) {
        let (orders, mut takes) = mpsc::channel();
        let (send, heard) = mpsc::channel();
        let (ctx, window, pace) = (ctx.clone(), self.window.clone(), self.pace);
        self.ends = Some((orders, heard));
        platform::spawn(move || {
            let tell = |message: Heard| {
                let of_a_step = matches!(&message, Heard::News(News::Event(Event::Step(_) | Event::Eval { .. } | Event::Sample { .. })));
                // The window may be closed already.
                let _ = send.send(message);
                ctx.request_repaint_after(if of_a_step { pace } else { FRAME });
            };
            if run.resume
                && let Ok(record) = RunRecord::open(&run.out)
            {
                tell(Heard::Record(Box::new(record)));
            }
            let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| match device(&run, window) {
                Err(error) => tell(Heard::News(News::Failed(error))),
                Ok(device) => pollster::block_on(drive(run, device, &mut takes, &mut |news| tell(Heard::News(news)))),
            }));
            if caught.is_err() {
                let hint = "the last checkpoint is whole; please report what you did last";
                let error = Error::input("diablo", "the run ended by a fault of diablo itself", hint);
                tell(Heard::News(News::Failed(error)));
            }
            tell(Heard::News(News::State(State::Ended)));
        });
    }
}

/// The window's device where the run wants the same adapter, else none: the run opens its own.
fn device(run: &RunConfig, window: Option<Gpu>) -> Result<Option<Device>> {
    let Some(window) = window else { return Ok(None) };
    let reports = adapters::list();
    let wanted = adapters::wanted(&run.device, &reports)?;
    let same = |r: &AdapterReport| r.name == window.report().name && r.backend == window.report().backend;
    Ok(wanted.and_then(|index| reports.get(index)).filter(|r| same(r)).map(|_| Device::Gpu(window)))
}
