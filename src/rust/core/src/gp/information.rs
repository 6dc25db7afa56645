//! Standard errors of length scales and variances from the observed information.
//!
//! The scale is profiled out: `g(theta, t) = n log Q + logdet` with theta the logarithms of the length scales and t = log delta. Its second derivatives are the process' own, or
//! differences of exact slopes, but for t alone. `log sigma2 = log(Q / n)` adds its own `2 / n` to the variance that it has through theta and t.

use super::found::{Optima, ProfilePoint};
use super::local::{About, Here, Quadratic};
use super::search::LengthSearch;
use crate::likelihood::optimize::Location;
use crate::likelihood::{Criterion, proportions};
use crate::linalg::dot;
use crate::rotation::rotated::Rotated;
use crate::runtime::error::Result;
use faer::Mat;
use num_dual::{Dual2_64, DualNum, second_derivative};
use std::borrow::Cow;

/// Standard errors of logarithms; all missing where the optimum is no stationary point.
#[derive(Debug, Clone)]
pub struct Errors {
    /// One for each parameter that was searched over.
    pub lengths: Vec<f64>,
    pub delta: f64,
    pub sigma2: f64,
    pub sigma2_e: f64,
    /// Covariance of the logarithms that were searched over, of log delta and of log sigma2, row by row; nothing where it is not known.
    pub covariance: Vec<f64>,
}

/// Step of the differences: slopes are exact to about 1e-9.
const STEP: f64 = 1e-3;

impl LengthSearch<'_> {
    /// `directions`: each a combination of the parameters' logarithms that was estimated; none if they were given.
    pub fn errors(&self, found: &Optima, best: &ProfilePoint, directions: &[Vec<f64>]) -> Result<Errors> {
        let unknown = Errors {
            lengths: vec![f64::NAN; directions.len()],
            delta: f64::NAN,
            sigma2: f64::NAN,
            sigma2_e: f64::NAN,
            covariance: vec![],
        };
        if best.location != Location::Interior {
            return Ok(unknown);
        }
        let local = match self.here(found, directions)? {
            Some(here) => here.local.clone(),
            None => by_differences(self, best, directions)?,
        };
        let Some(covariance) = local.covariance() else {
            return Ok(unknown);
        };
        let last = directions.len();
        let variance = |along: &[f64]| -> f64 {
            let row = |i: usize| (0..=last).map(|j| covariance[(i, j)] * along[j]).sum::<f64>();
            (0..=last).map(|i| along[i] * row(i)).sum()
        };
        let mut residual = local.log_q.clone();
        residual[last] += 1.0;
        let scaled = with_scale(&covariance, &local);
        Ok(Errors {
            lengths: (0..last).map(|i| covariance[(i, i)].sqrt()).collect(),
            delta: covariance[(last, last)].sqrt(),
            sigma2: (2.0 / local.n + variance(&local.log_q)).sqrt(),
            sigma2_e: (2.0 / local.n + variance(&residual)).sqrt(),
            covariance: scaled,
        })
    }
}

/// The covariance with a row and a column for log sigma2, which follows the others by `log_q` and has its own `2 / n`.
fn with_scale(covariance: &Mat<f64>, local: &Quadratic) -> Vec<f64> {
    let m = covariance.nrows();
    let along = |i: usize, k: usize| if i < m { f64::from(i == k) } else { local.log_q[k] };
    let entry = |i: usize, j: usize| -> f64 {
        let part = |k: usize| {
            (0..m)
                .map(|l| along(i, k) * covariance[(k, l)] * along(j, l))
                .sum::<f64>()
        };
        let own = if i == m && j == m { 2.0 / local.n } else { 0.0 };
        own + (0..m).map(part).sum::<f64>()
    };
    (0..(m + 1) * (m + 1))
        .map(|at| entry(at / (m + 1), at % (m + 1)))
        .collect()
}

impl LengthSearch<'_> {
    /// What the search or the process knows of the best.
    fn here(&self, found: &Optima, directions: &[Vec<f64>]) -> Result<Option<Here>> {
        if found.here.is_some() {
            return Ok(found.here.clone());
        }
        let Some(best) = found.locals.first() else {
            return Ok(None);
        };
        let (process, method) = (self.process, self.method);
        let about = About {
            method,
            at: &best.lengths,
            delta: best.delta,
            directions,
        };
        self.workers.run(|par| process.near(about, par))
    }

    pub(super) fn rotated<'r>(&self, best: &'r ProfilePoint) -> Result<Cow<'r, Rotated>> {
        match &best.rotated {
            Some(rotated) => Ok(Cow::Borrowed(rotated)),
            None => {
                let process = self.process;
                self.workers
                    .run(|par| process.rotated(&best.lengths, par))
                    .map(Cow::Owned)
            }
        }
    }
}

/// Second derivatives by differences of exact slopes, but for delta alone.
fn by_differences(search: &LengthSearch<'_>, best: &ProfilePoint, directions: &[Vec<f64>]) -> Result<Quadratic> {
    let rotated = search.rotated(best)?;
    let criterion = Criterion {
        data: &rotated,
        method: search.method,
    };
    let n = criterion.n() as f64;
    let scaled = (best.delta / rotated.k_scale).ln();
    let (slope, curvature) = curve(&criterion, scaled);
    let (_, g) = proportions(scaled);
    let shift = |along: &[f64], step: f64| -> Vec<f64> {
        best.lengths
            .iter()
            .zip(along)
            .map(|(l, a)| l * (step * a).exp())
            .collect()
    };
    let slopes = |at: &[f64], delta: f64| -> Result<Vec<(f64, f64)>> {
        let (process, method) = (search.process, search.method);
        let found = search.workers.run(|par| process.slopes(method, at, delta, par))?;
        let along = |a: &Vec<f64>| {
            let part = |pick: fn(&super::Slopes) -> f64| dot(a, &found.iter().map(pick).collect::<Vec<_>>());
            let log_q = part(|s| s.log_q);
            (part(|s| s.log_det) + n * log_q, log_q)
        };
        Ok(directions.iter().map(along).collect())
    };
    let difference = |up: &[(f64, f64)], down: &[(f64, f64)]| -> Vec<f64> {
        up.iter().zip(down).map(|(u, d)| (u.0 - d.0) / (2.0 * STEP)).collect()
    };
    let mut hessian = vec![];
    for a in directions {
        let (up, down) = (shift(a, STEP), shift(a, -STEP));
        hessian.push(difference(&slopes(&up, best.delta)?, &slopes(&down, best.delta)?));
    }
    let here = slopes(&best.lengths, best.delta)?;
    let (up, down) = (best.delta * STEP.exp(), best.delta * (-STEP).exp());
    let mixed = difference(&slopes(&best.lengths, up)?, &slopes(&best.lengths, down)?);
    hessian.iter_mut().zip(&mixed).for_each(|(row, m)| row.push(*m));
    hessian.push(mixed.into_iter().chain([curvature]).collect());
    // the scale of the likelihood is tau2 = sigma2 + sigma2_e: d log sigma2 = d log tau2 - g dt
    let log_q = here.iter().map(|s| s.1).chain([slope - g]).collect();
    Ok(Quadratic {
        n,
        value: best.deviance,
        gradient: here.iter().map(|s| s.0).chain([0.0]).collect(),
        hessian,
        log_q,
    })
}

/// Slope of log Q and curvature of the deviance in log delta.
fn curve(criterion: &Criterion<'_>, at: f64) -> (f64, f64) {
    let log_q = |t: Dual2_64| {
        let (h, g) = proportions(t);
        criterion.terms(h, g).q.ln()
    };
    let (_, slope, _) = second_derivative(log_q, at);
    let (_, _, curvature) = second_derivative(|t: Dual2_64| criterion.deviance(t), at);
    (slope, curvature)
}

/// Which logarithms a search was over: all axes together, each its own, or none.
pub fn directions(parameters: usize, together: usize, fixed: bool) -> Vec<Vec<f64>> {
    let unit = |i: usize| (0..parameters).map(|j| f64::from(i == j)).collect();
    let first = (0..parameters).map(|j| f64::from(j < together)).collect();
    match (fixed, together) {
        (true, _) => (together..parameters).map(unit).collect(),
        (false, 0) => (0..parameters).map(unit).collect(),
        (false, _) => std::iter::once(first).chain((together..parameters).map(unit)).collect(),
    }
}
