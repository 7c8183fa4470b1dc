//! Matrix products in every layout a transformer needs, on weights of any format, with DiaBlo's diagonal added on the way.

pub(super) mod packing;
pub(super) mod twin;

use super::{Format, attention, attention_grad_kv, attention_grad_q};
use super::{grid, matmul_cooperative, matmul_cooperative_narrow, matmul_narrow, matmul_packed, matmul_subgroup, matmul_vector};
use super::{matmul_wide, op, pack};
use crate::device::plan::BufferId;
use crate::device::{Access, Kernel, Limits, Op, Plan, PlanBuilder, View};
use twin::run;

/// `shaders/matmul.wgsl` with tiles of 64 x 64 x 16.
pub static KERNEL: Kernel = Kernel {
    name: "matmul",
    source: &[
        WEIGHT,
        HALVES,
        SHARED,
        WORDS,
        "const SIDE: u32 = 8u;\nconst QUADS: u32 = 16u;\nconst TILE_K: u32 = 16u;\n",
        TILES,
        include_str!("../../shaders/matmul.wgsl"),
    ],
    bindings: &[Access::Read, Access::Read, Access::Read, Access::Read, Access::Read, Access::Write],
    run,
    others,
    like,
    ..Kernel::PLAIN
};

pub(super) const WEIGHT: &str = include_str!("../../shaders/shared/weight.wgsl");
pub(super) const HALVES: &str = include_str!("../../shaders/shared/half.wgsl");
pub(super) const SHARED: &str = include_str!("../../shaders/shared/matmul.wgsl");
/// The factors of those that read them word by word.
pub(super) const WORDS: &str = include_str!("../../shaders/shared/matmul_words.wgsl");
/// The factors of those that read four words at a time.
pub(super) const QUADS: &str = include_str!("../../shaders/shared/matmul_quads.wgsl");
/// The tiles of those that go by workgroup memory.
pub(super) const TILES: &str = include_str!("../../shaders/shared/matmul_tile.wgsl");

/// The constant that has factors rounded to f16.
pub(super) const HALF: &str = "HALF";
/// The constant of products whose factors are packed.
const PACKED: &str = "PACKED";
/// The constants that say whether numbers of a row of A, and of a column of B, lie side by side, for those that read four at a time.
const A_ALONG_K: &str = "A_ALONG_K";
const B_ALONG_K: &str = "B_ALONG_K";

const ACCUMULATE: u32 = 1;
const ADD_BIAS: u32 = 2;
const ADD_RESIDUAL: u32 = 4;
pub(super) const DIAGONAL_N_IS_OUTPUT: u32 = 8;
const DIAGONAL_K_IS_OUTPUT: u32 = 16;

/// An extent that is not bounded over the batch; see [`MatMul::limits`].
pub const NO_LIMIT: usize = u32::MAX as usize;

/// The uniform.
#[repr(C)]
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
pub(super) struct Params {
    pub m: u32,
    pub n: u32,
    pub k: u32,
    pub flags: u32,
    pub a_offset: u32,
    pub a_row: u32,
    pub a_col: u32,
    pub a_batch: u32,
    pub b_offset: u32,
    pub b_row: u32,
    pub b_col: u32,
    pub b_batch: u32,
    pub c_offset: u32,
    pub c_row: u32,
    pub c_batch: u32,
    pub alpha: f32,
    pub m_limit: u32,
    pub n_limit: u32,
    pub k_limit: u32,
    pub block_in: u32,
    pub block_out: u32,
    pub first_output: u32,
    pub bias_offset: u32,
    pub batch: u32,
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
        let (kernel, grid) =
            if self.is_few_rows() { (&matmul_vector::KERNEL, grid(self.n.div_ceil(4))) } else { (&KERNEL, tiles(&params, 64, 64)) };
        let mut op = op(kernel, views, params, grid, flops);
        op.constants = vec![("FORMAT", self.format.constant())];
        op
    }

    /// Whether [`matmul_vector`] can compute it.
    fn is_few_rows(&self) -> bool {
        let inputs = self.diagonal.is_none_or(|d| d.columns_are_outputs);
        self.m <= 4 && self.batch == 1 && self.b.row == 1 && self.limits.is_none() && inputs
    }
}

/// Workgroups for tiles of so many rows and columns.
fn tiles(p: &Params, rows: u32, cols: u32) -> [u32; 3] {
    [p.n.div_ceil(cols).max(1), p.m.div_ceil(rows).max(1), p.batch]
}

/// Has the factors of a product, or of an attention's, rounded to f16 as they are loaded; sums stay in 32 bits. Other operations and products
/// of few rows, which wait for memory alone, stay as they are; packed ones are rounded already.
pub fn in_half(op: &mut Op) {
    let attends = [&attention::KERNEL, &attention_grad_q::KERNEL, &attention_grad_kv::KERNEL].iter().any(|k| k.name == op.kernel.name);
    if attends || op.kernel.name == KERNEL.name && !is_packed(op) {
        op.constants.push((HALF, 1));
    }
}

fn is_half(op: &Op) -> bool {
    op.constants.contains(&(HALF, 1))
}

/// Closes a plan whose products take factors in f16, as it is best for a device with these limits.
pub fn finish_in_half(mut plan: PlanBuilder, limits: Limits) -> Plan {
    if limits.matrix_units {
        packing::pack_factors(&mut plan, limits.piece_bytes.min(limits.max_words() as u64 * 4));
    }
    let mut plan = plan.finish();
    plan.ops.iter_mut().for_each(in_half);
    plan
}

fn is_packed(op: &Op) -> bool {
    op.constants.contains(&(PACKED, 1))
}

fn params_of(op: &Op) -> Params {
    bytemuck::pod_read_unaligned(bytemuck::cast_slice(&op.params))
}

/// Whether A and B lie along k, where both can be read four words at a time: sizes, strides and places are multiples of eight numbers.
fn in_quads(op: &Op, p: &Params) -> Option<[bool; 2]> {
    let eights = |numbers: &[u32]| numbers.iter().all(|x| x % 8 == 0);
    let whole = [(p.m, p.m_limit), (p.n, p.n_limit), (p.k, p.k_limit)].iter().all(|(x, limit)| p.batch * x <= *limit);
    let placed = eights(&[p.a_offset, p.a_batch, p.b_offset, p.b_batch]);
    let quads = op.views[..2].iter().all(|view| view.len % 4 == 0);
    let a_along = p.a_col == 1 && eights(&[p.a_row, p.k]);
    let a_lies = a_along || p.a_row == 1 && eights(&[p.a_col, p.m]);
    // D is read by four inputs of one output.
    let b_along = p.b_row == 1 && eights(&[p.b_col, p.k]) && p.flags & DIAGONAL_K_IS_OUTPUT == 0;
    let b_lies = b_along || p.b_col == 1 && eights(&[p.b_row, p.n]) && p.flags & DIAGONAL_N_IS_OUTPUT == 0;
    (whole && placed && quads && a_lies && b_lies).then_some([a_along, b_along])
}

/// The same product by the other kernels.
fn others(op: &Op) -> Vec<Op> {
    let p = params_of(op);
    let by = |kernel, rows, cols| Op { kernel, grid: tiles(&p, rows, cols), ..op.clone() };
    if is_packed(op) {
        return vec![by(&matmul_packed::KERNEL, 128, 128)];
    }
    let mut others = vec![by(&matmul_narrow::KERNEL, 32, 32), by(&matmul_subgroup::KERNEL, 64, 32)];
    if let Some([a_along, b_along]) = in_quads(op, &p) {
        let in_quads = |kernel, side| {
            let mut op = by(kernel, side, side);
            op.constants.extend([(A_ALONG_K, u32::from(a_along)), (B_ALONG_K, u32::from(b_along))]);
            op
        };
        others.push(in_quads(&matmul_wide::KERNEL, 128));
        if is_half(op) {
            others.extend([in_quads(&matmul_cooperative::KERNEL, 128), in_quads(&matmul_cooperative_narrow::KERNEL, 64)]);
        }
    }
    others
}

/// Multiplications in a product that is measured, about.
const WORK_TO_MEASURE: usize = 1 << 31;

/// The product that stands for those like this one: sizes by powers of two, none so large that measuring takes long, the matrices
/// whole and in the same layout, with a diagonal if this one has one, and in the same way unfit to be read by four words. Its views tell
/// only how much memory it needs.
fn like(op: &Op) -> Op {
    let p = params_of(op);
    let size = |x: u32, most: usize| (x.next_power_of_two() as usize).clamp(16, most);
    // What keeps a device busy are rows and columns; of k there has to be enough that the rest does not count.
    let [m, n] = [size(p.m, 4096), size(p.n, 4096)];
    let k = size(p.k, (WORK_TO_MEASURE / (m * n)).clamp(256, 4096));
    // At most 2^24 numbers in a matrix of the batch, all of it together.
    let batch = (1usize << 24) / (m * k).max(n * k).max(m * n);
    let batch = batch.clamp(1, 16).min(p.batch.next_power_of_two() as usize);
    let view = |index: usize, len: usize| View { buffer: BufferId::Transient(index), offset: 0, len };
    if is_packed(op) {
        let [a, b] = [view(0, pack::words(m, k)), view(1, pack::words(n, k))];
        let c = Matrix::rows(view(5, m * n), n);
        return packing::packed(MatMul::new(m, n, k, Matrix::rows(a, k), Matrix::rows(b, k).transposed(), c), a, b);
    }
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
    // Its first number left out.
    let unfit = usize::from(in_quads(op, &p).is_none());
    let a = lying(view(0, batch * m * k + unfit), m, k, p.a_row == 1 && p.a_col != 1).at(unfit);
    let b = lying(view(1, format.words(batch * n * k)), k, n, p.b_row == 1 && p.b_col != 1);
    let c = Matrix::rows(view(5, batch * m * n), n).every(m * n);
    let mut like = MatMul { batch, format, diagonal, ..MatMul::new(m, n, k, a, b, c) }.op();
    if is_half(op) {
        in_half(&mut like);
    }
    like
}

#[cfg(test)]
mod tests {
    use super::*;

    fn product(layout: crate::kernels::cases::Product, [m, n, k]: [usize; 3], first: usize) -> Op {
        let view = |index: usize, len: usize| View { buffer: BufferId::Transient(index), offset: 0, len };
        let (a, b) = layout.matrices(view(0, m * k + first), view(1, n * k), m, n, k);
        MatMul::new(m, n, k, a.at(first), b, Matrix::rows(view(5, m * n), n)).op()
    }

    /// By whether they are read by four words, and then whether A and B lie along k.
    fn lies(op: &Op) -> Option<[bool; 2]> {
        in_quads(op, &params_of(op))
    }

    #[test]
    fn factors_are_read_by_four_where_they_lie_so() {
        use crate::kernels::cases::Product::{Forward, InputGradient, WeightGradient};
        assert_eq!(lies(&product(Forward, [3, 5, 16], 0)), Some([true, true]));
        assert_eq!(lies(&product(InputGradient, [3, 8, 16], 0)), Some([true, false]));
        assert_eq!(lies(&product(WeightGradient, [16, 8, 3], 0)), Some([false, false]));
        // What lies side by side is no multiple of eight, or does not begin at one.
        assert_eq!(lies(&product(Forward, [8, 8, 12], 0)), None);
        assert_eq!(lies(&product(InputGradient, [8, 12, 8], 0)), None);
        assert_eq!(lies(&product(WeightGradient, [12, 8, 8], 0)), None);
        assert_eq!(lies(&product(Forward, [8, 8, 16], 4)), None);
    }

    #[test]
    fn what_is_measured_lies_as_what_it_stands_for() {
        for layout in crate::kernels::cases::Product::ALL {
            for (sizes, first) in [([512, 576, 1536], 0), ([513, 577, 1537], 0), ([4096, 8192, 2048], 0), ([512, 576, 1536], 1)] {
                let op = product(layout, sizes, first);
                assert_eq!(lies(&like(&op)), lies(&op), "{layout:?} {sizes:?} {first}");
                let names = |op: &Op| others(op).iter().map(|o| o.kernel.name).collect::<Vec<_>>();
                assert_eq!(names(&like(&op)), names(&op));
                assert!(like(&op).flops <= 4 * WORK_TO_MEASURE as u64);
            }
        }
    }
}
