//! Likelihood along a standard deviation, a share, a correlation or a coefficient of a fit of several effects, all others at their best.

use super::SparseModel;
use super::held::Held;
use super::held_optimum::{HeldOptimum, best};
use super::of_mix::{Places, TermModel};
use super::problem::SparseProblem;
use super::search::{SparseSearch, semidefinite_root};
use super::term_targets::TermVariances;
use crate::likelihood::Method;
use crate::likelihood::point::CurvePoint;
use crate::likelihood::profiled::{Profiled, Rise};
use crate::runtime::error::{Error, Result};
use crate::runtime::monitor::Monitor;
use crate::runtime::parallel::Workers;
use faer::Mat;
use std::cell::RefCell;

/// The parameter that is held: effects are counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TermParameter {
    /// Standard deviation of an effect.
    Sd(usize),
    /// Residual standard deviation.
    Residual,
    /// Share of the sum of all variances, where no effects are correlated.
    Share(usize),
    /// Correlation of two effects of a block.
    Correlation(usize, usize),
    /// Coefficient of a kept column of X, by ML.
    Beta(usize),
}

/// A deviance that is lower than the fit's by this share of it is lower by more than rounding.
const BETTER: f64 = 1e-6;

/// A fit whose parameters are profiled.
pub struct TermProfiles<'a> {
    levels: SparseModel<'a>,
    places: Places,
    method: Method,
    relative: Mat<f64>,
    sigma2_e: f64,
    workers: &'a Workers,
    monitor: RefCell<&'a mut dyn Monitor>,
}

/// One parameter.
pub struct TermProfile<'p, 'a> {
    of: &'p TermProfiles<'a>,
    parameter: TermParameter,
    method: Method,
    /// The terms of a correlation come first.
    levels: SparseModel<'p>,
    places: Places,
    problem: SparseProblem<'p>,
    pub(super) held: Held,
    /// Variables of the fit.
    fit: Vec<f64>,
    /// -2 log L of the fit.
    least: f64,
    estimate: f64,
    step: f64,
    /// Values that were looked at, with their variables at the optimum; the estimate first.
    pub(super) tried: RefCell<Vec<(f64, Vec<f64>)>>,
}

impl<'a> TermProfiles<'a> {
    /// A fit by its variances.
    pub fn new(
        model: &'a TermModel<'_>,
        method: Method,
        at: &TermVariances<'_>,
        workers: &'a Workers,
        monitor: &'a mut dyn Monitor,
    ) -> Self {
        let (levels, places) = model.levels();
        Self {
            levels,
            places,
            method,
            relative: at.relative.to_owned(),
            sigma2_e: at.sigma2_e,
            workers,
            monitor: RefCell::new(monitor),
        }
    }

    /// `step`: of the order of the standard error; not a number if there is none.
    pub fn profile(&self, parameter: TermParameter, step: f64) -> Result<TermProfile<'_, 'a>> {
        let (levels, places, relative) = match parameter {
            TermParameter::Correlation(k, l) => self.turned(k, l),
            _ => (self.levels.clone(), self.places.clone(), self.relative.clone()),
        };
        let method = match parameter {
            TermParameter::Beta(_) => Method::Ml,
            _ => self.method,
        };
        let mut profile = TermProfile {
            of: self,
            parameter,
            method,
            problem: self.workers.run(|_| SparseProblem::new(&levels, method))?,
            levels,
            places,
            held: Held::Nothing,
            fit: vec![],
            least: 0.0,
            estimate: 0.0,
            step: 0.0,
            tried: RefCell::default(),
        };
        profile.locate(&relative, step)?;
        Ok(profile)
    }

    /// The model with two terms of an effect first, their places, and T of that.
    fn turned(&self, k: usize, l: usize) -> (SparseModel<'a>, Places, Mat<f64>) {
        let (mut levels, mut places) = (self.levels.clone(), self.places.clone());
        let r = places[k].0;
        let count = levels.effects[r].terms.len();
        let (a, b) = (places[k].1, places[l].1);
        let order: Vec<usize> = [a, b]
            .into_iter()
            .chain((0..count).filter(|c| *c != a && *c != b))
            .collect();
        levels.effects[r].terms = order.iter().map(|&c| self.levels.effects[r].terms[c]).collect();
        for place in places.iter_mut().filter(|place| place.0 == r) {
            place.1 = order.iter().position(|c| *c == place.1).unwrap_or(0);
        }
        let own = |c: usize| self.places.iter().position(|place| *place == (r, c)).unwrap_or(0);
        let rows = Mat::from_fn(count, count, |i, c| self.relative[(own(order[i]), own(c))]);
        let root = semidefinite_root(&rows);
        let mut relative = self.relative.clone();
        for i in 0..count {
            (0..count).for_each(|j| relative[(own(order[i]), own(order[j]))] = if j <= i { root[(i, j)] } else { 0.0 });
        }
        (levels, places, relative)
    }
}

impl TermProfile<'_, '_> {
    fn with_search<T>(
        &self,
        problem: &SparseProblem<'_>,
        work: impl FnOnce(&SparseSearch<'_, '_>) -> Result<T>,
    ) -> Result<T> {
        let mut monitor = &self.of.monitor;
        work(&SparseSearch::new(problem, self.of.workers, &mut monitor))
    }

    fn locate(&mut self, relative: &Mat<f64>, step: f64) -> Result<()> {
        let factors = self.problem.factors_of(relative.as_ref(), &self.places);
        let (theta, held, best, coefficient) = self.with_search(&self.problem, |search| {
            let theta: Vec<f64> = search.entries.iter().map(|&(r, a, b)| factors[r][(a, b)]).collect();
            let best = best(search, &Held::Nothing, 0.0, &theta)?;
            let coefficient = match self.parameter {
                TermParameter::Beta(j) => Some(search.coefficient(&best.x, j)?),
                _ => None,
            };
            Ok((theta, self.held_entries(search), best, coefficient))
        })?;
        let (estimate, wide) = coefficient.unwrap_or_else(|| self.of_variances(relative));
        self.fit = held.variables(if coefficient.is_some() { &best.x } else { &theta });
        (self.held, self.least, self.estimate) = (held, best.deviance, estimate);
        let usable = step.is_normal() && step > 0.0 && coefficient.is_none();
        self.step = if usable { step.min(5.0 * wide) } else { wide };
        self.reset();
        Ok(())
    }

    fn held_entries(&self, search: &SparseSearch<'_, '_>) -> Held {
        let entries = &search.entries;
        let place = |k: usize| search.problem.place_of(self.places[k]);
        let at = |entry: (usize, usize, usize)| entries.iter().position(|e| *e == entry).unwrap_or(0);
        let unit = |k: usize| search.problem.unit_of(entries[k]);
        match self.parameter {
            TermParameter::Sd(k) => {
                let row: Vec<usize> = (0..entries.len())
                    .filter(|&i| (entries[i].0, entries[i].1) == place(k))
                    .collect();
                let unit = unit(row[0]);
                if search.problem.known.is_some() {
                    return Held::KnownSd(row, unit * self.of.sigma2_e.sqrt());
                }
                Held::Sd(row, unit, self.of.sigma2_e.sqrt())
            }
            TermParameter::Residual => Held::Residual,
            TermParameter::Share(k) => {
                let (r, a) = place(k);
                Held::Share(at((r, a, a)), (0..entries.len()).map(unit).collect())
            }
            TermParameter::Correlation(k, _) => {
                let r = place(k).0;
                Held::Correlation([at((r, 0, 0)), at((r, 1, 0)), at((r, 1, 1))])
            }
            TermParameter::Beta(_) => Held::Nothing,
        }
    }

    /// The estimate of a parameter of the covariances, and a step if there is no standard error.
    fn of_variances(&self, relative: &Mat<f64>) -> (f64, f64) {
        let s2 = self.of.sigma2_e;
        let inner =
            |k: usize, l: usize| -> f64 { (0..relative.ncols()).map(|c| relative[(k, c)] * relative[(l, c)]).sum() };
        let total = s2 * (1.0 + (0..relative.nrows()).map(|k| inner(k, k)).sum::<f64>());
        match self.parameter {
            TermParameter::Sd(k) => ((s2 * inner(k, k)).sqrt(), 0.2 * total.sqrt()),
            TermParameter::Residual => (s2.sqrt(), 0.1 * s2.sqrt()),
            TermParameter::Share(k) => (s2 * inner(k, k) / total, 0.1),
            TermParameter::Correlation(k, l) => {
                let rho = inner(k, l) / (inner(k, k) * inner(l, l)).sqrt();
                (rho.clamp(-1.0, 1.0), 0.2)
            }
            TermParameter::Beta(_) => (0.0, 1.0),
        }
    }

    /// The best with a coefficient held: its column taken off the response.
    fn without_column(&self, j: usize, value: f64, starts: &[Vec<f64>]) -> Result<HeldOptimum> {
        let (x, kept) = (self.levels.x, &self.problem.design.kept);
        let own = *kept.get(j).ok_or_else(|| Error::outside("column", j + 1, kept.len()))?;
        let y: Vec<f64> = (0..x.nrows()).map(|i| self.levels.y[i] - value * x[(i, own)]).collect();
        let others: Vec<usize> = kept.iter().copied().filter(|c| *c != own).collect();
        let left = Mat::from_fn(x.nrows(), others.len(), |i, c| x[(i, others[c])]);
        let mut levels = self.levels.clone();
        (levels.y, levels.x) = (&y, left.as_ref());
        let method = self.method;
        let problem = self.of.workers.run(|_| SparseProblem::new(&levels, method))?;
        self.with_search(&problem, |search| self.lowest(search, value, starts))
    }

    /// Points from where zeta is -zeta_max to where it is zeta_max.
    pub fn curve(&self, zeta_max: f64, count: usize) -> Result<Vec<CurvePoint>> {
        let ends = self.interval(zeta_max * zeta_max)?;
        self.points(ends, count, -0.5 * self.least)
    }

    fn rise_of(&self, found: HeldOptimum, value: f64) -> Result<Rise> {
        let rise = found.deviance - self.least;
        if rise < -BETTER * (1.0 + self.least.abs()) {
            let what = "the fit: a profile found a larger likelihood than its own. It";
            return Err(Error::NoConvergence { what, iterations: 0 });
        }
        self.tried.borrow_mut().push((value, found.x));
        Ok(Rise {
            rise,
            slope: found.along,
            error: found.error,
        })
    }
}

impl Profiled for TermProfile<'_, '_> {
    fn deviance_with(&self, value: f64) -> Result<Rise> {
        let outside = Rise {
            rise: f64::INFINITY,
            slope: f64::NAN,
            error: 0.0,
        };
        let impossible = match self.parameter {
            TermParameter::Residual => value <= 0.0,
            TermParameter::Share(_) => value >= 1.0,
            _ => false,
        };
        if impossible {
            return Ok(outside);
        }
        let starts = self.starts(value);
        let found = match self.parameter {
            TermParameter::Beta(j) => self.without_column(j, value, &starts[..1])?,
            _ => self.with_search(&self.problem, |search| self.lowest(search, value, &starts))?,
        };
        self.rise_of(found, value)
    }

    fn estimate(&self) -> f64 {
        self.estimate
    }

    fn step(&self) -> f64 {
        self.step
    }

    fn borders(&self) -> (f64, f64) {
        match self.parameter {
            TermParameter::Sd(_) | TermParameter::Residual => (0.0, f64::INFINITY),
            TermParameter::Share(_) => (0.0, 1.0),
            TermParameter::Correlation(..) => (-1.0, 1.0),
            TermParameter::Beta(_) => (f64::NEG_INFINITY, f64::INFINITY),
        }
    }

    fn reset(&self) {
        *self.tried.borrow_mut() = vec![(self.estimate, self.fit.clone())];
    }

    fn tolerance(&self) -> f64 {
        self.problem.told_apart().max(1e-6)
    }
}
