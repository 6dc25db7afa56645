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
        Ok(Answer {
            fit: complete(located, &criterion),
            lengths: best.lengths.clone(),
            errors: self.errors(best, &directions)?,
            directions,
        })
    }
}
