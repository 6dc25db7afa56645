//! Small dense helpers: powers of two that scale without rounding, products.

pub(crate) mod band;
pub(crate) mod band_reduction;
mod bulge;
pub(crate) mod chase;
pub(crate) mod cholesky;
pub(crate) mod decomposition;
pub(crate) mod eigen;
mod lower_triangle;
pub(crate) mod pivoted_cholesky;
mod products;
pub(crate) mod ql;
mod ql_lanes;
pub(crate) mod rank_one;
mod reflectors;
mod registers;
mod scalar;
pub(crate) mod secular;
pub(crate) mod sparse_cholesky;
pub(crate) mod sparse_inverse;

use crate::runtime::stop::pieces;
use faer::linalg::matmul::matmul;
use faer::{Accum, ColRef, Mat, MatMut, MatRef, Par};
pub(crate) use products::{MANY, product, put_product};
pub use reflectors::Reflectors;
pub use scalar::Scalar;
pub(crate) use scalar::{log_det, sum_of, weighted, weighted_products};
use std::hint::black_box;

/// Largest power of two not above `x`: multiplying by it or its inverse is exact. 1 for 0.
pub(crate) fn power_of_two(x: f64) -> f64 {
    if x > 0.0 && x.is_finite() {
        x.log2().floor().clamp(-1022.0, 1023.0).exp2()
    } else {
        1.0
    }
}

pub(crate) fn max_abs(x: impl IntoIterator<Item = f64>) -> f64 {
    x.into_iter().fold(0.0, |m, v| v.abs().max(m))
}

pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let n = a.len().min(b.len());
    let (a, b) = (&a[..n], &b[..n]);
    sum_of(n, |i| a[i] * b[i])
}

/// `sum_i log x_i` of positive numbers, eight at a time: of those whose product is beyond what a double can hold, one by one.
pub(crate) fn sum_of_logs(x: &[f64]) -> f64 {
    let log = |some: &[f64]| {
        let product: f64 = some.iter().product();
        match product.is_normal() {
            true => product.ln(),
            false => some.iter().map(|x| x.ln()).sum(),
        }
    };
    x.chunks(8).map(log).sum()
}

pub(crate) fn norm(a: &[f64]) -> f64 {
    let scale = power_of_two(max_abs(a.iter().copied()));
    scale * a.iter().map(|x| (x / scale).powi(2)).sum::<f64>().sqrt()
}

/// y <- y + a x
pub(crate) fn axpy(a: f64, x: &[f64], y: &mut [f64]) {
    for (yi, xi) in y.iter_mut().zip(x) {
        *yi += a * xi;
    }
}

/// Linear combination of columns of length n.
pub(crate) fn combine(columns: &[Vec<f64>], v: &[f64], n: usize) -> Vec<f64> {
    let mut sum = vec![0.0; n];
    columns.iter().zip(v).for_each(|(column, a)| axpy(*a, column, &mut sum));
    sum
}

/// Linear combinations of columns of length n, in matrix products: one by each of `by`.
pub(crate) fn combine_each(columns: &[Vec<f64>], by: &[Vec<f64>], n: usize) -> Vec<Vec<f64>> {
    let weights = matrix_of(by, columns.len());
    columns_of(product(matrix_of(columns, n).as_ref(), weights.as_ref(), Par::Seq).as_ref())
}

/// Columns of length n side by side.
pub(crate) fn matrix_of(columns: &[Vec<f64>], n: usize) -> Mat<f64> {
    Mat::from_fn(n, columns.len(), |i, j| columns[j][i])
}

pub(crate) fn columns_of(a: MatRef<'_, f64>) -> Vec<Vec<f64>> {
    a.col_iter().map(|column| column.iter().copied().collect()).collect()
}

/// C <- C + A B, A of few columns.
pub(crate) fn add_product(c: MatMut<'_, f64>, a: MatRef<'_, f64>, b: MatRef<'_, f64>) {
    matmul(c, Accum::Add, a, b, 1.0, Par::Seq);
    clear_registers();
}

/// Lower triangle of A'B, which is known to be symmetric; what stands above it means nothing.
pub(crate) fn symmetric_product(a: MatRef<'_, f64>, b: MatRef<'_, f64>, par: Par) -> Mat<f64> {
    let n = a.ncols();
    let mut c = Mat::zeros(n, n);
    for part in pieces(n, share(2.0 * (a.nrows() * n) as f64).min(WIDEST)) {
        let (first, rest) = (part.start, n - part.start);
        let below = c.as_mut().submatrix_mut(first, first, rest, part.len());
        let (rows, columns) = (a.subcols(first, rest).transpose(), b.subcols(first, part.len()));
        matmul(below, Accum::Replace, rows, columns, 1.0, par);
    }
    clear_registers();
    c
}

/// Columns of a symmetric product beside one another: half of their square is computed in vain.
const WIDEST: usize = 256;

/// A matrix entry by entry, in tiles: an entry that looks at the mirror image of another finds it in the cache. A request to stop leaves it unfinished.
pub(crate) fn by_entries(m: usize, n: usize, entry: impl Fn(usize, usize) -> f64) -> Mat<f64> {
    const TILE: usize = 64;
    let mut c = Mat::zeros(m, n);
    for columns in pieces(n, TILE) {
        for first in (0..m).step_by(TILE) {
            for j in columns.clone() {
                let tile = &mut c.col_as_slice_mut(j)[first..m.min(first + TILE)];
                tile.iter_mut().zip(first..).for_each(|(c, i)| *c = entry(i, j));
            }
        }
    }
    c
}

/// Rows or columns that are worked on between two looks for a request to stop, where each takes so many operations: some hundredths of a second.
pub(crate) fn share(operations: f64) -> usize {
    const AT_ONCE: f64 = 2e9;
    const LEAST: usize = 16;
    // nothing to do is one piece, whatever its size
    (AT_ONCE / operations.max(1.0)) as usize / LEAST * LEAST + LEAST
}

/// Matrix products leave the upper halves of this thread's vector registers in use, and scalar code that follows, logarithms above all, is
/// then up to 40 times slower. A sum in vector code ends with the instruction that clears them.
pub fn clear_registers() {
    let x = [1.0; 64];
    black_box(ColRef::from_slice(black_box(&x)).norm_l2());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_of_products_beyond_doubles_are_sums_of_logs() {
        let x: Vec<f64> = (0..21)
            .map(|i| 10.0_f64.powi([-60, 50, 0][i / 8]) * (1.0 + i as f64))
            .collect();
        let sum: f64 = x.iter().map(|x| x.ln()).sum();
        assert!((sum_of_logs(&x) - sum).abs() < 1e-11);
        assert_eq!(sum_of_logs(&[]), 0.0);
    }
}
