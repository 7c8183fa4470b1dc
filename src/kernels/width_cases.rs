//! What rounding to bf16 and back is tried with; see [`super::cases`].

use super::cases::{Case, CaseBuilder, SIZES};
use super::narrow::{narrow, words};
use super::widen::widen;
use crate::device::Category;

/// In the middle between two numbers of bf16 (to even: down, up), next to the middle, at the end of the range, zeros.
const EDGES: [u32; 9] = [0x3f80_8000, 0x3f81_8000, 0x3f80_8001, 0x3f80_7fff, 0x7f7f_0000, 0xff7f_7fff, 0, 0x8000_0000, 0x0080_8000];

/// 65,535 workgroups of 256 is what one dimension of a grid holds.
const FOLDED: usize = 65_535 * 256 + 300;

pub(super) fn widths(cases: &mut Vec<Case>) {
    let mut b = CaseBuilder::new(1);
    let (x, y) = (b.words(&EDGES), b.noisy_output(words(EDGES.len())));
    cases.push(b.finish("edges", 0.0, narrow(x, y, EDGES.len())));
    for count in SIZES {
        let mut b = CaseBuilder::new(count as u32);
        let (x, y) = (b.floats(count, 4.0), b.noisy_output(words(count)));
        cases.push(b.finish(format!("count {count}"), 0.0, narrow(x, y, count)));
        let mut b = CaseBuilder::new(count as u32);
        let (x, y) = (b.floats(words(count), 4.0), b.noisy_output(count));
        cases.push(b.finish(format!("count {count}"), 0.0, widen(x, y, count)));
    }
    // Too many for noise to be made quickly: ones over zeros.
    let mut b = CaseBuilder::new(1);
    let x = b.words(&vec![0x3f80_3f80; words(FOLDED)]);
    let y = b.layout.buffer("y", FOLDED, Category::Workspace);
    b.output(y, FOLDED);
    cases.push(b.finish(format!("count {FOLDED}"), 0.0, widen(x, y, FOLDED)));
}
