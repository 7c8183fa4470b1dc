//! The losses of a run against steps, tokens or seconds.

use crate::train::curve::smoothed;
use crate::train::metrics::StepMetrics;
use crate::train::plot::{Series, SeriesLook};

/// The most points of a curve: about one for each pixel of a wide window, twice.
const MOST: usize = 4000;

/// What the x axis counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Against {
    /// Optimiser steps.
    #[default]
    Steps,
    /// Tokens that the run has seen, padding left out.
    Tokens,
    /// Seconds of work, pauses left out.
    Seconds,
}

impl Against {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Steps, Self::Tokens, Self::Seconds];

    /// The axis' name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Steps => "steps",
            Self::Tokens => "tokens",
            Self::Seconds => "seconds",
        }
    }
}

/// What the y axis shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Measure {
    /// The loss of each step.
    #[default]
    Training,
    /// The loss on rows that the run never learns from.
    HeldOut,
}

impl Measure {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Training, Self::HeldOut];

    /// The axis' name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Training => "training loss",
            Self::HeldOut => "held-out loss",
        }
    }
}

/// A moment of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Steps, tokens and seconds so far.
    pub so_far: [f64; 3],
    /// The loss.
    pub loss: f64,
    /// The loss without its noise; the same as `loss` where there is none.
    pub smooth: f64,
}

impl Point {
    /// The place on the x axis.
    pub fn x(&self, against: Against) -> f64 {
        self.so_far[against as usize]
    }
}

/// A run's curves. What is no number is left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Track {
    /// The steps' losses, thinned out so that they can be drawn each frame; every spike is kept.
    pub training: Vec<Point>,
    /// The held-out losses.
    pub held_out: Vec<Point>,
}

impl Track {
    /// The curves of a run's metrics.
    pub fn of(metrics: &[StepMetrics]) -> Self {
        let (mut training, held_out) = moments(metrics);
        smooth(&mut training);
        Self { training: thinned(training), held_out }
    }

    /// The points of a measure.
    pub fn points(&self, measure: Measure) -> &[Point] {
        match measure {
            Measure::Training => &self.training,
            Measure::HeldOut => &self.held_out,
        }
    }

    /// The moment next to a place on the x axis, where the run has been about there.
    pub fn at(&self, measure: Measure, against: Against, x: f64) -> Option<&Point> {
        let points = self.points(measure);
        let (first, last) = (points.first()?.x(against), points.last()?.x(against));
        let margin = 0.01 * (last - first) + 0.5 * (last - first) / points.len() as f64;
        if x < first - margin || x > last + margin {
            return None;
        }
        let after = points.partition_point(|p| p.x(against) < x);
        let near = [after.checked_sub(1), Some(after)].into_iter().flatten().filter_map(|i| points.get(i));
        near.min_by(|a, b| (a.x(against) - x).abs().total_cmp(&(b.x(against) - x).abs()))
    }

    /// As it is drawn into a file.
    pub fn series(&self, name: &str, colour: usize, measure: Measure, against: Against) -> Series {
        let look = if measure == Measure::Training { SeriesLook::Curve } else { SeriesLook::Points };
        let points = self.points(measure).iter().map(|p| (p.x(against), p.loss)).collect();
        Series { name: name.to_owned(), points, look, colour }
    }
}

/// Every step, and every evaluation, with how much work had been done by then.
fn moments(metrics: &[StepMetrics]) -> (Vec<Point>, Vec<Point>) {
    let (mut tokens, mut seconds) = (0.0, 0.0);
    let (mut training, mut held_out) = (Vec::with_capacity(metrics.len()), Vec::new());
    for m in metrics {
        tokens += m.tokens as f64;
        seconds += m.seconds();
        let at = |loss: f64| Point { so_far: [m.step as f64, tokens, seconds], loss, smooth: loss };
        training.extend(Some(f64::from(m.loss)).filter(|l| l.is_finite()).map(at));
        held_out.extend(m.eval_loss.filter(|l| l.is_finite()).map(at));
    }
    (training, held_out)
}

fn smooth(points: &mut [Point]) {
    let raw: Vec<(f64, f64)> = points.iter().map(|p| (p.so_far[0], p.loss)).collect();
    for (point, (_, y)) in points.iter_mut().zip(smoothed(&raw)) {
        point.smooth = y;
    }
}

/// Of each stretch the lowest and the highest, and the very last.
fn thinned(points: Vec<Point>) -> Vec<Point> {
    if points.len() <= MOST {
        return points;
    }
    let mut kept = Vec::with_capacity(MOST + 3);
    for stretch in points.chunks(points.len().div_ceil(MOST / 2)) {
        let by = |a: &&Point, b: &&Point| a.loss.total_cmp(&b.loss);
        let ends = [stretch.iter().min_by(by), stretch.iter().max_by(by)];
        let mut ends: Vec<Point> = ends.into_iter().flatten().copied().collect();
        ends.sort_by(|a, b| a.so_far[0].total_cmp(&b.so_far[0]));
        ends.dedup();
        kept.extend(ends);
    }
    if let Some(last) = points.last().filter(|last| kept.last() != Some(last)) {
        kept.push(*last);
    }
    kept
}

/// The smoothed loss after the last step.
pub(super) fn last_smooth(metrics: &[StepMetrics]) -> Option<f64> {
    let (mut training, _) = moments(metrics);
    smooth(&mut training);
    training.last().map(|p| p.smooth)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics(n: u64) -> Vec<StepMetrics> {
        let loss = |i: u64| if i == 777 { 50.0 } else { 4.0 - (i % 7) as f32 * 0.1 };
        let eval = |i: u64| i.is_multiple_of(1000).then_some(3.0);
        (1..=n)
            .map(|i| StepMetrics { step: i, loss: loss(i), tokens: 10, tokens_per_second: 20.0, eval_loss: eval(i), ..Default::default() })
            .collect()
    }

    #[test]
    fn a_long_run_is_thinned_and_keeps_its_spikes() {
        let track = Track::of(&metrics(50_000));
        assert!(track.training.len() <= MOST + 1 && track.held_out.len() == 50);
        assert!(track.training.iter().any(|p| p.loss == 50.0));
        assert_eq!(track.training.last().map(|p| p.so_far), Some([50_000.0, 500_000.0, 25_000.0]));
        assert!(track.training.is_sorted_by(|a, b| a.so_far[0] < b.so_far[0]));
    }

    #[test]
    fn a_moment_is_found_by_each_axis() {
        let mut steps = metrics(100);
        steps[3].loss = f32::NAN;
        let track = Track::of(&steps);
        assert_eq!(track.training.len(), 99);
        let at = |against, x| track.at(Measure::Training, against, x).map(|p| p.so_far[0]);
        assert_eq!(
            (at(Against::Steps, 42.3), at(Against::Tokens, 421.0), at(Against::Seconds, 21.1)),
            (Some(42.0), Some(42.0), Some(42.0))
        );
        assert_eq!((at(Against::Steps, 101.0), at(Against::Steps, 150.0), at(Against::Steps, -9.0)), (Some(100.0), None, None));
        assert_eq!(track.at(Measure::HeldOut, Against::Steps, 1.0), None);
        assert_eq!(last_smooth(&steps), track.training.last().map(|p| p.smooth));
    }
}
