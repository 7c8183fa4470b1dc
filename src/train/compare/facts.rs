//! A run in a line of a table.

use super::track::last_smooth;
use crate::train::record::RunRecord;
use std::cmp::Ordering;
use std::path::PathBuf;

/// What is told of a run beside others. What an earlier version did not write down, or has not been measured yet, is absent.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// The run folder.
    pub folder: PathBuf,
    /// The folder's own name.
    pub name: String,
    /// The model, for people.
    pub model: String,
    /// The method with its size, for people.
    pub method: String,
    /// The device that it ran on.
    pub device: Option<String>,
    /// Numbers that train.
    pub trainable: Option<u64>,
    /// Their share of the model's, 0 to 1.
    pub share: Option<f64>,
    /// Bytes on the device.
    pub memory: Option<u64>,
    /// The median step's seconds.
    pub seconds_per_step: Option<f64>,
    /// The median step's tokens a second, padding left out.
    pub tokens_per_second: Option<f64>,
    /// Steps done.
    pub steps: u64,
    /// Steps that it was to do.
    pub planned: Option<u64>,
    /// The highest learning rate.
    pub lr: f64,
    /// The seed of everything random.
    pub seed: u64,
    /// The training loss at its end, smoothed.
    pub loss: Option<f64>,
    /// The lowest held-out loss.
    pub held_out: Option<f64>,
    /// The step after which that was measured.
    pub held_out_step: Option<u64>,
    /// Whether the run came to its end: all its steps, or as many as its patience let it do.
    pub ended: bool,
}

/// What a table of runs shows, in the order in which it shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Column {
    /// The folder's name.
    Name,
    /// The method with its size.
    Method,
    /// Numbers that train, with their share.
    Trainable,
    /// Bytes on the device.
    Memory,
    /// The median step's seconds.
    StepTime,
    /// Steps done.
    Steps,
    /// The highest learning rate.
    Rate,
    /// The training loss at the end.
    Loss,
    /// The lowest held-out loss.
    HeldOut,
}

impl Column {
    /// All of them.
    pub const ALL: [Self; 9] =
        [Self::Name, Self::Method, Self::Trainable, Self::Memory, Self::StepTime, Self::Steps, Self::Rate, Self::Loss, Self::HeldOut];

    /// Whether less of it is better. Of the others none is good or bad by itself.
    pub fn less_is_better(self) -> bool {
        matches!(self, Self::Trainable | Self::Memory | Self::StepTime | Self::Loss | Self::HeldOut)
    }

    /// The column's number in a line; names have none.
    pub fn number(self, facts: &Facts) -> Option<f64> {
        match self {
            Self::Name | Self::Method => None,
            Self::Trainable => facts.trainable.map(|n| n as f64),
            Self::Memory => facts.memory.map(|n| n as f64),
            Self::StepTime => facts.seconds_per_step,
            Self::Steps => Some(facts.steps as f64),
            Self::Rate => Some(facts.lr),
            Self::Loss => facts.loss,
            Self::HeldOut => facts.held_out,
        }
    }

    /// The order of two lines by this column. What is not known comes last either way, so turn the order with `descending`.
    pub fn order(self, a: &Facts, b: &Facts, descending: bool) -> Ordering {
        let turn = |order: Ordering| if descending { order.reverse() } else { order };
        match self {
            Self::Name => turn(a.name.cmp(&b.name)),
            Self::Method => turn(a.method.cmp(&b.method)),
            _ => match (self.number(a), self.number(b)) {
                (Some(x), Some(y)) => turn(x.total_cmp(&y)),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => Ordering::Equal,
            },
        }
    }

    /// The best number of a column. There is none where all are the same: then no run stands out.
    pub fn best<'a>(self, all: impl IntoIterator<Item = &'a Facts>) -> Option<f64> {
        if !self.less_is_better() {
            return None;
        }
        let numbers: Vec<f64> = all.into_iter().filter_map(|f| self.number(f)).collect();
        let lowest = numbers.iter().copied().min_by(f64::total_cmp)?;
        (numbers.iter().any(|n| *n > lowest)).then_some(lowest)
    }
}

impl Facts {
    /// The line of a run.
    pub fn of(record: &RunRecord) -> Self {
        let summary = record.summary.as_ref();
        let name_of = |path: &std::path::Path| path.file_name().map(|n| n.to_string_lossy().into_owned());
        let config = &record.config;
        let best = record.best_eval();
        Self {
            folder: record.folder.clone(),
            name: record.name(),
            model: summary.map_or_else(|| name_of(&config.model).unwrap_or_default(), |s| s.model.clone()),
            method: summary.map_or_else(|| config.method.to_string(), |s| s.method.clone()),
            device: summary.map(|s| s.device.clone()),
            trainable: summary.map(|s| s.trainable),
            share: summary.map(super::super::event::Summary::share),
            memory: summary.map(|s| s.memory),
            seconds_per_step: record.seconds_per_step(),
            tokens_per_second: record.tokens_per_second(),
            steps: record.metrics.last().map_or(0, |m| m.step),
            planned: summary.map(|s| s.steps).or(config.steps),
            lr: config.resolved_lr(),
            seed: config.seed,
            loss: last_smooth(&record.metrics),
            held_out: best.map(|(loss, _)| loss),
            held_out_step: best.map(|(_, step)| step),
            ended: record.ended(),
        }
    }

    /// Whether it has done all its steps.
    pub fn is_complete(&self) -> bool {
        self.planned.is_none_or(|planned| self.steps >= planned)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn facts(name: &str, held_out: Option<f64>, trainable: u64) -> Facts {
        Facts {
            folder: name.into(),
            name: name.into(),
            model: "m".into(),
            method: "diablo, 8 blocks".into(),
            device: None,
            trainable: Some(trainable),
            share: Some(0.01),
            memory: None,
            seconds_per_step: None,
            tokens_per_second: None,
            steps: 5,
            planned: Some(10),
            lr: 1e-3,
            seed: 1,
            loss: None,
            held_out,
            held_out_step: held_out.map(|_| 5),
            ended: false,
        }
    }

    #[test]
    fn the_unknown_comes_last_and_the_best_stands_out() {
        let mut runs = [facts("a", None, 3), facts("b", Some(2.0), 2), facts("c", Some(1.0), 2)];
        let names = |runs: &[Facts]| runs.iter().map(|f| f.name.clone()).collect::<String>();
        runs.sort_by(|a, b| Column::HeldOut.order(a, b, false));
        assert_eq!(names(&runs), "cba");
        runs.sort_by(|a, b| Column::HeldOut.order(a, b, true));
        assert_eq!(names(&runs), "bca");
        assert_eq!((Column::HeldOut.best(&runs), Column::Trainable.best(&runs)), (Some(1.0), Some(2.0)));
        // Nothing to tell apart, nothing to mark.
        assert_eq!((Column::HeldOut.best(&runs[..1]), Column::Memory.best(&runs), Column::Rate.best(&runs)), (None, None, None));
        assert!(!runs[0].is_complete());
    }
}
