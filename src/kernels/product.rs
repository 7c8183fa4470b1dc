//! Products of matrices by the `gemm` library: the one place that calls it. Only its part for f32 is compiled.

/// A matrix in memory: where its first entry is, and the entries from one row to the next and from one column to the next.
#[derive(Clone, Copy)]
pub(super) struct Matrix {
    pub first: *const f32,
    pub row: usize,
    pub col: usize,
}

/// c\[m, n\] = alpha a\[m, k\] b\[k, n\] + (c where `add`); the rows of c are whole, `c_row` entries apart.
///
/// # Safety
/// All entries of `a` and `b` can be read and those of `c` written; nobody else writes them meanwhile. Where not `add`, c's
/// entries need no value yet.
pub(super) unsafe fn product_at(m: usize, n: usize, k: usize, alpha: f32, a: Matrix, b: Matrix, c: *mut f32, c_row: usize, add: bool) {
    // The library's kernels write down columns, so it is asked for the transposed product: Cᵀ = Bᵀ Aᵀ.
    // Its arguments: the sizes; C, whether to add to it; the factors, each with its step to the next column before that to the next
    // row; the factors of C and of the product; three conjugations, which real numbers lack.
    let stride = |entries: usize| entries as isize;
    // SAFETY: the caller's.
    unsafe {
        gemm_f32::gemm::f32::get_gemm_fn()(
            n,
            m,
            k,
            c,
            stride(c_row),
            1,
            add,
            b.first,
            stride(b.row),
            stride(b.col),
            a.first,
            stride(a.row),
            stride(a.col),
            1.0,
            alpha,
            false,
            false,
            false,
            gemm_common::Parallelism::None,
        );
    }
}

/// A matrix in a slice, from its first entry on.
pub(super) struct Strided<'a> {
    pub data: &'a [f32],
    pub row: usize,
    pub col: usize,
}

impl Strided<'_> {
    fn holds(&self, rows: usize, cols: usize) -> bool {
        rows.saturating_sub(1) * self.row + cols.saturating_sub(1) * self.col < self.data.len()
    }

    fn matrix(&self) -> Matrix {
        Matrix { first: self.data.as_ptr(), row: self.row, col: self.col }
    }
}

/// [`product_at`] on slices. Panics where one is too short.
pub(super) fn product(
    m: usize,
    n: usize,
    k: usize,
    alpha: f32,
    a: Strided<'_>,
    b: Strided<'_>,
    out: &mut [f32],
    out_row: usize,
    add: bool,
) {
    if m == 0 || n == 0 {
        return;
    }
    assert!(k == 0 || (a.holds(m, k) && b.holds(k, n)), "a factor is shorter than its matrix");
    assert!((m - 1) * out_row + n <= out.len(), "the product is longer than its slice");
    // SAFETY: the last entry of each matrix lies inside its slice, as just checked; `out` is borrowed alone.
    unsafe { product_at(m, n, k, alpha, a.matrix(), b.matrix(), out.as_mut_ptr(), out_row, add) };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both factors in both directions, odd sizes and single rows and columns, added and not, within wider rows of C.
    #[test]
    fn products_are_sums() {
        for (m, n, k) in [(1, 1, 1), (1, 7, 5), (7, 1, 5), (5, 3, 0), (3, 17, 9), (33, 18, 65)] {
            for directions in 0..4 {
                let value = |i: usize| ((i * 37 + 11) % 19) as f32 - 9.0;
                let (a, b): (Vec<f32>, Vec<f32>) = ((0..m * k).map(value).collect(), (0..k * n).map(|i| value(i + 5)).collect());
                let (a_row, a_col) = if directions & 1 == 0 { (k, 1) } else { (1, m) };
                let (b_row, b_col) = if directions & 2 == 0 { (n, 1) } else { (1, k) };
                for add in [false, true] {
                    let wide = n + 2;
                    let mut c = vec![7.0; m * wide];
                    product(
                        m,
                        n,
                        k,
                        0.5,
                        Strided { data: &a, row: a_row, col: a_col },
                        Strided { data: &b, row: b_row, col: b_col },
                        &mut c,
                        wide,
                        add,
                    );
                    for (i, row) in c.chunks(wide).enumerate() {
                        for (j, found) in row.iter().enumerate() {
                            // Small whole numbers: the sums are exact in any order.
                            let sum: f32 = (0..k).map(|l| a[i * a_row + l * a_col] * b[(l * b_row + j * b_col).min(b.len() - 1)]).sum();
                            let expected = if j >= n { 7.0 } else { 0.5 * sum + if add { 7.0 } else { 0.0 } };
                            assert_eq!(*found, expected, "{m} x {n} x {k}, {directions}, {add}: [{i}, {j}]");
                        }
                    }
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "shorter than its matrix")]
    fn a_short_factor_is_refused() {
        let (a, b, mut c) = ([1.0; 5], [1.0; 6], [0.0; 4]);
        product(2, 2, 3, 1.0, Strided { data: &a, row: 3, col: 1 }, Strided { data: &b, row: 2, col: 1 }, &mut c, 2, false);
    }
}
