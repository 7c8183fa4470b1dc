//! Every backward kernel, on the CPU executor, against central differences of a forward pass in f64.
//! The GPU's shaders equal these twins (tests/kernels/twins.rs).

use diablo::device::{Device, Op, View};
use diablo::kernels::activate_grad::activate_grad;
use diablo::kernels::adamw::{AdamW, adamw};
use diablo::kernels::attention::Attention;
use diablo::kernels::cases::{AttentionViews, CaseBuilder, Mask, attention_views, groups};
use diablo::kernels::column_sum::column_sum;
use diablo::kernels::cross_entropy::{Gradient, cross_entropy};
use diablo::kernels::dropout::dropout;
use diablo::kernels::embedding_grad::{Groups, embedding_grad};
use diablo::kernels::glu_grad::glu_grad;
use diablo::kernels::layer_norm_grad::layer_norm_grad;
use diablo::kernels::layer_norm_weight_grad::layer_norm_weight_grad;
use diablo::kernels::magnitude_grad::magnitude_grad;
use diablo::kernels::matmul::{Diagonal, MatMul, Matrix};
use diablo::kernels::rms_norm_grad::rms_norm_grad;
use diablo::kernels::rms_norm_weight_grad::rms_norm_weight_grad;
use diablo::kernels::rope::{rope, table};
use diablo::kernels::scale_columns::scale_columns;
use diablo::kernels::weight_norm::{WeightNorm, weight_norm};
use diablo::kernels::{Activation, Format, INPUT_WORDS, METRIC_WORDS, NONE, inputs, metrics};

const STEP: f64 = 1e-5;

/// What a view begins with, in f64.
fn wide(b: &CaseBuilder, view: View, count: usize) -> Vec<f64> {
    b.content_f32(view)[..count].iter().map(|x| f64::from(*x)).collect()
}

/// Runs one operation on the CPU executor.
fn run(b: CaseBuilder, op: Op) -> Vec<Vec<f32>> {
    b.finish("gradient", 0.0, op).floats(&Device::Cpu).expect("the CPU runs")
}

/// d loss / d x by central differences, entry by entry.
fn differences(x: &[f64], loss: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    let mut x = x.to_vec();
    (0..x.len())
        .map(|i| {
            let old = x[i];
            x[i] = old + STEP;
            let above = loss(&x);
            x[i] = old - STEP;
            let below = loss(&x);
            x[i] = old;
            (above - below) / (2.0 * STEP)
        })
        .collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn close(what: &str, got: &[f32], want: &[f64]) {
    assert_eq!(got.len(), want.len(), "{what}");
    let largest = want.iter().fold(1e-3f64, |a, x| a.max(x.abs()));
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let error = (f64::from(*got) - want).abs() / largest;
        assert!(error < 1e-4, "{what} at {i} is {got}, not {want}");
    }
}

/// `got` less what stood there before.
fn added(got: &[f32], before: &[f64]) -> Vec<f32> {
    got.iter().zip(before).map(|(g, b)| (f64::from(*g) - b) as f32).collect()
}

#[test]
fn rms_norm_gradients() {
    for (rows, width) in [(1, 1), (3, 5), (4, 33)] {
        for accumulate in [false, true] {
            let mut b = CaseBuilder::new(width as u32);
            let (x, w, dy) = (b.floats(rows * width, 2.0), b.floats(width, 1.0), b.floats(rows * width, 1.0));
            let (dx, r) = (b.noisy_output(rows * width), b.noisy_output(rows));
            let (x64, w64, dy64, old) =
                (wide(&b, x, rows * width), wide(&b, w, width), wide(&b, dy, rows * width), wide(&b, dx, rows * width));
            let eps = f64::from(0.01f32);
            // Gemma's norms multiply with 1 + w.
            let offset = if accumulate { 1.0 } else { 0.0 };
            let forward = |x: &[f64], w: &[f64]| -> Vec<f64> {
                x.chunks(width)
                    .flat_map(|x| {
                        let rms = (dot(x, x) / width as f64 + eps).sqrt();
                        (0..width).map(|i| x[i] / rms * (offset + w[i])).collect::<Vec<_>>()
                    })
                    .collect()
            };
            let got = run(b, rms_norm_grad(x, w, dy, dx, r, rows, width, 0.01, offset as f32, accumulate));
            let got_dx = if accumulate { added(&got[0], &old) } else { got[0].clone() };
            close("dx", &got_dx, &differences(&x64, |x| dot(&forward(x, &w64), &dy64)));

            let mut b = CaseBuilder::new(width as u32);
            let (x, _, dy) = (b.floats(rows * width, 2.0), b.floats(width, 1.0), b.floats(rows * width, 1.0));
            let (r, dw) = (b.given(&got[1]), b.noisy_output(width));
            let old = wide(&b, dw, width);
            let got = run(b, rms_norm_weight_grad(x, dy, r, dw, rows, width));
            close("dw", &added(&got[0], &old), &differences(&w64, |w| dot(&forward(&x64, w), &dy64)));
        }
    }
}

#[test]
fn layer_norm_gradients() {
    for (rows, width) in [(1, 2), (3, 5), (4, 33)] {
        for accumulate in [false, true] {
            let mut b = CaseBuilder::new(width as u32);
            let (x, w, dy) = (b.floats(rows * width, 2.0), b.floats(width, 1.0), b.floats(rows * width, 1.0));
            let (dx, stats) = (b.noisy_output(rows * width), b.noisy_output(2 * rows));
            let (x64, w64, dy64, old) =
                (wide(&b, x, rows * width), wide(&b, w, width), wide(&b, dy, rows * width), wide(&b, dx, rows * width));
            let eps = f64::from(0.01f32);
            let forward = |x: &[f64], w: &[f64], bias: &[f64]| -> Vec<f64> {
                x.chunks(width)
                    .flat_map(|x| {
                        let mean = x.iter().sum::<f64>() / width as f64;
                        let deviation = (x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / width as f64 + eps).sqrt();
                        (0..width).map(|i| (x[i] - mean) / deviation * w[i] + bias[i]).collect::<Vec<_>>()
                    })
                    .collect()
            };
            let zeros = vec![0.0; width];
            let got = run(b, layer_norm_grad(x, w, dy, dx, stats, rows, width, 0.01, accumulate));
            let got_dx = if accumulate { added(&got[0], &old) } else { got[0].clone() };
            close("dx", &got_dx, &differences(&x64, |x| dot(&forward(x, &w64, &zeros), &dy64)));

            let mut b = CaseBuilder::new(width as u32);
            let (x, _, dy) = (b.floats(rows * width, 2.0), b.floats(width, 1.0), b.floats(rows * width, 1.0));
            let (stats, dw) = (b.given(&got[1]), b.noisy_output(width));
            let old = wide(&b, dw, width);
            let got = run(b, layer_norm_weight_grad(x, dy, stats, dw, rows, width));
            close("dw", &added(&got[0], &old), &differences(&w64, |w| dot(&forward(&x64, w, &zeros), &dy64)));

            let mut b = CaseBuilder::new(width as u32);
            let (_, _, dy) = (b.floats(rows * width, 2.0), b.floats(width, 1.0), b.floats(rows * width, 1.0));
            let db = b.noisy_output(width);
            let old = wide(&b, db, width);
            let got = run(b, column_sum(dy, db, rows, width));
            close("db", &added(&got[0], &old), &differences(&zeros, |bias| dot(&forward(&x64, &w64, bias), &dy64)));
        }
    }
}

/// An activation as its paper defines it.
fn activated(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::GeluTanh => 0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3))).tanh()),
    }
}

/// The lengths n of V's rows are constants here, as DoRA has it.
#[test]
fn dora_gradients() {
    for (rows, width) in [(1, 1), (3, 5), (4, 33)] {
        let mut b = CaseBuilder::new(width as u32);
        let (x, m, dy) = (b.floats(rows * width, 2.0), b.floats(width, 1.0), b.floats(rows * width, 1.0));
        let lengths: Vec<f32> = (0..width).map(|i| 0.5 + i as f32 * 0.1).collect();
        let n = b.given(&lengths);
        let dm = b.noisy_output(width);
        let (x64, m64, dy64, old) = (wide(&b, x, rows * width), wide(&b, m, width), wide(&b, dy, rows * width), wide(&b, dm, width));
        let forward = |x: &[f64], m: &[f64]| -> Vec<f64> {
            x.iter().enumerate().map(|(i, x)| x * m[i % width] / f64::from(lengths[i % width])).collect()
        };
        let got = run(b, magnitude_grad(dy, x, n, dm, rows, width));
        close("dm", &added(&got[0], &old), &differences(&m64, |m| dot(&forward(&x64, m), &dy64)));

        let mut b = CaseBuilder::new(width as u32);
        let (_, m, dy) = (b.floats(rows * width, 2.0), b.floats(width, 1.0), b.floats(rows * width, 1.0));
        let (n, dx) = (b.given(&lengths), b.noisy_output(rows * width));
        let got = run(b, scale_columns(dy, m, n, None, None, dx, rows, width));
        close("dx", &got[0], &differences(&x64, |x| dot(&forward(x, &m64), &dy64)));
    }
}

#[test]
fn lengths_of_rows_are_those_of_the_sum() {
    let (rows, width, rank, scale) = (7, 33, 3, 0.5f32);
    let mut b = CaseBuilder::new(4);
    let (w, a, factors) = (b.floats(rows * width, 1.0), b.floats(rank * width, 1.0), b.floats(rows * rank, 1.0));
    let out = b.noisy_output(rows);
    let (w64, a64, b64) = (wide(&b, w, rows * width), wide(&b, a, rank * width), wide(&b, factors, rows * rank));
    let entry =
        |o: usize, i: usize| w64[o * width + i] + f64::from(scale) * (0..rank).map(|r| b64[o * rank + r] * a64[r * width + i]).sum::<f64>();
    let want: Vec<f64> = (0..rows).map(|o| (0..width).map(|i| entry(o, i).powi(2)).sum::<f64>().sqrt()).collect();
    let got = run(b, weight_norm(w, Format::F32, a, factors, out, WeightNorm { rows, width, rank, first_row: 0, scale }));
    close("lengths", &got[0], &want);
}

#[test]
fn glu_gradients() {
    for activation in Activation::ALL {
        let count = 50;
        let mut b = CaseBuilder::new(3);
        let dy = b.floats(count, 1.0);
        let (gate, up) = (b.floats(count, 5.0), b.floats(count, 1.0));
        b.output(gate, count);
        b.output(up, count);
        let (dy64, gate64, up64) = (wide(&b, dy, count), wide(&b, gate, count), wide(&b, up, count));
        let forward = |gate: &[f64], up: &[f64]| -> Vec<f64> { gate.iter().zip(up).map(|(g, u)| activated(activation, *g) * u).collect() };
        let got = run(b, glu_grad(activation, dy, gate, up, count));
        close("dgate", &got[0], &differences(&gate64, |g| dot(&forward(g, &up64), &dy64)));
        close("dup", &got[1], &differences(&up64, |u| dot(&forward(&gate64, u), &dy64)));
    }
}

#[test]
fn activation_gradients() {
    for activation in Activation::ALL {
        let count = 50;
        let mut b = CaseBuilder::new(3);
        let (dy, x) = (b.floats(count, 1.0), b.floats(count, 5.0));
        b.output(x, count);
        let (dy64, x64) = (wide(&b, dy, count), wide(&b, x, count));
        let forward = |x: &[f64]| -> Vec<f64> { x.iter().map(|x| activated(activation, *x)).collect() };
        let got = run(b, activate_grad(activation, dy, x, count));
        close("dx", &got[0], &differences(&x64, |x| dot(&forward(x), &dy64)));
    }
}

#[test]
fn rope_gradient_is_the_inverse_rotation() {
    for (tokens, heads, dim, rotary) in [(5, 3, 8, 8), (1, 1, 2, 2), (4, 2, 16, 16), (4, 2, 16, 6)] {
        let frequencies: Vec<f64> = (0..rotary / 2).map(|i| 100f64.powf(-2.0 * i as f64 / rotary as f64)).collect();
        let positions: Vec<u32> = (0..tokens).map(|t| (t * 7 % 13) as u32).collect();
        let mut b = CaseBuilder::new(dim as u32);
        let (at, angles) = (b.words(&positions), b.given(&table(&frequencies, 13)));
        let (dx, x) = (b.noisy_output(tokens * heads * dim), b.floats(tokens * heads * dim, 1.0));
        let (dy64, x64) = (wide(&b, dx, tokens * heads * dim), wide(&b, x, tokens * heads * dim));
        let forward = |x: &[f64]| -> Vec<f64> {
            let mut y = x.to_vec();
            for head in 0..tokens * heads {
                for i in 0..rotary / 2 {
                    let angle = f64::from(positions[head / heads]) * frequencies[i];
                    let (a, b) = (x[head * dim + i], x[head * dim + rotary / 2 + i]);
                    y[head * dim + i] = a * angle.cos() - b * angle.sin();
                    y[head * dim + rotary / 2 + i] = b * angle.cos() + a * angle.sin();
                }
            }
            y
        };
        let got = run(b, rope(at, angles, dx, tokens, heads, dim, rotary, true));
        close("dx", &got[0], &differences(&x64, |x| dot(&forward(x), &dy64)));
    }
}

/// softmax(scale q k^T) v over each token's span, in f64.
fn attention(s: &Attention, spans: &[[u32; 2]], q: &[f64], k: &[f64], v: &[f64]) -> Vec<f64> {
    let mut y = vec![0.0; q.len()];
    let dim = s.head_dim;
    for row in 0..s.rows {
        for i in 0..s.queries {
            let [begin, end] = spans[row * s.queries + i].map(|x| x as usize);
            for head in 0..s.heads {
                let at = ((row * s.queries + i) * s.heads + head) * dim;
                let key = |j: usize| ((row * s.keys + j) * s.kv_heads + head * s.kv_heads / s.heads) * dim;
                let shares: Vec<f64> =
                    (begin..end).map(|j| (f64::from(s.scale) * dot(&q[at..at + dim], &k[key(j)..key(j) + dim])).exp()).collect();
                let total: f64 = shares.iter().sum();
                for (share, j) in shares.iter().zip(begin..end) {
                    for d in 0..dim {
                        y[at + d] += share / total * v[key(j) + d];
                    }
                }
            }
        }
    }
    y
}

#[test]
fn attention_gradients() {
    // One token, groups of 1, 2, 3 and 8 heads, more tokens than the twins' tile of 64.
    for (rows, tokens, heads, kv_heads, head_dim) in
        [(1, 1, 1, 1, 3), (2, 9, 4, 2, 5), (1, 10, 3, 3, 4), (1, 11, 3, 1, 2), (1, 5, 8, 1, 2), (1, 66, 2, 1, 1)]
    {
        for mask in Mask::ALL {
            let s = Attention { rows, queries: tokens, keys: tokens, heads, kv_heads, head_dim, scale: 0.7 };
            let spans = mask.spans(rows, tokens);
            let (asked, held) = (rows * tokens * heads * head_dim, rows * tokens * kv_heads * head_dim);
            let start = || {
                let mut b = CaseBuilder::new(tokens as u32);
                let views = attention_views(&mut b, &s, &spans);
                (b, views)
            };
            let (mut b, AttentionViews { q, k, v, dy, spans: at_spans, stats, .. }) = start();
            let (q64, k64, v64, dy64) = (wide(&b, q, asked), wide(&b, k, held), wide(&b, v, held), wide(&b, dy, asked));
            let loss = |q: &[f64], k: &[f64], v: &[f64]| dot(&attention(&s, &spans, q, k, v), &dy64);
            let dq = b.noisy_output(asked);
            let got = run(b, s.grad_q(q, k, v, dy, stats, at_spans, dq));
            let what = format!("{mask:?}, {rows} x {tokens} tokens, {heads}/{kv_heads} heads of {head_dim}:");
            close(&format!("{what} dq"), &got[0], &differences(&q64, |q| loss(q, &k64, &v64)));
            let (mut b, _) = start();
            let (dk, dv) = (b.noisy_output(held), b.noisy_output(held));
            let got = run(b, s.grad_kv(q, k, v, dy, stats, at_spans, dk, dv));
            close(&format!("{what} dk"), &got[0], &differences(&k64, |k| loss(&q64, k, &v64)));
            close(&format!("{what} dv"), &got[1], &differences(&v64, |v| loss(&q64, &k64, v)));
        }
    }
}

#[test]
fn cross_entropy_gradient() {
    let (rows, first, vocabulary) = (4, 1, 19);
    let targets = [7, 3, NONE, 18, 0];
    let mut b = CaseBuilder::new(5);
    let (at, step) = (b.words(&targets), b.step(3, 0.25, 0));
    let (logits, losses) = (b.noisy_output(rows * vocabulary), b.noisy_output(first + rows));
    let x64 = wide(&b, logits, rows * vocabulary);
    let forward = |x: &[f64]| -> Vec<f64> {
        x.chunks(vocabulary)
            .zip(&targets[first..])
            .map(|(x, t)| if *t == NONE { 0.0 } else { x.iter().map(|x| x.exp()).sum::<f64>().ln() - x[*t as usize] })
            .collect()
    };
    let got = run(b, cross_entropy(at, step, logits, losses, first, rows, vocabulary, Gradient::OfMean));
    close("dlogits", &got[0], &differences(&x64, |x| 0.25 * forward(x).iter().sum::<f64>()));
    close("losses", &got[1][first..], &forward(&x64));
}

#[test]
fn embedding_gradient() {
    let (table_rows, hidden) = (6, 5);
    let tokens = [4, 1, 4, 0, 5, 4, 1];
    for (first, count) in [(0, 6), (0, 4), (4, 2)] {
        let (ids, starts, order) = groups(&tokens, 9);
        let mut b = CaseBuilder::new(8);
        let groups = Groups { ids: b.words(&ids), starts: b.words(&starts), order: b.words(&order), groups: 9 };
        let (dy, dtable) = (b.floats(tokens.len() * hidden, 1.0), b.noisy_output(count * hidden));
        let (dy64, old) = (wide(&b, dy, tokens.len() * hidden), wide(&b, dtable, count * hidden));
        let table = vec![0.5; table_rows * hidden];
        let forward = |table: &[f64]| -> Vec<f64> { tokens.iter().flat_map(|t| table[t * hidden..][..hidden].to_vec()).collect() };
        let scale = if first == 0 { 1.0 } else { 4.5 };
        let want = differences(&table, |t| f64::from(scale) * dot(&forward(t), &dy64));
        let got = run(b, embedding_grad(groups, dy, dtable, first, count, hidden, scale));
        close("dtable", &added(&got[0], &old), &want[first * hidden..(first + count) * hidden]);
    }
}

/// y = x (W + D)^T + bias in f64; W [outputs, inputs], D's blocks [N, block_in, block_out].
fn linear(x: &[f64], w: &[f64], d: &[f64], bias: &[f64], inputs: usize, outputs: usize, block_in: usize, block_out: usize) -> Vec<f64> {
    let mut y = Vec::new();
    for x in x.chunks(inputs) {
        for o in 0..outputs {
            let entry = |i: usize| if o / block_out == i / block_in { d[i * block_out + o % block_out] } else { 0.0 };
            y.push((0..inputs).map(|i| x[i] * (w[o * inputs + i] + entry(i))).sum::<f64>() + bias[o]);
        }
    }
    y
}

#[test]
fn linear_layer_gradients() {
    for (tokens, inputs, outputs, blocks) in [(3usize, 8usize, 12usize, 4usize), (5, 7, 10, 3), (1, 10, 7, 4), (2, 5, 1, 2)] {
        let (block_in, block_out) = (inputs.div_ceil(blocks), outputs.div_ceil(blocks));
        let size = block_in * block_out;
        let start = || {
            let mut b = CaseBuilder::new(inputs as u32);
            let views = (
                b.floats(tokens * inputs, 1.0),
                b.weight(outputs * inputs, Format::Bf16),
                b.floats(blocks * size, 1.0),
                b.floats(tokens * outputs, 1.0),
            );
            (b, views)
        };
        let (mut b, (x, w, d, dy)) = start();
        let (x64, d64, dy64) = (wide(&b, x, tokens * inputs), wide(&b, d, blocks * size), wide(&b, dy, tokens * outputs));
        let mut w32 = vec![0.0; outputs * inputs];
        Format::Bf16.widen(b.content(w), 0, &mut w32);
        let w64: Vec<f64> = w32.iter().map(|x| f64::from(*x)).collect();
        let bias = vec![0.1; outputs];
        let loss = |x: &[f64], d: &[f64], bias: &[f64]| dot(&linear(x, &w64, d, bias, inputs, outputs, block_in, block_out), &dy64);

        let y = b.noisy_output(tokens * outputs);
        let diagonal = |columns_are_outputs| Some(Diagonal { view: d, block_in, block_out, first_output: 0, columns_are_outputs });
        let weight = Matrix::rows(w, inputs);
        let by = MatMul::new(tokens, outputs, inputs, Matrix::rows(x, inputs), weight.transposed(), Matrix::rows(y, outputs));
        let got = run(b, MatMul { format: Format::Bf16, diagonal: diagonal(true), ..by }.op());
        close("y", &got[0], &linear(&x64, &w64, &d64, &vec![0.0; outputs], inputs, outputs, block_in, block_out));

        let (mut b, _) = start();
        let dx = b.noisy_output(tokens * inputs);
        let by = MatMul::new(tokens, inputs, outputs, Matrix::rows(dy, outputs), weight, Matrix::rows(dx, inputs));
        let got = run(b, MatMul { format: Format::Bf16, diagonal: diagonal(false), ..by }.op());
        close("dx", &got[0], &differences(&x64, |x| loss(x, &d64, &bias)));

        let (mut b, _) = start();
        let dd = b.noisy_output(blocks * size);
        let old = wide(&b, dd, blocks * size);
        let left = Matrix::rows(x, inputs).transposed().every(block_in);
        let right = Matrix::rows(dy, outputs).every(block_out);
        let by = MatMul::new(block_in, block_out, tokens, left, right, Matrix::rows(dd, block_out).every(size));
        let limits = Some([inputs, outputs, u32::MAX as usize]);
        let got = run(b, MatMul { batch: blocks, accumulate: true, limits, ..by }.op());
        close("dD", &added(&got[0], &old), &differences(&d64, |d| loss(&x64, d, &bias)));

        let (mut b, _) = start();
        let db = b.noisy_output(outputs);
        let old = wide(&b, db, outputs);
        let got = run(b, column_sum(dy, db, tokens, outputs));
        close("dbias", &added(&got[0], &old), &differences(&bias, |bias| loss(&x64, &d64, bias)));
    }
}

#[test]
fn dropout_gradient_draws_the_same_again() {
    let hash = |x: u32| {
        let state = x.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
        let word = ((state >> ((state >> 28) + 4)) ^ state).wrapping_mul(277_803_737);
        (word >> 22) ^ word
    };
    let (count, p, salt, seed) = (20_000, 0.25f32, 9, 1234);
    let mask: Vec<f64> = (0..count as u32)
        .map(|i| if f64::from(hash(i ^ hash(seed ^ hash(salt)))) >= 0.25 * 4_294_967_296.0 { 1.0 / 0.75 } else { 0.0 })
        .collect();
    let kept = mask.iter().filter(|m| **m > 0.0).count() as f64 / count as f64;
    assert!((kept - 0.75).abs() < 0.01, "{kept} kept");
    for accumulate in [false, true] {
        let mut b = CaseBuilder::new(2);
        let (step, dy, dx) = (b.step(1, 1.0, seed), b.floats(count, 1.0), b.noisy_output(count));
        let (dy64, old) = (wide(&b, dy, count), wide(&b, dx, count));
        let got = run(b, dropout(step, dy, dx, count, p, salt, accumulate));
        // The forward pass is x times the mask, so its gradient is the mask times what comes from above.
        let want: Vec<f64> = dy64.iter().zip(&mask).map(|(g, m)| g * m).collect();
        close("dx", &if accumulate { added(&got[0], &old) } else { got[0].clone() }, &want);
    }
}

#[test]
fn adamw_follows_its_definition_for_twenty_steps() {
    let (count, clip) = (37, 0.7f32);
    let by = AdamW { beta1: 0.9, beta2: 0.99, eps: 1e-6, weight_decay: 0.1, rate: 2.5 };
    let (beta1, beta2, eps, decay) = (f64::from(by.beta1), f64::from(by.beta2), f64::from(by.eps), f64::from(by.weight_decay));
    let mut x32: Vec<f32> = (0..count).map(|i| (i as f32 * 0.7).sin()).collect();
    let (mut m32, mut v32) = (vec![0f32; count], vec![0f32; count]);
    let mut x: Vec<f64> = x32.iter().map(|x| f64::from(*x)).collect();
    let (mut m, mut v) = (vec![0f64; count], vec![0f64; count]);
    for t in 1..=20 {
        let lr = 0.05 / f64::from(t);
        let g: Vec<f32> = (0..count).map(|i| ((i * 13 + t as usize * 7) as f32).sin()).collect();
        let (c1, c2) = (1.0 - beta1.powi(t), 1.0 - beta2.powi(t));
        let rate = f64::from(by.rate) * lr;
        for i in 0..count {
            let g = f64::from(g[i]) * f64::from(clip);
            m[i] = beta1 * m[i] + (1.0 - beta1) * g;
            v[i] = beta2 * v[i] + (1.0 - beta2) * g * g;
            x[i] -= rate * decay * x[i];
            x[i] -= rate * (m[i] / c1) / ((v[i] / c2).sqrt() + eps);
        }
        let mut b = CaseBuilder::new(1);
        let mut step = [0f32; INPUT_WORDS];
        step[inputs::LEARNING_RATE] = lr as f32;
        step[inputs::CORRECTION1] = c1 as f32;
        step[inputs::CORRECTION2] = c2.sqrt() as f32;
        let mut measured = [0f32; METRIC_WORDS];
        measured[metrics::CLIP] = clip;
        let (step, measured, g) = (b.given(&step), b.given(&measured), b.given(&g));
        let (values, first, second) = (b.given(&x32), b.given(&m32), b.given(&v32));
        for view in [values, first, second] {
            b.output(view, count);
        }
        let got = run(b, adamw(step, measured, g, values, first, second, count, by));
        [x32, m32, v32] = got.try_into().expect("three outputs");
        close("values", &x32, &x);
        close("first moments", &m32, &m);
        close("second moments", &v32, &v);
    }
}
