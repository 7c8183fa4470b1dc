//! Lengths of the rows of a weight and LoRA's product together: DoRA's |V|.

use super::vector::vectorised;
use super::{Format, grid, op, shader};
use crate::device::{Access, Call, Kernel, Op, View};
use rayon::prelude::*;

/// `shaders/weight_norm.wgsl`.
pub static KERNEL: Kernel = Kernel {
    name: "weight_norm",
    source: shader!("weight_norm", "weight", "sum64"),
    bindings: &[Access::Read, Access::Read, Access::Read, Access::Write],
    run,
    ..Kernel::PLAIN
};

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    rows: u32,
    width: u32,
    rank: u32,
    first_row: u32,
    scale: f32,
}

/// Which rows, and how the product is scaled.
#[derive(Clone, Copy, Debug)]
pub struct WeightNorm {
    /// Rows of this piece of the weight.
    pub rows: usize,
    /// Inputs.
    pub width: usize,
    /// Rows of A.
    pub rank: usize,
    /// The output that the piece's first row stands for.
    pub first_row: usize,
    /// Factor of the product.
    pub scale: f32,
}

/// `norms[first_row + o] = sqrt(sum over i of (W[o, i] + s sum over r of B[first_row + o, r] A[r, i])^2)` (Liu et al. 2024, eq. 5).
/// w: [rows, width] in `format`; a: [rank, width]; b: [outputs, rank]; norms: \[outputs\].
pub fn weight_norm(w: View, format: Format, a: View, b: View, norms: View, of: WeightNorm) -> Op {
    let params =
        Params { rows: of.rows as u32, width: of.width as u32, rank: of.rank as u32, first_row: of.first_row as u32, scale: of.scale };
    let mut op = op(&KERNEL, vec![w, a, b, norms], params, grid(of.rows), 2 * of.rows * of.width * (of.rank + 1));
    op.constants = vec![("FORMAT", format.constant())];
    op
}

fn run(call: &mut Call<'_>) {
    let p: Params = call.params();
    let format = Format::from_constant(call.constant("FORMAT"));
    let (w, a, b) = (call.words(0), call.read(1), call.read(2));
    let norms = call.write(3);
    let (rows, width, rank) = (p.rows as usize, p.width as usize, p.rank as usize);
    norms[p.first_row as usize..][..rows].par_iter_mut().enumerate().for_each_init(
        || vec![0.0; width],
        |row, (o, norm)| {
            vectorised(|| {
                format.widen(w, o * width, row);
                for (r, b) in b[(p.first_row as usize + o) * rank..][..rank].iter().enumerate() {
                    for (x, a) in row.iter_mut().zip(&a[r * width..]) {
                        *x += p.scale * b * a;
                    }
                }
                *norm = row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt() as f32;
            });
        },
    );
}
