//! The run behind the window: something that trains elsewhere, orders to it, news from it. The interface never waits for it.
//!
//! | file | where the run is |
//! | --- | --- |
//! | `thread.rs` | on a desktop, in a thread |
//! | `worker.rs` | in a browser, in the page's worker |

#[cfg(not(target_arch = "wasm32"))]
mod thread;
#[cfg(target_arch = "wasm32")]
mod worker;

#[cfg(not(target_arch = "wasm32"))]
use thread::Link;
#[cfg(target_arch = "wasm32")]
use worker::Link;

use super::live::Live;
use super::platform;
use super::shared::{Command, Shared, View};
use crate::train::RunRecord;
use crate::train::driver::{News, Order, State};
use eframe::egui;
use std::path::Path;
use std::time::Duration;

/// How often the layers' changes are asked for while somebody looks at them.
const LOOK: f64 = 1.0;

/// What comes back from a run.
enum Heard {
    News(News),
    /// What an earlier sitting of it left.
    Record(Box<RunRecord>),
}

/// Orders to the run and news from it.
pub struct Engine {
    link: Link,
    /// When changes were last asked for, by the interface's clock.
    looked: f64,
    /// The step that they were asked for at.
    looked_at: Option<u64>,
}

impl Engine {
    /// The engine of a window that is being opened. A run on the same adapter may share its device.
    pub fn new(cc: &eframe::CreationContext<'_>) -> Self {
        Self { link: Link::new(cc), looked: 0.0, looked_at: None }
    }

    /// The device that the window draws with.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn window(&self) -> Option<&crate::device::gpu::Gpu> {
        self.link.window()
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
            self.link.order(Order::Cell(site, at));
        }
        self.look(ctx, shared, view);
        let status = shared.live.status();
        if shared.status != status {
            shared.status = status;
        }
    }

    fn hear(&mut self, ctx: &egui::Context, shared: &mut Shared) {
        let was_active = shared.live.is_active();
        for heard in self.link.heard() {
            match heard {
                Heard::News(news) => shared.live.hear(news),
                Heard::Record(record) => shared.live.take_record(*record),
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
            Command::Pause => self.link.order(Order::Pause),
            Command::Continue => self.link.order(Order::Continue),
            Command::Step => self.link.order(Order::Step),
            Command::Stop => {
                shared.queue.clear();
                self.link.order(Order::Stop);
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
        self.link.begin(ctx, run);
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
            self.link.order(Order::Changes);
        } else {
            ctx.request_repaint_after(Duration::from_secs_f64(LOOK));
        }
    }
}

fn holds_run(folder: &Path) -> bool {
    crate::files::exists(&folder.join(crate::train::run_folder::CONFIG_FILE))
}

/// A model's short name, for its runs' folders.
fn model_name(model: &Path) -> String {
    if crate::hub::Name::of(model).is_some() {
        return crate::hub::short(model);
    }
    let own = model.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let above = || model.parent().and_then(Path::file_name).map(|n| n.to_string_lossy().into_owned());
    if own == "model" { above().unwrap_or(own) } else { own }
}
