//! A few padded lengths instead of one: a micro-batch costs what its longest row needs.

/// Padded lengths are multiples of this, as the kernels' tiles are.
const MULTIPLE: usize = 16;
/// Another bucket must save this share of the padded tokens: each has its own plan to lay out and its own kernels to tune.
const WORTH: f64 = 0.01;

/// Chooses at most `max_buckets` padded lengths for micro-batches of `batch_size` rows with these lengths, in rising order.
///
/// They are multiples of 16, but never beyond `seq_len`; the last holds the longest row. The choice has the fewest padded
/// tokens to be expected when rows come together at random: a micro-batch is as long as the longest of its rows, so one that
/// stays within `L` is as likely as all its rows doing so.
pub fn buckets(lengths: &[usize], batch_size: usize, seq_len: usize, max_buckets: usize) -> Vec<usize> {
    let padded = |length: usize| length.clamp(1, seq_len.max(1)).next_multiple_of(MULTIPLE).min(seq_len.max(1));
    let mut sorted: Vec<usize> = lengths.iter().map(|l| padded(*l)).collect();
    sorted.sort_unstable();
    // Each candidate with the likelihood that a micro-batch stays within it.
    let mut candidates: Vec<(usize, f64)> = Vec::new();
    for (index, length) in sorted.iter().enumerate() {
        let within = ((index + 1) as f64 / sorted.len() as f64).powf(batch_size.max(1) as f64);
        match candidates.last_mut() {
            Some(last) if last.0 == *length => last.1 = within,
            _ => candidates.push((*length, within)),
        }
    }
    let Some(last) = candidates.len().checked_sub(1) else { return vec![padded(seq_len)] };
    // cost[k][j]: the least expected length with k + 1 buckets, the largest of them candidate j, counting batches within j.
    let mut cost = vec![candidates.iter().map(|(length, within)| *length as f64 * within).collect::<Vec<_>>()];
    let mut from: Vec<Vec<usize>> = vec![vec![0; candidates.len()]];
    while cost.len() < max_buckets.min(candidates.len()) {
        let fewer = &cost[cost.len() - 1];
        let (mut least, mut best) = (fewer.clone(), vec![usize::MAX; candidates.len()]);
        for j in 1..candidates.len() {
            for i in 0..j {
                let total = fewer[i] + candidates[j].0 as f64 * (candidates[j].1 - candidates[i].1);
                if total < least[j] {
                    (least[j], best[j]) = (total, i);
                }
            }
        }
        if least[last] > fewer[last] * (1.0 - WORTH) {
            break;
        }
        cost.push(least);
        from.push(best);
    }
    let (mut out, mut j) = (vec![candidates[last].0], last);
    for k in (1..cost.len()).rev() {
        // No entry: a smaller number of buckets was as good up to here.
        if from[k][j] != usize::MAX {
            j = from[k][j];
            out.push(candidates[j].0);
        }
    }
    out.reverse();
    out
}

/// The smallest of the rising `buckets` that holds `length` tokens; none if all are shorter.
pub fn bucket_for(length: usize, buckets: &[usize]) -> Option<usize> {
    buckets.get(buckets.partition_point(|b| *b < length)).copied()
}

/// The share of the tokens that a pass computes which are padding, to be expected when rows of these lengths come together at random.
pub fn padding(lengths: &[usize], batch_size: usize, buckets: &[usize]) -> f64 {
    if lengths.is_empty() {
        return 0.0;
    }
    let rows = lengths.len() as f64;
    let within = |bucket: usize| (lengths.iter().filter(|l| **l <= bucket).count() as f64 / rows).powf(batch_size.max(1) as f64);
    let (mut expected, mut before) = (0.0, 0.0);
    for (i, bucket) in buckets.iter().enumerate() {
        // The last one holds every row.
        let up_to = if i + 1 == buckets.len() { 1.0 } else { within(*bucket) };
        expected += *bucket as f64 * (up_to - before);
        before = up_to;
    }
    (1.0 - lengths.iter().sum::<usize>() as f64 / rows / expected).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_is_what_no_row_fills() {
        assert_eq!(padding(&[64, 64], 2, &[64]), 0.0);
        assert_eq!(padding(&[16, 64], 1, &[64]), 1.0 - 40.0 / 64.0);
        assert_eq!(padding(&[16, 64], 1, &[16, 64]), 0.0);
        // Two rows together: both short in one case of four.
        assert!((padding(&[16, 64], 2, &[16, 64]) - (1.0 - 40.0 / 52.0)).abs() < 1e-12);
        assert_eq!(padding(&[], 2, &[64]), 0.0);
    }

    #[test]
    fn small_cases() {
        assert_eq!(buckets(&[128; 50], 8, 128, 4), [128]);
        assert_eq!(buckets(&[100; 50], 8, 100, 4), [100]);
        assert_eq!(buckets(&[90, 100], 1, 100, 4), [96, 100]);
        assert_eq!(buckets(&[1], 1, 512, 4), [16]);
        assert_eq!(buckets(&[5, 700], 1, 100, 1), [100]);
        assert_eq!(buckets(&[], 4, 100, 3), [100]);
        assert_eq!(buckets(&[3, 40, 200], 1, 512, 0), [208]);
        assert_eq!(buckets(&[3, 40, 200], 1, 512, 9), [16, 48, 208]);
        assert_eq!(bucket_for(17, &[16, 48, 208]), Some(48));
        assert_eq!(bucket_for(16, &[16, 48]), Some(16));
        assert_eq!(bucket_for(49, &[16, 48]), None);
        assert_eq!(bucket_for(0, &[16]), Some(16));
    }

    #[test]
    fn the_choice_is_the_best_of_all() {
        let lengths: Vec<usize> = (0..300).map(|i| 5 + (i * i * 7) % 160 + if i % 9 == 0 { 90 } else { 0 }).collect();
        let cost = |b: &[usize]| lengths.iter().filter_map(|l| bucket_for(*l, b)).sum::<usize>();
        let longest = lengths.iter().max().map_or(0, |l| l.next_multiple_of(16));
        let mut best = usize::MAX;
        for a in (16..longest).step_by(16) {
            for b in (a + 16..longest).step_by(16) {
                best = best.min(cost(&[a, b, longest]));
            }
        }
        let got = buckets(&lengths, 1, 4096, 3);
        assert_eq!((got.len(), cost(&got)), (3, best), "{got:?}");
    }

    #[test]
    fn larger_batches_want_longer_buckets() {
        let lengths: Vec<usize> = (1..=256).collect();
        let (one, many) = (buckets(&lengths, 1, 256, 2), buckets(&lengths, 16, 256, 2));
        assert_eq!(one, [128, 256]);
        assert!(many[0] > one[0] && many.last() == Some(&256), "{many:?}");
    }
}
