//! Newton's method for length scale and delta together, where a process knows its deviance to second order.

use super::search::{Found, Profiled, Search, Seen};
use crate::error::Result;
use crate::fit::Point;
use crate::fourier::grid::Range;
use crate::optimize::Place;
use faer::linalg::solvers::{DenseSolveCore, Solve};
use faer::{Mat, Side};

/// -2 log L about a point, its scale profiled out, in some directions of the parameters' logarithms and in log delta (last).
#[derive(Debug, Clone)]
pub struct Local {
    /// Contrasts.
    pub n: f64,
    pub value: f64,
    pub gradient: Vec<f64>,
    pub hessian: Vec<Vec<f64>>,
    /// Slopes of log sigma2.
    pub log_q: Vec<f64>,
}

/// A process at a point: what is estimated there, and the deviance about it.
#[derive(Debug, Clone)]
pub struct Here {
    pub local: Local,
    pub point: Point,
    pub beta: Vec<f64>,
    pub vcov: Vec<Vec<f64>>,
    /// -2 log L without the process.
    pub nothing: f64,
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
const STEPS: usize = 10;
const LONGEST: f64 = 1.0;
/// Length of a step that does not matter, in standard errors.
const SMALL: f64 = 1e-3;

impl Search<'_> {
    /// From a start near the optimum; none if the process does not know its second derivatives, and where the deviance is not convex.
    pub fn newton(&self, start: &[f64], delta: f64, range: &Range) -> Result<Option<Found>> {
        if !(delta > 0.0 && delta.is_finite()) {
            return Ok(None);
        }
        let ends = ((range.shortest[0] / start[0]).ln(), (range.longest[0] / start[0]).ln());
        let along = |t: f64| -> Vec<f64> { start.iter().map(|l| l * t.exp()).collect() };
        let together = [vec![1.0; start.len()]];
        let (mut t, mut log_delta, mut seen) = (0.0, delta.ln(), vec![]);
        let mut before = f64::INFINITY;
        for _ in 0..STEPS {
            self.monitor.borrow_mut().check()?;
            let (process, method) = (self.process, self.method);
            let near = |par| process.near(method, &along(t), log_delta.exp(), &together, par);
            let Some(here) = self.workers.run(near) else {
                return Ok(None);
            };
            let local = &here.local;
            let outward = (t <= ends.0 && local.gradient[0] > 0.0) || (t >= ends.1 && local.gradient[0] < 0.0);
            let rising = local.value > before + 1e-9 * before.abs();
            let Some((mut step, length)) = local.step(&[outward, false]).filter(|_| !rising) else {
                return Ok(None);
            };
            let lengths = along(t);
            seen.push(Seen {
                length: lengths[0],
                point: here.point,
            });
            if length < SMALL {
                return Ok(Some(Found::here(lengths, here, seen)));
            }
            let next = (t + step[0]).clamp(ends.0, ends.1);
            if next != t + step[0] {
                // delta at its best for the length scale's end
                step = vec![
                    next - t,
                    -(local.gradient[1] + local.hessian[0][1] * (next - t)) / local.hessian[1][1],
                ];
            }
            if step.iter().any(|s| s.is_nan() || s.abs() > LONGEST) {
                return Ok(None);
            }
            (t, log_delta, before) = (t + step[0], log_delta + step[1], local.value);
        }
        Ok(None)
    }
}

impl Found {
    fn here(lengths: Vec<f64>, here: Here, grid: Vec<Seen>) -> Self {
        let best = Profiled {
            lengths,
            rotated: None,
            point: here.point,
            deviance: here.local.value,
            gradient: vec![here.local.gradient[0]],
            place: Place::Interior,
            delta: here.point.delta,
        };
        Self {
            locals: vec![best],
            grid,
            width: here.local.covariance().map(|c| c[(0, 0)].sqrt()),
            here: Some(here),
        }
    }
}
