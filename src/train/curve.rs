//! Curves of a run's numbers for people: smoothed, and thinned to what a screen can show.

/// An exponential mean over about a fortieth of the curve, without the pull of its first point.
pub fn smoothed(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let keep = 1.0 - 1.0 / (points.len() as f64 / 40.0).max(1.0);
    let (mut sum, mut weight) = (0.0, 0.0);
    let mean = |&(x, y): &(f64, f64)| {
        sum = keep * sum + (1.0 - keep) * y;
        weight = keep * weight + (1.0 - keep);
        (x, sum / weight)
    };
    points.iter().map(mean).collect()
}

/// At most about `most` points that look the same: of each run of points the lowest and the highest. Numbers that are none are
/// left out.
pub fn thinned(points: &[(f64, f64)], most: usize) -> Vec<(f64, f64)> {
    let finite: Vec<(f64, f64)> = points.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite()).collect();
    if finite.len() <= most.max(4) {
        return finite;
    }
    let mut out = Vec::with_capacity(most + 2);
    for part in finite.chunks(finite.len().div_ceil(most.max(4) / 2)) {
        let by_height = |a: &&(f64, f64), b: &&(f64, f64)| a.1.total_cmp(&b.1);
        if let (Some(low), Some(high)) = (part.iter().min_by(by_height), part.iter().max_by(by_height)) {
            let (first, second) = if low.0 <= high.0 { (low, high) } else { (high, low) };
            out.push(*first);
            if first != second {
                out.push(*second);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smoothing_is_unbiased() {
        let flat: Vec<_> = (0..100).map(|i| (f64::from(i), 3.0)).collect();
        assert!(smoothed(&flat).iter().all(|(_, y)| (y - 3.0).abs() < 1e-9));
        assert!(smoothed(&[]).is_empty());
    }

    #[test]
    fn thinning_keeps_the_extremes() {
        let mut points: Vec<_> = (0..10_000).map(|i| (f64::from(i), f64::from(i % 7))).collect();
        points[5_000].1 = 99.0;
        points[6_000].1 = -99.0;
        points[10].1 = f64::NAN;
        let thin = thinned(&points, 500);
        assert!(thin.len() <= 510, "{}", thin.len());
        for y in [99.0, -99.0] {
            assert!(thin.iter().any(|p| p.1 == y), "{y}");
        }
        assert!(thin.windows(2).all(|w| w[0].0 < w[1].0) && thin.iter().all(|p| p.1.is_finite()));
    }
}
