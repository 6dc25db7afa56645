//! Products of matrices, in pieces between which a request to stop is seen, and which stay in the cache.

use super::{clear_registers, share};
use crate::runtime::stop::pieces;
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, MatRef, Par};

/// Columns from which on products of matrices are faster than sums over pairs of them.
pub(crate) const MANY: usize = 16;

/// A B as a new matrix. A request to stop leaves it unfinished: whoever asked for it stops too.
pub(crate) fn product(a: MatRef<'_, f64>, b: MatRef<'_, f64>, par: Par) -> Mat<f64> {
    let (m, n) = (a.nrows(), b.ncols());
    let each = 2.0 * a.ncols() as f64;
    let mut c = Mat::zeros(m, n);
    if m > n {
        for part in pieces(m, share(each * n as f64)) {
            let rows = c.as_mut().subrows_mut(part.start, part.len());
            by_rows(rows, a.subrows(part.start, part.len()), b, par);
        }
    } else {
        for part in pieces(n, share(each * m as f64)) {
            let columns = c.as_mut().subcols_mut(part.start, part.len());
            by_rows(columns, a, b.subcols(part.start, part.len()), par);
        }
    }
    clear_registers();
    c
}

/// C <- A B, by one thread.
pub(crate) fn put_product(c: MatMut<'_, f64>, a: MatRef<'_, f64>, b: MatRef<'_, f64>) {
    by_rows(c, a, b, Par::Seq);
    clear_registers();
}

/// C <- A B. As long as B is narrow all of A is read for every few columns of it: of a large A some rows at a time, which stay in the cache, take half as long. Each number is the same sum.
fn by_rows(mut c: MatMut<'_, f64>, a: MatRef<'_, f64>, b: MatRef<'_, f64>, par: Par) {
    const ROWS: usize = 144;
    const LARGE: usize = 1 << 16;
    const FEW: usize = 16;
    let in_parts = matches!(par, Par::Seq) && a.nrows() * a.ncols() > LARGE && b.ncols() > FEW;
    let step = if in_parts { ROWS } else { a.nrows().max(1) };
    for first in (0..a.nrows()).step_by(step) {
        let count = step.min(a.nrows() - first);
        let rows = c.as_mut().subrows_mut(first, count);
        matmul(rows, Accum::Replace, a.subrows(first, count), b, 1.0, par);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_nothing_are_zero_and_one_piece() {
        assert!(share(0.0) > 1_000_000);
        assert_eq!(
            product(Mat::zeros(3, 0).as_ref(), Mat::zeros(0, 2).as_ref(), Par::Seq),
            Mat::<f64>::zeros(3, 2)
        );
    }

    #[test]
    fn products_by_rows_are_those_of_all_rows() {
        let entry = |i: usize, j: usize| f64::sin((3 * i + 7 * j) as f64);
        for (m, k, n) in [(300, 290, 40), (145, 600, 33), (289, 257, 600)] {
            let (a, b) = (Mat::from_fn(m, k, entry), Mat::from_fn(k, n, entry));
            let mut whole: Mat<f64> = Mat::zeros(m, n);
            matmul(whole.as_mut(), Accum::Replace, a.as_ref(), b.as_ref(), 1.0, Par::Seq);
            let found = product(a.as_ref(), b.as_ref(), Par::Seq);
            // elsewhere the order of a sum may depend on the number of rows
            assert!(found == whole || !cfg!(target_arch = "x86_64"));
            assert!((found - &whole).norm_max() < 1e-12);
            let exact: f64 = (0..k).map(|l| a[(m - 1, l)] * b[(l, n - 1)]).sum();
            assert!((whole[(m - 1, n - 1)] - exact).abs() < 1e-10);
        }
    }
}
