//! S, the covariance of the coefficients, and how well T and s2 are known, for tests of fixed effects.
//!
//! With `V = s2 V0`, `U = A^-1 Lambda'Z'Q` and `N = Z' V0^-1 Q = Z' (Q - Z Lambda U)` the slopes of `F = Q' V0^-1 Q` in the entries of T need rows of levels only,
//!
//! ```text
//! dF/dT_ab = -(N_a' U_b + U_b' N_a),   S = s2 F^-1
//! ```

use super::expected::expected;
use super::of_mix::TermModel;
use super::point::SparsePoint;
use super::problem::SparseProblem;
use super::search::SparseSearch;
use super::term_targets::TermVariances;
use crate::likelihood::Method;
use crate::likelihood::uncertainty::{Approximation, CoefficientUncertainty, CovarianceDerivatives};
use crate::runtime::error::{Error, Result};
use crate::runtime::monitor::Monitor;
use crate::runtime::parallel::Workers;
use faer::{Mat, Par, Scale};

/// At the variances of a fit; Kenward's and Roger's by REML. As `lmerTest` and `pbkrtest` have it, entries of T that are zero are known for Satterthwaite's, and all variances and covariances are estimated for
/// Kenward's and Roger's.
pub fn uncertainty(
    model: &TermModel<'_>,
    by: Approximation,
    method: Method,
    at: &TermVariances<'_>,
    threads: usize,
    monitor: &mut dyn Monitor,
) -> Result<CoefficientUncertainty> {
    let workers = Workers::new(threads)?;
    let (levels, places) = model.levels();
    let problem = workers.run(|_| SparseProblem::new(&levels, method))?;
    let t = problem.factors_of(at.relative, &places);
    match by {
        Approximation::Satterthwaite => observed(&problem, t, &workers, monitor),
        Approximation::KenwardRoger => {
            let (s, information) = workers.run(|par| expected(&problem, &t, par))?;
            let unit = at.sigma2_e;
            CoefficientUncertainty::new(&s, &information, unit, problem.basis())
        }
    }
}

fn observed(
    problem: &SparseProblem<'_>,
    t: Vec<Mat<f64>>,
    workers: &Workers,
    monitor: &mut dyn Monitor,
) -> Result<CoefficientUncertainty> {
    let search = SparseSearch::new(problem, workers, monitor);
    let theta: Vec<f64> = search.entries.iter().map(|&(r, a, b)| t[r][(a, b)]).collect();
    let free: Vec<usize> = (0..theta.len()).filter(|&k| theta[k] != 0.0).collect();
    let failed = || Error::NoConvergence {
        what: "the fit at its optimum",
        iterations: 0,
    };
    let at = search.reach(&theta)?.ok_or_else(failed)?;
    let hessian = search.extrapolated_hessian(&at, &free)?.ok_or_else(failed)?;
    let information = search.information(&at, &free, &hessian);
    let entries: Vec<_> = free.iter().map(|&k| search.entries[k]).collect();
    let s = workers.run(|par| Some(problem.slopes_of_covariance(&problem.point(t, par)?, &entries, par)));
    let unit = problem.centred.scale.powi(2);
    CoefficientUncertainty::new(&s.ok_or_else(failed)?, &information, unit, problem.basis())
}

impl SparseProblem<'_> {
    /// Coefficients of the kept columns of X by their coordinates along Q.
    pub(super) fn basis(&self) -> Vec<Vec<f64>> {
        let p = self.rank();
        let column = |j: usize| {
            let mut column: Vec<f64> = (0..p).map(|i| f64::from(i == j)).collect();
            self.design.solve(&mut column);
            column
        };
        let columns: Vec<Vec<f64>> = (0..p).map(column).collect();
        (0..p).map(|i| (0..p).map(|j| columns[j][i]).collect()).collect()
    }

    /// S in units of the problem, and its slopes in entries of T and, unless s2 is known, in its logarithm.
    fn slopes_of_covariance(
        &self,
        point: &SparsePoint<'_>,
        entries: &[(usize, usize, usize)],
        par: Par,
    ) -> CovarianceDerivatives {
        let (p, s2) = (self.rank(), self.s2(point.r2));
        let inverse = point.fixed.inverse(par);
        let (u, n) = self.of_fixed(point);
        let (u, n) = (u * &inverse, n * &inverse);
        let slope = |&(r, a, b): &(usize, usize, usize)| {
            let effect = &self.arrangement.effects[r];
            let row = |level: usize, term: usize| effect.first + level * effect.terms + term;
            let half = Mat::from_fn(p, p, |i, j| {
                let level = |g: usize| n[(row(g, a), i)] * u[(row(g, b), j)];
                s2 * (0..effect.levels).map(level).sum::<f64>()
            });
            &half + half.transpose()
        };
        let value = inverse * Scale(s2);
        let mut first: Vec<Mat<f64>> = entries.iter().map(slope).collect();
        if self.known.is_none() {
            first.push(value.clone());
        }
        CovarianceDerivatives {
            value,
            first,
            second: vec![],
        }
    }

    /// U and N by columns.
    fn of_fixed(&self, point: &SparsePoint<'_>) -> (Mat<f64>, Mat<f64>) {
        let (p, unknowns) = (self.rank(), self.arrangement.unknowns);
        let (mut all_u, mut all_n) = (Mat::zeros(unknowns, p), Mat::zeros(unknowns, p));
        let none = Mat::zeros(p, 1);
        for c in 0..p {
            let rest = point.w.subcols(c, 1).to_owned();
            let u = self.effects(&point.elimination, &rest, &none, c);
            let n = self.without_effects(&point.t, &u, &mut self.q[c].clone());
            for k in 0..unknowns {
                (all_u[(k, c)], all_n[(k, c)]) = (u[k], n[k]);
            }
        }
        (all_u, all_n)
    }
}
