//! Submits, and waiting for them.

use super::adapters::Gpu;
use super::arrival::Arrival;
use crate::error::{Error, Result};
use std::sync::atomic::Ordering;
use web_time::{Duration, Instant};

/// How often a wait looks whether something has ended.
const LOOK: Duration = Duration::from_secs(5);
/// A device none of whose submits ends for so long counts as lost. Each is made to take a tenth of a second; a step may take minutes.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long to go on waiting.
struct Patience {
    ended: u64,
    since: Instant,
}

impl Patience {
    fn new(ended: u64, now: Instant) -> Self {
        Self { ended, since: now }
    }

    /// Whether to wait on, now that so many submits have ended.
    fn lasts(&mut self, ended: u64, now: Instant) -> bool {
        if ended != self.ended {
            *self = Self::new(ended, now);
        }
        now.duration_since(self.since) < PATIENCE
    }
}

impl Gpu {
    /// Sends commands on their way.
    pub(super) fn submit(&self, commands: impl IntoIterator<Item = wgpu::CommandBuffer>) -> wgpu::SubmissionIndex {
        let submission = self.queue.submit(commands);
        let ended = self.ended.clone();
        self.queue.on_submitted_work_done(move || {
            ended.fetch_add(1, Ordering::Relaxed);
        });
        submission
    }

    /// Waits for a submit, or for all of them, as long as some of those under way end. In a browser callbacks run between tasks, and
    /// waiting here is not possible.
    pub(super) fn wait(&self, submission: Option<&wgpu::SubmissionIndex>) -> Result<()> {
        let mut patience = Patience::new(self.ended.load(Ordering::Relaxed), Instant::now());
        loop {
            let kind = wgpu::PollType::Wait { submission_index: submission.cloned(), timeout: Some(LOOK) };
            let polled = self.device.poll(kind);
            self.check()?;
            let Err(error) = polled else { return Ok(()) };
            let lasts = patience.lasts(self.ended.load(Ordering::Relaxed), Instant::now());
            if !(lasts && matches!(error, wgpu::PollError::Timeout)) {
                return Err(Error::device(
                    format!("{}: no answer within {} s ({error})", self.name(), PATIENCE.as_secs()),
                    "the last checkpoint is whole: go on with --resume, or take another device with --device",
                ));
            }
        }
    }

    /// Waits until everything submitted is done.
    pub(super) async fn idle(&self) -> Result<()> {
        let done = Arrival::default();
        let arrives = done.clone();
        self.queue.on_submitted_work_done(move || arrives.set(()));
        self.wait(None)?;
        done.wait().await;
        self.check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_device_is_waited_for_and_a_silent_one_is_not() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut patience = Patience::new(7, at(0));
        // Minutes, in which a submit ends now and then.
        for minute in 1..10 {
            assert!(patience.lasts(7 + minute, at(100 * minute)));
        }
        assert!(patience.lasts(16, at(1019)));
        assert!(!patience.lasts(16, at(1021)));
    }
}
