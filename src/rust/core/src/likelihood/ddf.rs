//! S(theta) and the information of theta with one kernel.
//!
//! V = a K + b I is linear in theta = (a, b), and in the basis of the rotated object all is read off S(theta) = (Q1' V^-1 Q1)^-1, the covariance of the coefficients,
//! and the log-determinant of the likelihood, whose derivatives are taken by dual numbers.

use crate::likelihood::uncertainty::{Approximation, CoefficientUncertainty, CovarianceDerivatives};
use crate::likelihood::{Criterion, Method, Terms};
use crate::rotation::rotated::Rotated;
use crate::runtime::error::Result;
use faer::Mat;
use num_dual::HyperDual64;

/// The fixed effects along the orthonormal basis of X, and their covariance there, at the variances of a fit.
pub fn along_x(data: &Rotated, (sigma2, sigma2_e): (f64, f64)) -> (Vec<f64>, Vec<Vec<f64>>) {
    let criterion = Criterion {
        data,
        method: Method::Reml,
    };
    let unit = data.y_scale * data.y_scale;
    let (mut along, mut covariance) = criterion.along_basis(sigma2 / unit * data.k_scale, sigma2_e / unit);
    along.iter_mut().for_each(|a| *a *= data.y_scale);
    covariance.iter_mut().flatten().for_each(|s| *s *= unit);
    (along, covariance)
}

/// theta and the directions that derivatives are taken along.
struct Directions {
    theta: [f64; 2],
    /// In logarithms of the variances; one that is zero is moved by the other.
    step: [f64; 2],
    /// Those that count: as `lmerTest` and `pbkrtest` have it, a variance of zero is known for Satterthwaite's, and estimated for Kenward's and Roger's.
    free: Vec<usize>,
}

impl Directions {
    fn new(theta: [f64; 2], by: Approximation) -> Self {
        let all = by == Approximation::KenwardRoger;
        let step = [0, 1].map(|k| if theta[k] > 0.0 { theta[k] } else { theta[1 - k] });
        Self {
            theta,
            step,
            free: (0..2).filter(|&k| theta[k] > 0.0 || all && k == 0).collect(),
        }
    }

    /// Moved along two of the free directions.
    fn moved(&self, (i, j): (usize, usize)) -> [HyperDual64; 2] {
        let along = |k: usize, l: usize| if k == self.free[l] { self.step[k] } else { 0.0 };
        [0, 1].map(|k| HyperDual64::new(self.theta[k], along(k, i), along(k, j), 0.0))
    }
}

/// At the variances of a fit, the residual's positive; Kenward's and Roger's by REML.
pub fn uncertainty(
    data: &Rotated,
    by: Approximation,
    method: Method,
    (sigma2, sigma2_e): (f64, f64),
) -> Result<CoefficientUncertainty> {
    let criterion = Criterion { data, method };
    let unit = data.y_scale * data.y_scale;
    let at = Directions::new([sigma2 / unit * data.k_scale, sigma2_e / unit], by);
    let s = covariance(&criterion, &at, by);
    CoefficientUncertainty::new(&s, &information(&criterion, &at, by), unit, data.basis.clone())
}

fn covariance(criterion: &Criterion<'_>, at: &Directions, by: Approximation) -> CovarianceDerivatives {
    let r = criterion.data.rank();
    let of_pair = |i: usize, j: usize| {
        let [a, b] = at.moved((i, j));
        criterion.schur(a, b, &criterion.inverse(a, b), r)
    };
    let full =
        |s: &[Vec<HyperDual64>], part: fn(&HyperDual64) -> f64| Mat::from_fn(r, r, |i, j| part(&s[i.max(j)][i.min(j)]));
    let count = at.free.len();
    CovarianceDerivatives {
        value: full(&of_pair(0, 0), |s| s.re),
        first: (0..count).map(|i| full(&of_pair(i, i), |s| s.eps1)).collect(),
        second: (0..if by == Approximation::KenwardRoger { count } else { 0 })
            .map(|i| (0..=i).map(|j| full(&of_pair(i, j), |s| s.eps1eps2)).collect())
            .collect(),
    }
}

/// Half the Hessian of -2 log L, or its expectation, which is less half the second derivatives of the log-determinant.
fn information(criterion: &Criterion<'_>, at: &Directions, by: Approximation) -> Mat<f64> {
    let count = at.free.len();
    Mat::from_fn(count, count, |i, j| {
        let [a, b] = at.moved((i, j));
        let Terms { q, log_det } = criterion.terms(a, b);
        0.5 * match by {
            Approximation::Satterthwaite => (q + log_det).eps1eps2,
            Approximation::KenwardRoger => -log_det.eps1eps2,
        }
    })
}
