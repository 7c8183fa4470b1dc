//! Which sample comes when.

/// The order in which a run meets its samples.
///
/// A run counts samples from 0 through all epochs; that position alone tells the sample, so a run that goes on at a position
/// goes on in the same order. Each epoch meets every sample once.
#[derive(Clone, Debug)]
pub struct Order {
    n: u64,
    seed: Option<u64>,
    /// The shuffled epoch at hand, made when it is asked for.
    epoch: Option<(u64, Vec<u32>)>,
}

impl Order {
    /// The order of `n` samples: as they are without a seed, else shuffled anew in each epoch.
    ///
    /// # Panics
    /// If there are no samples, or more than `u32` counts.
    pub fn new(n: usize, shuffle: Option<u64>) -> Self {
        assert!(n > 0 && u32::try_from(n).is_ok(), "an order needs 1 to 2^32 - 1 samples, not {n}");
        Self { n: n as u64, seed: shuffle, epoch: None }
    }

    /// The sample at a position of the run.
    ///
    /// Positions of one epoch cost nothing but the first, which shuffles.
    pub fn sample_index(&mut self, position: u64) -> usize {
        let (epoch, within) = (position / self.n, (position % self.n) as usize);
        let Some(seed) = self.seed else { return within };
        match &self.epoch {
            Some((at_hand, order)) if *at_hand == epoch => order[within] as usize,
            _ => {
                let (_, order) = self.epoch.insert((epoch, permutation(self.n, seed, epoch)));
                order[within] as usize
            }
        }
    }

    /// How often all samples were met before a position.
    pub fn epoch(&self, position: u64) -> u64 {
        position / self.n
    }
}

/// Fisher-Yates, from the end.
fn permutation(n: u64, seed: u64, epoch: u64) -> Vec<u32> {
    let mut random = SplitMix::new(seed, epoch);
    let mut order: Vec<u32> = (0..n as u32).collect();
    for i in (1..order.len()).rev() {
        order.swap(i, random.below(i as u64 + 1) as usize);
    }
    order
}

/// SplitMix64: a counter, scrambled. Written out here so that no update of a library changes anyone's order.
struct SplitMix(u64);

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl SplitMix {
    /// The seed is scrambled before the epoch joins it: neighbouring seeds and epochs share no stretch of the counter.
    fn new(seed: u64, epoch: u64) -> Self {
        Self(scramble(scramble(seed.wrapping_add(STEP)) ^ epoch.wrapping_mul(STEP)))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        scramble(self.0)
    }

    /// A number below `n`, each equally likely: the high half of a product, without the few draws that would favour some.
    fn below(&mut self, n: u64) -> u64 {
        let reject = n.wrapping_neg() % n;
        loop {
            let product = u128::from(self.next()) * u128::from(n);
            if product as u64 >= reject {
                return (product >> 64) as u64;
            }
        }
    }
}

fn scramble(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_seed_the_file_order_wraps() {
        let mut order = Order::new(7, None);
        for (s, k) in (0..20).flat_map(|s| (0..4).map(move |k| (s, k))) {
            assert_eq!(order.sample_index(s * 4 + k), ((s * 4 + k) % 7) as usize);
        }
        assert_eq!(order.sample_index(u64::MAX), (u64::MAX % 7) as usize);
        assert_eq!(order.epoch(13), 1);
    }

    #[test]
    fn every_epoch_is_a_permutation_of_its_own() {
        for n in [1, 2, 3, 64, 1000] {
            let mut order = Order::new(n, Some(3));
            let mut before = Vec::new();
            for epoch in 0..4 {
                let met: Vec<_> = (0..n).map(|i| order.sample_index((epoch * n + i) as u64)).collect();
                let mut sorted = met.clone();
                sorted.sort_unstable();
                assert_eq!(sorted, (0..n).collect::<Vec<_>>());
                assert!(n < 64 || met != before);
                before = met;
            }
        }
    }

    #[test]
    fn a_position_alone_tells_the_sample() {
        let mut run = Order::new(37, Some(11));
        let whole: Vec<_> = (0..200).map(|p| run.sample_index(p)).collect();
        for p in [0, 1, 36, 37, 38, 100, 199] {
            assert_eq!(Order::new(37, Some(11)).sample_index(p), whole[p as usize]);
        }
        assert!((0..200).rev().all(|p| run.sample_index(p) == whole[p as usize]));
        assert_ne!((0..37).map(|p| Order::new(37, Some(12)).sample_index(p)).collect::<Vec<_>>(), whole[..37]);
    }

    #[test]
    fn bounded_numbers_are_even() {
        let (mut random, mut counts) = (SplitMix::new(1, 2), [0u32; 6]);
        for _ in 0..60_000 {
            counts[random.below(6) as usize] += 1;
        }
        assert!(counts.iter().all(|c| (9_700..10_300).contains(c)), "{counts:?}");
        assert_eq!(SplitMix::new(1, 2).below(1), 0);
        assert!((0..100).all(|_| random.below((1 << 63) + 1) <= 1 << 63));
    }

    /// Written down once, so that a change of the order is seen: it would change everyone's resumed run.
    #[test]
    fn the_order_never_changes() {
        assert_eq!(permutation(10, 0, 0), [1, 4, 5, 0, 7, 6, 9, 8, 2, 3]);
        assert_eq!(permutation(10, 0, 1), [5, 3, 7, 6, 9, 2, 8, 0, 4, 1]);
        assert_eq!(permutation(10, 42, 0), [8, 1, 9, 2, 6, 0, 4, 5, 3, 7]);
        assert_eq!(permutation(10, 42, 1), [6, 0, 7, 5, 8, 2, 9, 4, 1, 3]);
        assert_eq!(permutation(10, u64::MAX, 7), [8, 1, 2, 5, 3, 4, 6, 9, 0, 7]);
        let order = permutation(1000, 7, 3);
        assert_eq!(order[..8], [473, 264, 489, 207, 492, 882, 910, 536]);
        assert_eq!((0..1000).zip(&order).map(|(i, v)| i * v).sum::<u32>(), 251495554);
    }
}
