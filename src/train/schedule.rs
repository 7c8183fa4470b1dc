//! The learning rate of each step: a linear warm-up, then a constant, a line to zero or half a cosine.

use super::choice::choice;

choice! {
    /// What the learning rate does after the warm-up.
    ScheduleKind {
        /// It stays.
        Constant = "constant",
        /// It falls to zero in a straight line.
        Linear = "linear",
        /// It falls to zero along half a cosine.
        Cosine = "cosine",
    }
}

/// The learning rate over a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    /// The shape after the warm-up.
    pub kind: ScheduleKind,
    /// The highest rate.
    pub lr: f64,
    /// Steps of warm-up.
    pub warmup: u64,
    /// Steps of the whole run, warm-up included.
    pub total: u64,
}

impl Schedule {
    /// The rate of a step, counted from 0. The warm-up starts at 0, so the first of its steps changes nothing.
    ///
    /// All arithmetic is in f64, so that a run resumed on another machine follows the same curve.
    pub fn lr_at(&self, step: u64) -> f32 {
        (self.lr * self.scale(step)) as f32
    }

    fn scale(&self, step: u64) -> f64 {
        if step < self.warmup {
            return step as f64 / self.warmup.max(1) as f64;
        }
        // Past the end (a run that was made shorter) the rate stays at its last value instead of rising again.
        let t = ((step - self.warmup) as f64 / self.total.saturating_sub(self.warmup).max(1) as f64).min(1.0);
        match self.kind {
            ScheduleKind::Constant => 1.0,
            ScheduleKind::Linear => 1.0 - t,
            ScheduleKind::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * t).cos()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn follows_the_references() {
        let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/reference"));
        let Ok(entries) = std::fs::read_dir(root) else {
            eprintln!("skipped: no ../shared");
            return;
        };
        let mut seen = 0;
        for entry in entries.flatten() {
            let Ok(text) = std::fs::read_to_string(entry.path().join("expected.json")) else { continue };
            let expected: serde_json::Value = serde_json::from_str(&text).expect("expected.json parses");
            let set = &expected["settings"];
            let number = |key: &str| set[key].as_u64().expect("a whole number");
            let schedule = Schedule {
                kind: set["schedule"].as_str().expect("a word").parse().expect("a schedule"),
                lr: set["lr"].as_f64().expect("a number"),
                warmup: number("warmup"),
                total: number("steps"),
            };
            let want = expected["lr"].as_array().expect("a list");
            assert_eq!(want.len() as u64, schedule.total);
            for (step, lr) in want.iter().enumerate() {
                assert_eq!(schedule.lr_at(step as u64), lr.as_f64().expect("a number") as f32, "{} step {step}", entry.path().display());
            }
            seen += 1;
        }
        assert!(seen > 0, "no reference was read");
    }

    #[test]
    fn edges_are_tame() {
        let s = |kind, warmup, total| Schedule { kind, lr: 1.0, warmup, total };
        assert_eq!(s(ScheduleKind::Constant, 0, 5).lr_at(0), 1.0);
        assert_eq!(s(ScheduleKind::Linear, 4, 8).lr_at(0), 0.0);
        assert_eq!(s(ScheduleKind::Linear, 4, 8).lr_at(2), 0.5);
        assert_eq!(s(ScheduleKind::Linear, 4, 8).lr_at(6), 0.5);
        assert_eq!(s(ScheduleKind::Linear, 4, 8).lr_at(100), 0.0);
        // A warm-up longer than the run never reaches the full rate, and never divides by nothing.
        assert_eq!(s(ScheduleKind::Cosine, 10, 5).lr_at(4), 0.4);
        assert_eq!(s(ScheduleKind::Cosine, 5, 5).lr_at(5), 1.0);
        assert_eq!(s(ScheduleKind::Cosine, 0, 0).lr_at(0), 1.0);
    }
}
