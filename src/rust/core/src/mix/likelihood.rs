//! REML and ML as functions of the variances theta (the residual last), with gradient and Hessian.
//!
//! For ML the part of X adds `log|S|`, `S = V11 - V12 V22^-1 V21 = w' V w`, `w = [-V22^-1 V21; 1]`. Its derivatives are
//!
//! ```text
//! dS/dk    = w' A_k w
//! d2S/dkdl = -(N_k' V22^-1 N_l + N_l' V22^-1 N_k),   N_k the contrasts of A_k w
//! ```

use super::covariance::{Factorised, GlsEstimator, MarginalCovariance, Traces};
use super::distance::Distance;
use crate::likelihood::Method;
use crate::runtime::error::{Error, Result};
use crate::runtime::stop;
use crate::runtime::work::{Work, count};
use faer::linalg::solvers::{Llt, Solve};
use faer::{Mat, MatRef, Par, Side};
use std::f64::consts::TAU;
use std::sync::Arc;

/// The data in the coordinates of `covariance`, in units in which response and kernels are of order one.
#[derive(Clone)]
pub struct MixProblem {
    pub covariance: Arc<dyn MarginalCovariance>,
    pub method: Method,
    /// Coordinates of the response: m of them, and then, where X is projected out, those along X.
    pub y: Mat<f64>,
    /// Rank of X.
    pub r: usize,
    /// Sum of squares and number of the contrasts that no effect reaches.
    pub rho: f64,
    pub n_rest: usize,
    pub effects: usize,
    /// Orthonormal combinations of the directions of X that some effect reaches, r rows, where the effects miss others: there S is the residual variance.
    pub reached: Option<Mat<f64>>,
    /// How many of the others ML leaves out, since it has no optimum with them.
    pub left_out: usize,
}

/// The likelihood at one set of variances.
pub struct AtVariances<'a> {
    pub theta: Vec<f64>,
    /// -2 log L without the constants of the data.
    pub deviance: f64,
    /// y' P y, which is n at the best scale.
    pub q: f64,
    factor: Box<dyn Factorised + 'a>,
    /// a = V22^-1 y2
    pub a: Mat<f64>,
    /// For ML the part of X, and the Cholesky factor of S.
    x: Option<(GlsEstimator, Llt<f64>)>,
    /// Of a coefficient that is held.
    pub(super) distance: Option<Distance>,
}

/// Gradient and Hessian of the deviance.
#[derive(Debug, Clone)]
pub struct Derivatives {
    pub gradient: Vec<f64>,
    pub hessian: Vec<Vec<f64>>,
}

impl AtVariances<'_> {
    pub fn traces(&self, par: Par) -> Traces {
        self.factor.traces(par)
    }
}

impl MixProblem {
    pub fn contrasts(&self) -> usize {
        self.covariance.contrasts() + self.n_rest
    }

    fn y2(&self) -> MatRef<'_, f64> {
        self.y.as_ref().subrows(0, self.covariance.m())
    }

    /// Directions of X among the coordinates.
    fn along_x(&self) -> usize {
        self.y.nrows() - self.covariance.m()
    }

    /// Directions of X that no effect reaches: along them ML grows without bound as the residual variance tends to 0, if the effects reach all contrasts.
    pub fn missed(&self) -> usize {
        match (&self.reached, self.method) {
            (Some(reached), Method::Ml) => self.r - reached.ncols() - self.left_out,
            _ => 0,
        }
    }

    /// Leave out of ML what makes it grow without bound.
    pub fn leave_out(&mut self) {
        self.left_out += self.missed();
    }

    /// By ML, where the effects reach all contrasts but perhaps not all of X.
    pub fn may_be_unbounded(&self) -> bool {
        self.method == Method::Ml && self.n_rest == 0 && self.r > 0
    }

    /// Looks for such directions.
    pub fn find_missed(&mut self, size: &[f64], par: Par) -> Result<()> {
        let (m, r) = (self.covariance.m(), self.along_x());
        if r == 0 || self.n_rest > 0 {
            return Ok(());
        }
        let directions = Mat::from_fn(m + r, r, |i, j| f64::from(i == m + j));
        let mut square = Mat::zeros(r, r);
        for (k, size) in size.iter().enumerate() {
            let a = self.covariance.apply(k, directions.as_ref(), par);
            square += faer::Scale(size.powi(-2)) * (a.transpose() * &a);
        }
        let failed = |_| Error::NoConvergence {
            what: "the eigendecomposition of the effects along X",
            iterations: 0,
        };
        let eigen = square.self_adjoint_eigen(Side::Lower).map_err(failed)?;
        // of a sum of squares, in units in which an effect gives a contrast the variance 1
        let count = (0..r).filter(|&j| eigen.S()[j] > f64::EPSILON).count();
        if count < r {
            self.reached = Some(eigen.U().subcols(r - count, count).to_owned());
        }
        Ok(())
    }

    /// The part of X that effects reach.
    fn reached_part(&self, fixed: GlsEstimator) -> GlsEstimator {
        match &self.reached {
            Some(t) => GlsEstimator {
                w: &fixed.w * t,
                s: t.transpose() * &fixed.s * t,
            },
            None => fixed,
        }
    }

    /// Observations that count.
    pub fn n(&self) -> usize {
        match self.method {
            Method::Reml => self.contrasts(),
            Method::Ml => self.contrasts() + self.r - self.left_out,
        }
    }

    /// `None` where V is not positive definite.
    pub fn point(&self, theta: &[f64], par: Par) -> Option<AtVariances<'_>> {
        let residual = theta[self.effects];
        if residual <= 0.0 && (self.n_rest > 0 || self.missed() > 0) {
            return None;
        }
        stop::check().ok()?;
        count(Work::Factorisation);
        let factor = self.covariance.factorise(theta, par)?;
        let a = factor.solve(self.y2(), par);
        let mut q = (self.y2().transpose() * &a)[(0, 0)];
        let mut log_det = factor.log_det();
        if self.n_rest > 0 {
            q += self.rho / residual;
            log_det += self.n_rest as f64 * residual.ln();
        }
        let mut x = None;
        if self.method == Method::Ml && self.r > self.missed() + self.left_out {
            let fixed = self.reached_part(self.fixed(theta, &*factor, par));
            let llt = fixed.s.llt(Side::Lower).ok()?;
            log_det += 2.0 * (0..fixed.s.nrows()).map(|i| llt.L()[(i, i)].ln()).sum::<f64>();
            x = Some((fixed, llt));
        }
        if self.missed() > 0 {
            log_det += self.missed() as f64 * residual.ln();
        }
        let deviance = log_det + q + self.n() as f64 * TAU.ln();
        deviance.is_finite().then(|| AtVariances {
            theta: theta.to_vec(),
            deviance,
            q,
            factor,
            a,
            x,
            distance: None,
        })
    }

    /// w and S; where X is projected out w = [-V22^-1 V21; 1] and S = w' V w.
    fn fixed(&self, theta: &[f64], factor: &dyn Factorised, par: Par) -> GlsEstimator {
        if let Some(fixed) = factor.fixed(par) {
            return fixed;
        }
        let (m, r) = (self.covariance.m(), self.r);
        let directions = Mat::from_fn(m + r, r, |i, j| f64::from(i == m + j));
        let v = self.times(theta, directions.as_ref(), par);
        let above = factor.solve(v.as_ref().subrows(0, m), par);
        let w = Mat::from_fn(
            m + r,
            r,
            |i, j| if i < m { -above[(i, j)] } else { f64::from(i == m + j) },
        );
        let s = v.as_ref().subrows(m, r) - v.as_ref().subrows(0, m).transpose() * &above;
        GlsEstimator { w, s }
    }

    /// V x
    pub fn times(&self, theta: &[f64], x: MatRef<'_, f64>, par: Par) -> Mat<f64> {
        let mut v = Mat::zeros(x.nrows(), x.ncols());
        for (k, share) in theta.iter().enumerate().filter(|(_, share)| **share > 0.0) {
            v += faer::Scale(*share) * self.covariance.apply(k, x, par);
        }
        v
    }

    pub fn derivatives(&self, point: &AtVariances<'_>, par: Par) -> Derivatives {
        let count = self.effects + 1;
        let m = self.covariance.m();
        let Traces { first, second } = point.factor.traces(par);
        let aa = self.on_contrasts(point.a.as_ref(), par);
        let va: Vec<Mat<f64>> = aa.iter().map(|x| point.factor.solve(x.as_ref(), par)).collect();
        let inner = |x: &Mat<f64>, y: &Mat<f64>| (x.transpose() * y)[(0, 0)];
        let mut gradient: Vec<f64> = (0..count).map(|k| first[k] - inner(&point.a, &aa[k])).collect();
        let entry = |k: usize, l: usize| 2.0 * inner(&aa[k], &va[l]) - second[k][l];
        let mut hessian: Vec<Vec<f64>> = (0..count).map(|k| (0..count).map(|l| entry(k, l)).collect()).collect();
        if self.n_rest > 0 {
            let residual = point.theta[self.effects];
            let (n, q) = (self.n_rest as f64, self.rho / residual);
            gradient[self.effects] += (n - q) / residual;
            hessian[self.effects][self.effects] += (2.0 * q - n) / (residual * residual);
        }
        if self.missed() > 0 {
            let (residual, count) = (point.theta[self.effects], self.missed() as f64);
            gradient[self.effects] += count / residual;
            hessian[self.effects][self.effects] -= count / (residual * residual);
        }
        if let Some(x) = &point.x {
            self.add_fixed(x, point, m, par, &mut gradient, &mut hessian);
        }
        let mut all = Derivatives { gradient, hessian };
        if let Some(distance) = &point.distance {
            distance.add_derivatives(self, point, &mut all, par);
        }
        all
    }

    /// The contrasts of A_k [x; 0] for every component.
    pub(super) fn on_contrasts(&self, x: MatRef<'_, f64>, par: Par) -> Vec<Mat<f64>> {
        let m = self.covariance.m();
        let full = Mat::from_fn(
            m + self.along_x(),
            x.ncols(),
            |i, j| if i < m { x[(i, j)] } else { 0.0 },
        );
        let one = |k| self.covariance.apply(k, full.as_ref(), par).subrows(0, m).to_owned();
        (0..=self.effects).map(one).collect()
    }

    /// Derivatives of log|S|.
    fn add_fixed(
        &self,
        (x, s): &(GlsEstimator, Llt<f64>),
        point: &AtVariances<'_>,
        m: usize,
        par: Par,
        gradient: &mut [f64],
        hessian: &mut [Vec<f64>],
    ) {
        let aw: Vec<Mat<f64>> = (0..=self.effects)
            .map(|k| self.covariance.apply(k, x.w.as_ref(), par))
            .collect();
        let n: Vec<MatRef<'_, f64>> = aw.iter().map(|a| a.as_ref().subrows(0, m)).collect();
        let vn: Vec<Mat<f64>> = n.iter().map(|n| point.factor.solve(*n, par)).collect();
        let ds: Vec<Mat<f64>> = aw.iter().map(|a| s.solve(x.w.transpose() * a)).collect();
        let trace = |a: &Mat<f64>| a.diagonal().column_vector().sum();
        for k in 0..=self.effects {
            gradient[k] += trace(&ds[k]);
            for l in 0..=self.effects {
                let cross = n[k].transpose() * &vn[l];
                hessian[k][l] -= trace(&(&ds[k] * &ds[l])) + 2.0 * trace(&s.solve(&cross));
            }
        }
    }

    /// beta's part at a point: w and S, whatever the criterion.
    pub fn fixed_at(&self, point: &AtVariances<'_>, par: Par) -> GlsEstimator {
        self.fixed(&point.theta, &*point.factor, par)
    }

    /// V22^-1 b
    pub fn solve(&self, point: &AtVariances<'_>, b: MatRef<'_, f64>, par: Par) -> Mat<f64> {
        point.factor.solve(b, par)
    }
}
