//! Short rows side by side in one sequence, each seeing itself alone: no padding is computed in their place.

use super::dataset::{Dataset, Document, Sample};
use std::collections::BTreeMap;

/// Puts samples together into sequences of at most `seq_len` tokens: the longest first, each into the fullest sequence that still has
/// room (best fit decreasing). Within a sequence, and by their first ones, samples keep their order.
pub fn packed(data: Dataset, seq_len: usize) -> Dataset {
    let mut by_length: Vec<usize> = (0..data.len()).collect();
    // Stable: of equal lengths the earlier comes first, so that the same rows always give the same sequences.
    by_length.sort_by_key(|i| std::cmp::Reverse(data.samples[*i].ids.len()));
    let mut packs: Vec<Vec<usize>> = Vec::new();
    // Sequences by the tokens they have room for.
    let mut open: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for index in by_length {
        let length = data.samples[index].ids.len();
        let found = open.range_mut(length..).next().and_then(|(room, packs)| Some((*room, packs.pop()?)));
        let (room, pack) = found.unwrap_or_else(|| {
            packs.push(Vec::new());
            (seq_len.max(length), packs.len() - 1)
        });
        if open.get(&room).is_some_and(Vec::is_empty) {
            open.remove(&room);
        }
        packs[pack].push(index);
        open.entry(room - length).or_default().push(pack);
    }
    packs.iter_mut().for_each(|pack| pack.sort_unstable());
    packs.sort_unstable_by_key(|pack| pack[0]);
    Dataset { samples: packs.iter().map(|pack| joined(pack.iter().map(|i| &data.samples[*i]))).collect() }
}

fn joined<'a>(samples: impl Iterator<Item = &'a Sample>) -> Sample {
    let mut samples = samples;
    let Some(first) = samples.next() else { return Sample::default() };
    let mut out = first.clone();
    for sample in samples {
        let start = out.ids.len() as u32;
        out.behind.extend(sample.documents().map(|d| Document { start: start + d.start, learn_from: d.learn_from.saturating_add(start) }));
        out.skipped.extend(sample.skipped.iter().map(|range| range.start + start..range.end + start));
        out.ids.extend(&sample.ids);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn data(lengths: &[usize]) -> Dataset {
        let sample = |(row, length): (usize, &usize)| Sample { ids: vec![row as u32; *length], learn_from: 1, row, ..Sample::default() };
        Dataset { samples: lengths.iter().enumerate().map(sample).collect() }
    }

    #[test]
    fn nothing_is_lost_and_little_is_padded() {
        let mut random = Random::new(1);
        let lengths: Vec<usize> = (0..1000).map(|_| 5 + random.below(60) as usize).collect();
        let (plain, full) = (data(&lengths), packed(data(&lengths), 128));
        let sum = |d: &Dataset| (d.lengths().iter().sum::<usize>(), d.samples.iter().map(Sample::targets).sum::<usize>());
        assert_eq!(sum(&plain), sum(&full));
        let mut rows: Vec<u32> = full.samples.iter().flat_map(|s| s.documents().map(|d| s.ids[d.start as usize])).collect();
        assert!(full.samples.iter().all(|s| s.documents().map(|d| s.ids[d.start as usize]).is_sorted()));
        rows.sort_unstable();
        assert_eq!(rows, (0..1000).collect::<Vec<u32>>());
        assert_eq!(full.longest_row(), plain.longest_row());
        let least = lengths.iter().sum::<usize>().div_ceil(128);
        assert!(full.len() <= least + least / 50 + 1 && full.lengths().iter().all(|l| *l <= 128), "{} for {least}", full.len());
    }

    #[test]
    fn what_is_full_stays_alone() {
        let full = packed(data(&[4, 4, 3, 1, 9]), 4);
        assert_eq!(full.lengths(), [4, 4, 4, 9]);
        assert_eq!(full.samples[2].behind, [Document { start: 3, learn_from: 4 }]);
        assert_eq!(full.samples[2].ids, [2, 2, 2, 3]);
        assert!(packed(data(&[]), 4).is_empty());
    }
}
