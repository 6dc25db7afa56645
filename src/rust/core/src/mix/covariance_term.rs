//! The covariance of one effect in the coordinates: a matrix, or a factor F with A = F F'. Rows are contrasts, then directions of X.

use crate::linalg::product;
use faer::{Mat, MatRef, Par, Scale};

#[derive(Clone)]
pub enum Part {
    Full(Mat<f64>),
    Factor(Mat<f64>),
    Diagonal(Vec<f64>),
}

impl Part {
    /// Sum of the first `rows` entries of the diagonal.
    pub fn trace(&self, rows: usize) -> f64 {
        match self {
            Part::Full(a) => (0..rows).map(|i| a[(i, i)]).sum(),
            Part::Factor(f) => f.as_ref().subrows(0, rows).squared_norm_l2(),
            Part::Diagonal(values) => values[..rows].iter().sum(),
        }
    }

    pub fn rows(&self) -> usize {
        match self {
            Part::Full(a) | Part::Factor(a) => a.nrows(),
            Part::Diagonal(values) => values.len(),
        }
    }

    /// Number of columns of the factor; of a matrix its rows.
    pub fn width(&self) -> usize {
        match self {
            Part::Full(a) | Part::Factor(a) => a.ncols(),
            Part::Diagonal(values) => values.len(),
        }
    }

    /// Divide the covariance by `scale`; exact for a power of four.
    pub fn divide(&mut self, scale: f64) {
        match self {
            Part::Full(a) => *a *= Scale(1.0 / scale),
            Part::Factor(f) => *f *= Scale(1.0 / scale.sqrt()),
            Part::Diagonal(values) => values.iter_mut().for_each(|v| *v /= scale),
        }
    }

    /// A x
    pub fn apply(&self, x: MatRef<'_, f64>, par: Par) -> Mat<f64> {
        match self {
            Part::Full(a) => product(a.as_ref(), x, par),
            Part::Factor(f) => product(f.as_ref(), product(f.transpose(), x, par).as_ref(), par),
            Part::Diagonal(values) => Mat::from_fn(values.len(), x.ncols(), |i, j| values[i] * x[(i, j)]),
        }
    }

    pub fn into_full(self, par: Par) -> Mat<f64> {
        match self {
            Part::Full(a) => a,
            Part::Factor(f) => product(f.as_ref(), f.transpose(), par),
            Part::Diagonal(values) => {
                Mat::from_fn(values.len(), values.len(), |i, j| if i == j { values[i] } else { 0.0 })
            }
        }
    }
}
