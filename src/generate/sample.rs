//! Drawing the next token from its logits.

use crate::random::Random;

/// How tokens are drawn.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Sampling {
    /// Logits are divided by it; 0 takes the most likely token.
    pub temperature: f32,
    /// Only so many of the most likely tokens; 0: all.
    pub top_k: usize,
    /// Only the most likely tokens that together have this probability (Holtzman et al. 2020); 1: all.
    pub top_p: f32,
    /// Seed.
    pub seed: u64,
}

impl Sampling {
    /// The most likely token each time.
    pub const GREEDY: Self = Self { temperature: 0.0, top_k: 0, top_p: 1.0, seed: 0 };
}

/// Draws tokens.
#[derive(Clone, Debug)]
pub struct Sampler {
    how: Sampling,
    random: Random,
}

impl Sampler {
    /// A sampler at the start of its seed's stream.
    pub fn new(how: Sampling) -> Self {
        Self { how, random: Random::new(how.seed) }
    }

    /// The next token. Works on the logits in place.
    pub fn pick(&mut self, logits: &mut [f32]) -> u32 {
        let largest = argmax(logits);
        if self.how.temperature <= 0.0 || logits.is_empty() {
            return largest as u32;
        }
        let top = logits[largest];
        let mut weighted: Vec<(u32, f64)> =
            logits.iter().enumerate().map(|(i, x)| (i as u32, f64::from((x - top) / self.how.temperature).exp())).collect();
        // Ties by id, so that the order never depends on the sort.
        weighted.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        if self.how.top_k > 0 {
            weighted.truncate(self.how.top_k);
        }
        let total: f64 = weighted.iter().map(|(_, w)| w).sum();
        let mut sum = 0.0;
        let within = weighted.iter().position(|(_, w)| {
            sum += w;
            sum >= total * f64::from(self.how.top_p)
        });
        weighted.truncate(within.map_or(weighted.len(), |i| i + 1));
        let total: f64 = weighted.iter().map(|(_, w)| w).sum();
        let mut left = self.random.uniform() * total;
        for (id, weight) in &weighted {
            left -= weight;
            if left < 0.0 {
                return *id;
            }
        }
        weighted.last().map_or(largest as u32, |(id, _)| *id)
    }
}

/// The first of the largest entries.
pub fn argmax(values: &[f32]) -> usize {
    let mut best = 0;
    for (i, v) in values.iter().enumerate() {
        if *v > values[best] || values[best].is_nan() {
            best = i;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draws(how: Sampling, logits: &[f32], n: usize) -> Vec<u32> {
        let mut sampler = Sampler::new(how);
        (0..n).map(|_| sampler.pick(&mut logits.to_vec())).collect()
    }

    #[test]
    fn temperature_zero_is_greedy_and_ties_go_to_the_first() {
        assert_eq!(draws(Sampling::GREEDY, &[1.0, 3.0, 3.0, 2.0], 3), [1, 1, 1]);
    }

    #[test]
    fn top_k_and_top_p_leave_out_the_rest() {
        let how = Sampling { temperature: 1.0, top_k: 2, top_p: 1.0, seed: 1 };
        assert!(draws(how, &[0.0, 1.0, 0.9, -1.0], 200).iter().all(|id| [1, 2].contains(id)));
        let how = Sampling { temperature: 1.0, top_k: 0, top_p: 0.5, seed: 1 };
        assert!(draws(how, &[0.0, 5.0, 0.0, 0.0], 200).iter().all(|id| *id == 1));
    }

    #[test]
    fn frequencies_follow_the_softmax() {
        let how = Sampling { temperature: 1.0, top_k: 0, top_p: 1.0, seed: 3 };
        let ones = draws(how, &[0.0, 1.0], 20_000).iter().filter(|id| **id == 1).count() as f64 / 20_000.0;
        assert!((ones - 0.731).abs() < 0.01, "{ones}");
    }
}
