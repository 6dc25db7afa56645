//! S(theta) and the information of theta with several effects. With `w = V^-1 Q1 S` and N_k the contrasts of A_k w
//!
//! ```text
//! dS/dk = w' A_k w,   d2S/dkdl = -(N_k' V22^-1 N_l + N_l' V22^-1 N_k)
//! ```
//!
//! and the expected information is half of tr(V22^-1 A_k V22^-1 A_l).

use super::MixModel;
use super::likelihood::AtVariances;
use super::setup::Setup;
use crate::likelihood::Method;
use crate::likelihood::uncertainty::{Approximation, CoefficientUncertainty, CovarianceDerivatives};
use crate::linalg::product;
use crate::runtime::error::{Error, Result};
use crate::runtime::parallel::Workers;
use faer::{Mat, MatRef, Par};

/// At the variances of a fit, the residual's last; Kenward's and Roger's by REML. As `lmerTest` and `pbkrtest` have it, an effect without variance is known to have none for Satterthwaite's, and estimated for
/// Kenward's and Roger's.
pub fn uncertainty(
    model: &MixModel<'_>,
    by: Approximation,
    method: Method,
    sigma2: &[f64],
    threads: usize,
) -> Result<CoefficientUncertainty> {
    Workers::new(threads)?.run(|par| {
        let setup = Setup::once(model, method, sigma2, par)?;
        let theta = setup.theta(sigma2);
        let singular = Error::NoConvergence {
            what: "the factorisation of V at the fit's variances",
            iterations: 0,
        };
        let point = setup.problem.point(&theta, par).ok_or(singular)?;
        let all = by == Approximation::KenwardRoger;
        let last = theta.len() - 1;
        let free: Vec<usize> = (0..theta.len())
            .filter(|&k| theta[k] > 0.0 || all && k < last)
            .collect();
        let information = setup.information(&point, by, par);
        let information = Mat::from_fn(free.len(), free.len(), |i, j| information[free[i]][free[j]]);
        let s = setup.covariance_derivatives(&point, &free, all, par);
        let unit = setup.y_scale * setup.y_scale;
        CoefficientUncertainty::new(&s, &information, unit, setup.fixed_part(&point, par).basis)
    })
}

impl Setup {
    fn information(&self, point: &AtVariances<'_>, by: Approximation, par: Par) -> Vec<Vec<f64>> {
        let twice = match by {
            Approximation::Satterthwaite => self.problem.derivatives(point, par).hessian,
            Approximation::KenwardRoger => self.expected_hessian(point, par),
        };
        let half = |row: &Vec<f64>| row.iter().map(|x| 0.5 * x).collect();
        twice.iter().map(half).collect()
    }

    fn expected_hessian(&self, point: &AtVariances<'_>, par: Par) -> Vec<Vec<f64>> {
        let mut traces = point.traces(par).second;
        let residual = point.theta.len() - 1;
        if self.problem.n_rest > 0 {
            traces[residual][residual] += self.problem.n_rest as f64 / point.theta[residual].powi(2);
        }
        traces
    }

    fn covariance_derivatives(
        &self,
        point: &AtVariances<'_>,
        free: &[usize],
        with_second: bool,
        par: Par,
    ) -> CovarianceDerivatives {
        let problem = &self.problem;
        let fixed = problem.fixed_at(point, par);
        let aw: Vec<Mat<f64>> = (free.iter())
            .map(|&k| problem.covariance.apply(k, fixed.w.as_ref(), par))
            .collect();
        let count = if with_second { free.len() } else { 0 };
        let m = self.coordinates.m();
        let n: Vec<MatRef<'_, f64>> = aw[..count].iter().map(|a| a.as_ref().subrows(0, m)).collect();
        let vn: Vec<Mat<f64>> = n.iter().map(|n| problem.solve(point, *n, par)).collect();
        let second = |i: usize, j: usize| {
            let cross = product(n[i].transpose(), vn[j].as_ref(), par);
            -(&cross + cross.transpose())
        };
        CovarianceDerivatives {
            first: aw
                .iter()
                .map(|a| product(fixed.w.transpose(), a.as_ref(), par))
                .collect(),
            second: (0..count).map(|i| (0..=i).map(|j| second(i, j)).collect()).collect(),
            value: fixed.s,
        }
    }
}
