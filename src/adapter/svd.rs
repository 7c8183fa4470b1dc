//! The largest singular values of a matrix and their vectors, in 64 bits and the same every time.
//!
//! A matrix with a short side goes through one-sided Jacobi rotations, which find every value to the last bits (Golub and Van Loan,
//! "Matrix Computations", 4th edition, section 8.6.3). A larger one is first brought to a few columns that hold its largest part, by
//! subspace iteration from a random start (Halko, Martinsson and Tropp 2011, algorithm 4.4).

use crate::random::Random;
use rayon::prelude::*;

/// The longest short side that is decomposed in full.
const EXACT: usize = 256;
/// Passes of the subspace iteration; as many as PiSSA's authors found to be enough.
const PASSES: usize = 16;
/// Columns beside the wanted ones that the iteration takes along.
const SPARE: usize = 16;
/// Sweeps after which rotations have long ended.
const SWEEPS: usize = 60;

/// Singular values, falling, and their vectors.
#[derive(Clone, Debug)]
pub struct Principal {
    /// The values.
    pub values: Vec<f64>,
    /// For each value a vector of `rows` numbers.
    pub left: Vec<Vec<f64>>,
    /// For each value a vector of `cols` numbers.
    pub right: Vec<Vec<f64>>,
}

/// The `rank` largest singular values of `matrix` [rows, cols].
pub fn principal(matrix: &[f32], rows: usize, cols: usize, rank: usize) -> Principal {
    let wide: Vec<f64> = matrix.iter().map(|x| f64::from(*x)).collect();
    // As vectors along the longer side: the columns of a tall matrix, the rows of a wide one.
    let tall = rows >= cols;
    let vectors: Vec<Vec<f64>> = if tall { columns(&wide, cols) } else { wide.chunks(cols).map(<[f64]>::to_vec).collect() };
    let (values, long, short) = if vectors.len() <= EXACT { exact(&vectors, rank) } else { iterated(&vectors, rank) };
    if tall { Principal { values, left: long, right: short } } else { Principal { values, left: short, right: long } }
}

fn columns(matrix: &[f64], cols: usize) -> Vec<Vec<f64>> {
    (0..cols).map(|c| matrix.iter().skip(c).step_by(cols).copied().collect()).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

type Triplets = (Vec<f64>, Vec<Vec<f64>>, Vec<Vec<f64>>);

/// Of the matrix whose columns are `vectors`: values, long vectors (in the columns' space) and short ones.
fn exact(vectors: &[Vec<f64>], rank: usize) -> Triplets {
    let mut turned = vectors.to_vec();
    for _ in 0..SWEEPS {
        let mut rotated = false;
        for p in 0..turned.len() {
            for q in p + 1..turned.len() {
                rotated |= rotate(&mut turned, p, q);
            }
        }
        if !rotated {
            break;
        }
    }
    // Orthogonal columns: their lengths are the values.
    let mut order: Vec<(f64, Vec<f64>)> = turned.into_iter().map(|v| (dot(&v, &v).sqrt(), v)).collect();
    order.sort_by(|a, b| b.0.total_cmp(&a.0));
    order.truncate(rank);
    let unit = |s: f64, v: &[f64]| -> Vec<f64> { v.iter().map(|x| if s > 0.0 { x / s } else { 0.0 }).collect() };
    let long: Vec<Vec<f64>> = order.iter().map(|(s, v)| unit(*s, v)).collect();
    let short = order.iter().zip(&long).map(|((s, _), u)| unit(*s, &vectors.iter().map(|v| dot(v, u)).collect::<Vec<_>>())).collect();
    (order.into_iter().map(|(s, _)| s).collect(), long, short)
}

/// Turns two columns in their plane until they are orthogonal; whether they were not.
fn rotate(columns: &mut [Vec<f64>], p: usize, q: usize) -> bool {
    let (head, tail) = columns.split_at_mut(q);
    let (a, b) = (&mut head[p], &mut tail[0]);
    let (aa, bb, ab) = (dot(a, a), dot(b, b), dot(a, b));
    if ab.abs() <= 1e-15 * (aa * bb).sqrt() || ab == 0.0 {
        return false;
    }
    let zeta = (bb - aa) / (2.0 * ab);
    let t = zeta.signum() / (zeta.abs() + (1.0 + zeta * zeta).sqrt());
    let c = 1.0 / (1.0 + t * t).sqrt();
    let s = c * t;
    for (x, y) in a.iter_mut().zip(b.iter_mut()) {
        (*x, *y) = (c * *x - s * *y, s * *x + c * *y);
    }
    true
}

/// As [`exact`], for more columns than that would be quick for.
fn iterated(vectors: &[Vec<f64>], rank: usize) -> Triplets {
    let width = vectors[0].len();
    let kept = (2 * rank + SPARE).min(vectors.len());
    let mut random = Random::new(0).stream("subspace");
    let mut short: Vec<Vec<f64>> = (0..kept).map(|_| (0..vectors.len()).map(|_| random.normal()).collect()).collect();
    let mut long = Vec::new();
    for _ in 0..PASSES {
        long = orthonormal(combined(vectors, &short, width));
        short = orthonormal(projected(vectors, &long));
    }
    // M^T in the basis of `long`: its columns are the projections, and what it is made of is turned back.
    let small = projected(vectors, &long);
    let (values, right, inner) = exact(&small, rank);
    let left = inner.iter().map(|weights| combined(&long, std::slice::from_ref(weights), width).remove(0)).collect();
    (values, left, right)
}

/// For each of `weights`, the sum of the vectors with these weights.
fn combined(vectors: &[Vec<f64>], weights: &[Vec<f64>], width: usize) -> Vec<Vec<f64>> {
    let sum = |weights: &Vec<f64>| {
        let mut out = vec![0.0; width];
        for (v, w) in vectors.iter().zip(weights) {
            out.iter_mut().zip(v).for_each(|(o, x)| *o += w * x);
        }
        out
    };
    weights.par_iter().map(sum).collect()
}

/// For each of `onto`, its products with every vector.
fn projected(vectors: &[Vec<f64>], onto: &[Vec<f64>]) -> Vec<Vec<f64>> {
    onto.par_iter().map(|u| vectors.iter().map(|v| dot(u, v)).collect()).collect()
}

/// Gram and Schmidt, each vector twice: once is not enough where they are nearly parallel.
fn orthonormal(mut vectors: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    for i in 0..vectors.len() {
        let (done, rest) = vectors.split_at_mut(i);
        let v = &mut rest[0];
        for _ in 0..2 {
            for u in done.iter() {
                let along = dot(u, v);
                v.iter_mut().zip(u).for_each(|(x, u)| *x -= along * u);
            }
        }
        let length = dot(v, v).sqrt();
        v.iter_mut().for_each(|x| *x = if length > 0.0 { *x / length } else { 0.0 });
    }
    vectors
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(count: usize) -> Vec<f32> {
        let mut random = Random::new(5);
        (0..count).map(|_| random.normal() as f32).collect()
    }

    /// M v = s u and M^T u = s v, vectors of length 1 at right angles, values falling.
    fn check(matrix: &[f32], rows: usize, cols: usize, p: &Principal, tolerance: f64) {
        let at = |r: usize, c: usize| f64::from(matrix[r * cols + c]);
        for (k, s) in p.values.iter().enumerate() {
            let (u, v) = (&p.left[k], &p.right[k]);
            assert_eq!((u.len(), v.len()), (rows, cols));
            for r in 0..rows {
                let x: f64 = (0..cols).map(|c| at(r, c) * v[c]).sum();
                assert!((x - s * u[r]).abs() <= tolerance * p.values[0], "value {k}, row {r}: {x} {}", s * u[r]);
            }
            for c in 0..cols {
                let x: f64 = (0..rows).map(|r| at(r, c) * u[r]).sum();
                assert!((x - s * v[c]).abs() <= tolerance * p.values[0], "value {k}, column {c}");
            }
            for other in 0..=k {
                let want = if other == k { 1.0 } else { 0.0 };
                assert!((dot(u, &p.left[other]) - want).abs() < 1e-9 && (dot(v, &p.right[other]) - want).abs() < 1e-9);
            }
            assert!(k == 0 || p.values[k - 1] >= *s);
        }
    }

    #[test]
    fn small_matrices_are_decomposed_to_the_last_bits() {
        for (rows, cols, rank) in [(1, 1, 1), (5, 3, 3), (3, 5, 2), (64, 64, 4), (32, 64, 8), (64, 176, 16)] {
            let matrix = noise(rows * cols);
            let p = principal(&matrix, rows, cols, rank);
            assert_eq!(p.values.len(), rank);
            check(&matrix, rows, cols, &p, 1e-13);
        }
        let p = principal(&[3.0, 0.0, 0.0, -4.0], 2, 2, 2);
        assert!((p.values[0] - 4.0).abs() < 1e-14 && (p.values[1] - 3.0).abs() < 1e-14);
        let p = principal(&[0.0; 6], 2, 3, 2);
        assert!(p.values.iter().chain(p.left.iter().flatten()).all(|x| *x == 0.0), "no number is lost to a division by zero");
    }

    #[test]
    fn large_matrices_have_their_largest_part_found() {
        // A falling spectrum, as weights have: 300 x 280 of rank 12 with noise below.
        let (rows, cols, rank) = (300, 280, 4);
        let (u, v, low) = (noise(rows * 12), noise(12 * cols), noise(rows * cols));
        let entry = |r: usize, c: usize| (0..12).map(|k| u[r * 12 + k] * v[k * cols + c] * 0.7f32.powi(k as i32)).sum::<f32>();
        let matrix: Vec<f32> = (0..rows * cols).map(|i| entry(i / cols, i % cols) + 0.1 * low[i]).collect();
        for (matrix, rows, cols) in [(matrix.clone(), rows, cols), (columns_of(&matrix, cols), cols, rows)] {
            let p = principal(&matrix, rows, cols, rank);
            check(&matrix, rows, cols, &p, 1e-9);
            let wide: Vec<f64> = matrix.iter().map(|x| f64::from(*x)).collect();
            let (values, ..) = exact(&columns(&wide, cols), rank);
            assert!(values.iter().zip(&p.values).all(|(a, b)| (a / b - 1.0).abs() < 1e-12), "{values:?} {:?}", p.values);
        }
    }

    fn columns_of(matrix: &[f32], cols: usize) -> Vec<f32> {
        (0..cols).flat_map(|c| matrix.iter().skip(c).step_by(cols).copied()).collect()
    }
}
