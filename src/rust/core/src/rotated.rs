//! The small rotated object in which every kernel ends.

use crate::linalg::dot;

/// Data projected away from X and rotated to the eigenvectors of the projected kernel.
///
/// In units in which the response and the kernel are of order one: `y = y_scale y'`, `K = k_scale K'`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rotated {
    /// lambda: eigenvalues of K22, at least 0.
    pub values: Vec<f64>,
    /// U' y2, one for each eigenvalue.
    pub y: Vec<f64>,
    /// Sum of squares of y in directions that the kernel does not reach, and their number.
    pub rho: f64,
    pub n_rest: usize,
    /// Coordinates of y along an orthonormal basis of span(X).
    pub y1: Vec<f64>,
    /// K11 in that basis, r x r by rows.
    pub k11: Vec<Vec<f64>>,
    /// K12 U, r rows of one entry for each eigenvalue.
    pub b: Vec<Vec<f64>>,
    /// beta = basis (y1 - K12 (K22 + delta)^-1 y2), r x r by rows.
    pub basis: Vec<Vec<f64>>,
    /// Trailing directions of the basis that are null directions of the kernel and are left out of ML.
    pub null: usize,
    /// log|X'X| of the kept columns and the sum of the logarithms of the weights.
    pub log_det_x: f64,
    pub log_weights: f64,
    pub y_scale: f64,
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

    pub fn largest(&self) -> f64 {
        self.values.iter().copied().fold(0.0, f64::max)
    }

    /// Does the kernel reach every contrast?
    pub fn full_rank(&self) -> bool {
        self.n_rest == 0 && self.values.iter().all(|v| *v > 0.0)
    }

    /// Sum of squares of y in the null space of the projected kernel.
    pub fn null_square(&self) -> f64 {
        let zero = |(v, y): (&f64, &f64)| if *v == 0.0 { y * y } else { 0.0 };
        self.rho + self.values.iter().zip(&self.y).map(zero).sum::<f64>()
    }

    /// |y - X (X'X)^-1 X'y|^2
    pub fn square(&self) -> f64 {
        dot(&self.y, &self.y) + self.rho
    }
}
