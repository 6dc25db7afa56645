//! The length scales: the profile of the likelihood over their logarithms, delta at its best for each, with exact gradients.
//!
//! With `e_j = d log D_j / d log ell`, `w = (A + delta I)^-1 D c` and the envelope theorem
//!
//! ```text
//! d logdet / d log ell = 2 sum_j e_j (1 - delta [(A + delta I)^-1]_jj),   d Q / d log ell = -2 sum_j e_j w_j^2
//! d deviance           = d logdet + n' dQ / Q
//! ```
//!
//! where for ML the log-determinant is that of the matrix without X projected out.

use super::grid::Range;
use super::weights::WeightSpace;
use crate::error::{Error, Result};
use crate::likelihood::{Criterion, Method};
use crate::monitor::Monitor;
use crate::optimize::{Grid, Place, grid_points, root};
use crate::parallel::Workers;
use crate::rotated::Rotated;
use argmin::core::{CostFunction, Executor, Gradient, State};
use argmin::solver::linesearch::MoreThuenteLineSearch;
use argmin::solver::quasinewton::LBFGS;
use faer::linalg::solvers::{DenseSolveCore, Solve};
use faer::{Mat, Par, Side};
use std::cell::RefCell;

/// The profile at one set of length scales.
#[derive(Debug, Clone)]
pub struct Profiled {
    pub lengths: Vec<f64>,
    pub rotated: Rotated,
    /// -2 log L at the best delta, and its slope in the logarithm of each length scale.
    pub deviance: f64,
    pub gradient: Vec<f64>,
    pub place: Place,
    pub log_delta: f64,
}

/// Local optima over the length scales, best first; `grid` is the profile as the search saw it.
pub struct Found {
    pub locals: Vec<Profiled>,
    pub grid: Vec<(f64, f64)>,
    /// Is the best one at the end of the range of length scales?
    pub at_shortest: bool,
    pub at_longest: bool,
}

pub struct Search<'a> {
    pub space: &'a WeightSpace,
    pub method: Method,
    pub workers: &'a Workers,
    pub monitor: RefCell<&'a mut dyn Monitor>,
}

/// Distance of grid points in the logarithm of a length scale.
const STEP: f64 = 0.45;

impl Search<'_> {
    pub fn at(&self, lengths: &[f64]) -> Result<Profiled> {
        self.monitor.borrow_mut().check()?;
        let (space, method) = (self.space, self.method);
        self.workers.run(|par| profiled(space, method, lengths, par))
    }

    /// One length scale for all axes, in proportion to `unit`, between the ends of a range of factors.
    pub fn isotropic(&self, unit: &[f64], shortest: f64, longest: f64) -> Result<Found> {
        let along = |t: f64| -> Vec<f64> { unit.iter().map(|u| u * t.exp()).collect() };
        let slope = |p: &Profiled| p.gradient.iter().sum::<f64>();
        let (first, last) = (shortest.ln(), longest.ln());
        let steps = ((last - first) / STEP).ceil().max(1.0);
        let at: Vec<f64> = (0..=steps as usize)
            .map(|i| first + (last - first) * i as f64 / steps)
            .collect();
        let seen: Vec<Profiled> = at.iter().map(|t| self.at(&along(*t))).collect::<Result<_>>()?;
        let mut locals = vec![];
        for i in 1..at.len() {
            if slope(&seen[i - 1]) < 0.0 && slope(&seen[i]) >= 0.0 {
                locals.push(self.between(&along, at[i - 1], at[i])?);
            }
        }
        let last = at.len() - 1;
        let ends = [(0, slope(&seen[0]) >= 0.0), (last, slope(&seen[last]) < 0.0)];
        locals.extend(ends.iter().filter(|(_, is)| *is).map(|(i, _)| seen[*i].clone()));
        locals.sort_by(|a, b| a.deviance.total_cmp(&b.deviance));
        let grid = at.iter().zip(&seen).map(|(t, p)| (t.exp(), p.deviance)).collect();
        let is = |i: usize| locals.first().is_some_and(|best| best.lengths == seen[i].lengths);
        Ok(Found {
            at_shortest: is(0),
            at_longest: is(last),
            locals,
            grid,
        })
    }

    fn between(&self, along: &impl Fn(f64) -> Vec<f64>, a: f64, b: f64) -> Result<Profiled> {
        let stopped = RefCell::new(None);
        let slope = |t: f64| match self.at(&along(t)) {
            Ok(p) => p.gradient.iter().sum(),
            Err(error) => {
                stopped.borrow_mut().get_or_insert(error);
                f64::NAN
            }
        };
        let at = root(slope, a, b);
        stopped.into_inner().map_or(Ok(()), Err)?;
        self.at(&along(at?))
    }

    /// One length scale an axis, from a start downhill by a quasi-Newton method. The grid of frequencies serves a range of length scales only:
    /// their logarithms are written as logistic functions of free numbers.
    pub fn each(&self, start: &[f64], range: &Range) -> Result<Profiled> {
        let surface = Surface {
            search: self,
            range,
            last: RefCell::new(None),
            stopped: RefCell::new(None),
        };
        let failed = |_| Error::NoConvergence {
            what: "the search for the length scales",
            iterations: 100,
        };
        let solver = LBFGS::new(MoreThuenteLineSearch::new(), 6)
            .with_tolerance_grad(1e-6)
            .map_err(failed)?;
        let free = surface.free(start);
        let run = Executor::new(&surface, solver)
            .configure(|state| state.param(free.clone()).max_iters(100))
            .timer(false)
            .run();
        if let Some(error) = surface.stopped.borrow_mut().take() {
            return Err(error);
        }
        // a line search that cannot improve any more ends with an error; what was reached counts
        let best = run
            .ok()
            .and_then(|run| run.state().get_best_param().cloned())
            .unwrap_or(free);
        self.at(&surface.lengths(&best))
    }
}

fn profiled(space: &WeightSpace, method: Method, lengths: &[f64], par: Par) -> Result<Profiled> {
    let rotated = space.rotated(lengths, par)?;
    let criterion = Criterion { data: &rotated, method };
    let upper = criterion.deviance_at(0.0, 1.0);
    let lower = if criterion.is_bounded() {
        criterion.deviance_at(1.0, 0.0)
    } else {
        f64::INFINITY
    };
    let grid = Grid::new(&criterion, grid_points(&rotated), lower, upper);
    let none = Error::NoConvergence {
        what: "the search for delta",
        iterations: 0,
    };
    let best = grid.optimum(&criterion)?.ok_or(none)?.best;
    let n = criterion.n() as f64;
    let gradient = match best.place {
        Place::Upper => vec![0.0; lengths.len()],
        // below the rounding of the largest eigenvalue delta no longer shows
        _ => {
            let floor = 100.0 * f64::EPSILON * rotated.values.len() as f64 * rotated.largest();
            gradient(space, method, lengths, best.at.exp().max(floor), n, par)?
        }
    };
    Ok(Profiled {
        lengths: lengths.to_vec(),
        deviance: best.value,
        gradient,
        place: best.place,
        log_delta: best.at,
        rotated,
    })
}

/// Slope of the deviance at fixed delta.
fn gradient(space: &WeightSpace, method: Method, lengths: &[f64], delta: f64, n: f64, par: Par) -> Result<Vec<f64>> {
    let d = space.weights(lengths);
    let b = Mat::from_fn(d.len(), 1, |i, _| d[i] * space.c[i]);
    let singular = Error::NoConvergence {
        what: "a Cholesky decomposition in weight space",
        iterations: 0,
    };
    let shifted = |mut a: Mat<f64>| {
        (0..d.len()).for_each(|i| a[(i, i)] += delta);
        a.llt(Side::Lower).map_err(|_| singular.clone())
    };
    let projected = shifted(space.a(&d))?;
    let w = projected.solve(&b);
    let q = (space.rho0 - (b.transpose() * &w)[(0, 0)]) / delta;
    let inverse = match method {
        Method::Reml => projected.inverse(),
        Method::Ml => shifted(space.whole(&d, par))?.inverse(),
    };
    let slopes = space.log_weight_slopes(lengths);
    Ok(slopes
        .iter()
        .map(|e| {
            let log_det: f64 = (0..d.len()).map(|j| 2.0 * e[j] * (1.0 - delta * inverse[(j, j)])).sum();
            let q_slope: f64 = (0..d.len()).map(|j| -2.0 * e[j] * w[(j, 0)] * w[(j, 0)]).sum();
            log_det + n * q_slope / q
        })
        .collect())
}

struct Surface<'s, 'a> {
    search: &'s Search<'a>,
    range: &'s Range,
    last: RefCell<Option<(Vec<f64>, Profiled)>>,
    stopped: RefCell<Option<Error>>,
}

type Failed = argmin::core::Error;

impl Surface<'_, '_> {
    fn span(&self, i: usize) -> (f64, f64) {
        let first = self.range.shortest[i].ln();
        (first, self.range.longest[i].ln() - first)
    }

    fn free(&self, lengths: &[f64]) -> Vec<f64> {
        let part = |i: usize| ((lengths[i].ln() - self.span(i).0) / self.span(i).1).clamp(0.01, 0.99);
        (0..lengths.len()).map(|i| (part(i) / (1.0 - part(i))).ln()).collect()
    }

    fn lengths(&self, free: &[f64]) -> Vec<f64> {
        (0..free.len())
            .map(|i| (self.span(i).0 + self.span(i).1 * share(free[i])).exp())
            .collect()
    }

    fn read<T>(&self, free: &[f64], of: impl Fn(&Profiled) -> T) -> std::result::Result<T, Failed> {
        let mut last = self.last.borrow_mut();
        if let Some((at, profiled)) = last.as_ref()
            && at == free
        {
            return Ok(of(profiled));
        }
        match self.search.at(&self.lengths(free)) {
            Ok(profiled) => {
                let value = of(&profiled);
                *last = Some((free.to_vec(), profiled));
                Ok(value)
            }
            Err(error) => {
                *self.stopped.borrow_mut() = Some(error);
                Err(Failed::msg("stopped"))
            }
        }
    }
}

fn share(u: f64) -> f64 {
    1.0 / (1.0 + (-u).exp())
}

impl CostFunction for &Surface<'_, '_> {
    type Param = Vec<f64>;
    type Output = f64;

    fn cost(&self, free: &Vec<f64>) -> std::result::Result<f64, Failed> {
        self.read(free, |p| p.deviance)
    }
}

impl Gradient for &Surface<'_, '_> {
    type Param = Vec<f64>;
    type Gradient = Vec<f64>;

    fn gradient(&self, free: &Vec<f64>) -> std::result::Result<Vec<f64>, Failed> {
        let slope = |i: usize| self.span(i).1 * share(free[i]) * (1.0 - share(free[i]));
        self.read(free, |p| (0..free.len()).map(|i| p.gradient[i] * slope(i)).collect())
    }
}
