//! DoRA's lengths: columns of a product brought to them.

use super::vector::{CHUNK, vectorised};
use super::{grid256, op, shader};
use crate::device::{Access, Call, Kernel, Op, View};
use rayon::prelude::*;

/// `shaders/scale_columns.wgsl`.
pub static KERNEL: Kernel = Kernel {
    name: "scale_columns",
    source: shader!("scale_columns", "index"),
    bindings: &[Access::Read, Access::Read, Access::Read, Access::Read, Access::Read, Access::Write],
    run,
    ..Kernel::PLAIN
};

const ADD_BIAS: u32 = 1;
const ADD_RESIDUAL: u32 = 2;

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    count: u32,
    width: u32,
    flags: u32,
}

/// `y[t, o] = x[t, o] m[o] / norms[o] (+ bias[o]) (+ residual[t, o])` (Liu et al. 2024, eq. 5). x, y, residual: [rows, width].
pub fn scale_columns(x: View, m: View, norms: View, bias: Option<View>, residual: Option<View>, y: View, rows: usize, width: usize) -> Op {
    let flags = if bias.is_some() { ADD_BIAS } else { 0 } | if residual.is_some() { ADD_RESIDUAL } else { 0 };
    let params = Params { count: (rows * width) as u32, width: width as u32, flags };
    // A binding that is not used still has to be bound.
    op(&KERNEL, vec![x, m, norms, bias.unwrap_or(x), residual.unwrap_or(x), y], params, grid256(rows * width), 3 * rows * width)
}

fn run(call: &mut Call<'_>) {
    let p: Params = call.params();
    let (x, m, norms, bias, residual) = (call.read(0), call.read(1), call.read(2), call.read(3), call.read(4));
    let y = call.write(5);
    let (count, width) = (p.count as usize, p.width as usize);
    let task = (CHUNK / width.max(1)).max(1) * width.max(1);
    y[..count].par_chunks_mut(task).enumerate().for_each(|(t, chunk)| {
        vectorised(|| {
            for (row, y) in chunk.chunks_mut(width).enumerate() {
                let at = t * task + row * width;
                for o in 0..y.len() {
                    let mut value = x[at + o] * (m[o] / norms[o]);
                    if p.flags & ADD_BIAS != 0 {
                        value += bias[o];
                    }
                    if p.flags & ADD_RESIDUAL != 0 {
                        value += residual[at + o];
                    }
                    y[o] = value;
                }
            }
        });
    });
}
