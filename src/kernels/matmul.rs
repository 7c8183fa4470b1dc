//! Matrix products in every layout a transformer needs, on weights of any format, with DiaBlo's diagonal added on the way.

use super::vector::{Shared, vectorised};
use super::{Format, grid, op};
use crate::device::plan::BufferId;
use crate::device::{Access, Call, Kernel, Needs, Op, View};
use rayon::prelude::*;
use std::cell::RefCell;

/// `shaders/matmul.wgsl` with tiles of 64 x 64 x 16.
pub static KERNEL: Kernel = Kernel {
    name: "matmul",
    source: &[WEIGHT, SHARED, "const SIDE: u32 = 8u;\nconst TILE_K: u32 = 16u;\n", TILE],
    bindings: &[Access::Read, Access::Read, Access::Read, Access::Read, Access::Read, Access::Write],
    run,
    others,
    like,
    ..Kernel::PLAIN
};

/// The same with tiles of 128 x 128 x 8, for devices that have the registers.
pub static WIDE: Kernel = Kernel {
    name: "matmul_wide",
    source: &[WEIGHT, SHARED, "const SIDE: u32 = 16u;\nconst TILE_K: u32 = 8u;\n", TILE],
    bindings: KERNEL.bindings,
    run,
    ..Kernel::PLAIN
};

/// `shaders/matmul_subgroup.wgsl`, for processors.
pub static SUBGROUP: Kernel = Kernel {
    name: "matmul_subgroup",
    source: &[WEIGHT, SHARED, include_str!("../../shaders/matmul_subgroup.wgsl")],
    bindings: KERNEL.bindings,
    run,
    needs: Needs::Subgroups(8),
    ..Kernel::PLAIN
};

/// `shaders/matmul_vector.wgsl`, for at most four rows.
pub static VECTOR: Kernel = Kernel {
    name: "matmul_vector",
    source: &[WEIGHT, SHARED, include_str!("../../shaders/matmul_vector.wgsl")],
    bindings: KERNEL.bindings,
    run: run_few_rows,
    ..Kernel::PLAIN
};

const WEIGHT: &str = include_str!("../../shaders/shared/weight.wgsl");
const SHARED: &str = include_str!("../../shaders/shared/matmul.wgsl");
const TILE: &str = include_str!("../../shaders/matmul.wgsl");

const ACCUMULATE: u32 = 1;
const ADD_BIAS: u32 = 2;
const ADD_RESIDUAL: u32 = 4;
const DIAGONAL_N_IS_OUTPUT: u32 = 8;
const DIAGONAL_K_IS_OUTPUT: u32 = 16;

/// An extent that is not bounded over the batch; see [`MatMul::limits`].
pub const NO_LIMIT: usize = u32::MAX as usize;

/// The uniform.
#[repr(C)]
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    m: u32,
    n: u32,
    k: u32,
    flags: u32,
    a_offset: u32,
    a_row: u32,
    a_col: u32,
    a_batch: u32,
    b_offset: u32,
    b_row: u32,
    b_col: u32,
    b_batch: u32,
    c_offset: u32,
    c_row: u32,
    c_batch: u32,
    alpha: f32,
    m_limit: u32,
    n_limit: u32,
    k_limit: u32,
    block_in: u32,
    block_out: u32,
    first_output: u32,
    bias_offset: u32,
    batch: u32,
}

/// A matrix inside a view: entry (i, j) of matrix b stands at `offset + b * batch + i * row + j * col`.
#[derive(Clone, Copy, Debug)]
pub struct Matrix {
    /// Where it lies.
    pub view: View,
    /// First entry, in numbers.
    pub offset: usize,
    /// From a row to the next.
    pub row: usize,
    /// From a column to the next.
    pub col: usize,
    /// From a matrix of the batch to the next.
    pub batch: usize,
}

impl Matrix {
    /// A matrix whose rows of `width` numbers follow each other.
    pub fn rows(view: View, width: usize) -> Self {
        Self { view, offset: 0, row: width, col: 1, batch: 0 }
    }

    /// The same numbers with rows and columns exchanged.
    pub fn transposed(self) -> Self {
        Self { row: self.col, col: self.row, ..self }
    }

    /// Begins `offset` numbers later.
    pub fn at(self, offset: usize) -> Self {
        Self { offset: self.offset + offset, ..self }
    }

    /// The next matrix of a batch begins `batch` numbers later.
    pub fn every(self, batch: usize) -> Self {
        Self { batch, ..self }
    }
}

/// DiaBlo's blocks, as they are added to the weight: [inputs, block_out], row i the entries of input i's block.
#[derive(Clone, Copy, Debug)]
pub struct Diagonal {
    /// The blocks' values, [N, block_in, block_out].
    pub view: View,
    /// Inputs of a block.
    pub block_in: usize,
    /// Outputs of a block.
    pub block_out: usize,
    /// The output that the weight's first row (of this piece of it) stands for.
    pub first_output: usize,
    /// Whether the product's columns are outputs (x W^T) or inputs (g W).
    pub columns_are_outputs: bool,
}

/// A product C = alpha A (B + D) and what is added to it.
#[derive(Clone, Copy, Debug)]
pub struct MatMul {
    /// Rows of C (of one matrix of the batch).
    pub m: usize,
    /// Columns of C.
    pub n: usize,
    /// Columns of A and rows of B.
    pub k: usize,
    /// Matrices.
    pub batch: usize,
    /// [m, k], 32-bit.
    pub a: Matrix,
    /// [k, n], in `format`.
    pub b: Matrix,
    /// How B's numbers lie.
    pub format: Format,
    /// [m, n]; columns lie side by side.
    pub c: Matrix,
    /// Factor of the product.
    pub alpha: f32,
    /// Whether C's old values are added.
    pub accumulate: bool,
    /// Blocks added to B.
    pub diagonal: Option<Diagonal>,
    /// \[n\]: values added to every row, from this offset of the view.
    pub bias: Option<(View, usize)>,
    /// Added to C; lies as C does.
    pub residual: Option<View>,
    /// Extents over the whole batch (m, n, k), where its matrices reach past the edge.
    pub limits: Option<[usize; 3]>,
}

impl MatMul {
    /// C = A B, one matrix, 32-bit, nothing added.
    pub fn new(m: usize, n: usize, k: usize, a: Matrix, b: Matrix, c: Matrix) -> Self {
        Self {
            m,
            n,
            k,
            batch: 1,
            a,
            b,
            format: Format::F32,
            c,
            alpha: 1.0,
            accumulate: false,
            diagonal: None,
            bias: None,
            residual: None,
            limits: None,
        }
    }

    /// The operation.
    pub fn op(self) -> Op {
        assert_eq!(self.c.col, 1, "C's columns lie side by side");
        let u = |x: usize| u32::try_from(x).expect("a matrix's strides fit into 32 bits");
        let flag = |on: bool, bit: u32| if on { bit } else { 0 };
        let [m_limit, n_limit, k_limit] = self.limits.map_or([u32::MAX; 3], |l| l.map(u));
        let d = self.diagonal;
        let params = Params {
            m: u(self.m),
            n: u(self.n),
            k: u(self.k),
            flags: flag(self.accumulate, ACCUMULATE)
                | flag(self.bias.is_some(), ADD_BIAS)
                | flag(self.residual.is_some(), ADD_RESIDUAL)
                | flag(d.is_some_and(|d| d.columns_are_outputs), DIAGONAL_N_IS_OUTPUT)
                | flag(d.is_some_and(|d| !d.columns_are_outputs), DIAGONAL_K_IS_OUTPUT),
            a_offset: u(self.a.offset),
            a_row: u(self.a.row),
            a_col: u(self.a.col),
            a_batch: u(self.a.batch),
            b_offset: u(self.b.offset),
            b_row: u(self.b.row),
            b_col: u(self.b.col),
            b_batch: u(self.b.batch),
            c_offset: u(self.c.offset),
            c_row: u(self.c.row),
            c_batch: u(self.c.batch),
            alpha: self.alpha,
            m_limit,
            n_limit,
            k_limit,
            block_in: d.map_or(1, |d| u(d.block_in)),
            block_out: d.map_or(1, |d| u(d.block_out)),
            first_output: d.map_or(0, |d| u(d.first_output)),
            bias_offset: self.bias.map_or(0, |b| u(b.1)),
            batch: u(self.batch),
        };
        // A binding that is not used still has to be bound; A is there to read.
        let spare = self.a.view;
        let views = vec![
            self.a.view,
            self.b.view,
            d.map_or(spare, |d| d.view),
            self.bias.map_or(spare, |b| b.0),
            self.residual.unwrap_or(spare),
            self.c.view,
        ];
        let flops = 2 * self.batch * self.m * self.n * self.k;
        let (kernel, grid) = if self.is_few_rows() { (&VECTOR, grid(self.n.div_ceil(4))) } else { (&KERNEL, tiles(&params, 64, 64)) };
        let mut op = op(kernel, views, params, grid, flops);
        op.constants = vec![("FORMAT", self.format.constant())];
        op
    }

    /// Whether [`VECTOR`] can compute it.
    fn is_few_rows(&self) -> bool {
        let inputs = self.diagonal.is_none_or(|d| d.columns_are_outputs);
        self.m <= 4 && self.batch == 1 && self.b.row == 1 && self.limits.is_none() && inputs
    }
}

/// Workgroups for tiles of so many rows and columns.
fn tiles(p: &Params, rows: u32, cols: u32) -> [u32; 3] {
    [p.n.div_ceil(cols).max(1), p.m.div_ceil(rows).max(1), p.batch]
}

fn params_of(op: &Op) -> Params {
    bytemuck::pod_read_unaligned(bytemuck::cast_slice(&op.params))
}

/// The same product by the other kernels.
fn others(op: &Op) -> Vec<Op> {
    let p = params_of(op);
    let by = |kernel, rows, cols| Op { kernel, grid: tiles(&p, rows, cols), ..op.clone() };
    vec![by(&WIDE, 128, 128), by(&SUBGROUP, 64, 16)]
}

/// The product that stands for those like this one: sizes by powers of two, none so large that measuring takes long, the matrices
/// whole and in the same layout, and with a diagonal if this one has one. Its views tell only how much memory it needs.
fn like(op: &Op) -> Op {
    let p = params_of(op);
    let size = |x: u32, most: u32| x.next_power_of_two().clamp(16, most) as usize;
    let [m, n, k] = [size(p.m, 1024), size(p.n, 2048), size(p.k, 2048)];
    // At most 2^24 numbers in a matrix of the batch, all of it together.
    let batch = (1usize << 24) / (m * k).max(n * k).max(m * n);
    let batch = batch.clamp(1, 16).min(p.batch.next_power_of_two() as usize);
    let view = |index: usize, len: usize| View { buffer: BufferId::Transient(index), offset: 0, len };
    let lying = |view: View, rows: usize, cols: usize, along_rows: bool| {
        let matrix = if along_rows { Matrix::rows(view, rows).transposed() } else { Matrix::rows(view, cols) };
        matrix.every(rows * cols)
    };
    let format = Format::from_constant(op.constants.iter().find(|(name, _)| *name == "FORMAT").map_or(0, |(_, v)| *v));
    let columns_are_outputs = p.flags & DIAGONAL_N_IS_OUTPUT != 0;
    let has_diagonal = columns_are_outputs || p.flags & DIAGONAL_K_IS_OUTPUT != 0;
    let (inputs, outputs) = if columns_are_outputs { (k, n) } else { (n, k) };
    let blocks = 8.min(inputs).min(outputs);
    let diagonal = has_diagonal.then(|| Diagonal {
        view: view(2, inputs * outputs / blocks),
        block_in: inputs / blocks,
        block_out: outputs / blocks,
        first_output: 0,
        columns_are_outputs,
    });
    let a = lying(view(0, batch * m * k), m, k, p.a_row == 1 && p.a_col != 1);
    let b = lying(view(1, format.words(batch * n * k)), k, n, p.b_row == 1 && p.b_col != 1);
    let c = Matrix::rows(view(5, batch * m * n), n).every(m * n);
    MatMul { batch, format, diagonal, ..MatMul::new(m, n, k, a, b, c) }.op()
}

thread_local! {
    /// A tile of the weight, widened and with its diagonal added.
    static PANEL: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// A widened tile stays within the second-level cache.
const PANEL_NUMBERS: usize = 64 * 1024;
/// Work that is worth a task of its own, in multiply-adds.
const TASK: usize = 1 << 20;

/// Tiles of C are independent, so each is one task; the sum over k is never split, so the tiling does not change results.
fn run(call: &mut Call<'_>) {
    let p: Params = call.params();
    let format = Format::from_constant(call.constant("FORMAT"));
    let (a, b_words) = (call.read(0), call.words(1));
    let (diagonal, bias, residual) = (call.read(2), call.read(3), call.read(4));
    let c_slice = call.write(5);
    let c = Shared(c_slice.as_mut_ptr());
    let c_len = c_slice.len();
    let [m, n, k, batch] = [p.m, p.n, p.k, p.batch].map(|x| x as usize);
    let has_diagonal = p.flags & (DIAGONAL_N_IS_OUTPUT | DIAGONAL_K_IS_OUTPUT) != 0;
    let panels = format != Format::F32 || has_diagonal;
    let tile_n = if panels { (PANEL_NUMBERS / k.max(1)).clamp(16, 512) / 16 * 16 } else { 256 }.min(n).max(1);
    let tile_m = (TASK / (tile_n * k).max(1)).next_multiple_of(32).max(256).min(m).max(1);
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
        let product = |b: *const f32, b_row: usize, b_col: usize| {
            debug_assert!(rows == 0 || k == 0 || a_at + (rows - 1) * p.a_row as usize + (k - 1) * p.a_col as usize <= a.len());
            assert!(c_at + (rows - 1) * p.c_row as usize + cols <= c_len, "matmul: C outside its view");
            // SAFETY: strides and extents are those of matrices inside the views (checked for C above, for A and B by the plan's
            // builder); tiles of C are disjoint.
            unsafe {
                gemm::gemm(
                    rows,
                    cols,
                    k,
                    c.0.add(c_at),
                    1,
                    p.c_row as isize,
                    keep,
                    a.as_ptr().add(a_at),
                    p.a_col as isize,
                    p.a_row as isize,
                    b,
                    b_col as isize,
                    b_row as isize,
                    1.0,
                    p.alpha,
                    false,
                    false,
                    false,
                    gemm::Parallelism::None,
                );
            }
        };
        if !panels {
            let b: &[f32] = bytemuck::cast_slice(b_words);
            return product(b[b_at..].as_ptr(), p.b_row as usize, p.b_col as usize);
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
                }
            });
            if along_k { product(panel.as_ptr(), 1, k) } else { product(panel.as_ptr(), cols, 1) }
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

/// As [`run`], a column at a time: the weight is read once and kept nowhere.
fn run_few_rows(call: &mut Call<'_>) {
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

fn prefill(p: &Params, row: &mut [f32], bias: &[f32], residual: &[f32], at: usize, j0: usize) {
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
fn add_diagonal(p: &Params, diagonal: &[f32], out: &mut [f32], line: usize, first: usize, line_is_output: bool) {
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
