//! Newton's method for length scale and delta together, where a process knows its deviance to second order.

use super::found::{Optima, Seen};
use super::local::{Here, LONGEST, Quadratic};
use super::search::LengthSearch;
use crate::gp::bounds::Range;
use crate::runtime::error::Result;

/// Steps at most.
const STEPS: usize = 16;
/// Length of a step that does not matter, in standard errors: the deviance is within 1e-5 of its lowest.
const SMALL: f64 = 3e-3;
/// Length of a step, in standard errors, after which the next would be far below SMALL.
const CLOSE: f64 = 2e-2;
/// Relative change of the curvature along such a step up to which the one at its beginning is taken for the one at its end: one decomposition is saved.
const STEADY: f64 = 1e-3;

/// The same where curvatures are costly: the next step would be below SMALL, and standard errors are those half a step from the optimum, right to some thousandths.
const COSTLY: f64 = 0.12;
/// Length of a step from which on the next one is so far from its optimum, too, that the average information will do for it.
const FAR: f64 = 1.0;

/// Where a step began, the step, and what was there.
struct Begun {
    at: [f64; 2],
    step: [f64; 2],
    /// In standard errors, where the deviance was convex.
    length: Option<f64>,
    local: Quadratic,
}

impl Begun {
    fn halve(&mut self) -> [f64; 2] {
        self.step = self.step.map(|s| 0.5 * s);
        self.length = self.length.map(|l| 0.5 * l);
        [self.at[0] + self.step[0], self.at[1] + self.step[1]]
    }

    /// By which part of itself the curvature changed for each standard error of this step.
    fn bent(&self, end: &Quadratic) -> f64 {
        let change = |i: usize| (self.local.hessian[i][i] / end.hessian[i][i] - 1.0).abs();
        self.length.map_or(f64::INFINITY, |l| change(0).max(change(1)) / l)
    }
}

impl LengthSearch<'_> {
    /// The process at the end of a step that is so short that the curvature there is that of its beginning.
    fn ended(&self, here: Here, from: [f64; 2], to: [f64; 2], at: &[f64]) -> Result<Option<Here>> {
        if from == to {
            return Ok(Some(here));
        }
        let (process, method) = (self.process, self.method);
        let estimates = self
            .workers
            .run(|par| process.estimates(method, at, to[1].exp(), par))?;
        let Some(estimates) = estimates else { return Ok(None) };
        let mut local = here.local;
        local.value = -2.0 * estimates.point.log_lik;
        for (slope, row) in local.gradient.iter_mut().zip(&local.hessian) {
            *slope += row[0] * (to[0] - from[0]) + row[1] * (to[1] - from[1]);
        }
        Ok(Some(Here { local, estimates }))
    }

    /// The process at the end of the last step, and whether its curvature is the average information.
    fn about(&self, lengths: &[f64], delta: f64, last: Option<&Begun>) -> Result<Option<(Here, bool)>> {
        let is_far = last.and_then(|last| last.length).is_none_or(|l| l > FAR);
        if is_far && let Some(here) = self.averaged(lengths, delta)? {
            return Ok(Some((here, true)));
        }
        let here = self.near(lengths, delta, lengths.len())?;
        Ok(here.map(|here| (here, false)))
    }

    /// From a start near the optimum, both logarithms together; none if the process does not know its second derivatives, and where no optimum is found.
    pub fn newton(&self, start: &[f64], delta: f64, range: &Range) -> Result<Option<Optima>> {
        let limits = Limits {
            ends: ((range.shortest[0] / start[0]).ln(), (range.longest[0] / start[0]).ln()),
            floor: self.process.floor().ln(),
        };
        let along = |t: f64| -> Vec<f64> { start.iter().map(|l| l * t.exp()).collect() };
        // a start beyond an end, be it by rounding, begins at that end: a basis serves its range only
        let first = [
            0.0_f64.clamp(limits.ends.0, limits.ends.1),
            delta.ln().max(limits.floor),
        ];
        let (mut at, mut last, mut seen) = (first, None::<Begun>, vec![]);
        let mut costly = false;
        for _ in 0..STEPS {
            let Some((here, is_average)) = self.about(&along(at[0]), at[1].exp(), last.as_ref())? else {
                return Ok(None);
            };
            costly |= is_average;
            let value = here.local.value;
            if let Some(last) = &mut last
                && value > last.local.value + ROUNDING * last.local.value.abs()
            {
                at = last.halve();
                continue;
            }
            seen.push(Seen {
                length: along(at[0])[0],
                point: here.estimates.point,
            });
            let Some((step, length)) = here.local.within(at, limits) else {
                return Ok(None);
            };
            let from = at;
            at = [at[0] + step[0], at[1] + step[1]];
            let bent = last.as_ref().map_or(f64::INFINITY, |last| last.bent(&here.local));
            let close = if costly { COSTLY } else { CLOSE.min(STEADY / bent) };
            if !is_average && length.is_some_and(|l| l < SMALL || l < close) {
                if at[1] <= limits.floor {
                    return Ok(Some(Optima::one(self.at(&along(at[0]))?)));
                }
                let here = self.ended(here, from, at, &along(at[0]))?;
                // without a process it may be better still: then the whole range is looked at
                let best = here.filter(|here| here.local.value < here.estimates.nothing);
                return Ok(best.map(|here| Optima::here(along(at[0]), here, seen)));
            }
            let local = here.local;
            last = Some(Begun {
                at: from,
                step,
                length,
                local,
            });
        }
        Ok(None)
    }
}

/// Relative difference of two deviances below which it is rounding.
const ROUNDING: f64 = 1e-9;

impl Quadratic {
    /// The step of length scale and delta that may not leave their limits; where one leans on its end the other moves on.
    fn within(&self, at: [f64; 2], limits: Limits) -> Option<([f64; 2], Option<f64>)> {
        let Limits { ends, floor } = limits;
        let outward = (at[0] <= ends.0 && self.gradient[0] > 0.0) || (at[0] >= ends.1 && self.gradient[0] < 0.0);
        let sunk = at[1] <= floor && self.gradient[1] > 0.0;
        let (step, length) = self.step(&[outward, sunk])?;
        let inside = |step: f64| (at[0] + step).clamp(ends.0, ends.1) - at[0];
        let within = |to: f64| ends.0 <= to && to <= ends.1;
        let mut next = [step[0], step[1]];
        if !within(at[0] + next[0]) {
            next[0] = inside(next[0]);
            next[1] = self.rest(1, next[0]);
        }
        if at[1] + next[1] < floor {
            next[1] = floor - at[1];
            next[0] = inside(self.rest(0, next[1]));
        }
        let stopped = next[..] != step[..];
        Some((next, length.filter(|_| !stopped)))
    }

    /// The step of one of both logarithms where that of the other is given: with it the whole step leads downhill where a part of Newton's need not.
    fn rest(&self, i: usize, other: f64) -> f64 {
        let slope = self.gradient[i] + self.hessian[i][1 - i] * other;
        (-slope / self.hessian[i][i].abs()).clamp(-LONGEST, LONGEST)
    }
}

/// Ends of the logarithm of the length scale, and the smallest of that of delta.
#[derive(Clone, Copy)]
struct Limits {
    ends: (f64, f64),
    floor: f64,
}
