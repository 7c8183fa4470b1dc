//! What the matrix products are tried with; see [`super::cases`].

use super::Format;
use super::cases::{Case, CaseBuilder, IN_HALF, SUMMED};
use super::matmul::packing::packed;
use super::matmul::{Diagonal, MatMul, Matrix, in_half};
use super::pack::{self, Factor, pack};
use crate::device::View;

/// How a product's matrices lie: x W^T, g W, g^T x.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Product {
    /// A [m, k], B a weight [n, k].
    Forward,
    /// A [m, k], B a weight [k, n].
    InputGradient,
    /// A [k, m], B [k, n].
    WeightGradient,
}

impl Product {
    /// Every layout.
    pub const ALL: [Self; 3] = [Self::Forward, Self::InputGradient, Self::WeightGradient];

    /// A and B over these views.
    pub fn matrices(self, a: View, b: View, m: usize, n: usize, k: usize) -> (Matrix, Matrix) {
        match self {
            Self::Forward => (Matrix::rows(a, k), Matrix::rows(b, k).transposed()),
            Self::InputGradient => (Matrix::rows(a, k), Matrix::rows(b, n)),
            Self::WeightGradient => (Matrix::rows(a, m).transposed(), Matrix::rows(b, n)),
        }
    }
}

/// Sizes m, n, k of products, around the edges of the shaders' tiles of 64 x 64 x 16 and 128 x 128 x 32, the last ones of multiples of eight.
pub const PRODUCTS: [[usize; 3]; 11] = [
    [1, 1, 1],
    [3, 65, 63],
    [63, 3, 1],
    [65, 127, 64],
    [127, 130, 17],
    [1, 256, 128],
    [130, 1, 33],
    [64, 64, 16],
    [8, 8, 8],
    [128, 256, 64],
    [136, 264, 72],
];

pub(super) fn matmuls(cases: &mut Vec<Case>) {
    for [m, n, k] in PRODUCTS {
        for layout in Product::ALL {
            for format in Format::ALL {
                for extra in ["nothing", "alpha", "accumulate", "bias", "residual", "all"] {
                    // Every extra with one format and every format with one extra; the rest is the same code again.
                    if format != Format::Bf16 && extra != "nothing" {
                        continue;
                    }
                    let mut b = CaseBuilder::new((m * 31 + n * 7 + k) as u32);
                    let has = |which: &str| extra == which || extra == "all";
                    let (a_view, b_view) = (b.floats(m * k, 1.0), b.weight(n * k, format));
                    let (left, right) = layout.matrices(a_view, b_view, m, n, k);
                    let (bias, residual, c) = (b.floats(n + 5, 1.0), b.floats(m * n, 1.0), b.noisy_output(m * n));
                    let op = MatMul {
                        format,
                        alpha: if has("alpha") { 0.3 } else { 1.0 },
                        accumulate: has("accumulate"),
                        bias: has("bias").then_some((bias, 5)),
                        residual: has("residual").then_some(residual),
                        ..MatMul::new(m, n, k, left, right, Matrix::rows(c, n))
                    };
                    cases.push(b.finish(format!("{m} x {n} x {k}, {layout:?}, {format:?}, with {extra}"), SUMMED, op.op()));
                }
            }
        }
    }
    matmuls_inside(cases);
    matmuls_with_diagonal(cases);
    matmuls_of_blocks(cases);
    matmuls_in_half(cases);
    packs(cases);
    matmuls_of_packed(cases);
}

/// Factors on their way to matrix units, around the edges of tiles of 128 lines and 32 numbers.
fn packs(cases: &mut Vec<Case>) {
    for (lines, k, scale) in
        [(1usize, 1usize, 1.0), (3, 65, 1.0), (63, 33, 2e5), (65, 32, 1e-5), (128, 64, 1.0), (130, 31, 3e-8), (257, 100, 1.0)]
    {
        for along_k in [true, false] {
            for format in Format::ALL {
                // With blocks that divide neither side, of a piece of a weight that begins in the middle of one.
                for blocks in [0usize, 1, 3] {
                    // A driver may multiply with the scale and add D in one rounding.
                    if blocks > 0 && matches!(format, Format::Int8 | Format::Nf4) {
                        continue;
                    }
                    let mut b = CaseBuilder::new((lines * 31 + k) as u32);
                    let first_output = if blocks > 1 { 5 } else { 0 };
                    let columns_are_outputs = along_k;
                    let (inputs, outputs) = if columns_are_outputs { (k, lines) } else { (lines, k) };
                    let count = lines * k + 7;
                    let view = if format == Format::F32 { b.floats(count, scale) } else { b.weight(count, format) };
                    let diagonal = (blocks > 0).then(|| {
                        let (block_in, block_out) = (inputs.div_ceil(blocks), (outputs + first_output).div_ceil(blocks));
                        let view = b.floats(blocks * block_in * block_out, 1.0);
                        Diagonal { view, block_in, block_out, first_output, columns_are_outputs }
                    });
                    let (line_stride, k_stride) = if along_k { (k, 1) } else { (1, lines) };
                    let y = b.noisy_output(pack::words(lines, k));
                    let op = pack(Factor { view, format, lines, k, offset: 7, line_stride, k_stride, diagonal }, y);
                    cases.push(b.finish(
                        format!("{lines} lines of {k}, along k {along_k}, {format:?}, {blocks} blocks, to {scale}"),
                        0.0,
                        op,
                    ));
                }
            }
        }
    }
}

impl CaseBuilder {
    /// A buffer of packed lines of `k` numbers between -1 and 1; see [`super::pack`].
    fn packed(&mut self, lines: usize, k: usize) -> View {
        let mut words = vec![0u32; pack::words(lines, k)];
        for (line, number) in (0..lines).flat_map(|line| (0..k).map(move |number| (line, number))) {
            let place = pack::place(line, number, k);
            words[place / 2] |= u32::from(half::f16::from_f32(self.noise.float()).to_bits()) << (place % 2 * 16);
        }
        self.words(&words)
    }
}

/// Products of packed factors, around the edges of tiles of 128 x 128 x 32.
fn matmuls_of_packed(cases: &mut Vec<Case>) {
    for [m, n, k] in [[1, 1, 1], [3, 65, 63], [65, 127, 64], [130, 129, 33], [128, 256, 64], [257, 136, 72]] {
        for extra in ["nothing", "alpha", "accumulate", "bias", "residual", "all", "a wider matrix", "a place"] {
            let mut b = CaseBuilder::new((m * 31 + n * 7 + k) as u32);
            let has = |which: &str| extra == which || extra == "all";
            let (a, w) = (b.packed(m, k), b.packed(n, k));
            let (width, first) = match extra {
                "a wider matrix" => (n + 12, 4),
                "a place" => (n + 9, 3),
                _ => (n, 0),
            };
            let (bias, residual, c) = (b.floats(n + 5, 1.0), b.floats(m * n, 1.0), b.noisy_output(m * width));
            let product = MatMul {
                alpha: if has("alpha") { 0.3 } else { 1.0 },
                accumulate: has("accumulate"),
                bias: has("bias").then_some((bias, 5)),
                residual: has("residual").then_some(residual),
                ..MatMul::new(m, n, k, Matrix::rows(a, k), Matrix::rows(w, k).transposed(), Matrix::rows(c, width).at(first))
            };
            cases.push(b.finish(format!("{m} x {n} x {k}, packed, with {extra}"), SUMMED, packed(product, a, w)));
        }
    }
}

/// Factors rounded to f16: beyond its range, and below its normal numbers, too.
fn matmuls_in_half(cases: &mut Vec<Case>) {
    for ([m, n, k], scale) in [
        ([1, 1, 1], 1.0),
        ([7, 65, 63], 1.0),
        ([65, 127, 64], 1e-5),
        ([130, 129, 33], 3e-8),
        ([127, 130, 17], 2e5),
        ([136, 264, 72], 1.0),
        ([136, 265, 72], 1.0),
    ] {
        for layout in Product::ALL {
            for format in Format::ALL {
                let mut b = CaseBuilder::new((m * 31 + n * 7 + k) as u32);
                let (a, w) = (b.floats(m * k, scale), b.weight(n * k, format));
                let (left, right) = layout.matrices(a, w, m, n, k);
                let (residual, c) = (b.floats(m * n, scale), b.noisy_output(m * n));
                let blocks = 3.min(n).min(k);
                let (block_n, block_k) = (n.div_ceil(blocks), k.div_ceil(blocks));
                let columns_are_outputs = layout == Product::Forward;
                let (block_in, block_out) = if columns_are_outputs { (block_k, block_n) } else { (block_n, block_k) };
                let view = b.floats(blocks * block_in * block_out, 1.0);
                let diagonal = Diagonal { view, block_in, block_out, first_output: 0, columns_are_outputs };
                // Of few rows none is rounded.
                let product = MatMul {
                    format,
                    diagonal: (layout != Product::WeightGradient).then_some(diagonal),
                    residual: Some(residual),
                    ..MatMul::new(m, n, k, left, right, Matrix::rows(c, n))
                };
                let mut op = product.op();
                in_half(&mut op);
                // A driver may multiply with the scale and add D in one rounding.
                let tolerance = if matches!(format, Format::Int8 | Format::Nf4) { IN_HALF } else { SUMMED };
                cases.push(b.finish(format!("{m} x {n} x {k} in f16, {layout:?}, {format:?}, to {scale}"), tolerance, op));
            }
        }
    }
}

/// Matrices that are columns of wider ones, as the parts of a fused projection are.
fn matmuls_inside(cases: &mut Vec<Case>) {
    for (m, n, k) in [(3, 5, 7), (65, 66, 67)] {
        let mut b = CaseBuilder::new(m as u32);
        let (wide_k, wide_n) = (k + 9, n + 4);
        let (a, w, c) = (b.floats(m * wide_k, 1.0), b.weight(n * wide_k, Format::F16), b.noisy_output(m * wide_n));
        let weight = Matrix::rows(w, wide_k).at(3).transposed();
        let product = MatMul::new(m, n, k, Matrix::rows(a, wide_k).at(9), weight, Matrix::rows(c, wide_n).at(2));
        cases.push(b.finish(format!("{m} x {n} x {k} inside wider matrices"), SUMMED, MatMul { format: Format::F16, ..product }.op()));
    }
}

fn matmuls_with_diagonal(cases: &mut Vec<Case>) {
    // Inputs and outputs of the whole weight, blocks, and the piece of its rows that is multiplied with.
    for (inputs, outputs, blocks, first, count) in [
        (16usize, 16usize, 4, 0, 16),
        (64, 128, 8, 0, 128),
        (136, 264, 8, 0, 264),
        (264, 272, 3, 128, 136),
        (128, 64, 8, 0, 64),
        (65, 127, 1, 0, 127),
        (63, 65, 4, 0, 65),
        (65, 63, 8, 0, 63),
        (130, 257, 3, 100, 157),
        (130, 257, 3, 0, 100),
        (3, 1, 1, 0, 1),
        (100, 7, 4, 3, 2),
    ] {
        // Where blocks do not divide a side, the last one is padded.
        let (block_in, block_out) = (inputs.div_ceil(blocks), outputs.div_ceil(blocks));
        for columns_are_outputs in [true, false] {
            for format in Format::ALL {
                for m in [1, 65] {
                    let mut b = CaseBuilder::new((inputs + outputs) as u32);
                    let (layout, n, k) =
                        if columns_are_outputs { (Product::Forward, count, inputs) } else { (Product::InputGradient, inputs, count) };
                    let (a_view, w) = (b.floats(m * k, 1.0), b.weight(count * inputs, format));
                    let (left, right) = layout.matrices(a_view, w, m, n, k);
                    let (view, c) = (b.floats(blocks * block_in * block_out, 1.0), b.noisy_output(m * n));
                    let diagonal = Some(Diagonal { view, block_in, block_out, first_output: first, columns_are_outputs });
                    let op = MatMul { format, diagonal, ..MatMul::new(m, n, k, left, right, Matrix::rows(c, n)) };
                    let name =
                        format!("{m} rows, weight {outputs} x {inputs} from row {first}+{count}, {blocks} blocks, {layout:?}, {format:?}");
                    cases.push(b.finish(name, SUMMED, op.op()));
                }
            }
        }
    }
}

/// Products of DiaBlo's blocks alone: their gradients, and their part of a product.
fn matmuls_of_blocks(cases: &mut Vec<Case>) {
    for (tokens, inputs, outputs, blocks) in
        [(1, 16usize, 16usize, 4), (65, 128, 64, 8), (127, 65, 63, 8), (33, 100, 7, 4), (3, 5, 130, 4), (72, 272, 288, 2)]
    {
        let (block_in, block_out) = (inputs.div_ceil(blocks), outputs.div_ceil(blocks));
        let size = block_in * block_out;
        for accumulate in [false, true] {
            let mut b = CaseBuilder::new((tokens + inputs) as u32);
            let (x, g, d) = (b.floats(tokens * inputs, 1.0), b.floats(tokens * outputs, 1.0), b.noisy_output(blocks * size));
            let left = Matrix::rows(x, inputs).transposed().every(block_in);
            let right = Matrix::rows(g, outputs).every(block_out);
            let op = MatMul {
                batch: blocks,
                alpha: 0.5,
                accumulate,
                limits: Some([inputs, outputs, usize::try_from(u32::MAX).unwrap_or(usize::MAX)]),
                ..MatMul::new(block_in, block_out, tokens, left, right, Matrix::rows(d, block_out).every(size))
            };
            let name = format!("gradient of {blocks} blocks of {inputs} x {outputs}, {tokens} tokens, accumulate {accumulate}");
            cases.push(b.finish(name, SUMMED, op.op()));
            let mut b = CaseBuilder::new((tokens + inputs) as u32);
            let (x, d, y) = (b.floats(tokens * inputs, 1.0), b.floats(blocks * size, 1.0), b.noisy_output(tokens * outputs));
            let left = Matrix::rows(x, inputs).every(block_in);
            let right = Matrix::rows(d, block_out).every(size);
            let op = MatMul {
                batch: blocks,
                accumulate,
                limits: Some([usize::try_from(u32::MAX).unwrap_or(usize::MAX), outputs, inputs]),
                ..MatMul::new(tokens, block_out, block_in, left, right, Matrix::rows(y, outputs).every(block_out))
            };
            let name = format!("{blocks} blocks of {inputs} x {outputs} alone, {tokens} tokens, accumulate {accumulate}");
            cases.push(b.finish(name, SUMMED, op.op()));
        }
    }
}
