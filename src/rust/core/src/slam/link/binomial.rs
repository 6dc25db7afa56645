//! `y_i ~ Binomial(n_i, 1 / (1 + exp(-eta_i)))`

use super::{EtaSlopes, Expected, Link, draw_log_concave, logistic, softplus, softplus_remainder};
use crate::slam::rng::{Stream, binomial};
use libm::lgamma;

/// Successes and trials.
pub struct Binomial {
    /// Successes; not a number where nothing was observed.
    pub y: Vec<f64>,
    /// Trials.
    pub trials: Vec<f64>,
}

impl Link for Binomial {
    fn start(&self, row: usize) -> f64 {
        let (y, n) = (self.y[row], self.trials[row]);
        if y.is_nan() {
            0.0
        } else {
            ((y + 0.5) / (n - y + 0.5)).ln()
        }
    }

    fn draw(&self, row: usize, now: f64, expected: Expected, _: &[f64], rng: &mut Stream) -> f64 {
        let (y, n) = (self.y[row], self.trials[row]);
        if y.is_nan() || n == 0.0 {
            return expected.draw(rng);
        }
        let slopes = |eta: f64| {
            let p = logistic(eta);
            EtaSlopes {
                first: y - n * p,
                second: -n * p * (1.0 - p),
            }
        };
        draw_log_concave(now, expected, slopes, |a, x| -n * softplus_remainder(a, x), rng)
    }

    fn information(&self, row: usize) -> f64 {
        let (y, n) = (self.y[row], self.trials[row]);
        let p = (y + 0.5) / (n + 1.0);
        if p.is_nan() { 0.0 } else { n * p * (1.0 - p) }
    }

    fn log_kernel(&self, row: usize, eta: f64, _: &[f64]) -> f64 {
        let y = self.y[row];
        if y.is_nan() {
            0.0
        } else {
            y * eta - self.trials[row] * softplus(eta)
        }
    }

    fn log_likelihood(&self, row: usize, eta: f64, _: &[f64]) -> f64 {
        let (y, n) = (self.y[row], self.trials[row]);
        if y.is_nan() {
            return 0.0;
        }
        y * eta - n * softplus(eta) + lgamma(n + 1.0) - lgamma(y + 1.0) - lgamma(n - y + 1.0)
    }

    fn simulate(&self, row: usize, eta: f64, _: &[f64], rng: &mut Stream) -> f64 {
        binomial(self.trials[row], logistic(eta), rng)
    }
}
