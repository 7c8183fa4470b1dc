//! One micro-batch, laid out as the kernels read it.

use super::dataset::Sample;

/// The target of a position from which nothing is learned.
pub const IGNORE: u32 = u32::MAX;
/// What stands behind a row's end. Any id does: no target looks at it, and attention goes back only.
const PAD: u32 = 0;

/// One micro-batch of `batch_size` rows with `seq` positions each; row `r`'s position `t` lies at `r * seq + t`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Rows, filled or not.
    pub batch_size: usize,
    /// Positions of a row.
    pub seq: usize,
    /// Tokens, padded on the right with 0.
    pub ids: Vec<u32>,
    /// The position within the row, or within its own row where a sequence holds several; through the padding too.
    pub positions: Vec<u32>,
    /// The first position of the sequence that each position sees: 0, or where its own row begins.
    pub firsts: Vec<u32>,
    /// The next token where it is learned, else [`IGNORE`].
    pub targets: Vec<u32>,
    /// The flat positions that have a target, in rising order.
    pub target_rows: Vec<u32>,
    /// Tokens of each row; 0 for a row that no sample fills.
    pub lengths: Vec<u32>,
    /// The flat positions without padding, grouped by token.
    pub by_token: Grouped,
}

/// Flat positions grouped by what stands there.
///
/// The gradient of a table's row is the sum over its group: always in the same order, and without atomics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grouped {
    /// What distinguishes the groups, rising.
    pub keys: Vec<u32>,
    /// Where each group starts in `order`; one entry more at the end.
    pub starts: Vec<u32>,
    /// The flat positions, rising within a group.
    pub order: Vec<u32>,
}

/// Groups the flat positions `order` by the key that each has in `keys`.
pub fn grouped(keys: &[u32], mut order: Vec<u32>) -> Grouped {
    order.sort_unstable_by_key(|at| (keys[*at as usize], *at));
    let mut groups = Grouped::default();
    for (index, at) in order.iter().enumerate() {
        let key = keys[*at as usize];
        if groups.keys.last() != Some(&key) {
            groups.keys.push(key);
            groups.starts.push(index as u32);
        }
    }
    groups.starts.push(order.len() as u32);
    Grouped { order, ..groups }
}

impl Batch {
    /// Lays samples out; rows beyond them stay empty (the last micro-batch of an evaluation).
    ///
    /// # Panics
    /// If there are more samples than rows, a sample is longer than `seq`, or positions do not fit `u32`: sizes that the
    /// caller has chosen for these very samples.
    pub fn assemble(samples: &[&Sample], batch_size: usize, seq: usize) -> Self {
        assert!(samples.len() <= batch_size, "{} samples for {batch_size} rows", samples.len());
        let cells = batch_size * seq;
        assert!(cells < u32::MAX as usize, "{batch_size} x {seq} positions are too many");
        let mut batch = Self {
            batch_size,
            seq,
            ids: vec![PAD; cells],
            positions: (0..batch_size).flat_map(|_| 0..seq as u32).collect(),
            firsts: vec![0; cells],
            targets: vec![IGNORE; cells],
            lengths: vec![0; batch_size],
            ..Self::default()
        };
        let mut places = Vec::new();
        for (row, sample) in samples.iter().enumerate() {
            let (length, first) = (sample.ids.len(), row * seq);
            assert!(length <= seq, "a sample of {length} tokens for {seq} positions");
            batch.ids[first..first + length].copy_from_slice(&sample.ids);
            batch.lengths[row] = length as u32;
            let mut skipped = sample.skipped.iter().peekable();
            for (span, learn_from) in sample.spans() {
                for learned in learn_from..span.end {
                    while skipped.next_if(|range| range.end as usize <= learned).is_some() {}
                    if skipped.peek().is_some_and(|range| range.start as usize <= learned) {
                        continue;
                    }
                    let at = first + learned - 1;
                    batch.targets[at] = sample.ids[learned];
                    batch.target_rows.push(at as u32);
                }
                batch.firsts[first + span.start..first + span.end].fill(span.start as u32);
                for (position, t) in span.enumerate() {
                    batch.positions[first + t] = position as u32;
                }
            }
            places.extend(first as u32..(first + length) as u32);
        }
        batch.by_token = grouped(&batch.ids, places);
        batch
    }

    /// Tokens without padding.
    pub fn tokens(&self) -> usize {
        self.by_token.order.len()
    }

    /// Tokens that are learned.
    pub fn target_count(&self) -> usize {
        self.target_rows.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(ids: &[u32], learn_from: u32) -> Sample {
        Sample { ids: ids.to_vec(), learn_from, ..Sample::default() }
    }

    #[test]
    fn targets_are_the_next_tokens() {
        let (a, b) = (sample(&[5, 0, 5, 9], 2), sample(&[7, 5], 1));
        let batch = Batch::assemble(&[&a, &b], 3, 5);
        assert_eq!(batch.ids, [5, 0, 5, 9, 0, 7, 5, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(batch.positions, [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1, 2, 3, 4]);
        let no = IGNORE;
        assert_eq!(batch.targets, [no, 5, 9, no, no, 5, no, no, no, no, no, no, no, no, no]);
        assert_eq!(batch.target_rows, [1, 2, 5]);
        assert_eq!(batch.lengths, [4, 2, 0]);
        assert_eq!(batch.by_token.keys, [0, 5, 7, 9]);
        assert_eq!(batch.by_token.starts, [0, 1, 4, 5, 6]);
        assert_eq!(batch.by_token.order, [1, 0, 2, 6, 5, 3]);
        assert_eq!((batch.tokens(), batch.target_count()), (6, 3));
    }

    #[test]
    fn rows_of_one_sequence_stay_apart() {
        let behind = vec![super::super::dataset::Document { start: 3, learn_from: 5 }];
        let both = Sample { ids: vec![5, 6, 7, 8, 9, 4], learn_from: 1, behind, ..Sample::default() };
        let batch = Batch::assemble(&[&both], 1, 8);
        assert_eq!(batch.positions[..6], [0, 1, 2, 0, 1, 2]);
        assert_eq!(batch.firsts, [0, 0, 0, 3, 3, 3, 0, 0]);
        // What the first row ends with predicts nothing of the second.
        assert_eq!((both.targets(), batch.target_rows.as_slice()), (3, [0, 1, 4].as_slice()));
        assert_eq!(batch.targets[..5], [6, 7, IGNORE, IGNORE, 4]);
    }

    #[test]
    fn what_others_say_is_no_target() {
        let behind = vec![super::super::dataset::Document { start: 5, learn_from: 6 }];
        let both = Sample { ids: vec![1, 2, 3, 4, 5, 6, 7, 8, 9], learn_from: 1, behind, skipped: vec![2..4, 7..8], ..Sample::default() };
        let batch = Batch::assemble(&[&both], 1, 9);
        assert_eq!((batch.target_rows.as_slice(), both.targets()), ([0, 3, 5, 7].as_slice(), 4));
        let mut cut = both;
        cut.truncate(3);
        assert_eq!(cut.skipped, std::slice::from_ref(&(2..3)));
    }

    #[test]
    fn odd_samples_are_harmless() {
        let batch = Batch::assemble(&[&sample(&[], 1), &sample(&[4], 1), &sample(&[4, 6], 0), &sample(&[4, 6], 9)], 4, 2);
        assert_eq!(batch.target_rows, [4]);
        assert_eq!(batch.by_token, Grouped { keys: vec![4, 6], starts: vec![0, 3, 5], order: vec![2, 4, 6, 5, 7] });
        let empty = Batch::assemble(&[], 2, 3);
        assert_eq!((empty.tokens(), empty.target_count(), empty.by_token.starts.as_slice()), (0, 0, [0].as_slice()));
    }

    #[test]
    #[should_panic(expected = "a sample of 3 tokens for 2 positions")]
    fn a_sample_that_does_not_fit_is_a_fault_of_the_caller() {
        Batch::assemble(&[&sample(&[1, 2, 3], 1)], 1, 2);
    }
}
