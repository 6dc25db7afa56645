//! What tests of fixed effects need beside the estimates, whatever the route of the fit: S(theta), the covariance of the coefficients as a function of the variances, and how well these
//! are known.
//!
//! V is linear in theta, or S is given as a function of other parameters, and W is the inverse of the information of theta:
//!
//! * Fai and Cornelius (1996), for Satterthwaite's: W from the observed information; a contrast with the variance `v = l' S l` has `2 v^2 / (m' W m)` degrees of freedom, `m = l' dS l`.
//! * Kenward and Roger (1997): W from the expected one. Their adjusted covariance, with P_i and Q_ij written as derivatives of S^-1, is `S - sum_ij W_ij d2S/didj`.

use crate::runtime::error::{Error, Result};
use crate::words;
use faer::linalg::solvers::DenseSolveCore;
use faer::{Mat, Scale, Side};

/// Whose degrees of freedom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Approximation {
    /// Satterthwaite's.
    Satterthwaite,
    /// Kenward's and Roger's.
    KenwardRoger,
}

words!(
    Approximation, "df",
    "satterthwaite" => Approximation::Satterthwaite, "kenward-roger" => Approximation::KenwardRoger
);

/// S at the variances of a fit along an orthonormal basis of X, in the user's units, and its slopes in m parameters.
pub struct CoefficientUncertainty {
    /// S, r x r.
    pub covariance: Mat<f64>,
    /// Kenward's and Roger's; S itself for Satterthwaite's.
    pub adjusted: Mat<f64>,
    /// dS/dtheta_i
    pub slopes: Vec<Mat<f64>>,
    /// W, m x m.
    pub theta_vcov: Mat<f64>,
    /// Coefficients of the kept columns of X, one a row, by their coordinates along the basis.
    pub basis: Vec<Vec<f64>>,
}

/// S, its slopes, and `d2S/didj` of j <= i where the covariance is to be adjusted; V is taken to be linear.
pub(crate) struct CovarianceDerivatives {
    pub value: Mat<f64>,
    pub first: Vec<Mat<f64>>,
    pub second: Vec<Vec<Mat<f64>>>,
}

impl CoefficientUncertainty {
    /// `unit`: of a variance in the user's units.
    pub(crate) fn new(
        s: &CovarianceDerivatives,
        information: &Mat<f64>,
        unit: f64,
        basis: Vec<Vec<f64>>,
    ) -> Result<Self> {
        let theta_vcov = inverse(information).ok_or(Error::FlatVariances)?;
        Ok(Self::with_vcov(s, theta_vcov, unit, basis))
    }

    /// The same with W.
    pub(crate) fn with_vcov(s: &CovarianceDerivatives, theta_vcov: Mat<f64>, unit: f64, basis: Vec<Vec<f64>>) -> Self {
        let mut adjusted = s.value.clone();
        for (i, row) in s.second.iter().enumerate() {
            for (j, second) in row.iter().enumerate() {
                let times = if i == j { 1.0 } else { 2.0 };
                adjusted -= Scale(times * theta_vcov[(i, j)]) * second;
            }
        }
        let scaled = |m: &Mat<f64>| m * Scale(unit);
        Self {
            covariance: scaled(&s.value),
            adjusted: scaled(&adjusted),
            slopes: s.first.iter().map(scaled).collect(),
            theta_vcov,
            basis,
        }
    }
}

/// Of a positive definite matrix, factorised in units in which its diagonal is 1; `None` if it is not.
fn inverse(a: &Mat<f64>) -> Option<Mat<f64>> {
    let n = a.nrows();
    if n == 0 {
        return Some(Mat::zeros(0, 0));
    }
    let root: Vec<f64> = (0..n).map(|i| a[(i, i)].sqrt()).collect();
    if root.iter().any(|x| !(*x > 0.0 && x.is_finite())) {
        return None;
    }
    let scaled = Mat::from_fn(n, n, |i, j| a[(i, j)] / root[i] / root[j]);
    let inverse = scaled.llt(Side::Lower).ok()?.inverse();
    Some(Mat::from_fn(n, n, |i, j| inverse[(i, j)] / root[i] / root[j]))
}
