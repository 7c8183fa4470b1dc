//! Products whose factors are rounded to f16 and packed in a pass of their own: matrix units are faster than what feeds them, and a factor
//! is read by every tile of C beside it.

use super::{ACCUMULATE, ADD_BIAS, ADD_RESIDUAL, DIAGONAL_K_IS_OUTPUT, DIAGONAL_N_IS_OUTPUT, Diagonal, KERNEL, MatMul, Matrix, PACKED};
use super::{is_packed, params_of, tiles};
use crate::device::{Op, PlanBuilder, View};
use crate::kernels::Format;
use crate::kernels::pack::{Factor, LINES, NUMBERS, pack, words};

/// How many numbers a packed one has to be multiplied with so that packing pays. On an H200 the first `pack` took 223 G numbers a second, and
/// products went from 120 to about 240 TFLOP/s: that is 540. The one that stands has not been measured; this presumes it to be twice as fast.
const LEAST_REUSE: usize = 256;
/// Of fewer numbers of k matrix units make no use.
const LEAST_K: usize = 128;
/// Workgroups along one dimension; WebGPU allows no more.
const MOST_K: usize = 65_535 * NUMBERS;
/// A packed factor waits for so many operations to be used again, which is as far as products of the same x are from each other.
const WAITS: usize = 8;

/// The operation of a product whose factors lie packed in these views.
pub(in crate::kernels) fn packed(product: MatMul, a: View, b: View) -> Op {
    let (rows, columns) = (Matrix::rows(a, product.k), Matrix::rows(b, product.k).transposed());
    let mut op = MatMul { a: rows, b: columns, diagonal: None, ..product }.op();
    // Also of few rows.
    (op.kernel, op.grid) = (&KERNEL, tiles(&params_of(&op), 64, 64));
    op.constants = vec![(PACKED, 1)];
    op
}

/// A factor that was packed.
struct Made {
    op: Op,
    /// Which operation used it last.
    used: usize,
}

/// Has the products of a plan that are large enough take their factors from packed copies of at most so many bytes each. Products of the
/// same factor share its copy where nothing between them writes it.
pub(super) fn pack_factors(plan: &mut PlanBuilder, most_bytes: u64) {
    let mut made: Vec<Made> = Vec::new();
    let mut at = 0;
    plan.rewrite(|plan, op| {
        at += 1;
        made.retain(|copy| copy.used + WAITS > at);
        let op = match factors(&op, most_bytes).filter(|factors| pays(&mut made, factors, op.needs_rows_above)) {
            None => op,
            Some(factors) => {
                let [a, b] = factors.map(|factor| copied(plan, &mut made, factor, op.needs_rows_above, at));
                by_copies(&op, a, b)
            }
        };
        let written: Vec<View> = op.written().collect();
        plan.push(op);
        made.retain(|copy| !copy.op.views[..2].iter().any(|read| written.iter().any(|view| view.overlaps(read))));
    });
}

/// Both factors of a product that can take them packed.
fn factors(op: &Op, most_bytes: u64) -> Option<[Factor; 2]> {
    if op.kernel.name != KERNEL.name || is_packed(op) {
        return None;
    }
    let p = params_of(op);
    let [m, n, k, batch] = [p.m, p.n, p.k, p.batch].map(|x| x as usize);
    let whole = [(p.m, p.m_limit), (p.n, p.n_limit), (p.k, p.k_limit)].iter().all(|(x, limit)| x <= limit);
    // Lines are packed by so many.
    let wide = m.min(n) >= LINES;
    let deep = (LEAST_K..=MOST_K).contains(&k);
    let fits = words(m.max(n), k) as u64 * 4 <= most_bytes;
    if batch != 1 || !whole || !wide || !deep || !fits {
        return None;
    }
    let format = Format::from_constant(op.constants.iter().find(|(name, _)| *name == "FORMAT").map_or(0, |(_, value)| *value));
    let diagonal = (p.flags & (DIAGONAL_N_IS_OUTPUT | DIAGONAL_K_IS_OUTPUT) != 0).then(|| Diagonal {
        view: op.views[2],
        block_in: p.block_in as usize,
        block_out: p.block_out as usize,
        first_output: p.first_output as usize,
        columns_are_outputs: p.flags & DIAGONAL_N_IS_OUTPUT != 0,
    });
    let factor = |view, format, lines, offset: u32, line_stride: u32, k_stride: u32, diagonal| Factor {
        view,
        format,
        lines,
        k,
        offset: offset as usize,
        line_stride: line_stride as usize,
        k_stride: k_stride as usize,
        diagonal,
    };
    Some([
        factor(op.views[0], Format::F32, m, p.a_offset, p.a_row, p.a_col, None),
        factor(op.views[1], format, n, p.b_offset, p.b_col, p.b_row, diagonal),
    ])
}

/// The packed copy of a factor, if it is there for an operation that needs so many rows. What was made where a run may have too few of
/// them is not there for who needs fewer.
fn there<'a>(made: &'a mut [Made], factor: &Factor, needs: Option<u32>) -> Option<&'a mut Made> {
    let wanted = pack(*factor, factor.view);
    let same = |op: &Op| op.views[..2] == wanted.views[..2] && op.params == wanted.params && op.constants == wanted.constants;
    made.iter_mut().find(|copy| copy.op.needs_rows_above <= needs && same(&copy.op))
}

/// Whether what has to be packed for a product is multiplied with often enough.
fn pays(made: &mut [Made], factors: &[Factor; 2], needs: Option<u32>) -> bool {
    let [m, n] = [0, 1].map(|i| factors[i].lines);
    let missing: usize = factors.iter().filter(|factor| there(made, factor, needs).is_none()).map(|factor| factor.lines).sum();
    m * n >= LEAST_REUSE * missing
}

fn copied(plan: &mut PlanBuilder, made: &mut Vec<Made>, factor: Factor, needs: Option<u32>, at: usize) -> View {
    if let Some(copy) = there(made, &factor, needs) {
        copy.used = at;
        return copy.op.views[2];
    }
    let target = plan.workspace("packed factor", words(factor.lines, factor.k));
    let op = pack(factor, target);
    plan.push(op.clone());
    made.push(Made { op: Op { needs_rows_above: needs, ..op }, used: at });
    target
}

/// A product that takes packed factors.
fn by_copies(op: &Op, a: View, b: View) -> Op {
    let p = params_of(op);
    let c = Matrix { view: op.views[5], offset: p.c_offset as usize, row: p.c_row as usize, col: 1, batch: 0 };
    let [m, n, k] = [p.m, p.n, p.k].map(|x| x as usize);
    let product = MatMul {
        alpha: p.alpha,
        accumulate: p.flags & ACCUMULATE != 0,
        bias: (p.flags & ADD_BIAS != 0).then(|| (op.views[3], p.bias_offset as usize)),
        residual: (p.flags & ADD_RESIDUAL != 0).then(|| op.views[4]),
        ..MatMul::new(m, n, k, Matrix::rows(a, k), Matrix::rows(b, k).transposed(), c)
    };
    packed(product, a, b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{Category, Device, Layout, Limits, Plan};
    use crate::kernels::fill::fill;
    use crate::kernels::matmul::finish_in_half;

    const SIZES: [usize; 3] = [520, 530, 130];

    /// y1 = x W^T, y2 = x (W + D)^T, then x is filled with 1 where `changes`, and y3 = x W^T.
    fn program(changes: bool) -> (Layout, Vec<View>, PlanBuilder) {
        let [m, n, k] = SIZES;
        let mut layout = Layout::new(Limits::NONE);
        let mut view = |words| layout.buffer("a view", words, Category::Workspace);
        let views: Vec<View> = [m * k, n * k / 2, n * k / 2, m * n, m * n, m * n].into_iter().map(&mut view).collect();
        let mut plan = PlanBuilder::new("products");
        let product = |y: usize| {
            let w = Matrix::rows(views[1], k).transposed();
            MatMul { format: Format::Bf16, ..MatMul::new(m, n, k, Matrix::rows(views[0], k), w, Matrix::rows(views[y], n)) }
        };
        let diagonal = Diagonal { view: views[2], block_in: k / 2, block_out: n / 2, first_output: 0, columns_are_outputs: true };
        plan.push(product(3).op());
        plan.only_above(Some(5));
        plan.push(MatMul { diagonal: Some(diagonal), ..product(4) }.op());
        plan.only_above(None);
        if changes {
            plan.push(fill(views[0], m * k, 1.0));
        }
        plan.push(product(5).op());
        (layout, views, plan)
    }

    fn laid(changes: bool, matrix_units: bool) -> (Layout, Vec<View>, Plan) {
        let (layout, views, plan) = program(changes);
        (layout, views, finish_in_half(plan, Limits { matrix_units, ..Limits::NONE }))
    }

    fn names(plan: &Plan) -> Vec<&'static str> {
        plan.ops.iter().map(|op| op.kernel.name).collect()
    }

    #[test]
    fn factors_are_packed_once_until_they_change() {
        assert_eq!(names(&laid(false, false).2), ["matmul"; 3]);
        // x and W; W with D; then both are there.
        assert_eq!(names(&laid(false, true).2), ["pack", "pack", "matmul", "pack", "matmul", "matmul"]);
        assert_eq!(names(&laid(true, true).2), ["pack", "pack", "matmul", "pack", "matmul", "fill", "pack", "matmul"]);
        let plan = laid(false, true).2;
        let above: Vec<Option<u32>> = plan.ops.iter().map(|op| op.needs_rows_above).collect();
        assert_eq!(above, [None, None, None, Some(5), Some(5), None], "each under the condition of its product");
    }

    #[test]
    fn what_may_not_have_been_packed_is_packed_again() {
        let (_, views, _) = program(false);
        let [m, n, k] = SIZES;
        let product =
            || MatMul::new(m, n, k, Matrix::rows(views[0], k), Matrix::rows(views[5], k).transposed(), Matrix::rows(views[3], n)).op();
        let mut plan = PlanBuilder::new("products");
        plan.only_above(Some(7));
        plan.push(product());
        plan.only_above(Some(9));
        plan.push(product());
        plan.only_above(None);
        plan.push(product());
        let plan = finish_in_half(plan, Limits { matrix_units: true, ..Limits::NONE });
        assert_eq!(names(&plan), ["pack", "pack", "matmul", "matmul", "pack", "pack", "matmul"]);
    }

    #[test]
    fn small_products_and_large_copies_are_left() {
        let product = |[m, n, k]: [usize; 3]| {
            let mut layout = Layout::new(Limits::NONE);
            let [a, b, c] = [m * k, n * k, m * n].map(|words| layout.buffer("a view", words, Category::Workspace));
            MatMul::new(m, n, k, Matrix::rows(a, k), Matrix::rows(b, k).transposed(), Matrix::rows(c, n)).op()
        };
        let packs = |sizes: [usize; 3], most: u64| {
            let mut plan = PlanBuilder::new("products");
            plan.push(product(sizes));
            // Of the same x, but of few columns: x is there already.
            plan.push(product([sizes[0], 192, sizes[2]]));
            // Of LoRA's factors.
            plan.push(product([sizes[0], 16, sizes[2]]));
            pack_factors(&mut plan, most);
            names(&plan.finish())
        };
        let all = ["pack", "pack", "matmul", "pack", "matmul", "matmul"];
        assert_eq!(packs([512, 512, 128], 1 << 20), all);
        assert_eq!(packs([512, 511, 128], 1 << 20), ["matmul"; 3]);
        assert_eq!(packs([512, 512, 127], 1 << 20), ["matmul"; 3]);
        assert_eq!(packs([512, 512, 4096], 512 * 4096 * 2), all);
        assert_eq!(packs([512, 512, 4096], 512 * 4096 * 2 - 1), ["matmul"; 3]);
    }

    #[test]
    fn packed_products_are_those_of_rounded_factors() {
        let results = [false, true].map(|matrix_units| {
            let (layout, views, plan) = laid(true, matrix_units);
            let mut session = pollster::block_on(Device::Cpu.load(&layout, &[plan])).expect("it is loaded");
            for (i, view) in views.iter().enumerate() {
                let mut random = crate::random::Random::new(i as u64);
                // Numbers from -2 to 2 in either format.
                let mut half = || 0x3f00 + random.below(0x80) as u32 + ((random.below(2) as u32) << 15);
                session.write(*view, &(0..view.len).map(|_| half() << 16 | half()).collect::<Vec<_>>()).expect("written");
            }
            session.run(0, 100).expect("it runs");
            views[3..].iter().map(|view| pollster::block_on(session.read(*view)).expect("read")).collect::<Vec<_>>()
        });
        let count = SIZES[0] * SIZES[1];
        for (plain, packed) in results[0].iter().zip(&results[1]) {
            for (a, b) in plain[..count].iter().zip(&packed[..count]) {
                let (a, b) = (f32::from_bits(*a), f32::from_bits(*b));
                assert!((a - b).abs() <= 1e-4, "{a} and {b}");
            }
        }
    }
}
