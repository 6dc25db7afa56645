//! A level between data and traits: what was observed of a trait says something of its values eta, which the model explains as it explains responses.
//!
//! With all random effects of a cell drawn, eta has a normal distribution with a mean and a variance that the link gets, and is drawn given these and the datum; a cell without a datum
//! is a missing cell. A link is a file: what it holds, how eta is drawn, its own parameters, its log likelihood and how data are made.

mod binomial;
#[cfg(test)]
mod check;
pub(super) mod coefficients;
mod concave;
#[cfg(test)]
mod concave_check;
mod cumulant;
mod curves;
pub(super) mod elementary;
pub(super) mod interweaving;
mod joint;
#[cfg(test)]
mod joint_check;
mod known_precision;
pub(super) mod lines;
pub(super) mod loadings;
mod negative_binomial;
mod ordinal;
mod poisson;
mod probes;
pub(super) mod shares;
#[cfg(test)]
mod shares_check;
mod truncated;

pub use binomial::Binomial;
pub use curves::Curves;
pub use joint::{Joint, JointLink, RowEvidence};
pub use known_precision::KnownPrecision;
pub use lines::Pseudodata;
pub use negative_binomial::NegativeBinomial;
pub use ordinal::Ordinal;
pub use poisson::Poisson;
pub use probes::Probes;

use super::rng::{Stream, normal};
use crate::linalg::sum_of;

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

/// The same of all rows of a trait.
#[derive(Debug, Clone, Copy)]
pub struct ExpectedRows<'a> {
    /// Mean of each row.
    pub means: &'a [f64],
    /// Variance of all, above 0.
    pub variance: f64,
}

impl ExpectedRows<'_> {
    /// Of one.
    pub fn row(&self, row: usize) -> Expected {
        Expected {
            mean: self.means[row],
            variance: self.variance,
        }
    }
}

/// A log likelihood along a line, but for what does not depend on the place.
pub type AlongLine<'a> = Box<dyn Fn(f64) -> f64 + 'a>;

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
    fn draw_parameters(&self, _eta: &[f64], _expected: ExpectedRows<'_>, _parameters: &mut [f64], _rng: &mut Stream) {}

    /// Do parameters take several looks at all data, so that not every iteration draws them?
    fn parameters_are_costly(&self) -> bool {
        false
    }

    /// eta of a row given its datum. `now`: its value before, for searches to begin at.
    fn draw(&self, row: usize, now: f64, expected: Expected, parameters: &[f64], rng: &mut Stream) -> f64;

    /// eta of all rows: where arithmetic is most of a draw, by loops that become vector instructions.
    fn draw_rows(&self, eta: &mut [f64], expected: ExpectedRows<'_>, parameters: &[f64], rng: &mut Stream) {
        for (row, eta) in eta.iter_mut().enumerate() {
            *eta = self.draw(row, *eta, expected.row(row), parameters, rng);
        }
    }

    /// Are data normal given eta, which is in the units of a normal response? Else priors of its coefficients are those of values behind data.
    fn is_normal(&self) -> bool {
        false
    }

    /// Is a datum given eta still random, so that coefficients may be drawn given what is left of eta?
    fn is_smooth(&self) -> bool {
        true
    }

    /// The log likelihood of all rows at eta + d x, as a function of d, but for what depends on neither d nor x.
    fn along<'a>(&'a self, eta: &'a [f64], x: &'a [f64], parameters: &'a [f64]) -> AlongLine<'a> {
        Box::new(move |d| sum_of(eta.len(), |i| self.log_kernel(i, eta[i] + d * x[i], parameters)))
    }

    /// The log likelihood of a row but for what does not depend on eta.
    fn log_kernel(&self, row: usize, eta: f64, parameters: &[f64]) -> f64 {
        self.log_likelihood(row, eta, parameters)
    }

    /// The same of each row alone.
    fn log_kernels(&self, eta: &[f64], parameters: &[f64]) -> Vec<f64> {
        (0..eta.len()).map(|i| self.log_kernel(i, eta[i], parameters)).collect()
    }

    /// Normal data about like those of all rows, whatever eta is: these themselves where they are normal.
    fn normal_data(&self, _parameters: &[f64], rows: usize) -> Pseudodata {
        Pseudodata {
            y: (0..rows).map(|row| self.start(row)).collect(),
            w: vec![1.0; rows],
        }
    }

    /// About the precision with which the data of each row tell its value, whatever eta is, where digits do not matter.
    fn information(&self, parameters: &[f64], rows: usize) -> Vec<f64> {
        self.normal_data(parameters, rows).w
    }

    /// Log density of the datum of a row, 0 where there is none.
    fn log_likelihood(&self, row: usize, eta: f64, parameters: &[f64]) -> f64;

    /// A new datum.
    fn simulate(&self, row: usize, eta: f64, parameters: &[f64], rng: &mut Stream) -> f64;
}

/// The datum or, where there is none, 0.
fn or_zero(y: f64) -> f64 {
    if y.is_nan() { 0.0 } else { y }
}

/// Derivatives of a log likelihood by eta.
pub(crate) struct EtaSlopes {
    pub first: f64,
    pub second: f64,
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

/// `1 / (1 + exp(-x))`
pub(crate) fn logistic(x: f64) -> f64 {
    if x >= 0.0 {
        (1.0 + (-x).exp()).recip()
    } else {
        let e = x.exp();
        e / (1.0 + e)
    }
}
