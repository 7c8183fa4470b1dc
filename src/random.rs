//! Random numbers that are the same on every machine: SplitMix64 (Steele, Lea and Flood 2014).

/// What the state grows by with each number.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// A stream of random numbers, wholly given by its seed.
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

impl Random {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// An independent stream for a name, such as a tensor's; what is drawn elsewhere does not change it.
    pub fn stream(&self, name: &str) -> Self {
        // FNV-1a over the name, mixed with the seed.
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
        Self { state: Self { state: self.state ^ hash }.next() }
    }

    /// The stream as it is after `count` numbers, so that several threads draw parts of one stream. [`Self::normal`] takes two.
    pub fn after(&self, count: u64) -> Self {
        Self { state: self.state.wrapping_add(STEP.wrapping_mul(count)) }
    }

    /// 64 random bits.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(STEP);
        let z = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in [0, 1), 53 bits.
    pub fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Standard normal (Box and Muller 1958).
    pub fn normal(&mut self) -> f64 {
        let u = 1.0 - self.uniform();
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// Uniform in 0..n without bias (Lemire 2019 by rejection).
    pub fn below(&mut self, n: u64) -> u64 {
        assert!(n > 0, "a range must not be empty");
        loop {
            let wide = u128::from(self.next()) * u128::from(n);
            if wide as u64 >= n.wrapping_neg() % n {
                return (wide >> 64) as u64;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_numbers_of_seed_0_are_those_of_the_paper() {
        let mut r = Random::new(0);
        assert_eq!([r.next(), r.next()], [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4]);
    }

    #[test]
    fn a_stream_goes_on_where_it_is_after_some_numbers() {
        let begin = Random::new(3);
        let mut whole = begin.clone();
        let normals: Vec<f64> = (0..9).map(|_| whole.normal()).collect();
        assert_eq!(begin.after(2 * 7).normal(), normals[7]);
        assert_eq!(begin.after(0).normal(), normals[0]);
    }

    #[test]
    fn moments_are_right() {
        let mut r = Random::new(1);
        let n = 100_000;
        let normals: Vec<f64> = (0..n).map(|_| r.normal()).collect();
        let mean = normals.iter().sum::<f64>() / f64::from(n);
        let variance = normals.iter().map(|x| x * x).sum::<f64>() / f64::from(n);
        assert!(mean.abs() < 0.01 && (variance - 1.0).abs() < 0.02, "{mean} {variance}");
        assert!((0..1000).all(|_| r.below(7) < 7));
    }
}
