//! What the optimum over length scales means: an ordinary fit with that kernel, and errors that know the length scale is an estimate.

use super::found::{Optima, ProfilePoint};
use super::information::{Errors, directions};
use super::local::{Estimates, Here, Quadratic};
use super::search::LengthSearch;
use crate::likelihood::Criterion;
use crate::likelihood::delta_grid::delta_grid_above;
use crate::likelihood::optimize::{self, Location, Optimum};
use crate::likelihood::point::Point;
use crate::lmm::estimates::{Case, Fit, Status, assemble};
use crate::lmm::fit::{complete, locate};
use crate::runtime::error::{Error, Result};

/// A fit at the best length scales.
pub struct Answer {
    /// The fit at the best length scales, in the user's units.
    pub fit: Fit,
    /// Length scales, one an axis, in units of the coordinates; a parameter of groups beside the process follows.
    pub lengths: Vec<f64>,
    /// Standard errors of logarithms, the length scales being estimates.
    pub errors: Errors,
    /// Of the process' functions, if they are known.
    pub coefficients: Option<Vec<f64>>,
    /// delta of the likelihood: with what the basis leaves out of the process' variance, which is residual noise to it.
    pub delta: f64,
}

impl LengthSearch<'_> {
    /// `kept`: columns of X; `together`: how many leading parameters are one length scale (0: each its own); `given`: none is estimated.
    pub fn answer(&self, found: &Optima, kept: &[usize], together: usize, given: bool) -> Result<Answer> {
        let best = found.locals.first().ok_or(Error::NoConvergence {
            what: "the search for the length scale",
            iterations: 0,
        })?;
        let directions = directions(best.lengths.len(), together, given);
        let fit = match &found.here {
            Some(here) => Fit {
                optimum: Some(here.optimum()),
                ..here.estimates.fit(kept)
            },
            None => self.fit_at(best, kept)?,
        };
        Ok(Answer {
            delta: fit.point.delta,
            coefficients: found.here.as_ref().map(|here| here.estimates.coefficients.clone()),
            fit,
            lengths: best.lengths.clone(),
            errors: self.errors(found, best, &directions)?,
        })
    }
}

impl Estimates {
    /// An ordinary fit, but for the rotated object.
    fn fit(&self, kept: &[usize]) -> Fit {
        Fit {
            beta: self.beta.clone(),
            vcov: self.vcov.clone(),
            kept: kept.to_vec(),
            ..Fit::at_point(self.point)
        }
    }
}

impl Here {
    fn optimum(&self) -> Optimum {
        let Quadratic {
            value,
            gradient,
            hessian,
            ..
        } = &self.local;
        let last = gradient.len() - 1;
        let best = optimize::Local {
            location: Location::Interior,
            at: self.estimates.point.delta.ln(),
            value: *value,
        };
        Optimum {
            best,
            slope: gradient[last],
            curvature: hessian[last][last],
            locals: vec![best],
            nothing: self.estimates.nothing,
        }
    }
}

impl LengthSearch<'_> {
    /// The fit whose kernel has these length scales.
    fn fit_at(&self, best: &ProfilePoint, kept: &[usize]) -> Result<Fit> {
        let rotated = self.rotated(best)?;
        let criterion = Criterion {
            data: &rotated,
            method: self.method,
        };
        let case = Case { criterion, kept };
        let floor = self.process.floor();
        let located = locate(&case, Status::Ok, || delta_grid_above(&criterion, floor))?;
        Ok(complete(located, &criterion))
    }

    /// The estimates of another space, one without its outermost functions, in this one.
    pub fn answer_of(
        &self,
        other: &LengthSearch<'_>,
        found: &Optima,
        kept: &[usize],
        together: usize,
        given: bool,
    ) -> Result<Answer> {
        let mut answer = other.answer(found, &[], together, given)?;
        let (process, method, lengths, delta) = (self.process, self.method, &answer.lengths, answer.delta);
        let known = self.workers.run(|par| process.estimates(method, lengths, delta, par))?;
        let fit = match &known {
            Some(estimates) => estimates.fit(kept),
            None => {
                let rotated = self.workers.run(|par| process.rotated(lengths, par))?;
                let criterion = Criterion { data: &rotated, method };
                let (h, g) = (1.0 / (1.0 + delta), delta / (1.0 + delta));
                complete(assemble(&Case { criterion, kept }, &criterion, h, g), &criterion)
            }
        };
        answer.coefficients = known.map(|estimates| estimates.coefficients);
        answer.fit = Fit {
            errors: answer.fit.errors,
            optimum: answer.fit.optimum,
            ..fit
        };
        Ok(answer)
    }
}

impl Answer {
    /// Takes what a basis leaves out of the variance, relative to sigma2, from the residual back to the process.
    pub fn give_back(mut self, missing: f64) -> Self {
        let share = give_back(&mut self.fit.point, missing);
        self.errors.delta /= share;
        self.errors.sigma2_e /= share;
        self
    }
}

/// The same for estimates; returns the part of the residual variance that remains.
pub(crate) fn give_back(point: &mut Point, missing: f64) -> f64 {
    let delta = point.delta;
    if !(missing > 0.0 && missing < delta && delta.is_finite()) {
        return 1.0;
    }
    let share = 1.0 - missing / delta;
    point.delta = delta - missing;
    point.sigma2_e *= share;
    point.h2 = 1.0 / (1.0 + point.delta);
    share
}
