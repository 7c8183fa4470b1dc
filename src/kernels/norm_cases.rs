//! What norms are tried with; see [`super::cases`].

use super::cases::{Case, CaseBuilder, SUMMED};
use super::column_sum::column_sum;
use super::layer_norm::layer_norm;
use super::layer_norm_grad::layer_norm_grad;
use super::layer_norm_weight_grad::layer_norm_weight_grad;
use super::rms_norm::rms_norm;
use super::rms_norm_grad::rms_norm_grad;
use super::rms_norm_weight_grad::rms_norm_weight_grad;

/// Large enough to be seen in the result.
const EPS: f32 = 0.05;

pub(super) fn norms(cases: &mut Vec<Case>) {
    rms_norms(cases);
    layer_norms(cases);
}

fn rms_norms(cases: &mut Vec<Case>) {
    let shapes = [(1, 1), (1, 3), (3, 63), (63, 65), (65, 127), (2, 256), (1, 1025), (127, 1)];
    for (rows, width) in shapes.into_iter().chain([(70_000, 3)]) {
        let mut b = CaseBuilder::new(rows as u32);
        let (x, w, y) = (b.floats(rows * width, 2.0), b.floats(width, 1.0), b.noisy_output(rows * width));
        cases.push(b.finish(format!("{rows} rows of {width}"), SUMMED, rms_norm(x, w, None, y, rows, width, EPS, 0.0)));
        let mut b = CaseBuilder::new(rows as u32);
        let (x, w, y) = (b.floats(rows * width, 2.0), b.floats(width, 1.0), b.noisy_output(rows * width));
        let residual = b.floats(rows * width, 3.0);
        let name = format!("{rows} rows of {width}, offset 1, residual");
        cases.push(b.finish(name, SUMMED, rms_norm(x, w, Some(residual), y, rows, width, EPS, 1.0)));
        for accumulate in [false, true] {
            if rows > 1000 && accumulate {
                continue;
            }
            let mut b = CaseBuilder::new(rows as u32);
            let (x, w, dy) = (b.floats(rows * width, 2.0), b.floats(width, 1.0), b.floats(rows * width, 1.0));
            let (dx, r) = (b.noisy_output(rows * width), b.noisy_output(rows));
            // Both offsets, each with one of the flags.
            let offset = if accumulate { 1.0 } else { 0.0 };
            let op = rms_norm_grad(x, w, dy, dx, r, rows, width, EPS, offset, accumulate);
            cases.push(b.finish(format!("{rows} rows of {width}, offset {offset}, accumulate {accumulate}"), SUMMED, op));
        }
        if rows > 1000 {
            continue;
        }
        let mut b = CaseBuilder::new(rows as u32);
        let (x, dy, r, dw) = (b.floats(rows * width, 2.0), b.floats(rows * width, 1.0), b.floats(rows, 1.0), b.noisy_output(width));
        cases.push(b.finish(format!("{rows} rows of {width}"), SUMMED, rms_norm_weight_grad(x, dy, r, dw, rows, width)));
        let mut b = CaseBuilder::new(rows as u32);
        let (x, out) = (b.floats(rows * width, 1.0), b.noisy_output(width));
        cases.push(b.finish(format!("{rows} rows of {width}"), SUMMED, column_sum(x, out, rows, width)));
    }
}

fn layer_norms(cases: &mut Vec<Case>) {
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
}
