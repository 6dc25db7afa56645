//! Fixed effects: Householder QR of X with the limited pivoting of R's `lm`, never an n x n basis.

use crate::linalg::{Reflectors, by_entries, max_abs, norm, power_of_two};
use crate::runtime::error::{Error, Result};
use crate::runtime::stop;
use faer::{Mat, MatRef, Par};

/// A column whose part outside the span of the columns before it is below this fraction of its length is aliased (as in `qr()`).
pub const ALIAS_TOLERANCE: f64 = 1e-7;

/// Thin QR of the kept columns of `diag(s) X`: `X[, kept] = Q1 R diag(scale)`.
#[derive(Debug, Clone)]
pub struct Design {
    /// Orthogonal matrix whose first `rank` columns span the columns of X.
    pub q: Reflectors,
    /// R by columns: `r[j]` holds its j + 1 entries.
    r: Vec<Vec<f64>>,
    /// Powers of two taken out of the kept columns.
    scale: Vec<f64>,
    /// The kept columns without weights, each divided by a power of two.
    columns: Vec<Vec<f64>>,
    /// Kept (not aliased) columns of X, ascending.
    pub kept: Vec<usize>,
}

impl Design {
    /// QR of `diag(row_scale) X` (n x p, p = 0 allowed).
    pub fn new(x: MatRef<'_, f64>, row_scale: &[f64]) -> Result<Self> {
        let (n, p) = (x.nrows(), x.ncols());
        let largest = |j: usize| max_abs((0..n).map(|i| x[(i, j)] * row_scale[i]));
        let scale: Vec<f64> = (0..p).map(|j| power_of_two(largest(j))).collect();
        let mut turned = Mat::from_fn(n, p, |i, j| x[(i, j)] * row_scale[i] / scale[j]);
        let length: Vec<f64> = (0..p).map(|j| norm(turned.col_as_slice(j))).collect();
        let keep = |j: usize, left: &[f64], r: usize| {
            length[j] > 0.0 && r < n && norm(&left[r..]) >= ALIAS_TOLERANCE * length[j]
        };
        let (q, found) = Reflectors::of_columns(&mut turned, keep)?;
        let kept: Vec<usize> = found.iter().map(|(j, _)| *j).collect();
        if kept.len() >= n {
            return Err(Error::TooFewRows { n, rank: kept.len() });
        }
        let above = |(r, (j, diagonal)): (usize, &(usize, f64))| {
            let above = (0..r).map(|i| turned[(i, *j)]);
            above.chain([*diagonal]).collect()
        };
        Ok(Self {
            q,
            r: found.iter().enumerate().map(above).collect(),
            scale: kept.iter().map(|&j| scale[j]).collect(),
            columns: kept
                .iter()
                .map(|&j| (0..n).map(|i| x[(i, j)] / scale[j]).collect())
                .collect(),
            kept,
        })
    }

    /// Coefficients of the scaled columns whose sum has these coordinates along the basis: R^-1 along.
    pub fn coefficients(&self, mut along: Vec<f64>) -> Vec<f64> {
        for j in (0..self.rank()).rev() {
            along[j] /= self.r[j][j];
            for i in 0..j {
                along[i] -= self.r[j][i] * along[j];
            }
        }
        along
    }

    /// The columns that those coefficients belong to, without weights.
    pub fn columns(&self) -> &[Vec<f64>] {
        &self.columns
    }

    /// Number of kept columns.
    pub fn rank(&self) -> usize {
        self.kept.len()
    }

    /// H'KH of a covariance of all rows: the contrasts' rows and columns first, then those along X. Left as it is on its way out of a call that was stopped.
    pub(crate) fn contrasts_first(&self, mut k: Mat<f64>, par: Par) -> Mat<f64> {
        let (n, r) = (k.nrows(), self.rank());
        if r == 0 || stop::check().is_err() {
            return k;
        }
        self.q.conjugate(k.as_mut(), par);
        let m = n - r;
        let at = |i: usize| if i < m { i + r } else { i - m };
        by_entries(n, n, |i, j| k[(at(i).max(at(j)), at(i).min(at(j)))])
    }

    /// log|X'X| of the kept columns.
    pub fn log_det(&self) -> f64 {
        let entry = |(r, s): (&Vec<f64>, &f64)| r.last().map_or(0.0, |d| d.abs().ln()) + s.ln();
        2.0 * self.r.iter().zip(&self.scale).map(entry).sum::<f64>()
    }

    /// b <- (R diag(scale))^-1 b
    pub fn solve(&self, b: &mut [f64]) {
        for j in (0..self.rank()).rev() {
            b[j] /= self.r[j][j];
            for i in 0..j {
                b[i] -= self.r[j][i] * b[j];
            }
        }
        b.iter_mut().zip(&self.scale).for_each(|(v, s)| *v /= s);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit(x: &Mat<f64>) -> Design {
        Design::new(x.as_ref(), &vec![1.0; x.nrows()]).unwrap()
    }

    #[test]
    fn aliased_columns_are_the_later_ones() {
        let x = Mat::from_fn(5, 4, |i, j| match j {
            0 => 1.0,
            1 => i as f64,
            2 => 2.0 - 3.0 * i as f64,
            _ => (i * i) as f64,
        });
        assert_eq!(fit(&x).kept, [0, 1, 3]);
    }

    #[test]
    fn log_det_and_solve_match_the_normal_equations_at_any_scale() {
        let x = Mat::from_fn(4, 2, |i, j| if j == 0 { 1e-120 } else { 1e90 * (i as f64 - 0.5) });
        let design = fit(&x);
        let (a, b, c) = (4.0e-240, 4.0e-30, 1e180 * (0.25 + 0.25 + 2.25 + 6.25));
        let expected = f64::ln(a) + f64::ln(c - b / a * b);
        assert!((design.log_det() - expected).abs() < 1e-10);
        let mut y = vec![3e-120 + 0.0, 3e-120, 3e-120, 3e-120];
        design.q.transpose_apply(&mut y);
        y.truncate(2);
        design.solve(&mut y);
        assert!((y[0] - 3.0).abs() < 1e-12 && y[1].abs() < 1e-200);
    }

    #[test]
    fn as_many_columns_as_rows_is_refused() {
        let x = Mat::from_fn(3, 3, |i, j| if i == j { 1.0 } else { 0.0 });
        assert_eq!(
            Design::new(x.as_ref(), &[1.0; 3]).unwrap_err(),
            Error::TooFewRows { n: 3, rank: 3 }
        );
    }
}
