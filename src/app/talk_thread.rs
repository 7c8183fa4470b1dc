//! The thread behind Talk: it keeps the model and its voices loaded, and sends each piece of text as it comes.

use super::jobs::{Job, Progress};
use super::opened::OpenModel;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::generate::together::{Part, Question, Together};
use eframe::egui;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};

/// A question on its way.
struct Ask {
    turn: u64,
    question: Question,
    stop: Arc<AtomicBool>,
}

/// What comes back.
pub(super) enum Said {
    /// A part of a voice's answer: turn, place of the voice, part.
    Part(u64, usize, Part),
    /// The turn is over.
    Done(u64),
    /// The whole turn could not be answered.
    Failed(u64, Error),
}

/// The page's end of the thread. Dropping it ends the thread after the token that is being made.
pub(super) struct Speaker {
    /// The model and the device that it speaks with.
    model: Arc<OpenModel>,
    device: String,
    job: Job<()>,
    asks: mpsc::Sender<Ask>,
    said: mpsc::Receiver<Said>,
    stop: Arc<AtomicBool>,
}

impl Speaker {
    /// Begins a thread for a model on a device. Nothing is loaded before the first question.
    pub(super) fn start(ctx: &egui::Context, model: Arc<OpenModel>, device: &str) -> Self {
        let (asks, asked) = mpsc::channel::<Ask>();
        let (say, said) = mpsc::channel();
        let (thread_model, thread_device, repaint) = (model.clone(), device.to_owned(), ctx.clone());
        let job = Job::start(ctx, move |reporter| {
            let mut together = None;
            // Ends when the page lets go of its end.
            for Ask { turn, question, stop } in asked {
                let stopped = || stop.load(Ordering::Relaxed) || reporter.cancelled();
                let mut part = |place: usize, part: Part| {
                    // Nobody reads any more: the page is gone.
                    let heard = say.send(Said::Part(turn, place, part)).is_ok();
                    repaint.request_repaint();
                    heard && !stopped()
                };
                let mut progress = |done, total| reporter.report("loading the model", done, total);
                let outcome = (|| -> Result<()> {
                    if together.is_none() {
                        reporter.report("opening the device", 0, 0);
                        let (tokenizer, _) = thread_model.tokenizer()?;
                        together = Some(Together::new(Device::open(&thread_device)?, &thread_model.source, tokenizer)?);
                    }
                    let Some(together) = &mut together else { return Ok(()) };
                    pollster::block_on(together.answer(&question, &mut progress, &mut part))
                })();
                reporter.report("", 0, 0);
                let last = match outcome {
                    Ok(()) => Said::Done(turn),
                    Err(error) => {
                        // After a lost device nothing that was loaded is worth anything.
                        together = if matches!(error, Error::Device { .. }) { None } else { together };
                        Said::Failed(turn, error)
                    }
                };
                if say.send(last).is_err() {
                    break;
                }
                repaint.request_repaint();
            }
            Ok(())
        });
        Self { model, device: device.to_owned(), job, asks, said, stop: Arc::default() }
    }

    /// Whether it speaks with this model on this device.
    pub(super) fn is_of(&self, model: &Arc<OpenModel>, device: &str) -> bool {
        Arc::ptr_eq(&self.model, model) && self.device == device
    }

    /// Asks. False where the thread has ended.
    pub(super) fn ask(&mut self, turn: u64, question: Question) -> bool {
        self.stop = Arc::default();
        self.asks.send(Ask { turn, question, stop: self.stop.clone() }).is_ok()
    }

    /// Ends the answer that is being given.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// What has come since.
    pub(super) fn heard(&mut self) -> Vec<Said> {
        self.said.try_iter().collect()
    }

    /// Why the thread ended, if it did.
    pub(super) fn ended(&mut self) -> Option<Error> {
        self.job.poll().and_then(Result::err)
    }

    /// What it does before the first token.
    pub(super) fn progress(&self) -> Option<Progress> {
        Some(self.job.progress()).filter(|p| !p.what.is_empty())
    }
}

impl Drop for Speaker {
    fn drop(&mut self) {
        self.stop();
    }
}
