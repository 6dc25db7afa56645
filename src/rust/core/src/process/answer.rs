//! What the optimum over length scales means: an ordinary fit with that kernel, and errors that know the length scale is an estimate.

use super::information::{Errors, directions};
use super::search::{Found, Search};
use crate::error::{Error, Result};
use crate::fit::{Case, Fit, Status, complete, dual_grid, locate};
use crate::likelihood::Criterion;

/// A fit at the best length scales.
pub struct Answer {
    pub fit: Fit,
    pub lengths: Vec<f64>,
    pub errors: Errors,
    /// delta of the likelihood: with what the basis leaves out of the process' variance, which is residual noise to it.
    pub delta: f64,
    /// Combinations of the parameters' logarithms that were estimated.
    pub directions: Vec<Vec<f64>>,
}

impl Search<'_> {
    /// `kept`: columns of X; `together`: how many leading parameters are one length scale (0: each its own); `given`: none is estimated.
    pub fn answer(&self, found: &Found, kept: &[usize], together: usize, given: bool) -> Result<Answer> {
        let best = found.locals.first().ok_or(Error::NoConvergence {
            what: "the search for the length scale",
            iterations: 0,
        })?;
        let directions = directions(best.lengths.len(), together, given);
        let criterion = Criterion {
            data: &best.rotated,
            method: self.method,
        };
        let case = Case { criterion, kept };
        let located = locate(&case, Status::Ok, || dual_grid(&criterion))?;
        let fit = complete(located, &criterion);
        Ok(Answer {
            delta: fit.point.delta,
            fit,
            lengths: best.lengths.clone(),
            errors: self.errors(best, &directions)?,
            directions,
        })
    }
}

impl Answer {
    /// Takes what a basis leaves out of the variance, relative to sigma2, from the residual back to the process.
    pub fn give_back(mut self, missing: f64) -> Self {
        let point = &mut self.fit.point;
        if missing > 0.0 && missing < self.delta && self.delta.is_finite() {
            let share = 1.0 - missing / self.delta;
            point.delta = self.delta - missing;
            point.sigma2_e *= share;
            point.h2 = 1.0 / (1.0 + point.delta);
            self.errors.delta /= share;
            self.errors.sigma2_e /= share;
        }
        self
    }
}
