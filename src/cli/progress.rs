//! What a run looks like on a terminal, in a log file, and to another program.

use super::interrupt;
use super::queue::{Queue, Refused};
use crate::error::{Error, Result};
use crate::ranks;
use crate::train::event::{Event, Summary};
use crate::train::metrics::StepMetrics;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// How events are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// A bar that is drawn over itself; for terminals.
    Bar,
    /// Plain lines, a few seconds apart; for logs.
    Lines,
    /// Warnings only.
    Quiet,
    /// Every event as a line of JSON on standard output.
    Json,
}

impl Look {
    /// The look that the options ask for, and else the one that fits standard error.
    pub fn choose(quiet: bool, json: bool) -> Self {
        if json {
            Self::Json
        } else if quiet {
            Self::Quiet
        } else if std::io::stderr().is_terminal() {
            Self::Bar
        } else {
            Self::Lines
        }
    }
}

/// Shows events. What cannot be written (a closed pipe) is dropped: a run must not end because nobody reads it.
pub struct Reporter {
    look: Look,
    out: Box<dyn Write + Send>,
    refused: Refused,
    bar: Option<ProgressBar>,
    /// What the bar counts just now.
    phase: String,
    summary: Summary,
    /// When the last throttled line was written.
    last: Option<Instant>,
    every: Duration,
}

impl Reporter {
    /// Shows events on standard error, or on standard output if they are JSON: those are many, and go through a [`Queue`].
    pub fn new(look: Look) -> Self {
        if look != Look::Json {
            return Self::with_output(look, Box::new(std::io::stderr()));
        }
        let queue = Queue::new(std::io::stdout(), interrupt::requested);
        let refused = queue.refused();
        let mut reporter = Self::with_output(look, Box::new(queue));
        reporter.refused = refused;
        reporter
    }

    /// Waits until all is written.
    ///
    /// # Errors
    /// Where events that another program was to read could not be written, as on a full disk.
    pub fn end(mut self) -> Result<()> {
        let refused = self.refused.clone();
        self.end_bar();
        drop(std::mem::replace(&mut self.out, Box::new(std::io::sink())));
        refused.take().map_or(Ok(()), |error| Err(Error::io(Path::new("standard output"))(error)))
    }

    /// Shows events elsewhere. The bar itself is always on standard error.
    pub fn with_output(look: Look, out: Box<dyn Write + Send>) -> Self {
        let (bar, phase, summary) = (None, String::new(), Summary::default());
        let refused = Refused::default();
        Self { look, out, refused, bar, phase, summary, last: None, every: Duration::from_secs(2) }
    }

    /// The shortest time between two lines of steps; zero shows each.
    pub fn every(mut self, every: Duration) -> Self {
        self.every = every;
        self
    }

    /// Shows an event.
    pub fn report(&mut self, event: &Event) {
        match self.look {
            Look::Json => {
                if let Ok(line) = serde_json::to_string(event) {
                    self.write(&line);
                }
            }
            Look::Quiet => {
                if let Event::Warning { text } = event {
                    self.write(&format!("warning: {text}"));
                }
            }
            Look::Bar => self.draw(event),
            Look::Lines => self.lines(event),
        }
    }

    fn write(&mut self, line: &str) {
        // One write for one line, so that it stays whole among other programs' output.
        let _ = self.out.write_all(format!("{line}\n").as_bytes());
        let _ = self.out.flush();
    }

    /// A line above the bar.
    fn say(&mut self, line: &str) {
        match self.bar.clone() {
            Some(bar) => bar.suspend(|| self.write(line)),
            None => self.write(line),
        }
    }

    /// Whether enough time has passed for another line of the same kind.
    fn due(&mut self, always: bool) -> bool {
        let due = always || self.last.is_none_or(|t| t.elapsed() >= self.every);
        if due {
            self.last = Some(Instant::now());
        }
        due
    }

    fn lines(&mut self, event: &Event) {
        match event {
            Event::Loading { what, done, total } => {
                if self.phase(what) | self.due(done == total) {
                    self.write(&format!("loading {what}: {} of {}", bytes(*done), bytes(*total)));
                }
            }
            Event::Tokenizing { done, total } => {
                if self.phase("rows") | self.due(done == total) {
                    self.write(&format!("tokenizing: {} of {} rows", grouped(*done), grouped(*total)));
                }
            }
            Event::Progress { what, done, total } => {
                if self.phase(what) | self.due(done == total) {
                    self.write(&format!("{what}: {} of {}", grouped(*done), grouped(*total)));
                }
            }
            Event::Step(m) => {
                let first = m.step == self.summary.first_step + 1;
                if self.due(first || m.step == self.summary.steps) {
                    self.write(&step_line(m, self.summary.steps));
                }
            }
            other => self.common(other),
        }
    }

    /// Whether a new thing is being read, whose first line is always shown.
    fn phase(&mut self, what: &str) -> bool {
        let new = self.phase != what;
        if new {
            what.clone_into(&mut self.phase);
            self.last = Some(Instant::now());
        }
        new
    }

    fn draw(&mut self, event: &Event) {
        match event {
            Event::Loading { what, done, total } => {
                self.fill(what, *done, *total, "{msg:<12} {wide_bar} {bytes:>9}/{total_bytes:<9} {eta:>4}")
            }
            Event::Tokenizing { done, total } => {
                self.fill("tokenizing", *done, *total, "{msg:<12} {wide_bar} {human_pos:>9}/{human_len:<9} {eta:>4}")
            }
            Event::Progress { what, done, total } => {
                self.fill(what, *done, *total, "{msg:<16} {wide_bar} {human_pos:>9}/{human_len:<9} {eta:>4}")
            }
            Event::Step(m) => {
                if let Some(bar) = &self.bar {
                    let message = format!("loss {:.4} | lr {} | {} tok/s", m.loss, rate(m.lr), thousands(m.tokens_per_second));
                    bar.set_message(message);
                    bar.set_position(m.step);
                }
            }
            Event::Started(summary) => {
                self.end_bar();
                self.common(event);
                let bar = bar(summary.steps, "step {pos}/{len} {wide_bar} {msg} | {eta} left");
                bar.set_position(summary.first_step);
                // Steps of an earlier sitting say nothing about this one's speed.
                bar.reset_eta();
                bar.enable_steady_tick(Duration::from_millis(500));
                self.bar = Some(bar);
            }
            Event::Finished { .. } => {
                self.end_bar();
                self.common(event);
            }
            other => self.common(other),
        }
    }

    fn fill(&mut self, what: &str, done: u64, total: u64, template: &str) {
        if self.phase(what) || self.bar.is_none() {
            self.end_bar();
            let new = bar(total, template);
            new.set_message(what.to_owned());
            self.bar = Some(new);
        }
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(done);
        }
        if done >= total {
            self.end_bar();
        }
    }

    fn end_bar(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    /// Events that look the same with a bar and without.
    fn common(&mut self, event: &Event) {
        match event {
            Event::Note { text } => self.say(text),
            Event::Warning { text } => self.say(&format!("warning: {text}")),
            Event::Started(s) => {
                self.summary = s.clone();
                self.last = None;
                for line in summary_lines(s) {
                    self.say(&line);
                }
            }
            Event::Eval { step, loss, perplexity, best } => {
                let mark = if *best { " | best so far" } else { "" };
                self.say(&format!("eval {step}/{} | held-out loss {loss:.4} | perplexity {perplexity:.2}{mark}", self.summary.steps));
            }
            Event::Sample { step, prompt, text } => {
                let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
                self.say(&format!("text {step}/{} | {prompt} -> {text}", self.summary.steps));
            }
            Event::Checkpoint { step, path } => self.say(&format!("saved step {step} in {}", path.display())),
            // Where it was stopped was said already, with how to go on.
            Event::Finished { interrupted: true, .. } => {}
            Event::Finished { steps, best_eval_loss, seconds, path, .. } => {
                let best = best_eval_loss.map(|l| format!(" | best held-out loss {l:.4}")).unwrap_or_default();
                self.say(&format!("done: {} steps in {}{best} | {}", grouped(*steps), duration(*seconds), path.display()));
            }
            Event::Loading { .. } | Event::Tokenizing { .. } | Event::Progress { .. } | Event::Step(_) => {}
        }
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        self.end_bar();
    }
}

fn bar(length: u64, template: &str) -> ProgressBar {
    // Ten drawings a second: more would cost a small model's run time.
    let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr_with_hz(10));
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style.progress_chars("━╸ "));
    bar
}

fn summary_lines(s: &Summary) -> Vec<String> {
    let share = 100.0 * s.share();
    let mut lines = vec![
        format!("model   {} | {} parameters", s.model, grouped(s.parameters)),
        format!("method  {} | {} trainable ({share:.2}%)", s.method, grouped(s.trainable)),
        format!("device  {} | {}", s.device, bytes(s.memory)),
    ];
    let held_out = if s.eval_rows > 0 { format!(" + {} held out", grouped(s.eval_rows)) } else { String::new() };
    let from = if s.first_step > 0 { format!(", going on after step {}", grouped(s.first_step)) } else { String::new() };
    lines.push(format!("run     {} steps{from} | {} rows{held_out} | {}", grouped(s.steps), grouped(s.rows), s.out.display()));
    if s.ranks > 1 {
        let sent = ranks::sent(s.summed / 4, s.ranks);
        lines.push(format!("ranks   {} | {} of gradients added up a step, {} sent by each rank", s.ranks, bytes(s.summed), bytes(sent)));
    }
    lines
}

/// One dense line, the same width from step to step.
fn step_line(m: &StepMetrics, steps: u64) -> String {
    let width = steps.to_string().len();
    let eval = m.eval_loss.map(|l| format!(" | held-out {l:.4}")).unwrap_or_default();
    format!(
        "step {:>width$}/{steps} | loss {:.4} | norm {:.3} | lr {} | {} | {} tok/s{eval}",
        m.step,
        m.loss,
        m.grad_norm,
        rate(m.lr),
        milliseconds(m.seconds()),
        thousands(m.tokens_per_second),
    )
}

fn rate(lr: f32) -> String {
    format!("{lr:.2e}")
}

fn milliseconds(seconds: f64) -> String {
    let ms = seconds * 1e3;
    if ms < 10.0 { format!("{ms:.1} ms") } else { format!("{ms:.0} ms") }
}

fn thousands(n: f64) -> String {
    match n {
        n if n >= 1e6 => format!("{:.1}M", n / 1e6),
        n if n >= 1e3 => format!("{:.1}k", n / 1e3),
        n => format!("{n:.0}"),
    }
}

fn bytes(n: u64) -> String {
    indicatif::BinaryBytes(n).to_string()
}

fn grouped(n: u64) -> String {
    indicatif::HumanCount(n).to_string()
}

fn duration(seconds: f64) -> String {
    let s = if seconds.is_finite() { seconds.max(0.0) } else { 0.0 };
    match s as u64 {
        0..60 => format!("{s:.1} s"),
        n @ 60..3600 => format!("{} min {:02} s", n / 60, n % 60),
        n => format!("{} h {:02} min", n / 3600, n % 3600 / 60),
    }
}

#[cfg(test)]
#[path = "progress_tests.rs"]
mod tests;
