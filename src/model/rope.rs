//! Rotary position embedding: its parameters and the frequencies they give.

use std::f64::consts::PI;

/// Rotary position embedding of every layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Rope {
    /// The base of the geometric series of wavelengths (`rope_theta`).
    pub theta: f64,
    /// How a longer context is fitted in.
    pub scaling: RopeScaling,
}

/// How the frequencies are changed so that a longer context fits in (`rope_type`).
#[derive(Debug, Clone, PartialEq)]
pub enum RopeScaling {
    /// Unchanged (`default`).
    None,
    /// Every frequency divided by `factor`.
    Linear {
        /// At least 1.
        factor: f64,
    },
    /// Long wavelengths divided by `factor`, short ones kept, those between blended (Llama 3.1 and later).
    Llama3 {
        /// At least 1.
        factor: f64,
        /// Wavelengths above `original_max_position_embeddings / low_freq_factor` are divided by `factor`.
        low_freq_factor: f64,
        /// Wavelengths below `original_max_position_embeddings / high_freq_factor` are kept; above `low_freq_factor`.
        high_freq_factor: f64,
        /// The context that the model was first trained with.
        original_max_position_embeddings: usize,
    },
    /// Every frequency given by itself; no config.json asks for it, a library user may.
    Listed(Vec<f64>),
}

impl Rope {
    /// Stands where nothing is rotated.
    pub const NONE: Self = Self { theta: 1.0, scaling: RopeScaling::None };

    /// Radians per position: `head_dim / 2` values, the fastest first.
    ///
    /// As transformers' `modeling_rope_utils.py` defines them (`_compute_default_rope_parameters`,
    /// `_compute_linear_scaling_rope_parameters`, `_compute_llama3_parameters`), in f64 where that computes in f32.
    /// All three leave the attention scale alone.
    pub fn inverse_frequencies(&self, head_dim: usize) -> Vec<f64> {
        if let RopeScaling::Listed(frequencies) = &self.scaling {
            return frequencies.clone();
        }
        (0..head_dim / 2)
            .map(|i| {
                let frequency = self.theta.powf(-((2 * i) as f64) / head_dim as f64);
                self.scaling.apply(frequency)
            })
            .collect()
    }
}

impl RopeScaling {
    fn apply(&self, frequency: f64) -> f64 {
        match *self {
            Self::None | Self::Listed(_) => frequency,
            Self::Linear { factor } => frequency / factor,
            Self::Llama3 { factor, low_freq_factor, high_freq_factor, original_max_position_embeddings } => {
                let context = original_max_position_embeddings as f64;
                let wavelength = 2.0 * PI / frequency;
                if wavelength > context / low_freq_factor {
                    frequency / factor
                } else if wavelength < context / high_freq_factor {
                    frequency
                } else {
                    let smooth = (context / wavelength - low_freq_factor) / (high_freq_factor - low_freq_factor);
                    (1.0 - smooth) * frequency / factor + smooth * frequency
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() <= 1e-12 * b.abs(), "{a} is not {b}");
    }

    #[test]
    fn default_and_linear() {
        // theta^(-2i/8) with theta = 10^4: 1, 10^-1, 10^-2, 10^-3.
        let rope = Rope { theta: 1e4, scaling: RopeScaling::None };
        for (got, expected) in rope.inverse_frequencies(8).into_iter().zip([1.0, 0.1, 0.01, 0.001]) {
            close(got, expected);
        }
        let rope = Rope { theta: 1e4, scaling: RopeScaling::Linear { factor: 4.0 } };
        for (got, expected) in rope.inverse_frequencies(8).into_iter().zip([0.25, 0.025, 0.0025, 0.00025]) {
            close(got, expected);
        }
        assert_eq!(rope.inverse_frequencies(6).len(), 3);
    }

    #[test]
    fn llama3_in_all_three_bands() {
        // Context 1024, factors 1 and 4: wavelengths below 256 are kept, above 1024 divided by 8, between blended.
        let scaling =
            RopeScaling::Llama3 { factor: 8.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original_max_position_embeddings: 1024 };
        let rope = Rope { theta: 1e4, scaling };
        let got = rope.inverse_frequencies(8);
        // Wavelengths 6.28, 62.8, 628.3, 6283.
        close(got[0], 1.0);
        close(got[1], 0.1);
        // 1024 / 628.3185307 = 1.629746617; smooth = 0.629746617 / 3 = 0.209915539;
        // 0.01 * (0.790084461 / 8 + 0.209915539) = 0.00308676096.
        assert!((got[2] - 0.003_086_760_966).abs() < 1e-11, "{}", got[2]);
        close(got[3], 0.001 / 8.0);
    }

    #[test]
    fn llama3_is_continuous_at_the_edges() {
        let scaling =
            RopeScaling::Llama3 { factor: 32.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original_max_position_embeddings: 64 };
        for (wavelength, share) in [(64.0, 1.0 / 32.0), (16.0, 1.0)] {
            let frequency = 2.0 * PI / wavelength;
            for nudge in [1.0 - 1e-9, 1.0, 1.0 + 1e-9] {
                let got = scaling.apply(frequency * nudge);
                assert!((got / (frequency * share) - 1.0).abs() < 1e-6);
            }
        }
    }
}
