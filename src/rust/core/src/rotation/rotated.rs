//! The small rotated object in which every kernel ends.

use crate::linalg::{combine_each, dot};
use crate::runtime::error::{Error, Result};
use faer::Mat;

/// Data projected away from X and rotated to the eigenvectors of the projected kernel.
///
/// In units in which the response and the kernel are of order one: `y = y_scale y'`, `K = k_scale K'`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rotated {
    /// lambda: eigenvalues of K22, at least 0.
    pub values: Vec<f64>,
    /// U' y2, one for each eigenvalue.
    pub y: Vec<f64>,
    /// Sum of squares of y in the contrasts without an eigenvalue.
    pub rho: f64,
    /// Number of contrasts without an eigenvalue: there the covariance is delta I.
    pub n_rest: usize,
    /// Coordinates of y along an orthonormal basis of span(X).
    pub y1: Vec<f64>,
    /// K11 in that basis, r x r by rows.
    pub k11: Vec<Vec<f64>>,
    /// K12 U, r rows of one entry for each eigenvalue.
    pub b: Vec<Vec<f64>>,
    /// beta = basis (y1 - K12 (K22 + delta)^-1 y2), r x r by rows.
    pub basis: Vec<Vec<f64>>,
    /// Trailing directions of the basis that the kernel does not reach, looked for where it reaches every contrast.
    pub null: usize,
    /// How many of them ML leaves out: all where the density of y has no optimum inside, else none.
    pub dropped: usize,
    /// log|X'X| of the kept columns.
    pub log_det_x: f64,
    /// Sum of the logarithms of the weights.
    pub log_weights: f64,
    /// Power of two that the response is divided by.
    pub y_scale: f64,
    /// What the kernel is divided by.
    pub k_scale: f64,
}

impl Rotated {
    /// Rank of X.
    pub fn rank(&self) -> usize {
        self.y1.len()
    }

    /// N' = n - rank(X): number of contrasts free of beta.
    pub fn contrasts(&self) -> usize {
        self.values.len() + self.n_rest
    }

    /// Largest eigenvalue, 0 without any.
    pub fn largest(&self) -> f64 {
        self.values.iter().copied().fold(0.0, f64::max)
    }

    /// Does the kernel reach every contrast?
    pub(crate) fn full_rank(&self) -> bool {
        self.n_rest == 0 && self.values.iter().all(|v| *v > 0.0)
    }

    /// Where the kernel reaches every contrast, what is computed beyond them is rounding, and would hide the limit at delta = 0.
    pub(crate) fn drop_rounding(&mut self) {
        if self.n_rest == 0 {
            self.rho = 0.0;
        }
    }

    /// Sum of squares of y in the null space of the projected kernel.
    pub(crate) fn null_square(&self) -> f64 {
        let zero = |(v, y): (&f64, &f64)| if *v == 0.0 { y * y } else { 0.0 };
        self.rho + self.values.iter().zip(&self.y).map(zero).sum::<f64>()
    }

    /// Turn the basis of span(X) so that directions that the kernel does not reach come last, and count them.
    /// Only asked for when the kernel reaches every contrast: then ML is unbounded along them as delta -> 0.
    /// Gives the turn, by rows, if there was one.
    pub(crate) fn separate_null_directions(&mut self) -> Result<Option<Vec<Vec<f64>>>> {
        let (n, r) = (self.values.len(), self.rank());
        if r == 0 {
            return Ok(None);
        }
        let columns: Vec<Vec<f64>> = (0..r).map(|j| [&self.k11[j][..], &self.b[j][..]].concat()).collect();
        let svd = Mat::from_fn(n + r, r, |i, j| columns[j][i]).thin_svd();
        let svd = svd.map_err(|_| Error::NoConvergence {
            what: "a singular value decomposition",
            iterations: 0,
        })?;
        let small = f64::EPSILON.sqrt() * self.largest();
        self.null = (0..r).filter(|&j| svd.S()[j] <= small).count();
        if self.null == 0 {
            return Ok(None);
        }
        let turn: Vec<Vec<f64>> = (0..r).map(|j| (0..r).map(|i| svd.V()[(i, j)]).collect()).collect();
        self.turn(&turn);
        Ok(Some(turn))
    }

    fn turn(&mut self, by: &[Vec<f64>]) {
        let rows = |a: &[Vec<f64>]| combine_each(a, by, a.first().map_or(0, Vec::len));
        let half = rows(&self.k11);
        self.k11 = half.iter().map(|a| by.iter().map(|t| dot(a, t)).collect()).collect();
        self.b = rows(&self.b);
        self.y1 = by.iter().map(|t| dot(t, &self.y1)).collect();
        self.basis = (self.basis.iter())
            .map(|row| by.iter().map(|t| dot(t, row)).collect())
            .collect();
    }

    /// |y - X (X'X)^-1 X'y|^2
    pub(crate) fn square(&self) -> f64 {
        dot(&self.y, &self.y) + self.rho
    }
}
