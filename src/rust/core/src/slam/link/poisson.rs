//! `y_i ~ Poisson(exp(o_i + eta_i))`: the variance of eta that is residual is overdispersion.

use super::concave::ConcaveCells;
use super::cumulant::Exponential;
use super::lines::information_of_counts;
use super::{AlongLine, Expected, ExpectedRows, Link, Pseudodata, or_zero};
use crate::linalg::dot;
use crate::slam::rng::{Stream, poisson};
use libm::lgamma;
use std::ops::Range;

/// Counts and their offsets.
pub struct Poisson {
    /// Counts; not a number where nothing was observed.
    pub y: Vec<f64>,
    /// Known part of the log mean.
    pub offset: Vec<f64>,
}

impl Poisson {
    fn cells(&self, rows: Range<usize>) -> ConcaveCells {
        let (y, offset) = (&self.y[rows.clone()], &self.offset[rows]);
        ConcaveCells {
            y: y.iter().map(|y| or_zero(*y)).collect(),
            n: y.iter().map(|y| f64::from(!y.is_nan())).collect(),
            shift: offset.to_vec(),
        }
    }
}

impl Link for Poisson {
    fn start(&self, row: usize) -> f64 {
        if self.y[row].is_nan() {
            0.0
        } else {
            (self.y[row] + 0.5).ln() - self.offset[row]
        }
    }

    fn draw(&self, row: usize, _now: f64, expected: Expected, _: &[f64], rng: &mut Stream) -> f64 {
        self.cells(row..row + 1).draw_one::<Exponential>(expected, rng)
    }

    fn normal_data(&self, _: &[f64], _: usize) -> Pseudodata {
        Pseudodata::of_counts(&self.y, &self.offset, 0.0)
    }

    fn information(&self, _: &[f64], _: usize) -> Vec<f64> {
        information_of_counts(&self.y, 0.0)
    }

    fn draw_rows(&self, eta: &mut [f64], expected: ExpectedRows<'_>, _: &[f64], rng: &mut Stream) {
        self.cells(0..eta.len()).draw::<Exponential>(eta, expected, rng);
    }

    fn along<'a>(&'a self, eta: &'a [f64], x: &'a [f64], _: &'a [f64]) -> AlongLine<'a> {
        let cells = self.cells(0..eta.len());
        // turned back from the basis it is constant but for rounding
        if x.iter().any(|other| (other - x[0]).abs() > 1e-12 * x[0].abs()) {
            return Box::new(move |d| cells.log_kernel::<Exponential>(eta, x, d));
        }
        // an intercept: sums are enough
        let (y, of_eta): (f64, f64) = (cells.y.iter().sum(), dot(&cells.y, eta));
        let mean = of_eta - cells.log_kernel::<Exponential>(eta, x, 0.0);
        Box::new(move |d| of_eta + y * d * x[0] - mean * (d * x[0]).exp())
    }

    fn log_kernels(&self, eta: &[f64], _: &[f64]) -> Vec<f64> {
        self.cells(0..eta.len()).log_kernels::<Exponential>(eta, eta, 0.0)
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
