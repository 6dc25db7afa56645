//! Likelihood along one parameter of a model with several effects, all others at their best.
//!
//! A variance is held as it is; a share h of the total is held by tying its variance to the others, theta_k = sum_l c_l theta_l with
//! c_l = h / (1 - h) in the user's units; a coefficient is held in ML, by the distance of its estimate (`column`).

use super::Model;
use super::column::{Column, Distance};
use super::fit::{Errors, Setup};
use super::likelihood::Problem;
use super::search::{Local, Search, Tie};
use crate::likelihood::Method;
use crate::likelihood::profile::CurvePoint;
use crate::likelihood::profiled::{Profiled, Rise};
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

/// What the profiles of all parameters share: the model in its coordinates, and the optimum of each criterion once it has been asked for.
pub struct Profiles<'a> {
    model: Model<'a>,
    method: Method,
    setup: Setup,
    /// The likelihood of a fixed effect, and the constant that belongs to it.
    ml: (Problem, f64),
    known: Vec<f64>,
    workers: &'a Workers,
    monitor: RefCell<&'a mut dyn Monitor>,
    own: Option<Local>,
    of_ml: Option<Local>,
}

impl<'a> Profiles<'a> {
    /// `known`: variances of the fit, the residual's last; empty if there is none.
    pub fn new(
        model: &Model<'a>,
        method: Method,
        known: &[f64],
        workers: &'a Workers,
        monitor: &'a mut dyn Monitor,
    ) -> Result<Self> {
        let setup = workers.run(|par| Setup::of_profile(model, method, known, par))?;
        Ok(Self {
            model: model.clone(),
            method,
            known: setup.theta(known),
            ml: by_ml_of(&setup, model),
            setup,
            workers,
            monitor: RefCell::new(monitor),
            own: None,
            of_ml: None,
        })
    }

    /// What `read` makes of the profile of one parameter, and variances, the residual's last, at which the profile found the likelihood of the fit to be larger
    /// than at the optimum that it started from. A fixed effect of a REML fit is profiled by ML, which says nothing about the fit: there it starts anew.
    pub fn read<T>(
        &mut self,
        what: What,
        read: impl Fn(&Profile<'_, 'a>) -> Result<T>,
    ) -> Result<(T, Option<Vec<f64>>)> {
        let by_ml = matches!(what, What::Beta(_)) && self.setup.problem.method == Method::Reml;
        loop {
            let best = self.optimum(by_ml)?;
            let profile = Profile::new(self, what, best)?;
            let found = match read(&profile) {
                // where the residual variance vanishes only the plain form can be trusted
                Err(Error::NoConvergence { .. }) if !self.setup.is_plain => {
                    self.make_plain()?;
                    continue;
                }
                found => found?,
            };
            let Some(better) = profile.better.into_inner() else {
                return Ok((found, None));
            };
            if !by_ml {
                let variance = |(t, unit): (&f64, &f64)| t * unit;
                return Ok((
                    found,
                    Some(better.theta.iter().zip(&self.setup.unit).map(variance).collect()),
                ));
            }
            let again = self.search(&self.ml.0).descend(&better.theta)?;
            self.of_ml = Some(again);
        }
    }

    fn make_plain(&mut self) -> Result<()> {
        let plain = self.workers.run(|par| Setup::plain(&self.model, self.method, par))?;
        let moved = |theta: &Vec<f64>| {
            theta
                .iter()
                .zip(&self.setup.unit)
                .map(|(t, unit)| t * unit)
                .collect::<Vec<f64>>()
        };
        self.known = plain.theta(&moved(&self.known));
        (self.own, self.of_ml) = (None, None);
        self.ml = by_ml_of(&plain, &self.model);
        self.setup = plain;
        Ok(())
    }

    fn optimum(&mut self, by_ml: bool) -> Result<Local> {
        let stored = if by_ml { &self.of_ml } else { &self.own };
        if let Some(known) = stored {
            return Ok(known.clone());
        }
        let best = match self.found(by_ml)? {
            Some(best) => best,
            None => {
                self.leave_out(by_ml)?;
                self.found(by_ml)?.ok_or(Error::MlUnbounded)?
            }
        };
        *(if by_ml { &mut self.of_ml } else { &mut self.own }) = Some(best.clone());
        Ok(best)
    }

    /// The optimum; none where ML has none inside.
    fn found(&self, by_ml: bool) -> Result<Option<Local>> {
        let search = self.search(if by_ml { &self.ml.0 } else { &self.setup.problem });
        if by_ml || self.known.is_empty() {
            return Ok(search.run(&self.known)?.locals.into_iter().next());
        }
        let local = match search.descend(&self.known) {
            Err(Error::NoConvergence { .. }) if search.problem.missed() > 0 => return Ok(None),
            found => found?,
        };
        Ok((!search.runs_away(&local)?).then_some(local))
    }

    fn leave_out(&mut self, by_ml: bool) -> Result<()> {
        let problem = if by_ml { &self.ml.0 } else { &self.setup.problem };
        if problem.missed() == 0 {
            return Err(Error::NoConvergence {
                what: "the search for the variances",
                iterations: 0,
            });
        }
        if by_ml {
            self.ml.0.leave_out();
            self.ml.1 = self.setup.constant(&self.model, &self.ml.0);
        } else {
            self.setup.leave_out(&self.model);
            self.ml = by_ml_of(&self.setup, &self.model);
        }
        Ok(())
    }

    fn search<'s>(&'s self, problem: &'s Problem) -> Search<'s> {
        Search {
            problem,
            workers: self.workers,
            monitor: RefCell::new(Box::new(&self.monitor)),
            size: self.setup.size.clone(),
            free: vec![true; self.setup.size.len()],
            tie: None,
            column: None,
        }
    }
}

/// The problem by ML, and the constant that belongs to it.
fn by_ml_of(setup: &Setup, model: &Model<'_>) -> (Problem, f64) {
    let ml = Problem {
        method: Method::Ml,
        ..setup.problem.clone()
    };
    let constant = setup.constant(model, &ml);
    (ml, constant)
}

/// One parameter.
pub struct Profile<'p, 'a> {
    of: &'p Profiles<'a>,
    what: What,
    problem: &'p Problem,
    constant: f64,
    /// A coefficient as a combination of those along an orthonormal basis of X.
    direction: Mat<f64>,
    best: Local,
    /// A point below the best one that the profile came upon.
    better: RefCell<Option<Local>>,
    estimate: f64,
    step: f64,
    /// The last two values and their optima, on the same side of the estimate.
    last: RefCell<Vec<(f64, Vec<f64>)>>,
}

impl<'p, 'a> Profile<'p, 'a> {
    fn new(of: &'p Profiles<'a>, what: What, best: Local) -> Result<Self> {
        let setup = &of.setup;
        let (problem, constant) = match what {
            What::Beta(_) => (&of.ml.0, of.ml.1),
            _ => (&setup.problem, setup.constant),
        };
        let mut profile = Self {
            of,
            what,
            problem,
            constant,
            direction: Mat::zeros(0, 1),
            best,
            better: RefCell::new(None),
            estimate: 0.0,
            step: 0.0,
            last: RefCell::new(vec![]),
        };
        profile.locate()?;
        Ok(profile)
    }

    /// The estimate, and its standard error if it has one.
    fn locate(&mut self) -> Result<()> {
        let (setup, workers) = (&self.of.setup, self.of.workers);
        let singular = Error::NoConvergence {
            what: "the fit at its optimum",
            iterations: 0,
        };
        let theta = &self.best.theta;
        let point = workers.run(|par| self.problem.point(theta, par)).ok_or(singular)?;
        if let What::Beta(j) = self.what {
            let rank = setup.coordinates.r();
            if j >= rank {
                return Err(Error::outside("column", j + 1, rank));
            }
            let (beta, vcov) = workers.run(|par| setup.fixed_effects(&point, par));
            (self.estimate, self.step) = (beta[j], vcov[j][j].sqrt());
            self.direction = setup.direction(j);
            return Ok(());
        }
        let variance: Vec<f64> = theta.iter().zip(&setup.unit).map(|(t, unit)| t * unit).collect();
        let total: f64 = variance.iter().sum();
        let derivatives = workers.run(|par| self.problem.derivatives(&point, par));
        let errors = setup.errors(&setup.components(&self.best), &derivatives, theta);
        let (estimate, error, wide) = match self.what {
            What::Sigma(k) => {
                let sigma = variance[k].sqrt();
                (sigma, of_variance(&errors, k) / (2.0 * sigma), 0.2 * total.sqrt())
            }
            What::Share(k) => (variance[k] / total, errors.h2[k], 0.1),
            What::Beta(_) => (0.0, 0.0, 0.0),
        };
        self.estimate = estimate;
        self.step = if error.is_normal() { error.min(5.0 * wide) } else { wide };
        Ok(())
    }

    /// No variance but that of component k.
    fn alone(&self, k: usize) -> f64 {
        let theta: Vec<f64> = (0..self.best.theta.len()).map(|l| f64::from(l == k)).collect();
        let n = self.problem.n() as f64;
        let point = self.of.workers.run(|par| self.problem.point(&theta, par));
        point.map_or(f64::INFINITY, |p| p.deviance - p.q + n + n * (p.q / n).ln())
    }

    /// The search with the parameter held, and which component it leaves alone.
    fn held(&self, value: f64) -> (Search<'p>, Option<usize>) {
        let mut search = self.of.search(self.problem);
        let unit = &self.of.setup.unit;
        let held = match self.what {
            What::Beta(_) => {
                search.column = Some(Column {
                    direction: self.direction.clone(),
                    value: self.of.setup.of_centred(value, &self.direction),
                });
                return (search, None);
            }
            What::Share(k) if value > 0.0 => {
                let c = unit.iter().map(|u| value / (1.0 - value) * u / unit[k]).collect();
                search.tie = Some(Tie { k, c });
                k
            }
            What::Share(k) | What::Sigma(k) => k,
        };
        search.free[held] = false;
        (search, Some(held))
    }

    /// Variances to start from, the held one at its value.
    fn start(&self, theta: &[f64], value: f64) -> Vec<f64> {
        let mut theta = theta.to_vec();
        match self.what {
            What::Sigma(k) => theta[k] = value * value / self.of.setup.unit[k],
            What::Share(k) if value <= 0.0 => theta[k] = 0.0,
            _ => {}
        }
        theta
    }

    /// The optimum at a value, along the line through the last two; none for the first.
    fn extrapolated(&self, value: f64) -> Vec<f64> {
        let last = self.last.borrow();
        match last.as_slice() {
            [] => self.best.theta.clone(),
            [.., (a, from), (b, to)] if a != b => {
                let times = (value - b) / (b - a);
                let next = |(f, t): (&f64, &f64)| (t + times * (t - f)).clamp(0.5 * t, 2.0 * t);
                from.iter().zip(to).map(next).collect()
            }
            [.., (_, to)] => to.clone(),
        }
    }

    /// Deviance at a value that is no border, and its slope.
    fn least(&self, value: f64) -> Result<(f64, f64)> {
        let (search, held) = self.held(value);
        let start = self.start(&self.extrapolated(value), value);
        if let Some(found) = search.near(start)? {
            let slope = self.slope(
                value,
                &found.local.theta,
                &found.derivatives.gradient,
                found.point.distance.as_ref(),
            );
            if !search.runs_away(&found.local)? {
                self.remember(&found.local, value, search.tie.as_ref());
                return Ok((found.local.deviance, slope));
            }
        }
        Ok((self.descended(&search, held, value)?, f64::NAN))
    }

    /// From the optimum of the fit, each variance large enough to move.
    fn descended(&self, search: &Search<'_>, held: Option<usize>, value: f64) -> Result<f64> {
        let mut theta = self.start(&self.best.theta, value);
        let share = |(t, size): (&f64, &f64)| t * size;
        let largest = theta.iter().zip(&search.size).map(share).fold(0.0, f64::max);
        for k in (0..theta.len()).filter(|k| Some(*k) != held) {
            theta[k] = theta[k].max(1e-3 * largest / search.size[k]);
        }
        if search.point(&theta)?.is_none() {
            return Ok(f64::INFINITY);
        }
        let found = match search.descend(&theta) {
            Err(Error::NoConvergence { .. }) if self.problem.may_be_unbounded() => return Ok(f64::INFINITY),
            found => found?,
        };
        // the optimum's valley has ended
        if search.runs_away(&found)? {
            return Ok(f64::INFINITY);
        }
        self.remember(&found, value, search.tie.as_ref());
        Ok(found.deviance)
    }

    /// By the envelope theorem the slope of the profile is that of the deviance with all variances but the held one kept.
    fn slope(&self, value: f64, theta: &[f64], gradient: &[f64], distance: Option<&Distance>) -> f64 {
        let setup = &self.of.setup;
        match self.what {
            What::Beta(_) => distance.map_or(f64::NAN, Distance::slope) / setup.y_scale,
            What::Sigma(k) => gradient[k] * 2.0 * value / setup.unit[k],
            What::Share(k) if value > 0.0 => {
                let rest: f64 = (0..theta.len())
                    .filter(|l| *l != k)
                    .map(|l| theta[l] * setup.unit[l])
                    .sum();
                gradient[k] * rest / setup.unit[k] / (1.0 - value).powi(2)
            }
            What::Share(_) => f64::NAN,
        }
    }

    /// A profile lies above its optimum: one that does not has found a better one.
    fn remember(&self, found: &Local, value: f64, tie: Option<&Tie>) {
        let mut last = self.last.borrow_mut();
        last.push((value, found.theta.clone()));
        let more = last.len().saturating_sub(2);
        last.drain(..more);
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

    /// `count` points of the curve out to |zeta| = `zeta_max`, evenly spaced.
    pub fn curve(&self, zeta_max: f64, count: usize) -> Result<Vec<CurvePoint>> {
        let ends = self.interval(zeta_max * zeta_max)?;
        self.points(ends, count, -0.5 * (self.best.deviance + self.constant))
    }
}

impl Profiled for Profile<'_, '_> {
    fn deviance_with(&self, value: f64) -> Result<Rise> {
        let (deviance, slope) = match self.what {
            What::Share(k) if value >= 1.0 => (self.alone(k), f64::NAN),
            _ => self.least(value)?,
        };
        let rise = deviance - self.best.deviance;
        Ok(Rise { rise, slope })
    }

    fn estimate(&self) -> f64 {
        self.estimate
    }

    fn step(&self) -> f64 {
        self.step
    }

    fn borders(&self) -> (f64, f64) {
        match self.what {
            What::Beta(_) => (f64::NEG_INFINITY, f64::INFINITY),
            What::Sigma(_) => (0.0, f64::INFINITY),
            What::Share(_) => (0.0, 1.0),
        }
    }

    fn reset(&self) {
        *self.last.borrow_mut() = vec![(self.estimate, self.best.theta.clone())];
    }
}

/// The residual's is the last.
fn of_variance(errors: &Errors, k: usize) -> f64 {
    errors.sigma2.get(k).copied().unwrap_or(errors.sigma2_e)
}
