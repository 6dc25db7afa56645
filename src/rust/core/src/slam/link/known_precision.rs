//! `y_i ~ N(eta_i, 1 / w_i)`, w known: weights, as of voom.

use super::{Expected, Link};
use crate::slam::rng::{Stream, normal};
use std::f64::consts::PI;

/// Responses with a precision each.
pub struct KnownPrecision {
    /// Responses; what they are where the precision is 0 does not matter.
    pub y: Vec<f64>,
    /// Precisions, 0 where nothing was observed.
    pub w: Vec<f64>,
}

impl Link for KnownPrecision {
    fn is_normal(&self) -> bool {
        true
    }

    fn start(&self, row: usize) -> f64 {
        if self.w[row] > 0.0 { self.y[row] } else { 0.0 }
    }

    fn draw(&self, row: usize, _now: f64, expected: Expected, _: &[f64], rng: &mut Stream) -> f64 {
        let Expected { mean, variance } = expected;
        // weight of the datum, right for a precision without bound, too
        let share = 1.0 / (1.0 + 1.0 / (self.w[row] * variance));
        let centre = if share > 0.0 {
            mean + share * (self.y[row] - mean)
        } else {
            mean
        };
        centre + (variance * (1.0 - share)).sqrt() * normal(rng)
    }

    fn information(&self, row: usize) -> f64 {
        self.w[row]
    }

    fn log_likelihood(&self, row: usize, eta: f64, _: &[f64]) -> f64 {
        let w = self.w[row];
        if w > 0.0 {
            0.5 * ((w / (2.0 * PI)).ln() - w * (self.y[row] - eta).powi(2))
        } else {
            0.0
        }
    }

    fn simulate(&self, row: usize, eta: f64, _: &[f64], rng: &mut Stream) -> f64 {
        eta + normal(rng) / self.w[row].sqrt()
    }
}
