//! Likelihood along one parameter of a model with several effects, all others at their best.
//!
//! A variance is held as it is; a share h of the total is held by tying its variance to the others, theta_k = sum_l c_l theta_l with
//! c_l = h / (1 - h) in the user's units; a coefficient is held by moving its column of X to the response, in ML.

use super::Model;
use super::fit::Setup;
use super::likelihood::Problem;
use super::search::{Local, Search, Tie};
use crate::likelihood::Method;
use crate::likelihood::optimize::root;
use crate::likelihood::profile::CurvePoint;
use crate::runtime::error::{Error, Result};
use crate::runtime::monitor::Monitor;
use crate::runtime::parallel::Workers;
use faer::Mat;
use std::cell::RefCell;

/// The parameter that is held: effects are counted from 0, and the residual follows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Standard deviation.
    Sigma(usize),
    /// Share of the sum of all variances.
    Share(usize),
    /// Coefficient of a kept column of X.
    Beta(usize),
}

/// A deviance that is lower by this share of it is lower by more than rounding.
const BETTER: f64 = 1e-7;

pub struct Profile<'a> {
    what: What,
    workers: &'a Workers,
    monitor: RefCell<&'a mut dyn Monitor>,
    setup: Setup,
    /// The response and the column that is held, over the rows and in units of the response: for a coefficient.
    rows: Option<(Vec<f64>, Vec<f64>)>,
    best: Local,
    /// A point below the best one that the profile came upon.
    better: RefCell<Option<Local>>,
    estimate: f64,
    /// A step along the parameter of the order of its uncertainty.
    step: f64,
}

impl<'a> Profile<'a> {
    /// `known`: variances of the fit, the residual's last; empty if there is none.
    pub fn new(
        model: &Model<'_>,
        method: Method,
        what: What,
        known: &[f64],
        workers: &'a Workers,
        monitor: &'a mut dyn Monitor,
    ) -> Result<Self> {
        let asked = method;
        let method = if matches!(what, What::Beta(_)) {
            Method::Ml
        } else {
            method
        };
        let of_fit = asked == method;
        let setup = workers.run(|par| Setup::of_profile(model, method, known, par))?;
        let none = Error::NoConvergence {
            what: "the search for the variances",
            iterations: 0,
        };
        let known = setup.theta(known);
        let best = if of_fit && !known.is_empty() {
            setup.search(workers, monitor).descend(&known)?
        } else {
            let found = setup.search(workers, monitor).run(&known)?;
            found.locals.into_iter().next().ok_or(none)?
        };
        let mut profile = Self {
            what,
            workers,
            monitor: RefCell::new(monitor),
            setup,
            rows: None,
            best,
            better: RefCell::new(None),
            estimate: 0.0,
            step: 0.0,
        };
        match what {
            What::Beta(j) => profile.hold_column(model, j)?,
            What::Sigma(k) => {
                profile.estimate = profile.variance(k).sqrt();
                profile.step = 0.2 * profile.total().sqrt();
            }
            What::Share(k) => {
                profile.estimate = profile.variance(k) / profile.total();
                profile.step = 0.1;
            }
        }
        Ok(profile)
    }

    fn variance(&self, k: usize) -> f64 {
        self.best.theta[k] * self.setup.unit[k]
    }

    fn total(&self) -> f64 {
        (0..self.best.theta.len()).map(|k| self.variance(k)).sum()
    }

    /// The model without column j of X; the estimate of its coefficient comes from the model with it.
    fn hold_column(&mut self, model: &Model<'_>, j: usize) -> Result<()> {
        let rank = self.setup.coordinates.r();
        if j >= rank {
            return Err(Error::outside("column", j + 1, rank));
        }
        let workers = self.workers;
        let none = Error::NoConvergence {
            what: "the fit at its optimum",
            iterations: 0,
        };
        let point = workers
            .run(|par| self.setup.problem.point(&self.best.theta, par))
            .ok_or(none)?;
        let (beta, vcov) = workers.run(|par| self.setup.fixed_effects(&point, par));
        drop(point);
        let kept = &self.setup.coordinates.design.kept;
        let others: Vec<usize> = kept.iter().copied().filter(|&column| column != kept[j]).collect();
        let x = Mat::from_fn(model.y.len(), others.len(), |i, c| model.x[(i, others[c])]);
        let column: Vec<f64> = (0..model.y.len()).map(|i| model.x[(i, kept[j])]).collect();
        let scale = self.setup.y_scale;
        let over = |v: &[f64]| self.setup.coordinates.weighted(v).iter().map(|v| v / scale).collect();
        self.rows = Some((over(model.y), over(&column)));
        (self.estimate, self.step) = (beta[j], vcov[j][j].sqrt());
        let without = Model {
            x: x.as_ref(),
            ..model.clone()
        };
        let mut setup = workers.run(|par| Setup::of_profile(&without, Method::Ml, &[], par))?;
        // variances keep their meaning: those of the first set-up, in units of the second
        for (k, theta) in self.best.theta.iter_mut().enumerate() {
            *theta *= self.setup.unit[k] / setup.unit[k] * (setup.y_scale / scale).powi(2);
        }
        setup
            .unit
            .iter_mut()
            .for_each(|unit| *unit *= (scale / setup.y_scale).powi(2));
        (setup.constant, setup.y_scale) = (self.setup.constant, scale);
        self.setup = setup;
        Ok(())
    }

    /// Least deviance with the parameter held at a value; infinite where the likelihood is zero.
    fn deviance(&self, value: f64) -> Result<f64> {
        let (best, unit) = (&self.best.theta, &self.setup.unit);
        match self.what {
            What::Beta(_) => {
                let problem = self.moved(value);
                self.least(&problem, best.clone(), None, None)
            }
            What::Sigma(k) => {
                let mut theta = best.clone();
                theta[k] = value * value / unit[k];
                self.least(&self.setup.problem, theta, Some(k), None)
            }
            What::Share(k) if value <= 0.0 => {
                let mut theta = best.clone();
                theta[k] = 0.0;
                self.least(&self.setup.problem, theta, Some(k), None)
            }
            What::Share(k) if value >= 1.0 => self.alone(k),
            What::Share(k) => {
                let c = unit.iter().map(|u| value / (1.0 - value) * u / unit[k]).collect();
                self.least(&self.setup.problem, best.clone(), Some(k), Some(Tie { k, c }))
            }
        }
    }

    /// No variance but that of component k.
    fn alone(&self, k: usize) -> Result<f64> {
        let problem = &self.setup.problem;
        let theta: Vec<f64> = (0..self.best.theta.len()).map(|l| f64::from(l == k)).collect();
        let n = problem.n() as f64;
        let point = self.workers.run(|par| problem.point(&theta, par));
        Ok(point.map_or(f64::INFINITY, |p| p.deviance - p.q + n + n * (p.q / n).ln()))
    }

    fn least(&self, problem: &Problem, mut theta: Vec<f64>, held: Option<usize>, tie: Option<Tie>) -> Result<f64> {
        let mut monitor = self.monitor.borrow_mut();
        let mut search = search(problem, &self.setup.size, self.workers, &mut **monitor);
        if let Some(k) = held {
            search.free[k] = false;
        }
        search.tie = tie;
        let largest = theta
            .iter()
            .zip(&search.size)
            .map(|(t, size)| t * size)
            .fold(0.0, f64::max);
        for k in (0..theta.len()).filter(|k| Some(*k) != held) {
            // a variance of zero may have to become positive
            theta[k] = theta[k].max(1e-3 * largest / search.size[k]);
        }
        if search.point(&theta)?.is_none() {
            return Ok(f64::INFINITY);
        }
        let found = match search.descend(&theta) {
            Err(Error::NoConvergence { .. }) if problem.may_be_unbounded() => return Ok(f64::INFINITY),
            found => found?,
        };
        // the optimum's valley has ended
        if search.runs_away(&found)? {
            return Ok(f64::INFINITY);
        }
        let tie = search.tie.take();
        self.remember(&found, tie.as_ref());
        Ok(found.deviance)
    }

    /// A profile lies above its optimum: one that does not has found a better one.
    fn remember(&self, found: &Local, tie: Option<&Tie>) {
        let least = self
            .better
            .borrow()
            .as_ref()
            .map_or(self.best.deviance, |better| better.deviance);
        if found.deviance < least - BETTER * (1.0 + least.abs()) {
            let theta = tie.map_or_else(|| found.theta.clone(), |tie| tie.theta(&found.theta));
            *self.better.borrow_mut() = Some(Local {
                theta,
                deviance: found.deviance,
            });
        }
    }

    /// Variances, the residual's last, at which the likelihood is larger than at the optimum that the profile started from.
    pub fn better(&self) -> Option<Vec<f64>> {
        let better = self.better.borrow();
        let better = better.as_ref()?;
        Some(
            better
                .theta
                .iter()
                .zip(&self.setup.unit)
                .map(|(t, unit)| t * unit)
                .collect(),
        )
    }

    /// The problem of the response less `value` times the column.
    fn moved(&self, value: f64) -> Problem {
        let Some((y, x)) = &self.rows else {
            return self.setup.problem.clone();
        };
        let coordinates = &self.setup.coordinates;
        let v = Mat::from_fn(y.len(), 1, |i, _| y[i] - value * x[i]);
        let (along, rest) = self.workers.run(|par| coordinates.forward(v, par));
        Problem {
            y: along,
            rho: rest[0],
            ..self.setup.problem.clone()
        }
    }

    fn zeta(&self, value: f64) -> Result<f64> {
        Ok((self.deviance(value)? - self.best.deviance).max(0.0).sqrt())
    }

    /// Where the deviance has risen by `drop`; a border where it never rises so far.
    pub fn interval(&self, drop: f64) -> Result<(f64, f64)> {
        Ok((self.end(-1.0, drop)?, self.end(1.0, drop)?))
    }

    /// Border of the range on one side.
    fn border(&self, side: f64) -> f64 {
        match (self.what, side < 0.0) {
            (What::Beta(_), _) => side * f64::INFINITY,
            (_, true) => 0.0,
            (What::Sigma(_), false) => f64::INFINITY,
            (What::Share(_), false) => 1.0,
        }
    }

    fn end(&self, side: f64, drop: f64) -> Result<f64> {
        let (target, border) = (drop.sqrt(), self.border(side));
        let (mut inner, mut step) = (self.estimate, self.step * target);
        let outer = loop {
            let next = self.estimate + side * step;
            let next = if side < 0.0 { next.max(border) } else { next.min(border) };
            if next == inner || (next != border && !step.is_normal()) {
                return Ok(border);
            }
            if self.zeta(next)? >= target {
                break next;
            }
            if next == border {
                return Ok(border);
            }
            (inner, step) = (next, 2.0 * step);
        };
        let failure = RefCell::new(None);
        let excess = |value: f64| match self.zeta(value) {
            Ok(zeta) => (zeta - target).min(1e3 + target),
            Err(error) => {
                failure.borrow_mut().get_or_insert(error);
                f64::NAN
            }
        };
        let found = root(excess, inner, outer);
        failure.into_inner().map_or(found, Err)
    }

    /// `count` points of the curve out to |zeta| = `zeta_max`, evenly spaced.
    pub fn curve(&self, zeta_max: f64, count: usize) -> Result<Vec<CurvePoint>> {
        let (a, b) = self.interval(zeta_max * zeta_max)?;
        let steps = count.max(2) - 1;
        (0..=steps)
            .map(|i| self.curve_point(a + (b - a) * i as f64 / steps as f64))
            .collect()
    }

    fn curve_point(&self, value: f64) -> Result<CurvePoint> {
        let deviance = self.deviance(value)?;
        let side = if value < self.estimate { -1.0 } else { 1.0 };
        Ok(CurvePoint {
            value,
            zeta: side * (deviance - self.best.deviance).max(0.0).sqrt(),
            log_lik: -0.5 * (deviance + self.setup.constant),
        })
    }
}

fn search<'a>(problem: &'a Problem, size: &[f64], workers: &'a Workers, monitor: &'a mut dyn Monitor) -> Search<'a> {
    Search {
        problem,
        workers,
        monitor: RefCell::new(monitor),
        size: size.to_vec(),
        free: vec![true; size.len()],
        tie: None,
    }
}
