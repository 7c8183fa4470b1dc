//! Round numbers for the marks of an axis.

/// Round numbers from `low` to `high`, at most so many.
pub fn marks(low: f64, high: f64, most: usize) -> Vec<f64> {
    let rough = (high - low) / most.max(1) as f64;
    if !rough.is_finite() || rough <= 0.0 {
        return Vec::new();
    }
    let ten = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * ten).into_iter().find(|s| *s >= rough * (1.0 - 1e-9)).unwrap_or(10.0 * ten);
    let first = (low / step).ceil();
    let count = ((high / step).floor() - first).clamp(-1.0, 1000.0) as i64;
    (0..=count).map(|i| (first + i as f64) * step).collect()
}

/// The logarithms of round numbers between two logarithms: 1, 2, 5 of each power of ten, more where that would be too few.
pub fn log_marks(low: f64, high: f64) -> Vec<f64> {
    if high - low > 12.0 {
        return marks(low, high, 12).into_iter().filter(|y| y.fract() == 0.0).collect();
    }
    let within = |digits: &[f64]| -> Vec<f64> {
        let powers = low.floor() as i32..=high.ceil() as i32;
        let all = powers.flat_map(|p| digits.iter().map(move |d| (d * 10f64.powi(p)).log10()));
        all.filter(|y| (low..=high).contains(y)).collect()
    };
    [&[1.0][..], &[1.0, 2.0, 5.0], &[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0]]
        .into_iter()
        .map(within)
        .find(|found| found.len() >= 4)
        .unwrap_or_else(|| marks(10f64.powf(low), 10f64.powf(high), 6).into_iter().map(f64::log10).filter(|y| y.is_finite()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_round() {
        let losses = |y: Vec<f64>| y.into_iter().map(|y| (1e3 * 10f64.powf(y)).round() / 1e3).collect::<Vec<_>>();
        assert_eq!(losses(log_marks(-1.05, 1.4)), [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0]);
        assert_eq!(losses(log_marks(0.25, 0.66)), [2.0, 2.5, 3.0, 3.5, 4.0, 4.5]);
        assert_eq!(losses(log_marks(0.301, 0.322)), [2.0, 2.02, 2.04, 2.06, 2.08]);
        assert!(log_marks(0.0, 0.0).is_empty());
        assert_eq!(marks(0.1, 0.95, 5), [0.2, 0.4, 0.6000000000000001, 0.8]);
    }
}
