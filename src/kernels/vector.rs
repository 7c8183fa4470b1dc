//! Loops that the compiler turns into vector code for the processor at hand, and an exponential it can do that with.

use rayon::prelude::*;

/// Elements that one task of an elementwise twin works on.
pub(super) const CHUNK: usize = 8192;

/// Runs `f` with the widest vector instructions that the processor has; `f` is compiled once for each.
#[inline(always)]
pub(super) fn vectorised<R>(f: impl FnOnce() -> R) -> R {
    // Detecting the processor is a cached load.
    pulp::Arch::new().dispatch(f)
}

/// e^x within 2 ulp, without branches (Cephes' `expf`: range reduction by ln 2 in two parts, polynomial of degree 6).
/// Below -87.3 it gives the smallest normal number instead of denormals; above 88.3 it saturates; NaN stays NaN.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23: adding it rounds to a whole number
    let clamped = if x < -87.3 { -87.3 } else { x };
    let clamped = if clamped > 88.3 { 88.3 } else { clamped };
    let shifted = clamped * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = clamped - n * 0.693_359_4;
    let r = r + n * 2.121_944_4e-4;
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_2e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    let e = p * r * r + r + 1.0;
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000));
    e * power
}

/// 1 / (1 + e^-x).
#[inline(always)]
pub(super) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// Runs `f` on chunks of the output in parallel; `f` gets the chunk's first index.
pub(super) fn for_chunks(out: &mut [f32], f: impl Fn(usize, &mut [f32]) + Sync) {
    if out.len() <= CHUNK {
        return vectorised(|| f(0, out));
    }
    out.par_chunks_mut(CHUNK).enumerate().for_each(|(i, chunk)| vectorised(|| f(i * CHUNK, chunk)));
}

/// Runs `f` on rows of `width` in parallel, several rows to a task; `f` gets the row's index.
pub(super) fn for_rows(out: &mut [f32], width: usize, f: impl Fn(usize, &mut [f32]) + Sync) {
    let rows = (CHUNK / width.max(1)).max(1);
    out.par_chunks_mut(rows * width).enumerate().for_each(|(i, chunk)| {
        vectorised(|| {
            for (j, row) in chunk.chunks_mut(width).enumerate() {
                f(i * rows + j, row);
            }
        });
    });
}

/// The sum of f(i) over 0..n, in eight interleaved running sums: a fixed order that vectorises.
#[inline(always)]
pub(super) fn sum(n: usize, f: impl Fn(usize) -> f32) -> f32 {
    let mut lanes = [0f32; 8];
    let whole = n / 8 * 8;
    let mut i = 0;
    while i < whole {
        for (j, lane) in lanes.iter_mut().enumerate() {
            *lane += f(i + j);
        }
        i += 8;
    }
    let mut total = lanes.iter().sum();
    for i in whole..n {
        total += f(i);
    }
    total
}

/// A pointer that tasks writing disjoint places share.
#[derive(Clone, Copy)]
pub(super) struct Shared(pub *mut f32);
// SAFETY: whoever uses it writes disjoint places from different tasks.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    /// The `len` floats at `offset`.
    ///
    /// # Safety
    /// The range lies inside the slice this came from, and no other task touches it meanwhile.
    #[allow(clippy::mut_from_ref)]
    pub(super) unsafe fn slice<'a>(self, offset: usize, len: usize) -> &'a mut [f32] {
        // SAFETY: the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(offset), len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_close_everywhere() {
        for i in -8700..8800 {
            let x = i as f32 * 0.01;
            let (got, want) = (f64::from(exp(x)), f64::from(x).exp());
            assert!((got / want - 1.0).abs() < 3e-7, "exp({x}) = {got}, not {want}");
        }
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(-1000.0) < 1e-37 && exp(-1000.0) >= 0.0);
        assert!(exp(f32::NAN).is_nan());
        assert!(exp(1000.0) > 1e38);
    }

    #[test]
    fn sums_take_every_element() {
        for n in [0, 1, 7, 8, 9, 100] {
            assert_eq!(sum(n, |i| i as f32), (0..n).sum::<usize>() as f32);
        }
    }
}
