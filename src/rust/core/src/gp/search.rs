//! The length scales: the profile of the likelihood over their logarithms, delta at its best for each, with exact gradients.
//!
//! By the envelope theorem the slope at the best delta is that at fixed delta, `d deviance = d logdet + n' d log Q`.

use super::Process;
use super::newton::Here;
use crate::gp::bounds::Range;
use crate::gp::fourier::explore::valley as guess_between;
use crate::likelihood::delta_grid::delta_grid_above;
use crate::likelihood::optimize::{Place, root};
use crate::likelihood::point::{Point, at, point};
use crate::likelihood::{Criterion, Method};
use crate::rotation::rotated::Rotated;
use crate::runtime::error::{Error, Result};
use crate::runtime::monitor::Monitor;
use crate::runtime::parallel::Workers;
use crate::runtime::work::{Work, count};
use argmin::core::{CostFunction, Executor, Gradient};
use argmin::solver::linesearch::MoreThuenteLineSearch;
use argmin::solver::quasinewton::LBFGS;
use faer::Par;
use rayon::prelude::*;
use std::cell::RefCell;

/// The profile at one set of length scales.
#[derive(Debug, Clone)]
pub struct Profiled {
    /// Length scales, one an axis, and what else is searched over, in the user's units.
    pub lengths: Vec<f64>,
    /// Not there if a process told its optimum without it.
    pub(crate) rotated: Option<Rotated>,
    /// Variances and log-likelihood at the best delta.
    pub(crate) point: Point,
    /// -2 log L at the best delta, and its slope in the logarithm of each length scale.
    pub deviance: f64,
    /// Slopes of the deviance in the logarithm of each.
    pub gradient: Vec<f64>,
    /// Does the best delta lie inside, or at an end?
    pub place: Place,
    /// delta in the units of the response: 0 or infinite at an end point.
    pub delta: f64,
}

impl Profiled {
    /// Slope of the deviance where all length scales change in proportion.
    pub(crate) fn slope(&self) -> f64 {
        self.gradient.iter().sum()
    }

    /// Estimates at these length scales.
    pub(crate) fn seen(&self) -> Seen {
        Seen {
            length: self.lengths[0],
            point: self.point,
        }
    }
}

/// What the search saw at one length scale.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// Length scale of the first axis.
    pub length: f64,
    /// Variances and log-likelihood at the best delta there.
    pub point: Point,
}

/// Local optima over the length scales, best first; `grid` is the profile as the search saw it.
pub struct Found {
    /// Local optima, best first.
    pub locals: Vec<Profiled>,
    /// Length scales that were looked at, in no order.
    pub grid: Vec<Seen>,
    /// Standard error of the logarithm of the length scale at the best, if the slopes that were seen tell it.
    pub width: Option<f64>,
    /// All about the best, if the process knows it.
    pub here: Option<Here>,
}

/// A search over the length scales of one process, delta at its best for each.
pub struct Search<'a> {
    /// The process: kernel matrix or Fourier basis.
    pub process: &'a dyn Process,
    /// REML or ML.
    pub method: Method,
    /// Threads of the call.
    pub workers: &'a Workers,
    /// Asked before each evaluation whether to stop.
    pub monitor: RefCell<&'a mut dyn Monitor>,
}

/// Steps of the secant method at most.
const STEPS: usize = 12;
/// Step in standard errors of the log length scale that does not matter: the deviance is within 1e-6 of its lowest.
const SMALL: f64 = 1e-3;
/// Distance of grid points in the logarithm of a length scale, slopes known: a factor of 1.57. Half of it doubles the decompositions of a search.
const STEP: f64 = 0.45;

impl Found {
    pub(crate) fn one(profiled: Profiled) -> Self {
        Self {
            grid: vec![],
            locals: vec![profiled],
            width: None,
            here: None,
        }
    }

    /// Optima of some searches together, best first, with what all of them saw.
    pub(crate) fn best_first(mut found: Vec<Self>, mut grid: Vec<Seen>) -> Self {
        let deviance = |f: &Self| f.locals.first().map_or(f64::INFINITY, |p| p.deviance);
        found.sort_by(|a, b| deviance(a).total_cmp(&deviance(b)));
        let best = found.first();
        let (width, here) = (best.and_then(|f| f.width), best.and_then(|f| f.here.clone()));
        let locals: Vec<Profiled> = found.into_iter().flat_map(|f| f.locals).collect();
        grid.extend(locals.iter().map(Profiled::seen));
        Self {
            locals,
            grid,
            width,
            here,
        }
    }
}

impl Search<'_> {
    /// The profile at given length scales: one decomposition, then the search over delta.
    pub fn at(&self, lengths: &[f64]) -> Result<Profiled> {
        self.monitor.borrow_mut().check()?;
        let (process, method) = (self.process, self.method);
        self.workers.run(|par| profiled(process, method, lengths, par))
    }

    /// One length scale for all axes, in proportion to `unit`, between the ends of a range of factors.
    pub fn isotropic(&self, unit: &[f64], shortest: f64, longest: f64) -> Result<Found> {
        let along = |t: f64| -> Vec<f64> { unit.iter().map(|u| u * t.exp()).collect() };
        let (at, seen) = self.look(unit, shortest, longest, true)?;
        let mut found = vec![];
        for i in 1..at.len() {
            if seen[i - 1].slope() < 0.0 && seen[i].slope() >= 0.0 {
                found.push(self.valley(&along, (at[i - 1], &seen[i - 1]), (at[i], &seen[i]))?);
            }
        }
        let last = at.len() - 1;
        let ends = [(0, seen[0].slope() >= 0.0), (last, seen[last].slope() < 0.0)];
        found.extend(
            ends.iter()
                .filter(|(_, is)| *is)
                .map(|(i, _)| Found::one(seen[*i].clone())),
        );
        Ok(Found::best_first(found, seen.iter().map(Profiled::seen).collect()))
    }

    /// The optimum between two places whose slopes say that there is one: by Newton's method from the cubic polynomial through them, else by Brent's on the slope.
    fn valley(&self, along: &impl Fn(f64) -> Vec<f64>, a: (f64, &Profiled), b: (f64, &Profiled)) -> Result<Found> {
        if let Some(start) = guess_between(b.0 - a.0, a.1, b.1) {
            let range = Range {
                shortest: along(a.0),
                longest: along(b.0),
            };
            let found = self.newton(&start.lengths, start.delta, &range)?;
            let inside = |p: &Profiled| p.lengths[0] > range.shortest[0] && p.lengths[0] < range.longest[0];
            let lower = |p: &Profiled| p.deviance <= a.1.deviance.min(b.1.deviance);
            if let Some(found) = found.filter(|f| f.locals.iter().all(|p| inside(p) && lower(p))) {
                return Ok(found);
            }
        }
        Ok(Found::one(self.between(along, a.0, b.0)?))
    }

    /// Logarithms of factors between the ends of a range, and the profile there; if not `all`, from the longest down to where it has passed a valley.
    pub(crate) fn look(
        &self,
        unit: &[f64],
        shortest: f64,
        longest: f64,
        all: bool,
    ) -> Result<(Vec<f64>, Vec<Profiled>)> {
        count(Work::Search);
        let (first, last) = (shortest.ln(), longest.ln());
        let steps = ((last - first) / STEP).ceil().max(1.0) as usize;
        let falling: Vec<f64> = (0..=steps)
            .rev()
            .map(|i| first + (last - first) * i as f64 / steps as f64)
            .collect();
        let (mut at, mut seen): (Vec<f64>, Vec<Profiled>) = (vec![], vec![]);
        for some in falling.chunks(self.at_once()) {
            at.extend(some);
            seen.extend(self.all_at(unit, some)?);
            let passed = |i: usize| seen[i].slope() < 0.0 && seen[i - 1].slope() >= 0.0;
            if !all && (1..seen.len()).any(passed) {
                break;
            }
        }
        at.reverse();
        seen.reverse();
        Ok((at, seen))
    }

    /// How many places are looked at side by side: a decomposition gains little from further threads.
    fn at_once(&self) -> usize {
        if self.process.is_small() {
            self.workers.threads()
        } else {
            1
        }
    }

    fn all_at(&self, unit: &[f64], at: &[f64]) -> Result<Vec<Profiled>> {
        self.monitor.borrow_mut().check()?;
        let (process, method) = (self.process, self.method);
        let one = |t: &f64, par: Par| {
            let lengths: Vec<f64> = unit.iter().map(|u| u * t.exp()).collect();
            profiled(process, method, &lengths, par)
        };
        self.workers.run(|par| match at {
            [t] => Ok(vec![one(t, par)?]),
            _ => at.par_iter().map(|t| one(t, Par::Seq)).collect(),
        })
    }

    /// From a start whose distance to the optimum is some `width` (in logarithms): by Newton's method, else by secant steps on the slope, until the next would be small
    /// beside the width that the slopes tell. The whole range is searched where the profile is not convex.
    pub(crate) fn close(&self, start: &[f64], delta: f64, width: f64, range: &Range) -> Result<Found> {
        count(Work::Search);
        if let Some(found) = self.newton(start, delta, range)? {
            return Ok(found);
        }
        let ends = ((range.shortest[0] / start[0]).ln(), (range.longest[0] / start[0]).ln());
        let along = |t: f64| -> Vec<f64> { start.iter().map(|l| l * t.exp()).collect() };
        let mut seen = vec![(0.0, self.at(start)?)];
        let mut curvature = 2.0 / (width * width);
        for _ in 0..STEPS {
            let (t, last) = &seen[seen.len() - 1];
            let step = -last.slope() / curvature;
            let next = (t + step).clamp(ends.0, ends.1);
            if last.place == Place::Upper || (next - t).abs() * (0.5 * curvature).sqrt() < SMALL {
                return Ok(self.found(seen));
            }
            let (t, before) = (*t, last.slope());
            let there = self.at(&along(next))?;
            curvature = (there.slope() - before) / (next - t);
            seen.push((next, there));
            if curvature.is_nan() || curvature <= 0.0 {
                break;
            }
        }
        let unit: Vec<f64> = start.iter().map(|l| l / start[0]).collect();
        self.isotropic(&unit, range.shortest[0], range.longest[0])
    }

    fn found(&self, seen: Vec<(f64, Profiled)>) -> Found {
        let grid = seen.iter().map(|(_, p)| p.seen()).collect();
        let width = match &seen[..] {
            [.., (a, before), (b, last)] => {
                Some((2.0 * (b - a) / (last.slope() - before.slope())).sqrt()).filter(|w| w.is_finite())
            }
            _ => None,
        };
        let locals = seen.into_iter().map(|(_, p)| p).next_back().into_iter().collect();
        Found {
            locals,
            grid,
            width,
            here: None,
        }
    }

    fn between(&self, along: &impl Fn(f64) -> Vec<f64>, a: f64, b: f64) -> Result<Profiled> {
        let stopped = RefCell::new(None);
        let slope = |t: f64| match self.at(&along(t)) {
            Ok(p) => p.slope(),
            Err(error) => {
                stopped.borrow_mut().get_or_insert(error);
                f64::NAN
            }
        };
        let at = root(slope, a, b);
        stopped.into_inner().map_or(Ok(()), Err)?;
        self.at(&along(at?))
    }

    /// Each axis with its own length scale, from one for all and from those with one axis over which the process hardly changes; local optima, best first.
    pub(crate) fn each_axis(&self, start: &[f64], range: &Range) -> Result<Found> {
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
        let found = starts.map(|start| Ok(Found::one(self.each(&start, range, &axes)?)));
        Ok(Found::best_first(found.collect::<Result<_>>()?, vec![]))
    }

    /// From a start downhill by a quasi-Newton method, each direction (parameters that move together) within its range. A grid of frequencies serves
    /// a range of length scales only: logarithms are written as logistic functions of free numbers.
    pub fn each(&self, start: &[f64], range: &Range, directions: &[Vec<usize>]) -> Result<Profiled> {
        count(Work::Search);
        let surface = Surface {
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

/// Iterations of one run of L-BFGS at most.
const ITERATIONS: u64 = 100;
/// Runs at most: a line search that fails is begun anew from where it was.
const RESTARTS: usize = 10;
/// Decrease of the deviance by another run below which it was at the optimum.
const SAME: f64 = 1e-5;

fn profiled(process: &dyn Process, method: Method, lengths: &[f64], par: Par) -> Result<Profiled> {
    count(Work::Decomposition);
    let rotated = process.rotated(lengths, par)?;
    let criterion = Criterion { data: &rotated, method };
    let grid = delta_grid_above(&criterion, process.floor());
    let none = Error::NoConvergence {
        what: "the search for delta",
        iterations: 0,
    };
    // far too long a length scale may ask for less noise than rounding leaves: others will be better
    let best = match grid.optimum(&criterion)? {
        Some(optimum) => optimum.best,
        None => grid.lowest().ok_or(none)?,
    };
    let n = criterion.n() as f64;
    let delta = best.at.exp() * rotated.k_scale;
    let gradient = match best.place {
        Place::Upper => vec![0.0; lengths.len()],
        _ => {
            let slopes = process.slopes(method, lengths, delta.max(floor(&rotated)), par)?;
            slopes.iter().map(|s| s.deviance(n)).collect()
        }
    };
    let (h, g) = at(best.place, best.at);
    Ok(Profiled {
        lengths: lengths.to_vec(),
        point: point(&criterion, h, g),
        deviance: best.value,
        gradient,
        place: best.place,
        delta,
        rotated: Some(rotated),
    })
}

/// Below the rounding of the largest eigenvalue delta no longer shows.
fn floor(rotated: &Rotated) -> f64 {
    100.0 * f64::EPSILON * rotated.values.len() as f64 * rotated.largest() * rotated.k_scale
}

struct Surface<'s, 'a> {
    search: &'s Search<'a>,
    range: &'s Range,
    start: &'s [f64],
    directions: &'s [Vec<usize>],
    last: RefCell<Option<(Vec<f64>, Profiled)>>,
    /// The lowest deviance that was seen, and where.
    best: RefCell<Option<(f64, Vec<f64>)>>,
    stopped: RefCell<Option<Error>>,
}

type Failed = argmin::core::Error;

impl Surface<'_, '_> {
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
        let slope = |k: usize| self.span(k).1 * share(free[k]) * (1.0 - share(free[k]));
        let along = |p: &Profiled, k: usize| self.directions[k].iter().map(|&i| p.gradient[i]).sum::<f64>();
        self.read(free, |p| (0..free.len()).map(|k| along(p, k) * slope(k)).collect())
    }
}
