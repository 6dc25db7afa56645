//! Newton's method for length scale and delta together, where a process knows its deviance to second order.

use super::search::{Found, Search};
use crate::error::Result;
use crate::fourier::grid::Range;
use crate::optimize::Place;
use faer::linalg::solvers::{DenseSolveCore, Solve};
use faer::{Mat, Side};

/// -2 log L about a point, its scale profiled out, in some directions of the parameters' logarithms and in log delta (last).
#[derive(Debug, Clone)]
pub struct Local {
    /// Contrasts.
    pub n: f64,
    /// But for constants.
    pub value: f64,
    pub gradient: Vec<f64>,
    pub hessian: Vec<Vec<f64>>,
    /// Slopes of log sigma2.
    pub log_q: Vec<f64>,
}

impl Local {
    /// Covariance of the estimates: twice the inverse of the Hessian. None where that is not positive definite.
    pub fn covariance(&self) -> Option<Mat<f64>> {
        let half = |i: usize, j: usize| 0.5 * (self.hessian[i][j] + self.hessian[j][i]);
        let hessian = Mat::from_fn(self.hessian.len(), self.hessian.len(), half);
        Some(hessian.llt(Side::Lower).ok()?.inverse() * 2.0)
    }

    /// Newton's step, and its length in standard errors; coordinates that are held do not move.
    fn step(&self, held: &[bool]) -> Option<(Vec<f64>, f64)> {
        let free: Vec<usize> = (0..held.len()).filter(|&i| !held[i]).collect();
        let hessian = Mat::from_fn(free.len(), free.len(), |i, j| self.hessian[free[i]][free[j]]);
        let slope = Mat::from_fn(free.len(), 1, |i, _| -self.gradient[free[i]]);
        let solved = hessian.llt(Side::Lower).ok()?.solve(&slope);
        let mut step = vec![0.0; held.len()];
        free.iter().enumerate().for_each(|(k, &i)| step[i] = solved[(k, 0)]);
        let gain = (slope.transpose() * &solved)[(0, 0)];
        Some((step, (0.5 * gain).sqrt()))
    }
}

/// Most steps, and how long one is at most.
const STEPS: usize = 8;
const LONGEST: f64 = 1.0;
/// Length of the last step, in standard errors: what it leaves is as small as its square.
const SMALL: f64 = 0.1;
/// By how many standard errors delta may differ from the best of its whole range, and the length scale from where the profile is flat.
const SAME: f64 = 0.02;

impl Search<'_> {
    /// From a start near the optimum; none if the process does not know its second derivatives, where the deviance is not convex, and where delta has another optimum.
    pub fn newton(&self, start: &[f64], delta: f64, range: &Range) -> Result<Option<Found>> {
        let ends = ((range.shortest[0] / start[0]).ln(), (range.longest[0] / start[0]).ln());
        let along = |t: f64| -> Vec<f64> { start.iter().map(|l| l * t.exp()).collect() };
        let together = [vec![1.0; start.len()]];
        if !(delta > 0.0 && delta.is_finite()) {
            return Ok(None);
        }
        let (mut t, mut log_delta, mut before) = (0.0, delta.ln(), f64::INFINITY);
        for _ in 0..STEPS {
            self.monitor.borrow_mut().check()?;
            let (process, method) = (self.process, self.method);
            let here = |par| process.near(method, &along(t), log_delta.exp(), &together, par);
            let Some(local) = self.workers.run(here) else {
                return Ok(None);
            };
            let outward = |t: f64| (t <= ends.0 && local.gradient[0] > 0.0) || (t >= ends.1 && local.gradient[0] < 0.0);
            let Some((mut step, mut length)) = local.step(&[outward(t), false]) else {
                return Ok(None);
            };
            let next = (t + step[0]).clamp(ends.0, ends.1);
            if next != t + step[0] {
                // delta at its best for the length scale's end
                step[1] = -(local.gradient[1] + local.hessian[0][1] * (next - t)) / local.hessian[1][1];
                length = length.max(2.0 * SMALL);
            }
            let rising = local.value > before + 1e-9 * before.abs();
            if rising || step.iter().any(|s| s.is_nan() || s.abs() > LONGEST) {
                return Ok(None);
            }
            (t, log_delta, before) = (next, log_delta + step[1], local.value);
            if length < SMALL {
                return self.confirmed(&along(t), log_delta, &local, t <= ends.0 || t >= ends.1);
            }
        }
        Ok(None)
    }

    /// The profile where Newton's method ended, if delta is the best of its whole range.
    fn confirmed(&self, lengths: &[f64], log_delta: f64, local: &Local, at_end: bool) -> Result<Option<Found>> {
        let there = self.at(lengths)?;
        let Some(width) = local.covariance().map(|c| c[(0, 0)].sqrt()) else {
            return Ok(None);
        };
        let apart = (there.delta.ln() - log_delta) * (0.5 * local.hessian[1][1]).sqrt();
        let left = if at_end { 0.0 } else { 0.5 * there.slope() * width };
        if there.place != Place::Interior || !(apart.abs().max(left.abs()) < SAME) {
            return Ok(None);
        }
        Ok(Some(Found {
            grid: vec![there.seen(self.method)],
            locals: vec![there],
            width: Some(width),
        }))
    }
}
