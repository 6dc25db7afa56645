//! The fit of several effects: reduce, search, and say what the optimum means in the user's units.

use super::MixModel;
use super::conditional::Conditional;
use super::fixed::FixedPart;
use super::likelihood::{AtVariances, Derivatives};
use super::search::{SMALL_SHARE, VarianceOptima, VarianceOptimum, VarianceSearch};
pub use super::setup::Setup;
use crate::likelihood::Method;
use crate::runtime::error::{Error, Result};
use crate::runtime::monitor::Monitor;
use crate::runtime::parallel::Workers;
use faer::linalg::solvers::DenseSolveCore;
use faer::{Mat, Par, Side};
use std::cell::RefCell;

/// Variances of the effects and of the residual, in the user's units, and the likelihood there.
#[derive(Debug, Clone)]
pub struct Components {
    /// Variance of each effect.
    pub sigma2: Vec<f64>,
    /// Residual variance of a row of weight 1.
    pub sigma2_e: f64,
    /// Log-likelihood with all constants.
    pub log_lik: f64,
}

/// Standard errors from the observed information of the variances that are not zero; NaN for the others.
#[derive(Debug, Clone)]
pub struct ComponentErrors {
    /// Of each effect's variance.
    pub sigma2: Vec<f64>,
    /// Of the residual variance.
    pub sigma2_e: f64,
    /// Of the shares sigma2_k / (sum of all variances).
    pub h2: Vec<f64>,
    /// Of the ratios sigma2_e / sigma2_k.
    pub delta: Vec<f64>,
}

/// A fit of several effects.
pub struct MixFit {
    /// The fixed part in its orthonormal basis, for predictions.
    pub fixed: FixedPart,
    /// Coefficients of the kept columns of X.
    pub beta: Vec<f64>,
    /// Var(beta_hat), by rows.
    pub vcov: Vec<Vec<f64>>,
    /// Which columns of X those are, from 0.
    pub kept: Vec<usize>,
    /// Variances and log-likelihood at the optimum.
    pub best: Components,
    /// Standard errors of the variances and of their ratios.
    pub errors: ComponentErrors,
    /// All local optima, best first.
    pub locals: Vec<Components>,
    /// The grid that the search saw.
    pub grid: Vec<Components>,
    /// For each effect u_hat = K[, index] alpha, or the weights with u_hat = W alpha.
    pub alpha: Vec<Vec<f64>>,
    /// Covariances of effects given the data and beta, those that cost little beside the fit.
    pub conditional: Vec<Conditional>,
    /// Largest slope of the deviance in the logarithm of a variance that is not zero.
    pub slope: f64,
    /// Directions of X that ML leaves out.
    pub dropped: usize,
}

/// Fit `y ~ N(X beta, sum_k sigma2_k Z_k K_k Z_k' + sigma2_e W^-1)`.
pub fn fit(model: &MixModel<'_>, method: Method, threads: usize, monitor: &mut dyn Monitor) -> Result<MixFit> {
    fit_from(model, method, &[], threads, monitor)
}

/// The same with variances, the residual's last, below which an optimum is known to lie.
pub fn fit_from(
    model: &MixModel<'_>,
    method: Method,
    start: &[f64],
    threads: usize,
    monitor: &mut dyn Monitor,
) -> Result<MixFit> {
    let workers = Workers::new(threads)?;
    monitor.check()?;
    let mut setup = workers.run(|par| Setup::new(model, method, par))?;
    workers.run(|par| setup.check_identified(model, par))?;
    let mut found = setup.search(&workers, monitor).run(&setup.theta(start))?;
    if found.locals.is_empty() && setup.problem.missed() > 0 {
        setup.leave_out(model);
        found = setup.search(&workers, monitor).run(&setup.theta(start))?;
    }
    let VarianceOptima { mut locals, grid } = found;
    let none = if setup.problem.may_be_unbounded() {
        Error::MlUnbounded
    } else {
        Error::NoConvergence {
            what: "the search for the variances: no point of its grid is usable",
            iterations: 0,
        }
    };
    let best = locals.first().ok_or(none)?.clone();
    let grid: Vec<Components> = grid.iter().map(|l| setup.components(l)).collect();
    if !setup.residual_vanishes(&best) {
        return workers.run(|par| setup.describe(model, &best, &locals, grid, par));
    }
    // where the residual variance vanishes only the plain form can tell whether it is zero
    let mut plain = workers.run(|par| Setup::plain(model, method, par))?;
    if setup.problem.left_out > 0 {
        plain.leave_out(model);
    }
    let start = plain.theta(&setup.components(&best).variances());
    let best = plain.search(&workers, monitor).descend(&start)?;
    locals.iter_mut().for_each(|local| *local = setup.moved(local, &plain));
    locals[0] = best.clone();
    workers.run(|par| plain.describe(model, &best, &locals, grid, par))
}

impl Components {
    /// All of them, the residual's last.
    pub(crate) fn variances(&self) -> Vec<f64> {
        self.sigma2.iter().copied().chain([self.sigma2_e]).collect()
    }
}

impl Setup {
    pub(crate) fn search<'a>(&'a self, workers: &'a Workers, monitor: &'a mut dyn Monitor) -> VarianceSearch<'a> {
        VarianceSearch {
            problem: &self.problem,
            workers,
            monitor: RefCell::new(Box::new(monitor)),
            size: self.size.clone(),
            free: vec![true; self.size.len()],
            tie: None,
            coefficient: None,
        }
    }

    /// Variances in the units of the problem.
    pub(crate) fn theta(&self, sigma2: &[f64]) -> Vec<f64> {
        sigma2.iter().zip(&self.unit).map(|(s, unit)| s / unit).collect()
    }

    /// A point of this set-up in the units of another.
    fn moved(&self, local: &VarianceOptimum, other: &Setup) -> VarianceOptimum {
        VarianceOptimum {
            theta: other.theta(&self.components(local).variances()),
            deviance: local.deviance + self.constant - other.constant,
        }
    }

    fn residual_vanishes(&self, local: &VarianceOptimum) -> bool {
        let share = |k: usize| local.theta[k] * self.size[k];
        let total: f64 = (0..self.size.len()).map(share).sum();
        share(self.size.len() - 1) < SMALL_SHARE * total && !self.is_plain
    }

    /// Matrices that depend linearly on each other, the residual's identity among them, have variances that cannot be told apart.
    fn check_identified(&self, model: &MixModel<'_>, par: Par) -> Result<()> {
        let count = self.size.len();
        let only_residual: Vec<f64> = (0..count).map(|k| f64::from(k + 1 == count)).collect();
        let Some(point) = self.problem.point(&only_residual, par) else {
            return Ok(());
        };
        let mut gram = point.traces(par).second;
        gram[count - 1][count - 1] += self.problem.n_rest as f64;
        let cosine = Mat::from_fn(count, count, |k, l| gram[k][l] / (gram[k][k] * gram[l][l]).sqrt());
        let failed = Error::NoConvergence {
            what: "an eigendecomposition",
            iterations: 0,
        };
        let eigen = cosine.self_adjoint_eigen(Side::Lower).map_err(|_| failed)?;
        if eigen.S()[0] > 1e-10 {
            return Ok(());
        }
        let label = |k: usize| {
            model
                .effects
                .get(k)
                .map_or("the residual".to_owned(), |e| format!("\"{}\"", e.label))
        };
        let involved: Vec<String> = (0..count)
            .filter(|&k| eigen.U()[(k, 0)].abs() > 1e-3)
            .map(label)
            .collect();
        Err(Error::Alike {
            labels: listed(&involved),
        })
    }

    pub(crate) fn components(&self, local: &VarianceOptimum) -> Components {
        let mut sigma2: Vec<f64> = local.theta.iter().zip(&self.unit).map(|(t, unit)| t * unit).collect();
        Components {
            sigma2_e: sigma2.pop().unwrap_or(f64::NAN),
            sigma2,
            log_lik: -0.5 * (local.deviance + self.constant),
        }
    }

    pub(crate) fn describe(
        &self,
        model: &MixModel<'_>,
        best: &VarianceOptimum,
        locals: &[VarianceOptimum],
        grid: Vec<Components>,
        par: Par,
    ) -> Result<MixFit> {
        let none = Error::NoConvergence {
            what: "the fit at its optimum",
            iterations: 0,
        };
        let point = self.problem.point(&best.theta, par).ok_or(none)?;
        let derivatives = self.problem.derivatives(&point, par);
        let slope = best
            .theta
            .iter()
            .zip(&derivatives.gradient)
            .map(|(t, g)| (t * g).abs())
            .fold(0.0, f64::max);
        let components = self.components(best);
        check_scale(&components, &best.theta)?;
        let (beta, vcov) = self.fixed_effects(&point, par);
        Ok(MixFit {
            fixed: self.fixed_part(&point, par),
            beta,
            vcov,
            kept: self.coordinates.design.kept.clone(),
            errors: self.errors(&components, &derivatives, &best.theta),
            alpha: self.alpha(model, &components, &point),
            conditional: self.conditional(model, &components.sigma2, &point, par)?,
            locals: locals.iter().map(|l| self.components(l)).collect(),
            grid,
            best: components,
            slope,
            dropped: self.problem.left_out,
        })
    }

    /// alpha_k = sigma2_k Z_k' V^-1 (y - X beta), or W' times that.
    fn alpha(&self, model: &MixModel<'_>, components: &Components, point: &AtVariances<'_>) -> Vec<Vec<f64>> {
        let a: Vec<f64> = (0..point.a.nrows()).map(|i| point.a[(i, 0)]).collect();
        let residual = self.coordinates.back(&a);
        let one = |(effect, sigma2): (&super::Effect<'_>, &f64)| {
            let (z, z_unit) = self.coordinates.multiplier(effect.z);
            let mut sums = vec![0.0; effect.index.len()];
            for ((&g, z), e) in effect.group.iter().zip(&z).zip(&residual) {
                sums[g] += z * e * z_unit / self.y_scale * sigma2;
            }
            effect.kernel.factor_times(effect.index, &sums).unwrap_or(sums)
        };
        model.effects.iter().zip(&components.sigma2).map(one).collect()
    }

    /// Half of the Hessian is the observed information; functions of the variances by their slopes.
    pub(super) fn errors(&self, at: &Components, d: &Derivatives, theta: &[f64]) -> ComponentErrors {
        let count = theta.len();
        let free: Vec<usize> = (0..count).filter(|&k| theta[k] > 0.0).collect();
        let unknown = ComponentErrors {
            sigma2: vec![f64::NAN; count - 1],
            sigma2_e: f64::NAN,
            h2: vec![f64::NAN; count - 1],
            delta: vec![f64::NAN; count - 1],
        };
        // scaled by the variances themselves, in any unit, so that the factorisation sees numbers of order one
        let value: Vec<f64> = at.sigma2.iter().copied().chain([at.sigma2_e]).collect();
        let size: Vec<f64> = free.iter().map(|&k| value[k] / self.unit[k]).collect();
        let scaled = Mat::from_fn(free.len(), free.len(), |i, j| {
            0.5 * d.hessian[free[i]][free[j]] * size[i] * size[j]
        });
        let Ok(llt) = scaled.llt(Side::Lower) else {
            return unknown;
        };
        let covariance = llt.inverse();
        // slope of a function in the logarithm of each variance
        let error = |slope: &dyn Fn(usize) -> f64| {
            let s: Vec<f64> = free.iter().map(|&k| slope(k)).collect();
            let quadratic: f64 = (0..s.len())
                .map(|i| (0..s.len()).map(|j| s[i] * covariance[(i, j)] * s[j]).sum::<f64>())
                .sum();
            quadratic.sqrt()
        };
        let total: f64 = value.iter().sum();
        let known = |k: usize, e: f64| if theta[k] > 0.0 { e } else { f64::NAN };
        let sigma2 = |k: usize| known(k, value[k] * error(&|l| f64::from(l == k)));
        let h2 = |k: usize| known(k, error(&|l| value[k] / total * (f64::from(l == k) - value[l] / total)));
        let delta = |k: usize| {
            let ratio = value[count - 1] / value[k];
            known(k, ratio * error(&|l| f64::from(l + 1 == count) - f64::from(l == k)))
        };
        ComponentErrors {
            sigma2: (0..count - 1).map(sigma2).collect(),
            sigma2_e: sigma2(count - 1),
            h2: (0..count - 1).map(h2).collect(),
            delta: (0..count - 1).map(delta).collect(),
        }
    }
}

/// A variance below or above what a double holds would be a wrong number; only one that is zero in any unit may be zero.
fn check_scale(at: &Components, theta: &[f64]) -> Result<()> {
    let bad = at
        .sigma2
        .iter()
        .chain([&at.sigma2_e])
        .zip(theta)
        .find(|(v, theta)| !v.is_normal() && **theta != 0.0);
    bad.map_or(Ok(()), |(value, _)| Err(Error::Scale { value: *value }))
}

/// a, b and c
fn listed(words: &[String]) -> String {
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => words.concat(),
    }
}
