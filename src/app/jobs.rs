//! Work away from the interface thread: begun by a view, looked at each frame, never waited for. A page has no other thread: there
//! the work is done between two frames.

use super::platform::{self, Movable};
use crate::error::{Error, Result};
use eframe::egui;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};

/// How far a job is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// What is done just now, such as "tokenising".
    pub what: String,
    /// Pieces done.
    pub done: u64,
    /// Pieces in all; 0 while nobody knows.
    pub total: u64,
}

impl Progress {
    /// The share that is done, 0 to 1, where it is known.
    pub fn share(&self) -> Option<f32> {
        (self.total > 0).then(|| (self.done as f64 / self.total as f64).clamp(0.0, 1.0) as f32)
    }
}

/// The worker's end of a job.
#[derive(Clone)]
pub struct Reporter {
    ctx: egui::Context,
    progress: Arc<Mutex<Progress>>,
    cancelled: Arc<AtomicBool>,
}

impl Reporter {
    /// Says how far the work is; the window is drawn again soon.
    pub fn report(&self, what: impl Into<String>, done: u64, total: u64) {
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner) = Progress { what: what.into(), done, total };
        self.ctx.request_repaint();
    }

    /// Whether nobody waits for the result any more; long work asks now and then and gives up.
    pub fn cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

/// One piece of work and, later, its result. Dropping it asks the work to give up.
pub struct Job<T> {
    receive: mpsc::Receiver<Result<T>>,
    progress: Arc<Mutex<Progress>>,
    cancelled: Arc<AtomicBool>,
}

impl<T: Movable + 'static> Job<T> {
    /// Begins the work. A panic in it comes back as an error.
    pub fn start(ctx: &egui::Context, work: impl FnOnce(&Reporter) -> Result<T> + Movable + 'static) -> Self {
        let (send, receive) = mpsc::channel();
        let reporter = Reporter { ctx: ctx.clone(), progress: Arc::default(), cancelled: Arc::default() };
        let job = Self { receive, progress: reporter.progress.clone(), cancelled: reporter.cancelled.clone() };
        platform::spawn(move || {
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(&reporter))).unwrap_or_else(|panic| {
                let said = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
                let what = format!("this is a fault of diablo itself: {}", said.unwrap_or_else(|| "no reason given".into()));
                Err(Error::input("diablo", what, "please report it, with what you did last"))
            });
            // Nobody waits any more: the result is of no use.
            let _ = send.send(result);
            reporter.ctx.request_repaint();
        });
        job
    }

    /// Waits for what a browser will answer.
    #[cfg(target_arch = "wasm32")]
    pub fn wait(ctx: &egui::Context, answer: impl Future<Output = Result<T>> + 'static) -> Self {
        let (send, receive) = mpsc::channel();
        let ctx = ctx.clone();
        wasm_bindgen_futures::spawn_local(async move {
            // Nobody waits any more: the answer is of no use.
            let _ = send.send(answer.await);
            ctx.request_repaint();
        });
        Self { receive, progress: Arc::default(), cancelled: Arc::default() }
    }

    /// The result, once, when it is there.
    pub fn poll(&mut self) -> Option<Result<T>> {
        self.receive.try_recv().ok()
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl<T> Drop for Job<T> {
    fn drop(&mut self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }
}

/// A value that is made by jobs, with the error of the last one: what most views keep.
pub struct Slot<T> {
    job: Option<Job<T>>,
    /// The newest value. It stays while a newer one is being made.
    pub value: Option<T>,
    /// Why the last job failed.
    pub error: Option<Error>,
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self { job: None, value: None, error: None }
    }
}

impl<T: Movable + 'static> Slot<T> {
    /// Begins to make a new value; a job that still runs is given up.
    pub fn start(&mut self, ctx: &egui::Context, work: impl FnOnce(&Reporter) -> Result<T> + Movable + 'static) {
        self.wait_for(Job::start(ctx, work));
    }

    /// Waits for a job that was begun elsewhere; one that still runs is given up.
    pub fn wait_for(&mut self, job: Job<T>) {
        self.error = None;
        self.job = Some(job);
    }

    /// Takes over what has arrived. True in the frame in which a new value came.
    pub fn poll(&mut self) -> bool {
        let Some(result) = self.job.as_mut().and_then(Job::poll) else { return false };
        self.job = None;
        match result {
            Ok(value) => {
                self.value = Some(value);
                true
            }
            Err(error) => {
                self.error = Some(error);
                false
            }
        }
    }

    /// How far the running job is; `None` where none runs.
    pub fn progress(&self) -> Option<Progress> {
        self.job.as_ref().map(Job::progress)
    }

    /// Whether a job runs.
    pub fn is_running(&self) -> bool {
        self.job.is_some()
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait<T: Send + 'static>(slot: &mut Slot<T>) {
        for _ in 0..1000 {
            slot.poll();
            if !slot.is_running() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
    }

    #[test]
    fn values_errors_and_panics_come_back() {
        let ctx = egui::Context::default();
        let mut slot = Slot::default();
        slot.start(&ctx, |reporter| {
            reporter.report("counting", 1, 2);
            Ok(5)
        });
        wait(&mut slot);
        assert_eq!(slot.value, Some(5));
        slot.start(&ctx, |_| Err(Error::usage("no", "do otherwise")));
        wait(&mut slot);
        assert_eq!((slot.value, slot.error.as_ref().and_then(Error::hint)), (Some(5), Some("do otherwise")));
        slot.start(&ctx, |_| panic!("in the middle"));
        wait(&mut slot);
        assert!(slot.error.is_some_and(|e| e.to_string().contains("in the middle")));
    }
}
