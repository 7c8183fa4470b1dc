//! Matrix products of at most four rows, as decoding has them: they wait for the weight alone.

use super::matmul::twin::{PANEL, TASK, add_diagonal, prefill};
use super::matmul::{self, DIAGONAL_N_IS_OUTPUT, Params};
use super::vector::{Shared, vectorised};
use super::{Format, shader};
use crate::device::{Call, Kernel};
use rayon::prelude::*;

/// `shaders/matmul_vector.wgsl`.
pub static KERNEL: Kernel = Kernel {
    name: "matmul_vector",
    source: shader!("matmul_vector", "weight", "half", "matmul", "matmul_words"),
    bindings: matmul::KERNEL.bindings,
    run,
    ..Kernel::PLAIN
};

/// A column at a time: the weight is read once and kept nowhere.
fn run(call: &mut Call<'_>) {
    let p: Params = call.params();
    let format = Format::from_constant(call.constant("FORMAT"));
    let (a, b_words) = (call.read(0), call.words(1));
    let (diagonal, bias, residual) = (call.read(2), call.read(3), call.read(4));
    let c_slice = call.write(5);
    let (c, c_len) = (Shared(c_slice.as_mut_ptr()), c_slice.len());
    let [m, n, k] = [p.m, p.n, p.k].map(|x| x as usize);
    let has_diagonal = p.flags & DIAGONAL_N_IS_OUTPUT != 0;
    let a_at = |row: usize, i: usize| p.a_offset as usize + row * p.a_row as usize + i * p.a_col as usize;
    let rows: Vec<Vec<f32>> = (0..m).map(|row| (0..k).map(|i| a[a_at(row, i)]).collect()).collect();
    let c_at = |row: usize, col: usize| p.c_offset as usize + row * p.c_row as usize + col;
    assert!(m == 0 || n == 0 || c_at(m - 1, n - 1) < c_len, "matmul: C outside its view");
    let column = |col: usize| {
        PANEL.with_borrow_mut(|panel| {
            panel.resize(panel.len().max(k), 0.0);
            let at = p.b_offset as usize + col * p.b_col as usize;
            let line = if format == Format::F32 && !has_diagonal {
                &bytemuck::cast_slice(b_words)[at..at + k]
            } else {
                let line = &mut panel[..k];
                format.widen(b_words, at, line);
                if has_diagonal {
                    add_diagonal(&p, diagonal, line, col, 0, true);
                }
                &*line
            };
            for (row, numbers) in rows.iter().enumerate() {
                let at = c_at(row, col);
                // SAFETY: columns belong to one task each, and the last place was checked above.
                let out = unsafe { c.slice(at, 1) };
                prefill(&p, out, bias, residual, at, col);
                out[0] += p.alpha * dot(numbers, line);
            }
        });
    };
    let together = (TASK / 8 / (m * k).max(1)).max(1);
    (0..n.div_ceil(together)).into_par_iter().for_each(|task| {
        vectorised(|| (task * together..n.min((task + 1) * together)).for_each(column));
    });
}

/// In 32 interleaved sums: a fixed order that keeps the processor's vector units busy.
#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0f32; 32];
    let (whole_a, rest_a) = a.as_chunks::<32>();
    let (whole_b, rest_b) = b.as_chunks::<32>();
    for (a, b) in whole_a.iter().zip(whole_b) {
        for j in 0..32 {
            lanes[j] += a[j] * b[j];
        }
    }
    lanes.iter().sum::<f32>() + rest_a.iter().zip(rest_b).map(|(a, b)| a * b).sum::<f32>()
}
