//! Standard errors of variances and their ratios from the observed information.

use crate::likelihood::optimize::{Location, Optimum};
use crate::likelihood::point::Point;
use crate::likelihood::{Criterion, proportions};
use crate::linalg::Scalar;
use num_dual::{Dual2_64, second_derivative};

/// Standard errors from the observed information; NaN at a boundary.
#[derive(Debug, Clone, Copy)]
pub struct PointErrors {
    /// Of log delta, `sqrt(2 / f'')` for the deviance f.
    pub log_delta: f64,
    /// Of delta, by the delta method, as those below.
    pub delta: f64,
    /// Of h2.
    pub h2: f64,
    /// Of sigma2, whose scale is estimated too.
    pub sigma2: f64,
    /// Of sigma2_e.
    pub sigma2_e: f64,
}

impl PointErrors {
    pub(crate) const UNKNOWN: Self = Self {
        log_delta: f64::NAN,
        delta: f64::NAN,
        h2: f64::NAN,
        sigma2: f64::NAN,
        sigma2_e: f64::NAN,
    };

    /// Of estimates whose delta and residual variance were multiplied by `share`, an amount being taken off them.
    pub(crate) fn given_back(self, share: f64, point: &Point) -> Self {
        let log_delta = self.log_delta / share;
        Self {
            log_delta,
            delta: point.delta * log_delta,
            h2: point.h2 * (1.0 - point.h2) * log_delta,
            ..self
        }
    }
}

/// Observed information of (log tau2, log delta): the first is profiled with slope Q'/Q and information n / 2.
pub(crate) fn errors(criterion: &Criterion<'_>, optimum: &Optimum, point: &Point) -> PointErrors {
    if optimum.best.location != Location::Interior || optimum.curvature.is_nan() || optimum.curvature <= 0.0 {
        return PointErrors::UNKNOWN;
    }
    let log_q = |t: Dual2_64| log_q(criterion, t);
    let (_, slope, _) = second_derivative(log_q, optimum.best.at);
    let (h, g) = proportions(optimum.best.at);
    let variance = 2.0 / optimum.curvature;
    let log_error = |slope: f64| (2.0 / criterion.n() as f64 + slope * slope * variance).sqrt();
    PointErrors {
        log_delta: variance.sqrt(),
        delta: point.delta * variance.sqrt(),
        h2: point.h2 * (1.0 - point.h2) * variance.sqrt(),
        sigma2: point.sigma2 * log_error(slope - g),
        sigma2_e: point.sigma2_e * log_error(slope + h),
    }
}

fn log_q<D: Scalar>(criterion: &Criterion<'_>, log_delta: D) -> D {
    let (h, g) = proportions(log_delta);
    criterion.terms(h, g).q.ln()
}
