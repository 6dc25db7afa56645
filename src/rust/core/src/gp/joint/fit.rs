//! The optimum as a fit of several effects whose first kernel is that of the process, with standard errors that know that the length scale is an estimate.

use super::problem::{JointPoint, JointProblem, Lengths};
use super::search::{JointOptima, JointSearch};
use crate::gp::bounds::Bounds;
use crate::gp::contrast_basis::ContrastBasis;
use crate::gp::exact::default_range;
use crate::gp::information::directions;
use crate::gp::places::correlations;
use crate::gp::settings::Settings;
use crate::kernel::Kernel;
use crate::kernel::dense::Dense;
use crate::mix::fit::{ComponentErrors, Components, Setup};
use crate::mix::search::VarianceOptimum;
use crate::mix::{self, Effect};
use crate::runtime::error::{Error, Result};
use crate::runtime::memory::claim;
use crate::runtime::monitor::Monitor;
use crate::runtime::parallel::Workers;
use faer::linalg::solvers::DenseSolveCore;
use faer::{Mat, MatRef, Par, Side};
use std::cell::RefCell;

/// Rows, what is asked, and the effects beside the process.
pub struct JointModel<'a> {
    /// A slice of n for each coordinate of the process.
    pub coordinates: Vec<&'a [f64]>,
    /// Response, n.
    pub y: &'a [f64],
    /// n x p, p = 0 allowed, aliased columns allowed.
    pub x: MatRef<'a, f64>,
    /// Residual variance of row i is `sigma2_e / weights[i]`.
    pub weights: &'a [f64],
    /// Random effects beside the process.
    pub effects: Vec<Effect<'a>>,
    /// Family of the process, likelihood, and given ends of its range.
    pub request: &'a Settings,
    /// Box of the coordinates.
    pub bounds: &'a Bounds,
}

/// A fit, the process at the head of its effects.
pub struct JointFit {
    /// The fit with the process' kernel at its best length scales.
    pub mix: mix::fit::MixFit,
    /// Length scales, one an axis, in units of the coordinates.
    pub lengths: Vec<f64>,
    /// Standard errors of the logarithms of the length scales that were estimated.
    pub log_errors: Vec<f64>,
    /// Length scale of the first axis of each local optimum.
    pub local_lengths: Vec<f64>,
    /// The same of the grid that the search saw.
    pub grid_lengths: Vec<f64>,
    /// Does a length scale lie at an end of its range?
    pub at_end: bool,
    /// Is the residual variance as small as the condition of V allows?
    pub at_floor: bool,
}

/// Step of differences of exact slopes.
const STEP: f64 = 1e-3;
/// What two evaluations of the log-likelihood may differ by.
const AGREE: f64 = 0.01;

impl<'a> JointModel<'a> {
    pub(crate) fn problem(&self, par: Par) -> Result<JointProblem<'a>> {
        claim((self.effects.len() + 2 * self.coordinates.len() + 6) as f64 * (self.y.len() as f64).powi(2))?;
        let basis = ContrastBasis::new(self.x, self.y, self.weights)?;
        let (family, method) = (self.request.family, self.request.method);
        JointProblem::new(
            family,
            self.coordinates.clone(),
            basis,
            &self.effects,
            method,
            self.lengths(),
            par,
        )
    }

    /// Steps of log ell start at the longest length scales of the range.
    fn lengths(&self) -> Lengths {
        let (request, d) = (self.request, self.bounds.d());
        if let Some(given) = &request.lengths {
            return Lengths {
                unit: given.clone(),
                directions: vec![],
                ends: vec![],
            };
        }
        let (shortest, longest) = default_range(request, self.bounds, &self.coordinates);
        let directions = directions(d, if request.ard { 0 } else { d }, false);
        Lengths {
            unit: request.unit(self.bounds).iter().map(|u| u * longest).collect(),
            ends: vec![((shortest / longest).ln(), 0.0); directions.len()],
            directions,
        }
    }
}

/// Fit all parameters together.
pub fn fit(model: &JointModel<'_>, workers: &Workers, monitor: &mut dyn Monitor) -> Result<JointFit> {
    let problem = workers.run(|par| model.problem(par))?;
    let search = JointSearch {
        problem: &problem,
        workers,
        monitor: RefCell::new(monitor),
    };
    let found = search.run()?;
    workers.run(|par| problem.describe(model, &found, par))
}

/// Logarithms that are free at a point: variances that are not zero, and the length scales of a process that is there within their range.
pub(super) struct Free {
    pub(crate) which: Vec<usize>,
    pub(crate) covariance: Option<Mat<f64>>,
}

impl JointProblem<'_> {
    fn describe(&self, model: &JointModel<'_>, found: &JointOptima, par: Par) -> Result<JointFit> {
        let (best, free) = self.polished(&found.locals[0], par);
        let lengths = self.lengths(&best.steps);
        let k = correlations(self.places.family, &model.coordinates, &model.coordinates, &lengths)?;
        let mix = self.as_mix(model, &best, &k, found, par)?;
        let errors = self.errors(&mix.best, &free);
        let first = |points: &[JointPoint]| points.iter().map(|p| self.lengths(&p.steps)[0]).collect();
        let residual = best.theta[best.theta.len() - 1];
        let others: f64 = best.theta.iter().zip(&self.size).map(|(t, s)| t * s).sum::<f64>() - residual;
        Ok(JointFit {
            mix: mix::fit::MixFit { errors, ..mix },
            log_errors: self.log_errors(&free),
            local_lengths: first(&found.locals),
            grid_lengths: first(&found.seen),
            at_end: best.theta[0] > 0.0 && best.steps.iter().zip(&self.ends).any(|(t, e)| *t <= e.0 || *t >= e.1),
            at_floor: residual <= 1.1 * self.floor() * others * self.basis.contrasts() as f64,
            lengths,
        })
    }

    /// The same optimum in the code of several effects, whose likelihood must agree.
    fn as_mix(
        &self,
        model: &JointModel<'_>,
        best: &JointPoint,
        k: &Mat<f64>,
        found: &JointOptima,
        par: Par,
    ) -> Result<mix::fit::MixFit> {
        let n = model.y.len();
        let (ones, rows) = (vec![1.0; n], (0..n).collect::<Vec<usize>>());
        let process = Effect {
            label: "gp",
            z: &ones,
            group: &rows,
            kernel: Kernel::Dense(Dense(k.as_ref())),
            index: &rows,
        };
        let whole = mix::MixModel {
            y: model.y,
            x: model.x,
            weights: model.weights,
            effects: std::iter::once(process).chain(model.effects.iter().copied()).collect(),
        };
        let setup = Setup::new(&whole, self.method, par)?;
        let scale = self.basis.y_scale * self.basis.y_scale;
        let local = |p: &JointPoint| VarianceOptimum {
            theta: p
                .theta
                .iter()
                .zip(&setup.unit)
                .map(|(t, unit)| t * scale / unit)
                .collect(),
            deviance: p.deviance - setup.constant,
        };
        let locals: Vec<VarianceOptimum> = found.locals.iter().map(local).collect();
        let seen = found.seen.iter().map(|p| setup.components(&local(p))).collect();
        let at = local(best);
        let again = setup.problem.point(&at.theta, par).map(|p| p.deviance + setup.constant);
        if again.is_none_or(|again| (again - best.deviance).abs() > 2.0 * AGREE) {
            return Err(Error::NoConvergence {
                what: "the likelihood at the optimum: two factorisations of the covariance differ; it",
                iterations: 0,
            });
        }
        setup.describe(&whole, &at, &locals, seen, par)
    }

    /// After a Newton step with the Hessian by differences of slopes; the covariance of what is free.
    fn polished(&self, from: &JointPoint, par: Par) -> (JointPoint, Free) {
        let mut best = from.clone();
        let which = self.free(&best);
        let mut covariance = self.information(&best, &which, par);
        if let Some(c) = &covariance {
            let slope: Vec<f64> = which.iter().map(|&i| self.log_slope(&best, i)).collect();
            let step: Vec<f64> = (0..which.len())
                .map(|i| -0.5 * (0..which.len()).map(|j| c[(i, j)] * slope[j]).sum::<f64>())
                .collect();
            let (theta, steps) = self.shifted(&best, &which, &step);
            if let Some(next) = self.point(&theta, &steps, par)
                && next.deviance <= best.deviance + 1e-9
                && step.iter().all(|s| s.abs() < 0.2)
            {
                best = next;
                covariance = self.information(&best, &which, par);
            }
        }
        (best, Free { which, covariance })
    }

    fn free(&self, at: &JointPoint) -> Vec<usize> {
        let variances = self.variances();
        let inside = |i: usize| at.steps[i] > self.ends[i].0 && at.steps[i] < self.ends[i].1;
        (0..at.gradient.len())
            .filter(|&i| {
                if i < variances {
                    at.theta[i] > 0.0
                } else {
                    at.theta[0] > 0.0 && inside(i - variances)
                }
            })
            .collect()
    }

    /// Slope in the logarithm of a variance, or in a step.
    fn log_slope(&self, at: &JointPoint, i: usize) -> f64 {
        at.gradient[i] * at.theta.get(i).copied().unwrap_or(1.0)
    }

    fn shifted(&self, at: &JointPoint, which: &[usize], by: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let (mut theta, mut steps, variances) = (at.theta.clone(), at.steps.clone(), self.variances());
        for (&i, by) in which.iter().zip(by) {
            if i < variances {
                theta[i] *= by.exp()
            } else {
                steps[i - variances] += by
            }
        }
        (theta, steps)
    }

    /// Twice the inverse of the Hessian in the free logarithms.
    fn information(&self, at: &JointPoint, which: &[usize], par: Par) -> Option<Mat<f64>> {
        let count = which.len();
        let slopes = |j: usize, step: f64| -> Option<Vec<f64>> {
            let by: Vec<f64> = (0..count).map(|i| if i == j { step } else { 0.0 }).collect();
            let (theta, steps) = self.shifted(at, which, &by);
            let point = self.point(&theta, &steps, par)?;
            Some(which.iter().map(|&i| self.log_slope(&point, i)).collect())
        };
        let mut hessian = Mat::<f64>::zeros(count, count);
        for j in 0..count {
            let (up, down) = (slopes(j, STEP)?, slopes(j, -STEP)?);
            for i in 0..count {
                let entry = 0.25 * (up[i] - down[i]) / STEP;
                hessian[(i, j)] += entry;
                hessian[(j, i)] += entry;
            }
        }
        Some(hessian.llt(Side::Lower).ok()?.inverse() * 2.0)
    }

    fn log_errors(&self, free: &Free) -> Vec<f64> {
        let one = |d: usize| free.error(|i| f64::from(i == self.variances() + d), &[self.variances() + d]);
        (0..self.directions.len()).map(one).collect()
    }

    fn errors(&self, at: &Components, free: &Free) -> ComponentErrors {
        let value: Vec<f64> = at.sigma2.iter().copied().chain([at.sigma2_e]).collect();
        let (last, total) = (value.len() - 1, value.iter().sum::<f64>());
        let is = |i: usize, k: usize| f64::from(i == k);
        let share = |i: usize, k: usize| if i > last { 0.0 } else { is(i, k) - value[i] / total };
        let each = |f: &dyn Fn(usize) -> f64| (0..last).map(f).collect::<Vec<f64>>();
        ComponentErrors {
            sigma2: each(&|k| value[k] * free.error(|i| is(i, k), &[k])),
            sigma2_e: value[last] * free.error(|i| is(i, last), &[last]),
            h2: each(&|k| value[k] / total * free.error(|i| share(i, k), &[k])),
            delta: each(&|k| value[last] / value[k] * free.error(|i| is(i, last) - is(i, k), &[k, last])),
        }
    }
}

impl Free {
    /// Standard error of a function by its slopes in the logarithms; missing where one that it needs is not free.
    fn error(&self, slope: impl Fn(usize) -> f64, needed: &[usize]) -> f64 {
        let Some(c) = &self.covariance else { return f64::NAN };
        if needed.iter().any(|k| !self.which.contains(k)) {
            return f64::NAN;
        }
        let s: Vec<f64> = self.which.iter().map(|&i| slope(i)).collect();
        let row = |i: usize| -> f64 { (0..s.len()).map(|j| c[(i, j)] * s[j]).sum() };
        (0..s.len()).map(|i| s[i] * row(i)).sum::<f64>().sqrt()
    }
}
