//! The fixed effects in weight space: X'X = L L', and the functions and the response along an orthonormal basis Q1 = X L^-T of X.

use crate::linalg::{axpy, combine, dot};
use faer::Mat;

/// X'X = L L' of the kept columns.
#[derive(Debug, Clone, Default)]
pub struct FixedEffects {
    pub kept: Vec<usize>,
    /// L by rows.
    pub(super) l: Vec<Vec<f64>>,
    /// Q1'F by rows, and Q1'y: Q1 = X L^-T.
    pub qf: Vec<Vec<f64>>,
    pub y1: Vec<f64>,
    /// What the columns of X and y are less than they were, in terms of Q1: coordinates of the intercept, which is kept first.
    pub(super) shifts: Vec<f64>,
    pub(super) y_shift: f64,
}

/// Squared length, relative to itself, below which a column depends on those before it: cross products know no less.
const DEPENDS: f64 = 1e-11;

impl FixedEffects {
    /// L^-T by rows: beta = L^-T (coordinates along Q1); the intercept, kept first, takes the shifts back.
    pub(super) fn basis(&self) -> Vec<Vec<f64>> {
        let r = self.kept.len();
        let unit = (0..r).map(|i| (0..r).map(|j| f64::from(i == j)).collect()).collect();
        let inverse = solve_rows(&self.l, unit);
        let mut basis: Vec<Vec<f64>> = (0..r).map(|i| (0..r).map(|j| inverse[j][i]).collect()).collect();
        for j in 1..r {
            let (first, row) = basis.split_at_mut(j);
            axpy(-self.shifts[j], &row[0], &mut first[0]);
        }
        basis
    }

    /// Coordinates of y along Q1, its own shift taken back too.
    pub(super) fn unshifted_y1(&self) -> Vec<f64> {
        let mut y1 = self.y1.clone();
        if self.y_shift != 0.0 {
            y1[0] += self.y_shift * self.l[0][0];
        }
        y1
    }

    /// Coordinates of a row of X: L^-1 (x - shifts).
    pub fn along(&self, x: impl Fn(usize) -> f64) -> Vec<f64> {
        let mut row: Vec<f64> = self.kept.iter().zip(&self.shifts).map(|(&j, s)| x(j) - s).collect();
        for i in 0..row.len() {
            row[i] = (row[i] - dot(&self.l[i][..i], &row[..i])) / self.l[i][i];
        }
        row
    }

    pub(super) fn log_det(&self) -> f64 {
        2.0 * self.l.iter().enumerate().map(|(i, row)| row[i].ln()).sum::<f64>()
    }
}

/// Cholesky decomposition of X'X, columns that depend on those before them left out.
pub(super) fn cholesky(cross: &Mat<f64>) -> (Vec<usize>, Vec<Vec<f64>>) {
    let (mut kept, mut l): (Vec<usize>, Vec<Vec<f64>>) = (vec![], vec![]);
    for j in 0..cross.nrows() {
        let mut row: Vec<f64> = vec![];
        for (i, &k) in kept.iter().enumerate() {
            row.push((cross[(j, k)] - dot(&l[i][..i], &row)) / l[i][i]);
        }
        let rest = cross[(j, j)] - dot(&row, &row);
        if rest > DEPENDS * cross[(j, j)] {
            row.push(rest.sqrt());
            kept.push(j);
            l.push(row);
        }
    }
    (kept, l)
}

/// L^-1 times the given rows.
pub(super) fn solve_rows(l: &[Vec<f64>], mut rows: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    for i in 0..l.len() {
        let done = combine(&rows[..i], &l[i][..i], rows[i].len());
        rows[i].iter_mut().zip(done).for_each(|(x, s)| *x = (*x - s) / l[i][i]);
    }
    rows
}
