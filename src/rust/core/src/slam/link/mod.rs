//! A level between data and traits: what was observed of a trait says something of its values eta, which the model explains as it explains responses.
//!
//! With all random effects of a cell drawn, eta has a normal distribution with a mean and a variance that the link gets, and is drawn given these and the datum; a cell without a datum
//! is a missing cell. A link is a file: what it holds, how eta is drawn, its own parameters, its log likelihood and how data are made.

mod binomial;
#[cfg(test)]
mod check;
pub(super) mod coefficients;
mod curves;
pub(super) mod interweaving;
mod joint;
#[cfg(test)]
mod joint_check;
mod known_precision;
mod negative_binomial;
mod ordinal;
mod poisson;
mod probes;
mod truncated;

pub use binomial::Binomial;
pub use curves::Curves;
pub use joint::{Joint, JointLink};
pub use known_precision::KnownPrecision;
pub use negative_binomial::NegativeBinomial;
pub use ordinal::Ordinal;
pub use poisson::Poisson;
pub use probes::Probes;

use super::rng::{Stream, log_concave, normal};

/// What the model says of a value before its datum is seen.
#[derive(Debug, Clone, Copy)]
pub struct Expected {
    /// Mean.
    pub mean: f64,
    /// Variance, above 0.
    pub variance: f64,
}

impl Expected {
    /// Without a datum.
    pub fn draw(self, rng: &mut Stream) -> f64 {
        self.mean + self.variance.sqrt() * normal(rng)
    }
}

/// What was observed of one trait.
pub trait Link: Send + Sync {
    /// Somewhere to begin.
    fn start(&self, row: usize) -> f64;

    /// Number of parameters of the link itself.
    fn parameters(&self) -> usize {
        0
    }

    /// Parameters to begin with.
    fn start_parameters(&self) -> Vec<f64> {
        vec![]
    }

    /// Can these be its parameters? Those of most links are positive.
    fn may_be(&self, parameters: &[f64]) -> bool {
        parameters.iter().all(|x| x.is_finite() && *x > 0.0)
    }

    /// Parameters given eta, or with eta integrated out over what is expected of each row: they are drawn before eta.
    fn draw_parameters(&self, _eta: &[f64], _expected: &[Expected], _parameters: &mut [f64], _rng: &mut Stream) {}

    /// eta of a row given its datum. `now`: its value before, for searches to begin at.
    fn draw(&self, row: usize, now: f64, expected: Expected, parameters: &[f64], rng: &mut Stream) -> f64;

    /// Is eta in the units of a normal response? Else priors of its coefficients are those of values behind data.
    fn is_normal(&self) -> bool {
        false
    }

    /// Is a datum given eta still random, so that coefficients may be drawn given what is left of eta?
    fn is_smooth(&self) -> bool {
        true
    }

    /// The log likelihood of a row but for what does not depend on eta.
    fn log_kernel(&self, row: usize, eta: f64, parameters: &[f64]) -> f64 {
        self.log_likelihood(row, eta, parameters)
    }

    /// About how sharply the datum of a row tells eta: a precision, by the data alone.
    fn information(&self, _row: usize) -> f64 {
        1.0
    }

    /// Log density of the datum of a row, 0 where there is none.
    fn log_likelihood(&self, row: usize, eta: f64, parameters: &[f64]) -> f64;

    /// A new datum.
    fn simulate(&self, row: usize, eta: f64, parameters: &[f64], rng: &mut Stream) -> f64;
}

/// Derivatives of a log likelihood by eta.
pub(crate) struct EtaSlopes {
    pub first: f64,
    pub second: f64,
}

/// A draw of eta where the log likelihood l is concave: its density is, too, so that an envelope about the mode accepts most of what is proposed, whatever the datum.
/// `remainder(a, x)`: `l(a + x) - l(a) - l'(a) x`. About the mode what is linear in x cancels, however large the datum, and is not computed.
pub(crate) fn draw_log_concave(
    now: f64,
    expected: Expected,
    slopes: impl Fn(f64) -> EtaSlopes,
    remainder: impl Fn(f64, f64) -> f64,
    rng: &mut Stream,
) -> f64 {
    let Expected { mean, variance } = expected;
    let whole = |x: f64| {
        let of = slopes(x);
        EtaSlopes {
            first: of.first - (x - mean) / variance,
            second: of.second - variance.recip(),
        }
    };
    let mode = mode(if now.is_finite() { now } else { mean }, &whole);
    let density = |x: f64| remainder(mode, x) - 0.5 * x * x / variance;
    let at_mode = slopes(mode).first;
    let slope = |x: f64| slopes(mode + x).first - at_mode - x / variance;
    // ends at which the density is about 1 / e of its top
    let scale = (-2.0 / whole(mode).second).sqrt();
    let end = |sign: f64| {
        let mut x = scale;
        for _ in 0..60 {
            let fall = -density(sign * x);
            if fall > 2.0 {
                x *= 0.7;
            } else if fall < 0.5 {
                x *= 1.4;
            } else {
                break;
            }
        }
        x
    };
    mode + log_concave(density, slope, end(1.0), end(-1.0), rng)
}

/// The zero of a slope that falls: Newton's steps inside a bracket that shrinks. Where they are no shorter than half the step before, as far out on an exponential, or no numbers, where it overflows,
/// the bracket is halved, or found by steps that double.
fn mode(start: f64, slopes: &impl Fn(f64) -> EtaSlopes) -> f64 {
    let (mut low, mut high) = (f64::NEG_INFINITY, f64::INFINITY);
    let (mut x, mut longest, mut before) = (start, 1.0_f64, f64::INFINITY);
    for _ in 0..200 {
        let at = slopes(x);
        if at.first > 0.0 {
            low = x;
        } else {
            high = x;
        }
        let newton = x - at.first / at.second;
        let step = (newton - x).abs();
        let is_good = newton > low && newton < high && step <= 0.5 * before;
        let next = if is_good {
            newton
        } else if (high - low).is_finite() {
            0.5 * (low + high)
        } else {
            longest *= 2.0;
            x + longest.copysign(at.first)
        };
        if !next.is_finite() {
            return x;
        }
        before = (next - x).abs();
        if before <= 1e-10 * (-at.second).sqrt().recip() || next == x {
            return next;
        }
        x = next;
    }
    x
}

/// `log(1 + exp(x))`
pub(crate) fn softplus(x: f64) -> f64 {
    if x > 0.0 {
        x + (-x).exp().ln_1p()
    } else {
        x.exp().ln_1p()
    }
}

/// `log(1 + exp(a + x)) - log(1 + exp(a)) - p x` with `p = 1 / (1 + exp(-a))`
pub(crate) fn softplus_remainder(a: f64, x: f64) -> f64 {
    let p = logistic(a);
    // from the side on which nothing cancels; so far down nothing is left of exp(x)
    if x < -500.0 {
        -softplus(a) - p * x
    } else if x < 0.0 {
        (logistic(-a) * (-x).exp_m1()).ln_1p() + x - p * x
    } else {
        (p * x.exp_m1()).ln_1p() - p * x
    }
}

/// `1 / (1 + exp(-x))`
pub(crate) fn logistic(x: f64) -> f64 {
    if x >= 0.0 {
        (1.0 + (-x).exp()).recip()
    } else {
        let e = x.exp();
        e / (1.0 + e)
    }
}
