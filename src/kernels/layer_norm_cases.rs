//! Cases of GPT-2's own kernels: layer normalisation, and an activation without a gate.

use super::Activation;
use super::activate::activate;
use super::activate_grad::activate_grad;
use super::cases::{Case, CaseBuilder, EPS, SIZES, SUMMED};
use super::layer_norm::layer_norm;
use super::layer_norm_grad::layer_norm_grad;
use super::layer_norm_weight_grad::layer_norm_weight_grad;

pub(super) fn layer_norms(cases: &mut Vec<Case>) {
    for (rows, width) in [(1, 1), (1, 3), (3, 63), (63, 65), (65, 127), (2, 256), (1, 1025), (127, 2), (70_000, 3)] {
        let name = format!("{rows} rows of {width}");
        // Far from the middle, as the stream of a trained model is.
        let begin = || {
            let mut b = CaseBuilder::new(rows as u32);
            let values: Vec<f32> = (0..rows * width).map(|i| b.noise.float() * 2.0 + (i / width % 5) as f32).collect();
            (b.given(&values), b)
        };
        let (x, mut b) = begin();
        let (w, bias, y) = (b.floats(width, 1.0), b.floats(width, 1.0), b.noisy_output(rows * width));
        cases.push(b.finish(&name, SUMMED, layer_norm(x, w, bias, y, rows, width, EPS)));
        for accumulate in [false, true] {
            if rows > 1000 && accumulate {
                continue;
            }
            let (x, mut b) = begin();
            let (w, dy) = (b.floats(width, 1.0), b.floats(rows * width, 1.0));
            let (dx, stats) = (b.noisy_output(rows * width), b.noisy_output(2 * rows));
            let op = layer_norm_grad(x, w, dy, dx, stats, rows, width, EPS, accumulate);
            // The gradient of a row of one number is zero, or what rounding leaves of it.
            cases.push(b.finish(format!("{name}, accumulate {accumulate}"), SUMMED, op).with_floor(0.1));
        }
        if rows > 1000 {
            continue;
        }
        let (x, mut b) = begin();
        let (dy, stats, dw) = (b.floats(rows * width, 1.0), b.floats(2 * rows, 1.0), b.noisy_output(width));
        cases.push(b.finish(&name, SUMMED, layer_norm_weight_grad(x, dy, stats, dw, rows, width)));
    }
    for count in SIZES {
        for scale in [4.0, 100.0] {
            for activation in Activation::ALL {
                let name = format!("{activation:?}, count {count}, to {scale}");
                let mut b = CaseBuilder::new(count as u32);
                let (x, y) = (b.floats(count, scale), b.noisy_output(count));
                cases.push(b.finish(&name, SUMMED, activate(activation, x, y, count)));
                let mut b = CaseBuilder::new(count as u32);
                let (dy, x) = (b.floats(count, 1.0), b.floats(count, scale));
                b.output(x, count);
                cases.push(b.finish(&name, SUMMED, activate_grad(activation, dy, x, count)));
            }
        }
    }
}
