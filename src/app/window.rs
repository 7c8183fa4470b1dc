//! The window itself: opened with the device that also trains, and opened again where that device was lost.

use super::live::Live;
use super::platform;
use super::shared::{Command, Shared, View};
use super::{DiabloApp, icons, tour};
use crate::device::gpu::Gpu;
use crate::error::{Error, Result};
use eframe::egui;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use web_time::{Duration, Instant};

/// Devices that may be lost in a row before no other window is opened. A driver that cannot hold one would do so for ever.
const PATIENCE: u32 = 3;

/// What a window that can draw no more leaves to the next one: its run, with all that is known of it.
#[derive(Clone, Default)]
pub struct Legacy(Arc<Mutex<Will>>);

#[derive(Default)]
struct Will {
    /// What the window left.
    left: Option<Box<Live>>,
    /// What it draws with.
    device: Option<Gpu>,
}

impl Legacy {
    /// Looks at the window's device, once a frame. True where it was lost: then nothing may be drawn, and the window closes as soon
    /// as its run has heard of it too.
    pub(super) fn watch(&self, ctx: &egui::Context, shared: &mut Shared, device: Option<&Gpu>) -> bool {
        let Some(device) = device else { return false };
        let mut will = self.will();
        will.device.get_or_insert_with(|| device.clone());
        // A run on the same device asks by itself, and asking beside it would wait for its work.
        let live = &shared.live;
        let is_shared = live.is_active() && live.summary.as_ref().is_none_or(|s| s.device.contains(device.name()));
        if !is_shared {
            device.listen();
        }
        let Err(error) = device.check() else { return false };
        if shared.live.is_active() {
            // A run on another device knows nothing of it, and is saved.
            shared.commands.push(Command::Stop);
            ctx.request_repaint_after(Duration::from_millis(50));
        } else if will.left.is_none() {
            let mut live = std::mem::take(&mut shared.live);
            live.error.get_or_insert(error);
            will.left = Some(Box::new(live));
            ctx.send_viewport_cmd(egui::ViewportCommand::Close);
        }
        true
    }

    /// What was left, if anything was.
    pub fn take(&self) -> Option<Box<Live>> {
        self.will().left.take()
    }

    /// Why drawing broke, where that was for a lost device: the crate that draws panics where it is lost between the window's look at
    /// it and the frame's end.
    fn why_it_broke(&self) -> Option<Error> {
        let device = self.will().device.clone()?;
        // Its last frame may still be on its way.
        (0..50).find_map(|_| {
            std::thread::sleep(Duration::from_millis(20));
            device.listen();
            device.check().err()
        })
    }

    fn will(&self) -> MutexGuard<'_, Will> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DiabloApp {
    /// Shows what an earlier window left, and why: its run can be gone on with.
    pub fn inherit(&mut self, live: Live) {
        if live.has_begun() {
            self.shared.run = live.run.clone();
        }
        self.shared.live = live;
        self.shared.go(View::Train);
    }

    /// Where the next window finds what this one leaves.
    pub fn legacy(&self) -> Legacy {
        self.legacy.clone()
    }
}

/// Opens the window and stays until it is closed. With `pictures` it shows itself: see [`tour`].
///
/// # Errors
/// Where the system gives no window or no graphics, loses them again and again, or a picture cannot be written.
pub fn run(pictures: Option<PathBuf>) -> Result<()> {
    let mut left = None;
    for _ in 0..PATIENCE {
        let legacy = Legacy::default();
        without_panics(&legacy, || open(pictures.clone(), left.take(), legacy.clone()))?;
        left = legacy.take();
        if left.is_none() {
            return Ok(());
        }
    }
    Err(left.and_then(|live| live.error).unwrap_or_else(|| Error::device("the window's device was lost", "")))
}

/// Makes an error of a panic that a lost device caused. The window system takes no second window after one, so this one was the last.
fn without_panics(legacy: &Legacy, window: impl FnOnce() -> Result<()>) -> Result<()> {
    let others: Arc<dyn Fn(&PanicHookInfo<'_>) + Send + Sync> = std::panic::take_hook().into();
    let (said, watched) = (others.clone(), legacy.clone());
    std::panic::set_hook(Box::new(move |info| {
        if watched.why_it_broke().is_none() {
            said(info);
        }
    }));
    let opened = catch_unwind(AssertUnwindSafe(window));
    std::panic::set_hook(Box::new(move |info| others(info)));
    opened.unwrap_or_else(|panic| match legacy.why_it_broke() {
        Some(error) => Err(Error::device(error.what(), "the last checkpoint is whole: open the window again, and go on with the run")),
        None => resume_unwind(panic),
    })
}

/// One window, until it closes.
fn open(pictures: Option<PathBuf>, inherited: Option<Box<Live>>, legacy: Legacy) -> Result<()> {
    let viewport = egui::ViewportBuilder::default()
        .with_title("diablo")
        .with_app_id(platform::APP_ID)
        .with_icon(icons::window_icon())
        .with_inner_size([1280.0, 800.0])
        .with_min_inner_size([640.0, 360.0]);
    // Nothing that is drawn has a gradient.
    let mut options = eframe::NativeOptions { viewport, dithering: false, ..Default::default() };
    // The window's device is the one that trains, so it is opened with what training wants.
    let mut setup = eframe::egui_wgpu::WgpuSetupCreateNew::without_display_handle();
    setup.power_preference = wgpu::PowerPreference::HighPerformance;
    setup.device_descriptor = Arc::new(Gpu::device_descriptor);
    options.wgpu_options.wgpu_setup = setup.into();
    if pictures.is_some() {
        options.persist_window = false;
    }
    let opened = Instant::now();
    let failed = Arc::new(Mutex::new(None));
    let told = failed.clone();
    let create =
        move |cc: &eframe::CreationContext<'_>| -> std::result::Result<Box<dyn eframe::App>, Box<dyn std::error::Error + Send + Sync>> {
            let mut app = DiabloApp::new(cc);
            app.legacy = legacy;
            app.tour = pictures.map(|folder| tour::Tour::new(folder, told, opened));
            if let Some(live) = inherited {
                app.inherit(*live);
            }
            Ok(Box::new(app))
        };
    eframe::run_native(platform::APP_ID, options, Box::new(create)).map_err(|error| {
        Error::device(
            format!("no window could be opened: {}", without_place(&error.to_string())),
            "on a machine without a display use the command line: diablo --help",
        )
    })?;
    let failed = failed.lock().unwrap_or_else(PoisonError::into_inner).take();
    failed.map_or(Ok(()), Err)
}

/// An error of winit's without the line of its source that found it.
fn without_place(said: &str) -> String {
    let Some((head, rest)) = said.split_once("os error at ") else { return said.to_owned() };
    let why = rest.split_once(".rs:").and_then(|(_, rest)| rest.split_once(": "));
    why.map_or_else(|| said.to_owned(), |(_, why)| format!("{head}{why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_of_source_is_told() {
        let said = "winit EventLoopError: os error at /root/x/winit-0.30.13/src/platform_impl/linux/mod.rs:765: DISPLAY is not set.";
        assert_eq!(without_place(said), "winit EventLoopError: DISPLAY is not set.");
        assert_eq!(without_place("no GPU"), "no GPU");
    }
}
