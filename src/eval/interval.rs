//! How sure a score is: intervals that hold the true value in 95 of 100 samples of rows.

use crate::train::heldout::Loss;

/// The standard normal's 97.5 % point.
const Z: f64 = 1.959_963_984_540_054;

/// A share of rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Rows that are right.
    pub right: u64,
    /// Rows.
    pub of: u64,
}

impl Share {
    /// Counts what is true.
    pub fn count(right: impl IntoIterator<Item = bool>) -> Self {
        right.into_iter().fold(Self::default(), |s, right| Self { right: s.right + u64::from(right), of: s.of + 1 })
    }

    /// The share that is right, 0 to 1.
    pub fn share(self) -> f64 {
        self.right as f64 / self.of.max(1) as f64
    }

    /// Its 95 % interval by Wilson's score (Wilson 1927), which stays within 0 to 1 and is right for few rows too. Of no rows: all of it.
    pub fn interval(self) -> (f64, f64) {
        if self.of == 0 {
            return (0.0, 1.0);
        }
        let (p, n) = (self.share(), self.of as f64);
        let z2n = Z * Z / n;
        let middle = (p + z2n / 2.0) / (1.0 + z2n);
        let half = Z / (1.0 + z2n) * (p * (1.0 - p) / n + z2n / (4.0 * n)).sqrt();
        // Of none and of all one end is the share itself, which rounding would miss.
        ((middle - half).clamp(0.0, p), (middle + half).clamp(p, 1.0))
    }
}

/// The 95 % interval of the mean loss over targets, in nats. A row's tokens are alike, so it is rows that vary: the mean is a ratio of sums
/// over rows, and its standard error that of the ratio estimator, `sqrt(m / (m - 1) sum (s_i - mean n_i)^2) / sum n_i` for m rows of loss
/// s_i over n_i targets (Cochran, Sampling Techniques, section 6.4). None for fewer than two rows.
pub fn mean_interval(rows: &[Loss]) -> Option<(f64, f64)> {
    let m = rows.len() as f64;
    let targets: u64 = rows.iter().map(|row| row.targets).sum();
    if rows.len() < 2 || targets == 0 {
        return None;
    }
    let mean = rows.iter().map(|row| row.sum).sum::<f64>() / targets as f64;
    let squares: f64 = rows.iter().map(|row| (row.sum - mean * row.targets as f64).powi(2)).sum();
    let error = (m / (m - 1.0) * squares).sqrt() / targets as f64;
    Some((mean - Z * error, mean + Z * error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(got: (f64, f64), want: (f64, f64)) {
        assert!((got.0 - want.0).abs() < 1e-6 && (got.1 - want.1).abs() < 1e-6, "{got:?} {want:?}");
    }

    #[test]
    fn wilson() {
        // Its ends are the shares p at which (right/of - p)^2 = Z^2 p (1 - p) / of.
        for (right, of) in [(15, 20), (1, 3), (999, 1000), (0, 10), (10, 10)] {
            let share = Share { right, of };
            let (low, high) = share.interval();
            assert!(low <= share.share() && share.share() <= high && low < high, "{share:?}: {low} {high}");
            for end in [low, high] {
                let off = (share.share() - end).powi(2) - Z * Z * end * (1.0 - end) / of as f64;
                assert!(off.abs() < 1e-12, "{share:?}: {end}");
            }
        }
        near(Share { right: 0, of: 10 }.interval(), (0.0, 0.277_533));
        assert_eq!(Share::default().interval(), (0.0, 1.0));
        assert_eq!(Share::count([true, false, true]), Share { right: 2, of: 3 });
    }

    #[test]
    fn a_mean_of_equal_rows_has_the_usual_error() {
        // One target a row: the standard error of a mean. The losses 1, 2, 3 have a standard deviation of 1.
        let rows = [1.0, 2.0, 3.0].map(|sum| Loss { sum, targets: 1 });
        let half = Z / 3f64.sqrt();
        near(mean_interval(&rows).expect("three rows"), (2.0 - half, 2.0 + half));
        // Rows of the same mean do not vary, however long they are.
        let rows = [Loss { sum: 2.0, targets: 1 }, Loss { sum: 20.0, targets: 10 }];
        near(mean_interval(&rows).expect("two rows"), (2.0, 2.0));
        assert_eq!(mean_interval(&rows[..1]), None);
    }
}
