//! The covariance of one effect in the coordinates: a matrix, or a factor F with A = F F'. Rows are contrasts, then directions of X.

use crate::linalg::product;
use faer::{Mat, MatRef, Par, Scale};

#[derive(Clone)]
pub enum CovarianceTerm {
    Full(Mat<f64>),
    Factor(Mat<f64>),
    Diagonal(Vec<f64>),
}

impl CovarianceTerm {
    /// Sum of the first `rows` entries of the diagonal.
    pub fn trace(&self, rows: usize) -> f64 {
        match self {
            CovarianceTerm::Full(a) => (0..rows).map(|i| a[(i, i)]).sum(),
            CovarianceTerm::Factor(f) => f.as_ref().subrows(0, rows).squared_norm_l2(),
            CovarianceTerm::Diagonal(values) => values[..rows].iter().sum(),
        }
    }

    pub fn rows(&self) -> usize {
        match self {
            CovarianceTerm::Full(a) | CovarianceTerm::Factor(a) => a.nrows(),
            CovarianceTerm::Diagonal(values) => values.len(),
        }
    }

    /// Number of columns of the factor; of a matrix its rows.
    pub fn width(&self) -> usize {
        match self {
            CovarianceTerm::Full(a) | CovarianceTerm::Factor(a) => a.ncols(),
            CovarianceTerm::Diagonal(values) => values.len(),
        }
    }

    /// Divide the covariance by `scale`; exact for a power of four.
    pub fn divide(&mut self, scale: f64) {
        match self {
            CovarianceTerm::Full(a) => *a *= Scale(1.0 / scale),
            CovarianceTerm::Factor(f) => *f *= Scale(1.0 / scale.sqrt()),
            CovarianceTerm::Diagonal(values) => values.iter_mut().for_each(|v| *v /= scale),
        }
    }

    /// A x
    pub fn apply(&self, x: MatRef<'_, f64>, par: Par) -> Mat<f64> {
        match self {
            CovarianceTerm::Full(a) => product(a.as_ref(), x, par),
            CovarianceTerm::Factor(f) => product(f.as_ref(), product(f.transpose(), x, par).as_ref(), par),
            CovarianceTerm::Diagonal(values) => Mat::from_fn(values.len(), x.ncols(), |i, j| values[i] * x[(i, j)]),
        }
    }

    pub fn into_full(self, par: Par) -> Mat<f64> {
        match self {
            CovarianceTerm::Full(a) => a,
            CovarianceTerm::Factor(f) => product(f.as_ref(), f.transpose(), par),
            CovarianceTerm::Diagonal(values) => {
                Mat::from_fn(values.len(), values.len(), |i, j| if i == j { values[i] } else { 0.0 })
            }
        }
    }
}
