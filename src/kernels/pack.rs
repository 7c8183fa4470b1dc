//! A product's factor in f16, in the order in which [`super::matmul_packed`] copies it, with DiaBlo's diagonal added on the way.

use super::matmul::twin::half_of;
use super::matmul::{Diagonal, HALVES, WEIGHT};
use super::vector::for_chunks;
use super::{Format, op};
use crate::device::{Access, Call, Kernel, Op, View};
use half::f16;

/// Lines of a tile: rows of A or columns of B.
pub const LINES: usize = 128;
/// Numbers of k of a tile.
pub const NUMBERS: usize = 32;
/// Lines that a workgroup packs.
const GROUP: usize = 64;

/// `shaders/pack.wgsl`.
pub static KERNEL: Kernel = Kernel {
    name: "pack",
    source: &[WEIGHT, HALVES, include_str!("../../shaders/pack.wgsl")],
    bindings: &[Access::Read, Access::Read, Access::Write],
    run,
    ..Kernel::PLAIN
};

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    lines: u32,
    k: u32,
    offset: u32,
    line_stride: u32,
    k_stride: u32,
    block_in: u32,
    block_out: u32,
    first_output: u32,
    lines_are_outputs: u32,
}

/// A factor of a product: line i's number j of k stands at `offset + i * line_stride + j * k_stride` of the view.
#[derive(Clone, Copy, Debug)]
pub struct Factor {
    /// Where it lies.
    pub view: View,
    /// How its numbers lie.
    pub format: Format,
    /// Rows of A or columns of B.
    pub lines: usize,
    /// What is summed over.
    pub k: usize,
    /// First number.
    pub offset: usize,
    /// From a line to the next.
    pub line_stride: usize,
    /// From a number of k to the next.
    pub k_stride: usize,
    /// Blocks added to it.
    pub diagonal: Option<Diagonal>,
}

/// Words that so many packed lines of `k` numbers take.
pub fn words(lines: usize, k: usize) -> usize {
    lines.div_ceil(LINES) * k.div_ceil(NUMBERS) * (LINES * NUMBERS / 2)
}

/// Where a number stands among the packed ones of a factor with so many numbers of k.
pub fn place(line: usize, number: usize, k: usize) -> usize {
    let tile = line / LINES * k.div_ceil(NUMBERS) + number / NUMBERS;
    (tile * NUMBERS + number % NUMBERS) * LINES + line % LINES
}

/// y = f16(factor + D), packed; y takes [`words`].
pub fn pack(factor: Factor, y: View) -> Op {
    let u = |x: usize| u32::try_from(x).expect("a matrix's strides fit into 32 bits");
    let d = factor.diagonal;
    let params = Params {
        lines: u(factor.lines),
        k: u(factor.k),
        offset: u(factor.offset),
        line_stride: u(factor.line_stride),
        k_stride: u(factor.k_stride),
        block_in: d.map_or(0, |d| u(d.block_in)),
        block_out: d.map_or(1, |d| u(d.block_out)),
        first_output: d.map_or(0, |d| u(d.first_output)),
        lines_are_outputs: d.map_or(0, |d| u32::from(d.columns_are_outputs)),
    };
    let grid = [u(factor.k.div_ceil(NUMBERS)), u(factor.lines.div_ceil(LINES) * (LINES / GROUP)), 1];
    let views = vec![factor.view, d.map_or(factor.view, |d| d.view), y];
    let mut op = op(&KERNEL, views, params, grid, factor.lines * factor.k);
    op.constants = vec![("FORMAT", factor.format.constant())];
    op
}

fn run(call: &mut Call<'_>) {
    let p: Params = call.params();
    let format = Format::from_constant(call.constant("FORMAT"));
    let (words, diagonal) = (call.words(0), call.read(1));
    let [lines, k] = [p.lines, p.k].map(|x| x as usize);
    let value = |line: usize, number: usize| {
        let mut one = [0.0];
        format.widen(words, (p.offset + line as u32 * p.line_stride + number as u32 * p.k_stride) as usize, &mut one);
        if p.block_in > 0 {
            let (output, input) = if p.lines_are_outputs == 1 { (line, number) } else { (number, line) };
            let output = p.first_output as usize + output;
            if output / p.block_out as usize == input / p.block_in as usize {
                one[0] += diagonal[input * p.block_out as usize + output % p.block_out as usize];
            }
        }
        f16::from_f32(half_of(one[0])).to_bits()
    };
    let y = call.write(2);
    let tiles = k.div_ceil(NUMBERS);
    for_chunks(&mut y[..self::words(lines, k)], |start, y| {
        for (i, y) in y.iter_mut().enumerate() {
            let pair = [0, 1].map(|half| {
                let at = 2 * (start + i) + half;
                let (tile, within) = (at / (LINES * NUMBERS), at % (LINES * NUMBERS));
                let line = tile / tiles * LINES + within % LINES;
                let number = tile % tiles * NUMBERS + within / LINES;
                if line < lines && number < k { value(line, number) } else { 0 }
            });
            *y = f32::from_bits(u32::from(pair[0]) | u32::from(pair[1]) << 16);
        }
    });
}
