//! Length scales of their own: downhill by a quasi-Newton method from several starts.

use super::found::{Optima, ProfilePoint};
use super::search::LengthSearch;
use crate::gp::bounds::Range;
use crate::runtime::error::{Error, Result};
use crate::runtime::work::{Work, count};
use argmin::core::{CostFunction, Executor, Gradient};
use argmin::solver::linesearch::MoreThuenteLineSearch;
use argmin::solver::quasinewton::LBFGS;
use std::cell::RefCell;

/// Iterations of one run of L-BFGS at most.
const ITERATIONS: u64 = 100;
/// Runs at most: a line search that fails is begun anew from where it was.
const RESTARTS: usize = 10;
/// Decrease of the deviance by another run below which it was at the optimum.
const SAME: f64 = 1e-5;

impl LengthSearch<'_> {
    /// Each axis with its own length scale, from one for all and from those with one axis over which the process hardly changes; local optima, best first.
    pub(crate) fn each_axis(&self, start: &[f64], range: &Range) -> Result<Optima> {
        const LONGER: f64 = 8.0;
        let d = start.len();
        let axes: Vec<Vec<usize>> = (0..d).map(|i| vec![i]).collect();
        let longer = |axis: usize| {
            let of = |i: usize| {
                if i == axis {
                    (LONGER * start[i]).min(range.longest[i])
                } else {
                    start[i]
                }
            };
            (0..d).map(of).collect()
        };
        let starts = std::iter::once(start.to_vec()).chain((0..d).filter(|_| d > 1).map(longer));
        let found = starts.map(|start| Ok(Optima::one(self.each(&start, range, &axes)?)));
        Ok(Optima::best_first(found.collect::<Result<_>>()?, vec![]))
    }

    /// From a start downhill by a quasi-Newton method, each direction (parameters that move together) within its range. A grid of frequencies serves
    /// a range of length scales only: logarithms are written as logistic functions of free numbers.
    pub fn each(&self, start: &[f64], range: &Range, directions: &[Vec<usize>]) -> Result<ProfilePoint> {
        count(Work::Search);
        let surface = LengthSurface {
            search: self,
            range,
            start,
            directions,
            last: RefCell::new(None),
            best: RefCell::new(None),
            stopped: RefCell::new(None),
        };
        let failed = Error::NoConvergence {
            what: "the search for the length scales",
            iterations: ITERATIONS as usize,
        };
        let mut reached = surface.descend(surface.free())?.ok_or(failed.clone())?;
        // a line search may give up, and a run end early: what a new one does not improve is an optimum
        for _ in 0..RESTARTS {
            let next = surface.descend(reached.1.clone())?.ok_or(failed.clone())?;
            if next.0 >= reached.0 - SAME {
                return self.at(&surface.lengths(&next.1));
            }
            reached = next;
        }
        Err(failed)
    }
}

struct LengthSurface<'s, 'a> {
    search: &'s LengthSearch<'a>,
    range: &'s Range,
    start: &'s [f64],
    directions: &'s [Vec<usize>],
    last: RefCell<Option<(Vec<f64>, ProfilePoint)>>,
    /// The lowest deviance that was seen, and where.
    best: RefCell<Option<(f64, Vec<f64>)>>,
    stopped: RefCell<Option<Error>>,
}

type Failed = argmin::core::Error;

impl LengthSurface<'_, '_> {
    /// The lowest deviance that was seen after a run downhill. A line search that cannot improve any more ends with an error: what was seen counts.
    fn descend(&self, from: Vec<f64>) -> Result<Option<(f64, Vec<f64>)>> {
        let solver = LBFGS::new(MoreThuenteLineSearch::new(), 6).with_tolerance_grad(1e-6);
        if let Ok(solver) = solver {
            let run = Executor::new(self, solver)
                .configure(|state| state.param(from).max_iters(ITERATIONS))
                .timer(false);
            drop(run.run());
        }
        match self.stopped.borrow_mut().take() {
            Some(error) => Err(error),
            None => Ok(self.best.borrow().clone()),
        }
    }

    /// First logarithm of a direction, by its first parameter, and how far it may go.
    fn span(&self, k: usize) -> (f64, f64) {
        let i = self.directions[k][0];
        let first = self.range.shortest[i].ln();
        (first, self.range.longest[i].ln() - first)
    }

    fn free(&self) -> Vec<f64> {
        let part = |k: usize| {
            let (first, span) = self.span(k);
            ((self.start[self.directions[k][0]].ln() - first) / span).clamp(0.01, 0.99)
        };
        (0..self.directions.len())
            .map(|k| (part(k) / (1.0 - part(k))).ln())
            .collect()
    }

    fn lengths(&self, free: &[f64]) -> Vec<f64> {
        let mut lengths = self.start.to_vec();
        for (k, direction) in self.directions.iter().enumerate() {
            let (first, span) = self.span(k);
            let factor = (first + span * share(free[k])).exp() / self.start[direction[0]];
            direction.iter().for_each(|&i| lengths[i] *= factor);
        }
        lengths
    }

    fn read<T>(&self, free: &[f64], of: impl Fn(&ProfilePoint) -> T) -> std::result::Result<T, Failed> {
        let mut last = self.last.borrow_mut();
        if let Some((at, profiled)) = last.as_ref()
            && at == free
        {
            return Ok(of(profiled));
        }
        match self.search.at(&self.lengths(free)) {
            Ok(profiled) => {
                let value = of(&profiled);
                let mut best = self.best.borrow_mut();
                if best.as_ref().is_none_or(|(lowest, _)| profiled.deviance < *lowest) {
                    *best = Some((profiled.deviance, free.to_vec()));
                }
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

impl CostFunction for &LengthSurface<'_, '_> {
    type Param = Vec<f64>;
    type Output = f64;

    fn cost(&self, free: &Vec<f64>) -> std::result::Result<f64, Failed> {
        self.read(free, |p| p.deviance)
    }
}

impl Gradient for &LengthSurface<'_, '_> {
    type Param = Vec<f64>;
    type Gradient = Vec<f64>;

    fn gradient(&self, free: &Vec<f64>) -> std::result::Result<Vec<f64>, Failed> {
        let slope = |k: usize| self.span(k).1 * share(free[k]) * (1.0 - share(free[k]));
        let along = |p: &ProfilePoint, k: usize| self.directions[k].iter().map(|&i| p.gradient[i]).sum::<f64>();
        self.read(free, |p| (0..free.len()).map(|k| along(p, k) * slope(k)).collect())
    }
}
