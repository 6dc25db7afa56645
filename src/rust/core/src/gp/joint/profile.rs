//! Likelihood along one parameter of a process with other effects, all others at their best.

use super::descent::{DescentStart, descend};
use super::fit::JointModel;
use super::problem::{JointPoint, JointProblem};
use crate::gp::contrast_basis::ContrastBasis;
use crate::likelihood::Method;
use crate::likelihood::profile::CurvePoint;
use crate::likelihood::profiled::{Profiled, Rise};
use crate::runtime::error::Result;
use crate::runtime::monitor::Monitor;
use crate::runtime::parallel::Workers;
use faer::Mat;
use std::cell::RefCell;

/// The parameter that is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JointParameter {
    /// Standard deviation: the process is 0, the residual comes last.
    Sigma(usize),
    /// Step of log ell along a direction.
    Step(usize),
    /// Coefficient of a kept column of X.
    Beta(usize),
}

/// A rise so large that nothing depends on how large.
const FAR: f64 = 1e4;

/// The likelihood along one parameter of a process and effects beside it, all others at their best.
pub struct JointProfile<'p, 'a> {
    model: &'p JointModel<'a>,
    problem: JointProblem<'a>,
    parameter: JointParameter,
    workers: &'p Workers,
    monitor: RefCell<&'p mut dyn Monitor>,
    best: JointPoint,
    estimate: f64,
    /// A step of the order of the parameter's uncertainty.
    step: f64,
    /// The last optimum, from which the next starts.
    last: RefCell<JointPoint>,
}

impl<'p, 'a> JointProfile<'p, 'a> {
    /// `sigma2`, the residual's last, and `lengths`: those of the fit; `estimate` and `error`: of the parameter, in the units in which it is held.
    pub fn new(
        model: &'p JointModel<'a>,
        parameter: JointParameter,
        (sigma2, lengths): (&[f64], &[f64]),
        (estimate, error): (f64, f64),
        workers: &'p Workers,
        monitor: &'p mut dyn Monitor,
    ) -> Result<Self> {
        let mut problem = workers.run(|par| model.problem(par))?;
        // a coefficient is profiled in ML, since REML does not contain it
        if matches!(parameter, JointParameter::Beta(_)) {
            problem.method = Method::Ml;
        }
        let scale = problem.basis.y_scale * problem.basis.y_scale;
        let theta = sigma2.iter().map(|s| s / scale).collect();
        let steps = problem.steps_of(lengths);
        let start = DescentStart::free(&problem, theta, steps);
        let best = workers.run(|par| descend(&problem, &start, usize::MAX, par));
        let best = best.ok_or(crate::gp::exact::singular())?;
        let estimate = match parameter {
            JointParameter::Sigma(k) => sigma2[k].sqrt(),
            JointParameter::Step(d) => best.steps[d],
            JointParameter::Beta(_) => estimate,
        };
        let wide = if estimate.abs() > 0.0 {
            0.5 * estimate.abs()
        } else {
            1.0
        };
        Ok(Self {
            model,
            problem,
            parameter,
            workers,
            monitor: RefCell::new(monitor),
            last: RefCell::new(best.clone()),
            best,
            estimate,
            step: if error.is_finite() && error > 0.0 { error } else { wide },
        })
    }

    /// Rise of the deviance with the parameter held.
    fn rise(&self, value: f64) -> Result<f64> {
        self.monitor.borrow_mut().check()?;
        let last = self.last.borrow().clone();
        let moved = match self.parameter {
            JointParameter::Beta(j) => Some(self.moved(j, value)?),
            _ => None,
        };
        let problem = moved.as_ref().unwrap_or(&self.problem);
        let start = match self.parameter {
            JointParameter::Beta(_) => problem.lift(&last),
            JointParameter::Sigma(k) => problem.held_variance(&last, k, value),
            JointParameter::Step(d) => problem.held_step(&last, d, value),
        };
        let again = DescentStart {
            theta: problem.lift(&self.best).theta,
            steps: self.best.steps.clone(),
            ..start.clone()
        };
        let again = DescentStart::merged(&start, again);
        let found = self.workers.run(|par| {
            let both = [&start, &again].map(|start| descend(problem, start, usize::MAX, par));
            both.into_iter()
                .flatten()
                .min_by(|a, b| a.deviance.total_cmp(&b.deviance))
        });
        Ok(found.map_or(FAR, |point| {
            let rise = point.deviance - self.best.deviance;
            self.last.replace(point);
            rise.clamp(0.0, FAR)
        }))
    }

    /// The problem of the response less `value` times a column, which X no longer has.
    fn moved(&self, j: usize, value: f64) -> Result<JointProblem<'a>> {
        let model = self.model;
        let column = self.problem.basis.design.kept[j];
        let kept = self.problem.basis.design.kept.iter().copied();
        let rest: Vec<usize> = kept.filter(|c| *c != column).collect();
        let x = Mat::from_fn(model.x.nrows(), rest.len(), |i, c| model.x[(i, rest[c])]);
        let y: Vec<f64> = (0..model.y.len())
            .map(|i| model.y[i] - value * model.x[(i, column)])
            .collect();
        let basis = ContrastBasis::new(x.as_ref(), &y, model.weights)?;
        self.problem.with(basis, &model.effects)
    }

    /// Where the deviance has risen by `rise`; an infinite number, or a variance of zero, where it never rises so far.
    pub fn limits(&self, rise: f64) -> Result<(f64, f64)> {
        let (a, b) = self.interval(rise)?;
        Ok((self.in_user_units(a), self.in_user_units(b)))
    }

    /// A step as the length scale that it leads to.
    fn in_user_units(&self, value: f64) -> f64 {
        let JointParameter::Step(d) = self.parameter else {
            return value;
        };
        let direction = &self.problem.directions[d];
        let axis = direction.iter().position(|v| *v != 0.0).unwrap_or(0);
        self.problem.unit[axis] * (value * direction[axis]).exp()
    }

    /// `count` points of the curve out to |zeta| = `zeta_max`, evenly spaced; a side without end is drawn for some steps.
    pub fn curve(&self, zeta_max: f64, count: usize) -> Result<Vec<CurvePoint>> {
        let (a, b) = self.interval(zeta_max * zeta_max)?;
        let ((low, high), far) = (self.borders(), 8.0 * self.step);
        let a = if a.is_finite() { a } else { self.estimate - far };
        let b = if b.is_finite() { b } else { self.estimate + far };
        let points = self.points((a.max(low), b.min(high)), count, -0.5 * self.best.deviance)?;
        let in_user_units = |point: CurvePoint| CurvePoint {
            value: self.in_user_units(point.value),
            ..point
        };
        Ok(points.into_iter().map(in_user_units).collect())
    }
}

impl Profiled for JointProfile<'_, '_> {
    fn deviance_with(&self, value: f64) -> Result<Rise> {
        Ok(Rise {
            rise: self.rise(value)?,
            slope: f64::NAN,
            error: 0.0,
        })
    }

    fn estimate(&self) -> f64 {
        self.estimate
    }

    fn step(&self) -> f64 {
        self.step
    }

    fn borders(&self) -> (f64, f64) {
        match self.parameter {
            JointParameter::Sigma(_) => (0.0, f64::INFINITY),
            JointParameter::Step(d) => self.problem.ends[d],
            JointParameter::Beta(_) => (f64::NEG_INFINITY, f64::INFINITY),
        }
    }

    /// A variance ends at zero; the range of length scales says nothing of what lies beyond.
    fn open(&self, side: f64) -> f64 {
        match self.parameter {
            JointParameter::Sigma(_) if side < 0.0 => 0.0,
            _ => side * f64::INFINITY,
        }
    }

    fn reset(&self) {
        self.last.replace(self.best.clone());
    }

    fn tolerance(&self) -> f64 {
        1e-7
    }
}

/// Share of the variance with which an effect starts at least.
const LIFTED: f64 = 1e-3;

impl JointProblem<'_> {
    /// Steps whose length scales are nearest to given ones.
    fn steps_of(&self, lengths: &[f64]) -> Vec<f64> {
        let step = |d: &Vec<f64>| {
            let axis = d.iter().position(|v| *v != 0.0).unwrap_or(0);
            (lengths[axis] / self.unit[axis]).ln() / d[axis]
        };
        let inside = |(d, e): (&Vec<f64>, &(f64, f64))| step(d).clamp(e.0, e.1);
        self.directions.iter().zip(&self.ends).map(inside).collect()
    }

    /// From an optimum, each variance large enough to move.
    fn lift(&self, last: &JointPoint) -> DescentStart {
        let all: f64 = last.theta.iter().zip(&self.size).map(|(t, s)| t * s).sum();
        let theta = last
            .theta
            .iter()
            .zip(&self.size)
            .map(|(t, s)| t.max(LIFTED * all / s))
            .collect();
        DescentStart::free(self, theta, last.steps.clone())
    }

    fn held_variance(&self, last: &JointPoint, k: usize, sigma: f64) -> DescentStart {
        let mut start = self.lift(last);
        start.theta[k] = (sigma / self.basis.y_scale).powi(2);
        start.held[k] = true;
        if k == 0 && sigma == 0.0 {
            start.held[self.variances()..].fill(true);
        }
        start
    }

    fn held_step(&self, last: &JointPoint, d: usize, value: f64) -> DescentStart {
        let mut start = self.lift(last);
        start.steps[d] = value;
        start.held[self.variances() + d] = true;
        start
    }
}
