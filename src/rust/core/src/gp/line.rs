//! One length scale for all axes: a look along its logarithm, and the valleys that the slopes show.

use super::found::{Optima, ProfilePoint};
use super::guess::valley as guess_between;
use super::search::{LengthSearch, profiled};
use crate::gp::bounds::Range;
use crate::likelihood::optimize::{Location, root};
use crate::runtime::error::Result;
use crate::runtime::work::{Work, count};
use faer::Par;
use rayon::prelude::*;
use std::cell::RefCell;

/// Steps of the secant method at most.
const STEPS: usize = 12;
/// Step in standard errors of the log length scale that does not matter: the deviance is within 1e-6 of its lowest.
const SMALL: f64 = 1e-3;
/// Distance of grid points in the logarithm of a length scale, slopes known: a factor of 1.57. Half of it doubles the decompositions of a search.
const STEP: f64 = 0.45;

impl LengthSearch<'_> {
    /// One length scale for all axes, in proportion to `unit`, between the ends of a range of factors.
    pub fn isotropic(&self, unit: &[f64], shortest: f64, longest: f64) -> Result<Optima> {
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
                .map(|(i, _)| Optima::one(seen[*i].clone())),
        );
        Ok(Optima::best_first(found, seen.iter().map(ProfilePoint::seen).collect()))
    }

    /// The optimum between two places whose slopes say that there is one: by Newton's method from the cubic polynomial through them, else by Brent's on the slope.
    fn valley(
        &self,
        along: &impl Fn(f64) -> Vec<f64>,
        a: (f64, &ProfilePoint),
        b: (f64, &ProfilePoint),
    ) -> Result<Optima> {
        if let Some(start) = guess_between(b.0 - a.0, a.1, b.1) {
            let range = Range {
                shortest: along(a.0),
                longest: along(b.0),
            };
            let found = self.newton(&start.lengths, start.delta, &range)?;
            let inside = |p: &ProfilePoint| p.lengths[0] > range.shortest[0] && p.lengths[0] < range.longest[0];
            let lower = |p: &ProfilePoint| p.deviance <= a.1.deviance.min(b.1.deviance);
            if let Some(found) = found.filter(|f| f.locals.iter().all(|p| inside(p) && lower(p))) {
                return Ok(found);
            }
        }
        Ok(Optima::one(self.between(along, a.0, b.0)?))
    }

    /// Logarithms of factors between the ends of a range, and the profile there; if not `all`, from the longest down to where it has passed a valley.
    pub(crate) fn look(
        &self,
        unit: &[f64],
        shortest: f64,
        longest: f64,
        all: bool,
    ) -> Result<(Vec<f64>, Vec<ProfilePoint>)> {
        count(Work::Search);
        let (first, last) = (shortest.ln(), longest.ln());
        let steps = ((last - first) / STEP).ceil().max(1.0) as usize;
        let falling: Vec<f64> = (0..=steps)
            .rev()
            .map(|i| first + (last - first) * i as f64 / steps as f64)
            .collect();
        let (mut at, mut seen): (Vec<f64>, Vec<ProfilePoint>) = (vec![], vec![]);
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

    fn all_at(&self, unit: &[f64], at: &[f64]) -> Result<Vec<ProfilePoint>> {
        self.monitor.borrow_mut().check()?;
        let (process, method) = (self.process, self.method);
        let one = |t: &f64, par: Par| {
            let lengths: Vec<f64> = unit.iter().map(|u| u * t.exp()).collect();
            profiled(process, method, &lengths, true, par)
        };
        self.workers.run(|par| match at {
            [t] => Ok(vec![one(t, par)?]),
            _ => at.par_iter().map(|t| one(t, Par::Seq)).collect(),
        })
    }

    /// From a start whose distance to the optimum is some `width` (in logarithms): by Newton's method, else by secant steps on the slope, until the next would be small
    /// beside the width that the slopes tell. The whole range is searched where the profile is not convex.
    pub(crate) fn close(&self, start: &[f64], delta: f64, width: f64, range: &Range) -> Result<Optima> {
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
            if last.location == Location::Upper || (next - t).abs() * (0.5 * curvature).sqrt() < SMALL {
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

    fn found(&self, seen: Vec<(f64, ProfilePoint)>) -> Optima {
        let grid = seen.iter().map(|(_, p)| p.seen()).collect();
        let width = match &seen[..] {
            [.., (a, before), (b, last)] => {
                Some((2.0 * (b - a) / (last.slope() - before.slope())).sqrt()).filter(|w| w.is_finite())
            }
            _ => None,
        };
        let locals = seen.into_iter().map(|(_, p)| p).next_back().into_iter().collect();
        Optima {
            locals,
            grid,
            width,
            here: None,
        }
    }

    fn between(&self, along: &impl Fn(f64) -> Vec<f64>, a: f64, b: f64) -> Result<ProfilePoint> {
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
}
