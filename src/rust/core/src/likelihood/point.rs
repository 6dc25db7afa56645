//! What one value of delta says: variances, heritability and log-likelihood in the user's units.

use crate::likelihood::optimize::Location;
use crate::likelihood::{Criterion, proportions};

/// Estimates that go with one value of delta.
#[derive(Debug, Clone, Copy)]
pub struct Point {
    /// sigma2_e / sigma2.
    pub delta: f64,
    /// sigma2 / (sigma2 + sigma2_e).
    pub h2: f64,
    /// Variance of the random effect, per unit of the kernel.
    pub sigma2: f64,
    /// Residual variance of a row of weight 1.
    pub sigma2_e: f64,
    /// Log-likelihood with all constants, REML or ML.
    pub log_lik: f64,
}

/// A point of a profile, in the user's units.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CurvePoint {
    /// The parameter.
    pub value: f64,
    /// Signed root of the loss of deviance.
    pub zeta: f64,
    /// Log-likelihood, all other parameters at their best.
    pub log_lik: f64,
}

/// (h, g) of a local optimum.
pub(crate) fn at(location: Location, log_delta: f64) -> (f64, f64) {
    match location {
        Location::Interior | Location::Floor => proportions(log_delta),
        Location::Lower => (1.0, 0.0),
        Location::Upper => (0.0, 1.0),
    }
}

/// Variances and log-likelihood at (h, g), in the user's units.
pub(crate) fn point(criterion: &Criterion<'_>, h: f64, g: f64) -> Point {
    let data = criterion.data;
    let tau2 = criterion.terms(h, g).q / criterion.n() as f64;
    let sigma2 = h * tau2 * data.y_scale / data.k_scale * data.y_scale;
    let sigma2_e = g * tau2 * data.y_scale * data.y_scale;
    Point {
        delta: g / h * data.k_scale,
        h2: 1.0 / (1.0 + sigma2_e / sigma2),
        sigma2,
        sigma2_e,
        log_lik: -0.5 * criterion.deviance_at(h, g),
    }
}
