//! `y_i ~ NB(mu_i, r)` with `mu_i = exp(o_i + eta_i)` and variance `mu + mu^2 / r`; a priori 1 / r has an exponential distribution with mean 1.

use super::{EtaSlopes, Expected, Link, draw_log_concave, logistic, softplus, softplus_remainder};
use crate::slam::rng::{Stream, gamma, poisson, slice};
use libm::lgamma;

/// Counts and their offsets.
pub struct NegativeBinomial {
    /// Counts; not a number where nothing was observed.
    pub y: Vec<f64>,
    /// Known part of the log mean.
    pub offset: Vec<f64>,
}

impl NegativeBinomial {
    /// Log density of a count but for what does not depend on r and eta; `psi = o + eta - log r`.
    fn log(y: f64, psi: f64, r: f64) -> f64 {
        lgamma(y + r) - lgamma(r) + y * psi - (y + r) * softplus(psi)
    }
}

impl Link for NegativeBinomial {
    fn start(&self, row: usize) -> f64 {
        if self.y[row].is_nan() {
            0.0
        } else {
            (self.y[row] + 0.5).ln() - self.offset[row]
        }
    }

    fn parameters(&self) -> usize {
        1
    }

    fn start_parameters(&self) -> Vec<f64> {
        vec![2.0]
    }

    fn draw_parameters(&self, eta: &[f64], _: &[Expected], parameters: &mut [f64], rng: &mut Stream) {
        let seen: Vec<usize> = (0..self.y.len()).filter(|&i| !self.y[i].is_nan()).collect();
        // of log r
        let density = |log: f64| {
            let r = log.exp();
            let data: f64 = seen
                .iter()
                .map(|&i| Self::log(self.y[i], eta[i] + self.offset[i] - log, r))
                .sum();
            data - 1.0 / r - log
        };
        parameters[0] = slice(parameters[0].ln(), 0.5, density, rng).exp();
    }

    fn draw(&self, row: usize, now: f64, expected: Expected, parameters: &[f64], rng: &mut Stream) -> f64 {
        let (y, r) = (self.y[row], parameters[0]);
        if y.is_nan() {
            return expected.draw(rng);
        }
        let shift = self.offset[row] - r.ln();
        let slopes = |eta: f64| {
            let p = logistic(eta + shift);
            EtaSlopes {
                first: y - (y + r) * p,
                second: -(y + r) * p * (1.0 - p),
            }
        };
        draw_log_concave(
            now,
            expected,
            slopes,
            |a, x| -(y + r) * softplus_remainder(a + shift, x),
            rng,
        )
    }

    fn information(&self, row: usize) -> f64 {
        // of r = 1
        let mean = self.y[row] + 0.5;
        if mean.is_nan() { 0.0 } else { mean / (1.0 + mean) }
    }

    fn log_kernel(&self, row: usize, eta: f64, parameters: &[f64]) -> f64 {
        let (y, r) = (self.y[row], parameters[0]);
        if y.is_nan() {
            return 0.0;
        }
        y * eta - (y + r) * softplus(eta + self.offset[row] - r.ln())
    }

    fn log_likelihood(&self, row: usize, eta: f64, parameters: &[f64]) -> f64 {
        let (y, r) = (self.y[row], parameters[0]);
        if y.is_nan() {
            return 0.0;
        }
        Self::log(y, eta + self.offset[row] - r.ln(), r) - lgamma(y + 1.0)
    }

    fn simulate(&self, row: usize, eta: f64, parameters: &[f64], rng: &mut Stream) -> f64 {
        let r = parameters[0];
        poisson((eta + self.offset[row]).exp() * gamma(r, r, rng), rng)
    }
}
