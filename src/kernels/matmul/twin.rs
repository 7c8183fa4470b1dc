//! The product's CPU twin: tiles of C by the matrix library.

use super::{ACCUMULATE, ADD_BIAS, ADD_RESIDUAL, DIAGONAL_K_IS_OUTPUT, DIAGONAL_N_IS_OUTPUT, HALF, PACKED, Params};
use crate::device::Call;
use crate::device::kernel::Binding;
use crate::kernels::product::{Matrix, product_at};
use crate::kernels::vector::{Shared, for_chunks, vectorised};
use crate::kernels::{Format, pack};
use rayon::prelude::*;
use std::borrow::Cow;
use std::cell::RefCell;

thread_local! {
    /// A tile of the weight, widened and with its diagonal added.
    pub(in crate::kernels) static PANEL: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// A widened tile stays within the second-level cache.
const PANEL_NUMBERS: usize = 64 * 1024;
/// Work that is worth a task of its own, in multiply-adds.
pub(in crate::kernels) const TASK: usize = 1 << 20;

/// Rows and columns up to which the library has ways of its own.
const SMALL: usize = 64;
/// Columns below which a task is no longer worth it.
const NARROW: usize = 32;

/// Rows and columns of C that make one task, for so many threads. A panel of the weight is made once for all rows where the columns
/// alone are tiles enough.
///
/// Few tasks are as many for each thread. The library adds up over k in another order where a product has at most 64 rows and as many
/// columns, and where it is 256 numbers or less; so that threads do not change results, what they decide has more rows than that, and
/// no fewer than 32 columns.
fn tiling(m: usize, n: usize, k: usize, batch: usize, panels: bool, threads: usize) -> (usize, usize) {
    let widest = if panels { (PANEL_NUMBERS / k.max(1)).clamp(16, 512) / 16 * 16 } else { 256 }.min(n).max(1);
    let tallest = (TASK / (widest * k).max(1)).next_multiple_of(32).max(256).min(m).max(1);
    if m <= SMALL {
        let few = batch * n.div_ceil(widest) < 8;
        return (tallest, if few { widest.min(SMALL) } else { widest });
    }
    let mut columns = n.div_ceil(widest).max(1);
    let rows = if panels && batch * columns >= 3 * threads { 1 } else { m.div_ceil(tallest) };
    let (wide, tasks) = (n.div_ceil(NARROW), batch * rows * columns);
    if tasks < 8 * threads {
        columns = tasks.next_multiple_of(threads).div_ceil(batch * rows).min(wide).max(columns);
    }
    (m.div_ceil(rows), n.div_ceil(columns).next_multiple_of(16).min(n).max(1))
}

/// Tiles of C are independent, so each is one task; the sum over k is never split.
pub(super) fn run(call: &mut Call<'_>) {
    if call.constant(PACKED) == 1 {
        return run_packed(call);
    }
    let p: Params = call.params();
    let format = Format::from_constant(call.constant("FORMAT"));
    let half = call.constant(HALF) == 1;
    let (a, b_words) = (halves(call.read(0), half), call.words(1));
    let (diagonal, bias, residual) = (call.read(2), call.read(3), call.read(4));
    let c_slice = call.write(5);
    let c = Shared(c_slice.as_mut_ptr());
    let c_len = c_slice.len();
    let [m, n, k, batch] = [p.m, p.n, p.k, p.batch].map(|x| x as usize);
    let has_diagonal = p.flags & (DIAGONAL_N_IS_OUTPUT | DIAGONAL_K_IS_OUTPUT) != 0;
    let panels = format != Format::F32 || has_diagonal || half;
    let (tile_m, tile_n) = tiling(m, n, k, batch, panels, rayon::current_num_threads());
    let (tiles_m, tiles_n) = (m.div_ceil(tile_m), n.div_ceil(tile_n));
    let tile = |index: usize| {
        let (b_index, rest) = (index / (tiles_m * tiles_n), index % (tiles_m * tiles_n));
        let (i0, j0) = (rest / tiles_n * tile_m, rest % tiles_n * tile_n);
        let left = |size: u32, limit: u32| (size as usize).min((limit as usize).saturating_sub(b_index * size as usize));
        let (m, n, k) = (left(p.m, p.m_limit), left(p.n, p.n_limit), left(p.k, p.k_limit));
        if i0 >= m || j0 >= n {
            return;
        }
        let (rows, cols) = (tile_m.min(m - i0), tile_n.min(n - j0));
        let c_at = p.c_offset as usize + b_index * p.c_batch as usize + i0 * p.c_row as usize + j0;
        let keep = p.flags & (ACCUMULATE | ADD_BIAS | ADD_RESIDUAL) != 0;
        if p.flags & (ADD_BIAS | ADD_RESIDUAL) != 0 {
            for i in 0..rows {
                let at = c_at + i * p.c_row as usize;
                // SAFETY: this tile's own part of row i.
                let row = unsafe { c.slice(at, cols) };
                prefill(&p, row, bias, residual, at, j0);
            }
        }
        let a_at = p.a_offset as usize + b_index * p.a_batch as usize + i0 * p.a_row as usize;
        let b_at = p.b_offset as usize + b_index * p.b_batch as usize + j0 * p.b_col as usize;
        let product = |b: Matrix| {
            debug_assert!(rows == 0 || k == 0 || a_at + (rows - 1) * p.a_row as usize + (k - 1) * p.a_col as usize <= a.len());
            assert!(c_at + (rows - 1) * p.c_row as usize + cols <= c_len, "matmul: C outside its view");
            // SAFETY: strides and extents are those of matrices inside the views (checked for C above, for A and B by the plan's
            // builder); tiles of C are disjoint.
            unsafe {
                let a = Matrix { first: a.as_ptr().add(a_at), row: p.a_row as usize, col: p.a_col as usize };
                product_at(rows, cols, k, p.alpha, a, b, c.0.add(c_at), p.c_row as usize, keep);
            }
        };
        if !panels {
            let b: &[f32] = bytemuck::cast_slice(b_words);
            return product(Matrix { first: b[b_at..].as_ptr(), row: p.b_row as usize, col: p.b_col as usize });
        }
        PANEL.with_borrow_mut(|panel| {
            panel.resize(panel.len().max(k * cols), 0.0);
            // Copy along whichever direction the weight lies in.
            let along_k = p.b_row == 1;
            let (lines, length, stride) = if along_k { (cols, k, p.b_col) } else { (k, cols, p.b_row) };
            vectorised(|| {
                for line in 0..lines {
                    let out = &mut panel[line * length..(line + 1) * length];
                    format.widen(b_words, b_at + line * stride as usize, out);
                    if has_diagonal {
                        let outputs_are_lines = along_k == (p.flags & DIAGONAL_N_IS_OUTPUT != 0);
                        let first = if along_k { (j0 + line, 0) } else { (line, j0) };
                        add_diagonal(&p, diagonal, out, first.0, first.1, outputs_are_lines);
                    }
                    if half {
                        out.iter_mut().for_each(|x| *x = half_of(*x));
                    }
                }
            });
            let (row, col) = if along_k { (1, k) } else { (cols, 1) };
            product(Matrix { first: panel.as_ptr(), row, col });
        });
    };
    let tasks = batch * tiles_m * tiles_n;
    if tasks > 1 && batch * m * n * k > TASK / 8 {
        // Small matrices of a batch go several to a task.
        let group = (TASK / 8 / (tile_m * tile_n * k).max(1)).max(1);
        (0..tasks).into_par_iter().with_min_len(group).for_each(tile);
    } else {
        (0..tasks).for_each(tile);
    }
}

/// Numbers as factors, rounded to f16 if `half`.
pub(in crate::kernels) fn halves(x: &[f32], half: bool) -> Cow<'_, [f32]> {
    if !half {
        return Cow::Borrowed(x);
    }
    let mut halves = vec![0.0; x.len()];
    for_chunks(&mut halves, |start, out| {
        for (i, out) in out.iter_mut().enumerate() {
            *out = half_of(x[start + i]);
        }
    });
    Cow::Owned(halves)
}

/// A product of packed factors: unpacked, it is any other.
fn run_packed(call: &mut Call<'_>) {
    let p: Params = call.params();
    let k = p.k as usize;
    let lines = |packed: &[u32], lines: u32| {
        let mut numbers = vec![0.0; lines as usize * k];
        for_chunks(&mut numbers, |start, out| {
            for (i, out) in out.iter_mut().enumerate() {
                let place = pack::place((start + i) / k, (start + i) % k, k);
                *out = half::f16::from_bits((packed[place / 2] >> (place % 2 * 16)) as u16).to_f32();
            }
        });
        numbers
    };
    let (a, b) = (lines(call.words(0), p.m), lines(call.words(1), p.n));
    let plain = Params { a_offset: 0, a_row: p.k, a_col: 1, b_offset: 0, b_row: 1, b_col: p.k, ..p };
    let mut bindings: Vec<Binding<'_>> = [&a, &b].into_iter().map(|x| Binding::Read(bytemuck::cast_slice(x))).collect();
    bindings.extend((2..6).map(|i| std::mem::replace(&mut call.bindings[i], Binding::Taken)));
    run(&mut Call { params: bytemuck::cast_slice(bytemuck::bytes_of(&plain)), constants: &[], bindings });
}

/// The nearest number of f16, to even in the middle; the largest one where `x` lies beyond it; what is not finite stays what it is. As the
/// shader has it, since the compiler makes vectors of this.
#[inline(always)]
pub(in crate::kernels) fn half_of(x: f32) -> f32 {
    let bits = x.to_bits();
    let size = bits & 0x7fff_ffff;
    // Below 2^-14 f16 has steps of 2^-24, as 32-bit floats have around 0.75.
    let small = ((x + 0.75) - 0.75).copysign(x);
    let rounded = f32::from_bits(bits.wrapping_add(0xfff + (bits >> 13 & 1)) & 0xffff_e000);
    let bounded = if rounded > 65504.0 { 65504.0 } else { rounded };
    let bounded = if bounded < -65504.0 { -65504.0 } else { bounded };
    let finite = if size < 0x3880_0000 { small } else { bounded };
    if size >= 0x7f80_0000 { x } else { finite }
}

pub(in crate::kernels) fn prefill(p: &Params, row: &mut [f32], bias: &[f32], residual: &[f32], at: usize, j0: usize) {
    let base = p.bias_offset as usize + j0;
    for (j, c) in row.iter_mut().enumerate() {
        let mut value = if p.flags & ACCUMULATE != 0 { *c } else { 0.0 };
        if p.flags & ADD_BIAS != 0 {
            value += bias[base + j];
        }
        if p.flags & ADD_RESIDUAL != 0 {
            value += residual[at + j];
        }
        *c = value;
    }
}

/// Adds D's entries to one line of the weight: entries (line, first..) where lines are outputs, (first.., line) where they are inputs.
pub(in crate::kernels) fn add_diagonal(p: &Params, diagonal: &[f32], out: &mut [f32], line: usize, first: usize, line_is_output: bool) {
    let (block_in, block_out) = (p.block_in as usize, p.block_out as usize);
    if line_is_output {
        let output = p.first_output as usize + line;
        let begin = (output / block_out * block_in).max(first);
        let end = ((output / block_out + 1) * block_in).min(first + out.len());
        for input in begin..end {
            out[input - first] += diagonal[input * block_out + output % block_out];
        }
    } else {
        let input = line;
        let first = p.first_output as usize + first;
        let begin = (input / block_in * block_out).max(first);
        let end = ((input / block_in + 1) * block_out).min(first + out.len());
        for output in begin..end {
            out[output - first] += diagonal[input * block_out + output % block_out];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::half_of;

    #[test]
    fn halves_are_those_of_f16() {
        let mut x = 1e-9f32;
        while x < 1e6 {
            for x in [x, -x] {
                let want = half::f16::from_f32(x.clamp(-65504.0, 65504.0)).to_f32();
                assert_eq!(half_of(x), want, "{x:e}");
            }
            x *= 1.000_37;
        }
        // In the middle: to even.
        assert_eq!(
            [half_of(1.0 + 1.0 / 2048.0), half_of(1.0 + 3.0 / 2048.0), half_of(1.5 / 16_777_216.0)],
            [1.0, 1.0 + 4.0 / 2048.0, 2.0 / 16_777_216.0]
        );
        assert!(half_of(f32::NAN).is_nan() && half_of(f32::INFINITY) == f32::INFINITY && half_of(0.0) == 0.0);
    }
}
