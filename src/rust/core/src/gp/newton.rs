//! Newton's method for length scale and delta together, where a process knows its deviance to second order.

use super::search::{Found, Profiled, Search, Seen};
use crate::gp::bounds::Range;
use crate::likelihood::optimize::Place;
use crate::likelihood::point::Point;
use crate::linalg::max_abs;
use crate::runtime::error::Result;
use faer::linalg::solvers::DenseSolveCore;
use faer::{Mat, Side};

/// -2 log L about a point, its scale profiled out, in some directions of the parameters' logarithms and in log delta (last).
#[derive(Debug, Clone)]
pub struct Local {
    /// Contrasts.
    pub(crate) n: f64,
    /// -2 log L at the point, up to a constant.
    pub value: f64,
    /// First derivatives along the directions, then in log delta.
    pub gradient: Vec<f64>,
    /// Second derivatives in the same order, all of the matrix.
    pub hessian: Vec<Vec<f64>>,
    /// Slopes of log sigma2.
    pub log_q: Vec<f64>,
}

/// What is estimated at a point.
#[derive(Debug, Clone)]
pub struct Estimates {
    /// Variances and log-likelihood.
    pub point: Point,
    /// Coefficients of the kept columns of X.
    pub beta: Vec<f64>,
    /// Var(beta_hat), r x r by rows.
    pub vcov: Vec<Vec<f64>>,
    /// Of the process' functions.
    pub coefficients: Vec<f64>,
    /// -2 log L without the process.
    pub nothing: f64,
}

/// A process at a point, and the deviance about it.
#[derive(Debug, Clone)]
pub struct Here {
    /// The deviance to second order.
    pub local: Local,
    /// Estimates at the point itself.
    pub estimates: Estimates,
}

/// A function's value, gradient, and the lower triangle of its Hessian.
pub(crate) struct Expansion {
    pub(crate) value: f64,
    pub(crate) first: Vec<f64>,
    pub(crate) second: Vec<Vec<f64>>,
}

impl Expansion {
    pub(crate) fn new(
        value: f64,
        count: usize,
        first: impl Fn(usize) -> f64,
        second: impl Fn(usize, usize) -> f64,
    ) -> Self {
        Self {
            value,
            first: (0..count).map(first).collect(),
            second: (0..count).map(|a| (0..=a).map(|b| second(a, b)).collect()).collect(),
        }
    }
}

impl Here {
    /// From S (or Q), the log-determinant, both to second order, and the deviance that they make with n contrasts; `shift`: what the slope of log sigma2 in log delta has beside that of log S.
    pub(crate) fn of(
        mut estimates: Estimates,
        (form, log_det): (&Expansion, &Expansion),
        (n, value): (f64, f64),
        shift: f64,
    ) -> Self {
        estimates.point.log_lik = -0.5 * value;
        let mut local = Local::of(form, log_det, n, value);
        if let Some(last) = local.log_q.last_mut() {
            *last += shift;
        }
        Self { local, estimates }
    }
}

impl Local {
    /// `n log S + L` of n contrasts, whose scale is S / n.
    fn of(form: &Expansion, log_det: &Expansion, n: f64, value: f64) -> Self {
        let log_s: Vec<f64> = form.first.iter().map(|s| s / form.value).collect();
        let count = log_s.len();
        let bend = |a: usize, b: usize| {
            let (a, b) = (a.max(b), a.min(b));
            log_det.second[a][b] + n * (form.second[a][b] / form.value - log_s[a] * log_s[b])
        };
        Self {
            n,
            value,
            gradient: (0..count).map(|a| log_det.first[a] + n * log_s[a]).collect(),
            hessian: (0..count).map(|a| (0..count).map(|b| bend(a, b)).collect()).collect(),
            log_q: log_s,
        }
    }
}

impl Local {
    /// Covariance of the estimates: twice the inverse of the Hessian. None where that is not positive definite.
    pub(crate) fn covariance(&self) -> Option<Mat<f64>> {
        let half = |i: usize, j: usize| 0.5 * (self.hessian[i][j] + self.hessian[j][i]);
        let hessian = Mat::from_fn(self.hessian.len(), self.hessian.len(), half);
        Some(hessian.llt(Side::Lower).ok()?.inverse() * 2.0)
    }

    /// Newton's step to the optimum; none where the deviance is not convex.
    pub(crate) fn convex_step(&self) -> Option<Vec<f64>> {
        let (step, length) = self.step(&vec![false; self.gradient.len()])?;
        length.map(|_| step)
    }

    /// Downhill: Newton's step, each curvature taken by its size, no longer than `LONGEST`; and its length in standard errors where the deviance is convex. Coordinates that
    /// are held do not move.
    fn step(&self, held: &[bool]) -> Option<(Vec<f64>, Option<f64>)> {
        let free: Vec<usize> = (0..held.len()).filter(|&i| !held[i]).collect();
        if free.is_empty() {
            return Some((vec![0.0; held.len()], Some(0.0)));
        }
        let hessian = Mat::from_fn(free.len(), free.len(), |i, j| self.hessian[free[i]][free[j]]);
        let eigen = hessian.self_adjoint_eigen(Side::Lower).ok()?;
        let (vectors, values) = (eigen.U(), eigen.S().column_vector());
        let mut step = vec![0.0; held.len()];
        let mut gain = 0.0;
        for (k, value) in values.iter().enumerate() {
            let slope: f64 = (0..free.len()).map(|i| vectors[(i, k)] * self.gradient[free[i]]).sum();
            gain += slope * slope / value;
            (0..free.len()).for_each(|i| step[free[i]] -= slope / value.abs() * vectors[(i, k)]);
        }
        let longest = max_abs(step.iter().copied());
        if longest > LONGEST {
            step.iter_mut().for_each(|s| *s *= LONGEST / longest);
        }
        let length = values.iter().all(|v| *v > 0.0).then(|| (0.5 * gain).sqrt());
        longest.is_finite().then_some((step, length))
    }
}

/// Steps at most.
const STEPS: usize = 16;
/// Longest step in the logarithm of a parameter, a factor of two: the quadratic model holds no farther.
const LONGEST: f64 = 0.7;
/// Length of a step that does not matter, in standard errors: the deviance is within 1e-5 of its lowest.
const SMALL: f64 = 3e-3;
/// Length of a step, in standard errors, after which the next would be far below SMALL.
const CLOSE: f64 = 2e-2;
/// Relative change of the curvature along such a step up to which the one at its beginning is taken for the one at its end: one decomposition is saved.
const STEADY: f64 = 1e-3;

/// Where a step began, the step, and what was there.
struct Begun {
    at: [f64; 2],
    step: [f64; 2],
    /// In standard errors, where the deviance was convex.
    length: Option<f64>,
    local: Local,
}

impl Begun {
    fn halve(&mut self) -> [f64; 2] {
        self.step = self.step.map(|s| 0.5 * s);
        self.length = self.length.map(|l| 0.5 * l);
        [self.at[0] + self.step[0], self.at[1] + self.step[1]]
    }

    /// By which part of itself the curvature changed for each standard error of this step.
    fn bent(&self, end: &Local) -> f64 {
        let change = |i: usize| (self.local.hessian[i][i] / end.hessian[i][i] - 1.0).abs();
        self.length.map_or(f64::INFINITY, |l| change(0).max(change(1)) / l)
    }
}

impl Search<'_> {
    /// The process about some length scales, the first `d` of which change in proportion.
    pub fn near(&self, at: &[f64], delta: f64, d: usize) -> Result<Option<Here>> {
        self.monitor.borrow_mut().check()?;
        let (process, method) = (self.process, self.method);
        let together = [(0..at.len()).map(|i| f64::from(i < d)).collect()];
        let here = self.workers.run(|par| process.near(method, at, delta, &together, par));
        Ok(here.filter(|here| here.local.value.is_finite()))
    }

    /// The process at the end of a step that is so short that the curvature there is that of its beginning.
    fn ended(&self, here: Here, from: [f64; 2], to: [f64; 2], at: &[f64]) -> Option<Here> {
        if from == to {
            return Some(here);
        }
        let (process, method) = (self.process, self.method);
        let estimates = self
            .workers
            .run(|par| process.estimates(method, at, to[1].exp(), par))?;
        let mut local = here.local;
        local.value = -2.0 * estimates.point.log_lik;
        for (slope, row) in local.gradient.iter_mut().zip(&local.hessian) {
            *slope += row[0] * (to[0] - from[0]) + row[1] * (to[1] - from[1]);
        }
        Some(Here { local, estimates })
    }

    /// From a start near the optimum, both logarithms together; none if the process does not know its second derivatives, and where no optimum is found.
    pub fn newton(&self, start: &[f64], delta: f64, range: &Range) -> Result<Option<Found>> {
        let limits = Limits {
            ends: ((range.shortest[0] / start[0]).ln(), (range.longest[0] / start[0]).ln()),
            floor: self.process.floor().ln(),
        };
        let along = |t: f64| -> Vec<f64> { start.iter().map(|l| l * t.exp()).collect() };
        let (mut at, mut last, mut seen) = ([0.0, delta.ln().max(limits.floor)], None::<Begun>, vec![]);
        for _ in 0..STEPS {
            let Some(here) = self.near(&along(at[0]), at[1].exp(), start.len())? else {
                return Ok(None);
            };
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
            if length.is_some_and(|l| l < SMALL || l < CLOSE.min(STEADY / bent)) {
                if at[1] <= limits.floor {
                    return Ok(Some(Found::one(self.at(&along(at[0]))?)));
                }
                let here = self.ended(here, from, at, &along(at[0]));
                // without a process it may be better still: then the whole range is looked at
                let best = here.filter(|here| here.local.value < here.estimates.nothing);
                return Ok(best.map(|here| Found::here(along(at[0]), here, seen)));
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

impl Local {
    /// The step of length scale and delta that may not leave their limits; where one leans on its end the other moves on.
    fn within(&self, at: [f64; 2], limits: Limits) -> Option<([f64; 2], Option<f64>)> {
        let Limits { ends, floor } = limits;
        let outward = (at[0] <= ends.0 && self.gradient[0] > 0.0) || (at[0] >= ends.1 && self.gradient[0] < 0.0);
        let sunk = at[1] <= floor && self.gradient[1] > 0.0;
        let (step, length) = self.step(&[outward, sunk])?;
        let next = [(at[0] + step[0]).clamp(ends.0, ends.1), (at[1] + step[1]).max(floor)];
        let stopped = next != [at[0] + step[0], at[1] + step[1]];
        Some(([next[0] - at[0], next[1] - at[1]], length.filter(|_| !stopped)))
    }
}

/// Ends of the logarithm of the length scale, and the smallest of that of delta.
#[derive(Clone, Copy)]
struct Limits {
    ends: (f64, f64),
    floor: f64,
}

impl Found {
    fn here(lengths: Vec<f64>, here: Here, grid: Vec<Seen>) -> Self {
        let best = Profiled {
            lengths,
            rotated: None,
            point: here.estimates.point,
            deviance: here.local.value,
            gradient: vec![here.local.gradient[0]],
            place: Place::Interior,
            delta: here.estimates.point.delta,
        };
        Self {
            locals: vec![best],
            grid,
            width: here.local.covariance().map(|c| c[(0, 0)].sqrt()),
            here: Some(here),
        }
    }
}
