//! What DoRA's kernels are tried with; see [`super::cases`].

use super::Format;
use super::cases::{CLOSE, Case, CaseBuilder, SUMMED};
use super::magnitude_grad::magnitude_grad;
use super::scale_columns::scale_columns;
use super::weight_norm::{WeightNorm, weight_norm};

pub(super) fn lengths(cases: &mut Vec<Case>) {
    let norms = |b: &mut CaseBuilder, width: usize| {
        let values: Vec<f32> = (0..width).map(|i| 0.5 + (i % 7) as f32 * 0.3).collect();
        b.given(&values)
    };
    for (rows, width) in [(1, 1), (1, 3), (3, 63), (63, 65), (65, 127), (2, 256), (127, 1)] {
        for (bias, residual) in [(false, false), (true, false), (false, true), (true, true)] {
            let mut b = CaseBuilder::new(rows as u32);
            let (x, m, n) = (b.floats(rows * width, 1.0), b.floats(width, 2.0), norms(&mut b, width));
            let (bias, residual) = (bias.then(|| b.floats(width, 1.0)), residual.then(|| b.floats(rows * width, 1.0)));
            let y = b.noisy_output(rows * width);
            let name = format!("{rows} rows of {width}, bias {}, residual {}", bias.is_some(), residual.is_some());
            cases.push(b.finish(name, CLOSE, scale_columns(x, m, n, bias, residual, y, rows, width)));
        }
        let mut b = CaseBuilder::new(rows as u32);
        let (dy, x, n) = (b.floats(rows * width, 1.0), b.floats(rows * width, 1.0), norms(&mut b, width));
        let dm = b.noisy_output(width);
        // Terms of size 1 may cancel.
        cases.push(b.finish(format!("{rows} rows of {width}"), SUMMED, magnitude_grad(dy, x, n, dm, rows, width)).with_floor(1.0));
    }
    for format in Format::ALL {
        // A piece from the middle of a weight, odd widths (in 16 bits rows begin within a word), more rows than one dimension of a grid
        // holds.
        for (rows, width, rank, first_row) in [(1, 1, 1, 0), (3, 63, 4, 2), (65, 127, 3, 0), (2, 1000, 16, 6), (70_000, 2, 1, 0)] {
            if rows > 1000 && format != Format::F32 {
                continue;
            }
            let mut b = CaseBuilder::new(width as u32);
            let (w, a, factors) = (b.weight(rows * width, format), b.floats(rank * width, 1.0), b.floats((first_row + rows) * rank, 1.0));
            let out = b.noisy_output(first_row + rows);
            let of = WeightNorm { rows, width, rank, first_row, scale: 0.7 };
            let name = format!("{rows} rows of {width} from row {first_row}, rank {rank}, {format:?}");
            cases.push(b.finish(name, SUMMED, weight_norm(w, format, a, factors, out, of)));
        }
    }
}
