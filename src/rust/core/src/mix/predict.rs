//! Variance of predictions from several effects, with the uncertainty of beta (universal kriging) unless beta is given.
//!
//! A target u with covariance c with the data has, in coordinates, c2 with the contrasts and c1 with X. With e = c1 - V12 V22^-1 c2
//!
//! ```text
//! var(u_hat - u | beta)                  = var(u) - c2' V22^-1 c2 - e' S^-1 e
//! var(x' beta_hat + u_hat - x' beta - u) = var(u_hat - u | beta) + d' S d,   d = R^-T x - S^-1 e
//! ```

use super::MixModel;
use super::setup::Setup;
use crate::likelihood::Method;
use crate::linalg::product;
use crate::runtime::error::{Error, Result};
use crate::runtime::parallel::Workers;
use faer::{Mat, MatRef, Par, Side};

/// What is predicted: t targets.
pub struct MixTargets<'a> {
    /// Covariance of each target's effects with each row, n x t.
    pub cross: MatRef<'a, f64>,
    /// Variance of each target's effects.
    pub prior: &'a [f64],
    /// Fixed effects of the targets, t x (kept columns); `None`: beta is given.
    pub x: Option<MatRef<'a, f64>>,
}

/// A model at the variances of a fit, the residual's last, for any number of predictions.
pub struct Prepared {
    setup: Setup,
    sigma2: Vec<f64>,
    threads: usize,
}

impl Prepared {
    /// A model and the variances of its fit.
    pub fn new(model: &MixModel<'_>, sigma2: &[f64], threads: usize) -> Result<Self> {
        let setup = Workers::new(threads)?.run(|par| Setup::once(model, Method::Reml, sigma2, par))?;
        Ok(Self {
            setup,
            sigma2: sigma2.to_vec(),
            threads,
        })
    }

    /// Rows of the data.
    pub fn n(&self) -> usize {
        self.setup.coordinates.n()
    }

    /// Variance of each prediction.
    pub fn variance(&self, targets: &MixTargets<'_>) -> Result<Vec<f64>> {
        Workers::new(self.threads)?.run(|par| self.setup.variance(&self.sigma2, targets, par))
    }
}

/// Variance of each prediction at the variances of a fit, the residual's last.
pub fn variance(model: &MixModel<'_>, sigma2: &[f64], targets: &MixTargets<'_>, threads: usize) -> Result<Vec<f64>> {
    Prepared::new(model, sigma2, threads)?.variance(targets)
}

/// Inverse of S, directions of rounding left out. V may be singular where there is no residual variance; S is then zero along a combination of X that is known exactly,
/// and no target covaries with it. `total`: the variance of a contrast.
pub(super) fn generalised_inverse(s: &Mat<f64>, total: f64) -> Result<Mat<f64>> {
    let failed = |_| Error::NoConvergence {
        what: "the eigendecomposition of the covariance of the fixed effects",
        iterations: 0,
    };
    let eigen = s.self_adjoint_eigen(Side::Lower).map_err(failed)?;
    let (values, u) = (eigen.S().column_vector(), eigen.U());
    let largest = values.iter().copied().fold(total, f64::max);
    let cut = 100.0 * f64::EPSILON * s.nrows() as f64 * largest;
    let kept: Vec<usize> = (0..s.nrows()).filter(|&k| values[k] > cut).collect();
    let half = Mat::from_fn(s.nrows(), kept.len(), |i, k| u[(i, kept[k])] / values[kept[k]].sqrt());
    Ok(&half * half.transpose())
}

impl Setup {
    fn variance(&self, sigma2: &[f64], targets: &MixTargets<'_>, par: Par) -> Result<Vec<f64>> {
        let theta = self.theta(sigma2);
        let singular = Error::NoConvergence {
            what: "the factorisation of V at the fit's variances",
            iterations: 0,
        };
        let point = self.problem.point(&theta, par).ok_or(singular)?;
        let (m, t) = (self.coordinates.m(), targets.prior.len());
        let unit = self.y_scale * self.y_scale;
        let root = self.coordinates.weighted(&vec![1.0; self.coordinates.n()]);
        let cross = Mat::from_fn(root.len(), t, |i, j| targets.cross[(i, j)] * root[i] / unit);
        let c = self.coordinates.along(cross, par);
        let c2 = c.as_ref().subrows(0, m);
        let solved = self.problem.solve(&point, c2, par);
        let fixed = self.problem.fixed_at(&point, par);
        let e = product(fixed.w.transpose(), c.as_ref(), par);
        let total: f64 = theta.iter().zip(&self.size).map(|(theta, size)| theta * size).sum();
        let se = product(generalised_inverse(&fixed.s, total)?.as_ref(), e.as_ref(), par);
        let mut left: Vec<f64> = (0..t)
            .map(|j| {
                let known = c2.col(j).transpose() * solved.col(j) + e.col(j).transpose() * se.col(j);
                (targets.prior[j] - known * unit).max(0.0)
            })
            .collect();
        if let Some(x) = targets.x {
            let d = self.turned(x) - se;
            let sd = &fixed.s * &d;
            (0..t).for_each(|j| left[j] += (d.col(j).transpose() * sd.col(j)) * unit);
        }
        Ok(left)
    }

    /// R^-T x' by columns.
    fn turned(&self, x: MatRef<'_, f64>) -> Mat<f64> {
        let r = self.coordinates.r();
        let inverse: Vec<Vec<f64>> = (0..r)
            .map(|j| {
                let mut column: Vec<f64> = (0..r).map(|i| f64::from(i == j)).collect();
                self.coordinates.design.solve(&mut column);
                column
            })
            .collect();
        Mat::from_fn(r, x.nrows(), |i, j| (0..r).map(|l| inverse[i][l] * x[(j, l)]).sum())
    }
}
