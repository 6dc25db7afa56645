//! Responses through the basis of a null model, where each cell is a row.

use super::basis::ScanBasis;
use crate::linalg::{norm, product};
use faer::{Mat, MatRef, Par};

/// Responses in rotated coordinates, a column each.
pub struct RotatedResponses {
    /// U'y, eigenvalues x responses.
    pub y: Mat<f64>,
    /// w y without its part along X, rows x responses.
    pub v: Mat<f64>,
    /// Squares of what the kernel does not reach.
    pub rho: Vec<f64>,
    /// Lengths, X included.
    pub length: Vec<f64>,
}

impl ScanBasis<'_> {
    /// A mean is subtracted exactly where X holds constants, however far from zero the response is.
    pub fn responses(&self, y: MatRef<'_, f64>, par: Par) -> RotatedResponses {
        let root: Vec<f64> = self.weight.iter().map(|w| w.sqrt()).collect();
        let length = |j: usize| norm(&y.col(j).iter().zip(&root).map(|(y, r)| y * r).collect::<Vec<_>>());
        let length = (0..y.ncols()).map(length).collect();
        let y = without_means(y, self.constant);
        let rotated = product(self.e.transpose(), y.as_ref(), par);
        let fixed = product(self.q, product(self.q.transpose(), y.as_ref(), par).as_ref(), par);
        let v = Mat::from_fn(y.nrows(), y.ncols(), |i, j| self.weight[i] * y[(i, j)] - fixed[(i, j)]);
        let column = |m: &Mat<f64>, j: usize| m.col(j).iter().copied().collect::<Vec<f64>>();
        let rest = |j: usize| match self.rotated.n_rest {
            0 => 0.0,
            _ => norm(&self.left(&column(&v, j), &[], &column(&rotated, j))).powi(2),
        };
        RotatedResponses {
            rho: (0..y.ncols()).map(rest).collect(),
            y: rotated,
            v,
            length,
        }
    }

    /// Coordinates of a response over the roots of their variances in units of sigma2 (of the residual where there is no other), and those roots.
    pub fn whitened(&self, y: MatRef<'_, f64>, (h, g): (f64, f64), par: Par) -> (Vec<f64>, Vec<f64>) {
        let rotated = product(self.e.transpose(), without_means(y, self.constant).as_ref(), par);
        let unit = if h > 0.0 { h } else { 1.0 };
        let root: Vec<f64> = self
            .rotated
            .values
            .iter()
            .map(|v| ((h * v + g) / unit).sqrt())
            .collect();
        let white = root.iter().enumerate().map(|(i, r)| rotated[(i, 0)] / r).collect();
        (white, root)
    }
}

fn without_means(y: MatRef<'_, f64>, centred: bool) -> Mat<f64> {
    let mean = |j: usize| {
        if centred {
            y.col(j).sum() / y.nrows() as f64
        } else {
            0.0
        }
    };
    let means: Vec<f64> = (0..y.ncols()).map(mean).collect();
    Mat::from_fn(y.nrows(), y.ncols(), |i, j| y[(i, j)] - means[j])
}

impl RotatedResponses {
    /// y'V^-1 y of response j with X projected out, V in units of tau2, and the part of -2 log L (REML) that no candidate changes.
    pub fn likelihood(&self, basis: &ScanBasis<'_>, j: usize, (h, g): (f64, f64)) -> (f64, f64) {
        let rotated = basis.rotated;
        let (mut square, mut log_det) = (0.0, rotated.log_det_x - rotated.log_weights);
        for (value, y) in rotated.values.iter().zip(self.y.col(j).iter()) {
            let variance = h * value + g;
            square += y * y / variance;
            log_det += variance.ln();
        }
        if rotated.n_rest > 0 {
            log_det += rotated.n_rest as f64 * g.ln();
        }
        if self.rho[j] > 0.0 {
            square += self.rho[j] / g;
        }
        (square, log_det)
    }
}
