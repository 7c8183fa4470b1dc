//! `diablo app --screenshots DIR`: the app shows itself. It opens the demo, trains it, takes a picture of every page, says how
//! fast it was, and closes.

use super::shared::{Command, Shared, View};
use crate::error::{Error, Result};
use crate::train::config::Method;
use crate::train::{RunConfig, RunRecord, Trainer};
use eframe::egui::{self, ColorImage, ThemePreference, ViewportCommand};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use web_time::{Duration, Instant};

/// Frames between a page's opening and its picture: sizes settle, fades end, jobs answer.
const SETTLE: u32 = 20;
/// Frames without progress after which the tour gives up.
const PATIENCE: u32 = 20_000;
/// Steps at the start of a run that its rate leaves out.
const UNFOLDING: usize = 20;

/// What must have happened before a picture is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    /// The demo is open.
    Open,
    /// The run has done so many steps.
    Step(u64),
    /// Both runs have ended.
    Done,
}

/// One picture.
#[derive(Debug, Clone, Copy)]
struct Shot {
    view: View,
    theme: ThemePreference,
    when: When,
}

type Taken = Arc<Mutex<Option<Arc<ColorImage>>>>;

/// What a tour measures, for people who wonder.
struct Times {
    opened: Instant,
    first_frame: Option<Duration>,
    started: Option<Instant>,
    first_loss: Option<Duration>,
    /// The longest time that the interface took for a frame while a run went on.
    longest: Duration,
    /// Frames drawn while a run went on.
    frames: u32,
    frame: Instant,
}

/// A tour in progress.
pub struct Tour {
    times: Times,
    folder: PathBuf,
    shots: Vec<Shot>,
    next: usize,
    /// Frames since the page of the next picture was opened.
    shown: u32,
    waited: u32,
    over: bool,
    begun: bool,
    taken: Option<Taken>,
    /// Why it ended early, for who opened the window.
    failed: Arc<Mutex<Option<Error>>>,
}

impl Tour {
    /// A tour that puts its pictures into `folder`, of a window that was asked for at `opened`.
    pub fn new(folder: PathBuf, failed: Arc<Mutex<Option<Error>>>, opened: Instant) -> Self {
        let (dark, light) = (ThemePreference::Dark, ThemePreference::Light);
        let mut shots = vec![
            Shot { view: View::Train, theme: dark, when: When::Step(110) },
            Shot { view: View::Blocks, theme: dark, when: When::Step(150) },
        ];
        shots.extend([dark, light].into_iter().flat_map(|theme| View::ALL.map(|view| Shot { view, theme, when: When::Done })));
        // Before anything runs, the pages of what will.
        shots.insert(0, Shot { view: View::Method, theme: dark, when: When::Open });
        let now = Instant::now();
        let times = Times { opened, first_frame: None, started: None, first_loss: None, longest: Duration::ZERO, frames: 0, frame: now };
        Self { times, folder, shots, next: 0, shown: 0, waited: 0, over: false, begun: false, taken: None, failed }
    }

    /// Once a frame. False when the tour is over and the window closes.
    pub fn frame(&mut self, ctx: &egui::Context, shared: &mut Shared) -> bool {
        if self.over {
            return false;
        }
        self.times.frame = Instant::now();
        self.times.first_frame.get_or_insert_with(|| self.times.opened.elapsed());
        if shared.live.has_begun() && !shared.live.metrics.is_empty() {
            self.times.first_loss = self.times.first_loss.or(self.times.started.map(|t| t.elapsed()));
        }
        match self.go_on(ctx, shared) {
            Ok(true) => {
                // A picture wants its frames at once; a run wants the processor.
                ctx.request_repaint_after(if self.shown > 0 { Duration::ZERO } else { Duration::from_secs(1) });
                return true;
            }
            Ok(false) => {
                if let Err(error) = self.say(shared) {
                    *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                }
            }
            Err(error) => *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error),
        }
        self.over = true;
        ctx.send_viewport_cmd(ViewportCommand::Close);
        false
    }

    /// Once a frame, after it was drawn.
    pub fn after(&mut self, shared: &Shared) {
        if shared.live.is_active() {
            self.times.longest = self.times.longest.max(self.times.frame.elapsed());
            self.times.frames += 1;
        }
    }

    /// Says what was measured, on standard output.
    fn say(&self, shared: &Shared) -> Result<()> {
        let seconds = |d: Option<Duration>| d.map_or_else(|| "?".into(), |d| format!("{:.2} s", d.as_secs_f64()));
        println!("first frame after {}", seconds(self.times.first_frame));
        println!("first loss {} after the start of the run", seconds(self.times.first_loss));
        println!(
            "{} frames while training, the longest took the interface {:.0} ms",
            self.times.frames,
            1e3 * self.times.longest.as_secs_f64()
        );
        // The newest: during the one before it pictures were taken, many frames a second.
        let Some(out) = shared.settings.runs.first() else { return Ok(()) };
        let window = RunRecord::open(out)?;
        // The same run again, with nothing beside it.
        let alone = RunConfig { out: super::platform::free_folder(&self.folder, "run"), ..window.config.clone() };
        Trainer::prepare(alone.clone(), &mut |_| ())?.run(&mut |_| (), &|| false)?;
        let alone = RunRecord::open(&alone.out)?;
        // All steps, those too that a frame fell into, but the first: beside them the page of a new run unfolds.
        let rate = |r: &RunRecord| {
            let (tokens, seconds) = r.metrics.iter().skip(UNFOLDING).fold((0, 0.0), |sum, m| (sum.0 + m.tokens, sum.1 + m.seconds()));
            tokens as f64 / seconds.max(f64::MIN_POSITIVE)
        };
        let (window, alone) = (rate(&window), rate(&alone));
        println!("training at {window:.0} tokens/s in the window, {alone:.0} without it: {:.2}", window / alone);
        Ok(())
    }

    fn go_on(&mut self, ctx: &egui::Context, shared: &mut Shared) -> Result<bool> {
        if let Some(error) = shared.live.error.take().or_else(|| shared.model.error.take()).or_else(|| shared.rows.error.take()) {
            return Err(error);
        }
        self.waited += 1;
        if self.waited > PATIENCE {
            return Err(Error::input("the tour", "the app made no progress", ""));
        }
        if !self.begun {
            self.begun = true;
            shared.open_demo(ctx);
        }
        let image = self.taken.as_ref().and_then(|t| t.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(image) = image {
            let shot = self.shots[self.next];
            save(&self.folder, &name(self.next, shot), &image)?;
            (self.taken, self.shown, self.waited) = (None, 0, 0);
            self.next += 1;
        }
        let Some(shot) = self.shots.get(self.next).copied() else { return Ok(false) };
        // Once its page is open a picture is taken, whatever ends meanwhile.
        if self.taken.is_some() || self.shown == 0 && !self.is_due(shot.when, shared) {
            return Ok(true);
        }
        if self.shown == 0 {
            ctx.set_theme(shot.theme);
            shared.go(shot.view);
        }
        self.shown += 1;
        if self.shown == SETTLE {
            let taken = Taken::default();
            self.taken = Some(taken.clone());
            let callback = egui::ScreenshotCallback::new(move |image| {
                *taken.lock().unwrap_or_else(PoisonError::into_inner) = Some(image);
            });
            ctx.send_viewport_cmd(ViewportCommand::Screenshot(callback));
        }
        Ok(true)
    }

    fn is_due(&mut self, when: When, shared: &mut Shared) -> bool {
        let open = shared.model.value.is_some() && shared.rows.value.is_some();
        match when {
            When::Open => open,
            _ if !open => false,
            When::Step(step) => {
                if !shared.live.has_begun() {
                    let lora = RunConfig { method: Method::Lora, blocks: None, rank: 5, alpha: 10.0, lr: Some(4e-3), ..shared.run.clone() };
                    self.times.started = Some(Instant::now());
                    shared.commands.push(Command::Start);
                    shared.queue.push_back(lora);
                }
                shared.live.step() >= step || shared.live.outcome.is_some()
            }
            // Between two runs a frame may pass in which neither goes on.
            When::Done => shared.queue.is_empty() && shared.settings.runs.len() > 1 && !shared.live.is_active(),
        }
    }
}

fn name(index: usize, shot: Shot) -> String {
    let theme = if shot.theme == ThemePreference::Light { "light" } else { "dark" };
    let when = match shot.when {
        When::Open => "-before",
        When::Step(_) => "-running",
        When::Done => "",
    };
    format!("{index:02}-{}{when}-{theme}.png", shot.view.name().to_lowercase())
}

fn save(folder: &Path, name: &str, image: &ColorImage) -> Result<()> {
    let [width, height] = image.size.map(|side| side as u32);
    let pixels = image.pixels.iter().flat_map(|p| p.to_array()).collect();
    let path = folder.join(name);
    let broken = |what: String| Error::input(path.display().to_string(), what, "");
    let picture = image::RgbaImage::from_raw(width, height, pixels).ok_or_else(|| broken("the picture has no pixels".into()))?;
    let mut bytes = Vec::new();
    picture.write_to(&mut std::io::Cursor::new(&mut bytes), image::ImageFormat::Png).map_err(|e| broken(e.to_string()))?;
    super::platform::save(&path, &bytes)
}
