//! `y_i ~ Poisson(exp(o_i + eta_i))`: the variance of eta that is residual is overdispersion.

use super::{EtaSlopes, Expected, Link, draw_log_concave};
use crate::slam::rng::{Stream, poisson};
use libm::lgamma;

/// Counts and their offsets.
pub struct Poisson {
    /// Counts; not a number where nothing was observed.
    pub y: Vec<f64>,
    /// Known part of the log mean.
    pub offset: Vec<f64>,
}

impl Link for Poisson {
    fn start(&self, row: usize) -> f64 {
        if self.y[row].is_nan() {
            0.0
        } else {
            (self.y[row] + 0.5).ln() - self.offset[row]
        }
    }

    fn draw(&self, row: usize, now: f64, expected: Expected, _: &[f64], rng: &mut Stream) -> f64 {
        let (y, offset) = (self.y[row], self.offset[row]);
        if y.is_nan() {
            return expected.draw(rng);
        }
        let slopes = |eta: f64| {
            let mean = (eta + offset).exp();
            EtaSlopes {
                first: y - mean,
                second: -mean,
            }
        };
        let remainder = |a: f64, x: f64| -(a + offset).exp() * (x.exp_m1() - x);
        draw_log_concave(now, expected, slopes, remainder, rng)
    }

    fn information(&self, row: usize) -> f64 {
        if self.y[row].is_nan() { 0.0 } else { self.y[row] + 0.5 }
    }

    fn log_kernel(&self, row: usize, eta: f64, _: &[f64]) -> f64 {
        let y = self.y[row];
        if y.is_nan() {
            0.0
        } else {
            y * eta - (eta + self.offset[row]).exp()
        }
    }

    fn log_likelihood(&self, row: usize, eta: f64, _: &[f64]) -> f64 {
        let (y, log) = (self.y[row], eta + self.offset[row]);
        if y.is_nan() {
            0.0
        } else {
            y * log - log.exp() - lgamma(y + 1.0)
        }
    }

    fn simulate(&self, row: usize, eta: f64, _: &[f64], rng: &mut Stream) -> f64 {
        poisson((eta + self.offset[row]).exp(), rng)
    }
}
