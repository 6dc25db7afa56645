//! Likelihood along one parameter of a process with other effects, all others at their best.

use super::descent::{Start, descend};
use super::fit::Model;
use super::problem::{Point, Problem};
use crate::gp::turned::Turned;
use crate::likelihood::Method;
use crate::likelihood::profile::CurvePoint;
use crate::runtime::error::Result;
use crate::runtime::monitor::Monitor;
use crate::runtime::parallel::Workers;
use faer::Mat;
use std::cell::RefCell;

/// The parameter that is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Standard deviation: the process is 0, the residual comes last.
    Sigma(usize),
    /// Step of log ell along a direction.
    Step(usize),
    /// Coefficient of a kept column of X.
    Beta(usize),
}

/// Outward steps that double before a border is taken to be reached.
const DOUBLINGS: usize = 14;
/// A rise so large that nothing depends on how large.
const FAR: f64 = 1e4;

pub struct Profile<'p, 'a> {
    model: &'p Model<'a>,
    problem: Problem<'a>,
    what: What,
    workers: &'p Workers,
    monitor: RefCell<&'p mut dyn Monitor>,
    best: Point,
    estimate: f64,
    /// A step of the order of the parameter's uncertainty.
    step: f64,
    /// The last optimum, from which the next starts.
    last: RefCell<Point>,
}

impl<'p, 'a> Profile<'p, 'a> {
    /// `sigma2`, the residual's last, and `lengths`: those of the fit; `estimate` and `error`: of the parameter, in the units in which it is held.
    pub fn new(
        model: &'p Model<'a>,
        what: What,
        (sigma2, lengths): (&[f64], &[f64]),
        (estimate, error): (f64, f64),
        workers: &'p Workers,
        monitor: &'p mut dyn Monitor,
    ) -> Result<Self> {
        let mut problem = workers.run(|par| model.problem(par))?;
        // a coefficient is profiled in ML, since REML does not contain it
        if matches!(what, What::Beta(_)) {
            problem.method = Method::Ml;
        }
        let scale = problem.turned.y_scale * problem.turned.y_scale;
        let theta = sigma2.iter().map(|s| s / scale).collect();
        let steps = problem.steps_of(lengths);
        let start = Start::free(&problem, theta, steps);
        let best = workers.run(|par| descend(&problem, &start, usize::MAX, par));
        let best = best.ok_or(crate::gp::exact::singular())?;
        let estimate = match what {
            What::Sigma(k) => sigma2[k].sqrt(),
            What::Step(d) => best.steps[d],
            What::Beta(_) => estimate,
        };
        let wide = if estimate.abs() > 0.0 {
            0.5 * estimate.abs()
        } else {
            1.0
        };
        Ok(Self {
            model,
            problem,
            what,
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
        let moved = match self.what {
            What::Beta(j) => Some(self.moved(j, value)?),
            _ => None,
        };
        let problem = moved.as_ref().unwrap_or(&self.problem);
        let start = match self.what {
            What::Beta(_) => problem.lift(&last),
            What::Sigma(k) => problem.held_variance(&last, k, value),
            What::Step(d) => problem.held_step(&last, d, value),
        };
        let again = Start {
            theta: problem.lift(&self.best).theta,
            steps: self.best.steps.clone(),
            ..start.clone()
        };
        let again = Start::merged(&start, again);
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
    fn moved(&self, j: usize, value: f64) -> Result<Problem<'a>> {
        let model = self.model;
        let column = self.problem.turned.design.kept[j];
        let kept = self.problem.turned.design.kept.iter().copied();
        let rest: Vec<usize> = kept.filter(|c| *c != column).collect();
        let x = Mat::from_fn(model.x.nrows(), rest.len(), |i, c| model.x[(i, rest[c])]);
        let y: Vec<f64> = (0..model.y.len())
            .map(|i| model.y[i] - value * model.x[(i, column)])
            .collect();
        let turned = Turned::new(x.as_ref(), &y, model.weights)?;
        self.problem.with(turned, &model.effects)
    }

    fn border(&self, side: f64) -> f64 {
        match (self.what, side < 0.0) {
            (What::Sigma(_), true) => 0.0,
            (What::Step(d), low) => {
                if low {
                    self.problem.ends[d].0
                } else {
                    self.problem.ends[d].1
                }
            }
            _ => side * f64::INFINITY,
        }
    }

    /// Where the deviance has risen by `rise`; an infinite number, or a variance of zero, where it never rises so far.
    pub fn interval(&self, rise: f64) -> Result<(f64, f64)> {
        Ok((
            self.in_user_units(self.end(-1.0, rise)?),
            self.in_user_units(self.end(1.0, rise)?),
        ))
    }

    /// A step as the length scale that it leads to.
    fn in_user_units(&self, value: f64) -> f64 {
        let What::Step(d) = self.what else { return value };
        let direction = &self.problem.directions[d];
        let axis = direction.iter().position(|v| *v != 0.0).unwrap_or(0);
        self.problem.unit[axis] * (value * direction[axis]).exp()
    }

    fn end(&self, side: f64, rise: f64) -> Result<f64> {
        self.last.replace(self.best.clone());
        let (border, target) = (self.border(side), rise.sqrt());
        let open = if matches!(self.what, What::Sigma(_)) && side < 0.0 {
            0.0
        } else {
            side * f64::INFINITY
        };
        let (mut inner, mut step, mut inside) = (self.estimate, target * self.step, 0.0_f64);
        for _ in 0..DOUBLINGS {
            let next = self.estimate + side * step;
            let outer = if side < 0.0 { next.max(border) } else { next.min(border) };
            if outer == inner {
                return Ok(open);
            }
            let there = self.rise(outer)?;
            if there >= rise {
                return self.between((inner, inside.sqrt() - target), (outer, there.sqrt() - target), target);
            }
            inside = there;
            if outer == border {
                return Ok(open);
            }
            (inner, step) = (outer, 2.0 * step);
        }
        Ok(open)
    }

    /// Where zeta passes the target between two places, by regula falsi that halves the weight of an end that stays (the Illinois method).
    fn between(&self, mut a: (f64, f64), mut b: (f64, f64), target: f64) -> Result<f64> {
        const MOST: usize = 60;
        const SMALL: f64 = 1e-7;
        for _ in 0..MOST {
            let at = a.0 - a.1 * (b.0 - a.0) / (b.1 - a.1);
            let value = self.rise(at)?.sqrt() - target;
            let close = (b.0 - a.0).abs() <= SMALL * (a.0.abs() + b.0.abs());
            if value.abs() <= SMALL * target || close {
                return Ok(at);
            }
            if value.signum() == b.1.signum() {
                a.1 *= 0.5;
            } else {
                a = b;
            }
            b = (at, value);
        }
        Ok(b.0)
    }

    /// `count` points of the curve out to |zeta| = `zeta_max`, evenly spaced.
    pub fn curve(&self, zeta_max: f64, count: usize) -> Result<Vec<CurvePoint>> {
        let rise = zeta_max * zeta_max;
        let (a, b) = (self.end(-1.0, rise)?, self.end(1.0, rise)?);
        let far = 8.0 * self.step;
        let a = a
            .max(self.border(-1.0))
            .max(self.estimate - if a.is_finite() { f64::INFINITY } else { far });
        let b = b
            .min(self.border(1.0))
            .min(self.estimate + if b.is_finite() { f64::INFINITY } else { far });
        self.last.replace(self.best.clone());
        let point = |i: usize| {
            let value = a + (b - a) * i as f64 / (count.max(2) - 1) as f64;
            let rise = self.rise(value)?;
            let zeta = rise.sqrt().copysign(value - self.estimate);
            let log_lik = -0.5 * (self.best.deviance + rise);
            Ok(CurvePoint {
                value: self.in_user_units(value),
                zeta,
                log_lik,
            })
        };
        (0..count).map(point).collect()
    }
}

/// Share of the variance with which an effect starts at least.
const LIFTED: f64 = 1e-3;

impl Problem<'_> {
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
    fn lift(&self, last: &Point) -> Start {
        let all: f64 = last.theta.iter().zip(&self.size).map(|(t, s)| t * s).sum();
        let theta = last
            .theta
            .iter()
            .zip(&self.size)
            .map(|(t, s)| t.max(LIFTED * all / s))
            .collect();
        Start::free(self, theta, last.steps.clone())
    }

    fn held_variance(&self, last: &Point, k: usize, sigma: f64) -> Start {
        let mut start = self.lift(last);
        start.theta[k] = (sigma / self.turned.y_scale).powi(2);
        start.held[k] = true;
        if k == 0 && sigma == 0.0 {
            start.held[self.variances()..].fill(true);
        }
        start
    }

    fn held_step(&self, last: &Point, d: usize, value: f64) -> Start {
        let mut start = self.lift(last);
        start.steps[d] = value;
        start.held[self.variances() + d] = true;
        start
    }
}
