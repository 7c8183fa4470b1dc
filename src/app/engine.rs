//! The run behind the window: a thread that trains, orders to it, news from it. The interface never waits for it.

use super::live::Live;
use super::platform;
use super::shared::{Command, Shared, View};
use crate::device::gpu::{Gpu, adapters};
use crate::device::{Device, gpu::AdapterReport};
use crate::error::{Error, Result};
use crate::train::driver::{News, Order, State, drive};
use crate::train::{RunConfig, RunRecord};
use eframe::egui;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

/// News reach the screen this often at most: a small model does more steps in a second than anybody can see.
const FRAME: Duration = Duration::from_millis(33);
/// How often the layers' changes are asked for while somebody looks at them.
const LOOK: f64 = 1.0;

/// What the thread sends.
enum Message {
    News(News),
    Record(Box<RunRecord>),
}

struct Link {
    orders: mpsc::Sender<Order>,
    news: mpsc::Receiver<Message>,
}

/// Orders to the run and news from it.
#[derive(Default)]
pub struct Engine {
    /// The device that the window draws with; a run on the same adapter shares it.
    window: Option<Gpu>,
    link: Option<Link>,
    /// When changes were last asked for, by the interface's clock.
    looked: f64,
    /// The step that they were asked for at.
    looked_at: Option<u64>,
}

impl Engine {
    /// An engine that may share the window's device.
    pub fn new(window: Option<Gpu>) -> Self {
        Self { window, ..Self::default() }
    }

    /// Once a frame: takes commands to the run and its news to the pages.
    pub fn poll(&mut self, ctx: &egui::Context, shared: &mut Shared, view: View) {
        self.hear(ctx, shared);
        for command in std::mem::take(&mut shared.commands) {
            self.obey(command, ctx, shared);
        }
        if !shared.live.is_active()
            && let Some(run) = shared.queue.pop_front()
        {
            shared.run = run;
            self.obey(Command::Start, ctx, shared);
        }
        if let Some((site, at)) = shared.wanted_cell.take() {
            shared.live.asked = Some((site, at));
            self.order(Order::Cell(site, at));
        }
        self.look(ctx, shared, view);
        let status = shared.live.status();
        if shared.status != status {
            shared.status = status;
        }
    }

    fn order(&self, order: Order) {
        if let Some(link) = &self.link {
            // A thread that has ended hears nothing, and has said why.
            let _ = link.orders.send(order);
        }
    }

    fn hear(&mut self, ctx: &egui::Context, shared: &mut Shared) {
        let Some(link) = &self.link else { return };
        let was_active = shared.live.is_active();
        for message in link.news.try_iter() {
            match message {
                Message::News(news) => shared.live.hear(news),
                Message::Record(record) => shared.live.take_record(*record),
            }
        }
        if was_active && !shared.live.is_active() {
            let out = shared.live.run.out.clone();
            shared.settings.remember_run(&out);
            self.looked_at = None;
            let name = shared.live.status().name;
            let word = match (&shared.live.error, &shared.live.outcome) {
                (Some(_), _) => "failed",
                (None, Some(o)) if o.interrupted => "was stopped and saved",
                _ => "has ended",
            };
            shared.notice = Some(format!("{name} {word}"));
            ctx.send_viewport_cmd(egui::ViewportCommand::RequestUserAttention(egui::UserAttentionType::Informational));
        }
    }

    fn obey(&mut self, command: Command, ctx: &egui::Context, shared: &mut Shared) {
        match command {
            Command::Start if shared.live.is_active() => {}
            Command::Start => self.start(ctx, shared, false),
            Command::Resume if shared.live.is_active() => {}
            Command::Resume => self.start(ctx, shared, true),
            Command::Pause => self.order(Order::Pause),
            Command::Continue => self.order(Order::Continue),
            Command::Step => self.order(Order::Step),
            Command::Stop => {
                shared.queue.clear();
                self.order(Order::Stop);
            }
        }
    }

    fn start(&mut self, ctx: &egui::Context, shared: &mut Shared, resume: bool) {
        let mut run = shared.run.clone();
        run.resume = resume;
        if !resume && (run.out.as_os_str().is_empty() || holds_run(&run.out)) {
            let folder = run.out.parent().filter(|_| holds_run(&run.out)).map_or_else(platform::runs_folder, Path::to_path_buf);
            run.out = platform::free_folder(&folder, &format!("{}-{}", model_name(&run.model), run.method));
        }
        shared.live = Live::new(run.clone());
        (self.looked, self.looked_at) = (0.0, None);
        if let Err(error) = run.validate() {
            shared.live.error = Some(error);
            shared.live.state = Some(State::Ended);
            return;
        }
        let (orders, mut takes) = mpsc::channel();
        let (send, news) = mpsc::channel();
        let (ctx, window) = (ctx.clone(), self.window.clone());
        // The link to an earlier run goes with this; its thread ends.
        self.link = Some(Link { orders, news });
        platform::spawn(move || {
            let tell = |message: Message| {
                // The window may be closed already.
                let _ = send.send(message);
                ctx.request_repaint_after(FRAME);
            };
            if run.resume
                && let Ok(record) = RunRecord::open(&run.out)
            {
                tell(Message::Record(Box::new(record)));
            }
            let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| match device(&run, window) {
                Err(error) => tell(Message::News(News::Failed(error))),
                Ok(device) => pollster::block_on(drive(run, device, &mut takes, &mut |news| tell(Message::News(news)))),
            }));
            if caught.is_err() {
                let hint = "the last checkpoint is whole; please report what you did last";
                let error = Error::input("diablo", "the run ended by a fault of diablo itself", hint);
                tell(Message::News(News::Failed(error)));
            }
            tell(Message::News(News::State(State::Ended)));
        });
    }

    /// While somebody looks at the layers, asks now and then how far they have moved.
    fn look(&mut self, ctx: &egui::Context, shared: &Shared, view: View) {
        let begun = shared.live.summary.is_some();
        if view != View::Blocks || !begun || self.looked_at == Some(shared.live.step()) && !shared.live.changes.is_empty() {
            return;
        }
        let now = ctx.input(|i| i.time);
        if now - self.looked >= LOOK {
            self.looked = now;
            self.looked_at = Some(shared.live.step());
            self.order(Order::Changes);
        } else {
            ctx.request_repaint_after(Duration::from_secs_f64(LOOK));
        }
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

fn holds_run(folder: &Path) -> bool {
    crate::files::exists(&folder.join(crate::train::run_folder::CONFIG_FILE))
}

/// A model's short name, for its runs' folders.
fn model_name(model: &Path) -> String {
    let own = model.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let above = || model.parent().and_then(Path::file_name).map(|n| n.to_string_lossy().into_owned());
    if own == "model" { above().unwrap_or(own) } else { own }
}
