//! Figures of rows: how long they are, and which say the same twice.

use super::preview::Preview;
use std::collections::HashMap;

/// The shares of rows for which a length is told.
pub const SHARES: [f64; 7] = [0.0, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0];

/// For each of [`SHARES`], the length that so many of the rows do not exceed. Empty where there are no rows.
pub fn quantiles(lengths: &[usize]) -> Vec<usize> {
    let mut sorted = lengths.to_vec();
    sorted.sort_unstable();
    let Some(last) = sorted.len().checked_sub(1) else { return Vec::new() };
    let at = |share: f64| sorted[((share * sorted.len() as f64).ceil() as usize).saturating_sub(1).min(last)];
    SHARES.map(at).to_vec()
}

/// Rows that have the tokens of an earlier one: `(row, earlier row)`, from 0.
pub fn duplicates(preview: &Preview, seq_len: usize) -> Vec<(usize, usize)> {
    let mut seen: HashMap<&[u32], usize> = HashMap::new();
    let mut out = Vec::new();
    for (at, row) in (0..preview.len(seq_len)).filter_map(|at| Some((at, preview.row(at, seq_len)?))) {
        match seen.get(row.ids) {
            Some(first) => out.push((at, *first)),
            None => _ = seen.insert(row.ids, at),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_lengths_that_occur() {
        assert_eq!(quantiles(&[]), Vec::<usize>::new());
        assert_eq!(quantiles(&[7]), [7; 7]);
        let hundred: Vec<usize> = (1..=100).rev().collect();
        assert_eq!(quantiles(&hundred), [1, 25, 50, 75, 95, 99, 100]);
    }
}
