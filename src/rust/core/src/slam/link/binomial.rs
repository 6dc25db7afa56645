//! `y_i ~ Binomial(n_i, 1 / (1 + exp(-eta_i)))`

use super::concave::ConcaveCells;
use super::cumulant::Softplus;
use super::elementary::{Loops, ln, vectorised};
use super::{AlongLine, Expected, ExpectedRows, Link, Pseudodata, logistic, or_zero, softplus};
use crate::slam::rng::{Stream, binomial};
use libm::lgamma;
use std::ops::Range;

/// Successes and trials.
pub struct Binomial {
    /// Successes; not a number where nothing was observed.
    pub y: Vec<f64>,
    /// Trials.
    pub trials: Vec<f64>,
}

impl Binomial {
    fn cells(&self, rows: Range<usize>) -> ConcaveCells {
        let trials = |(y, n): (&f64, &f64)| if y.is_nan() { 0.0 } else { *n };
        let (y, n) = (&self.y[rows.clone()], &self.trials[rows]);
        ConcaveCells {
            y: y.iter().map(|y| or_zero(*y)).collect(),
            n: y.iter().zip(n).map(trials).collect(),
            shift: vec![0.0; y.len()],
        }
    }
}

/// [`Link::start`] of all rows.
struct LogOdds<'a> {
    link: &'a Binomial,
    rows: usize,
}

impl Loops for LogOdds<'_> {
    type Output = Vec<f64>;

    #[inline(always)]
    fn run(self) -> Vec<f64> {
        let mut all = vec![0.0; self.rows];
        for ((odds, y), n) in all.iter_mut().zip(&self.link.y).zip(&self.link.trials) {
            let log = ln((y + 0.5) / (n - y + 0.5));
            *odds = if y.is_nan() { 0.0 } else { log };
        }
        all
    }
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

    fn draw(&self, row: usize, _now: f64, expected: Expected, _: &[f64], rng: &mut Stream) -> f64 {
        self.cells(row..row + 1).draw_one::<Softplus>(expected, rng)
    }

    fn normal_data(&self, parameters: &[f64], rows: usize) -> Pseudodata {
        Pseudodata {
            y: vectorised(LogOdds { link: self, rows }),
            w: self.information(parameters, rows),
        }
    }

    fn information(&self, _: &[f64], rows: usize) -> Vec<f64> {
        let precision = |(y, n): (&f64, &f64)| {
            let p = (y + 0.5) / (n + 1.0);
            if p.is_nan() { 0.0 } else { n * p * (1.0 - p) }
        };
        self.y[..rows].iter().zip(&self.trials).map(precision).collect()
    }

    fn draw_rows(&self, eta: &mut [f64], expected: ExpectedRows<'_>, _: &[f64], rng: &mut Stream) {
        self.cells(0..eta.len()).draw::<Softplus>(eta, expected, rng);
    }

    fn along<'a>(&'a self, eta: &'a [f64], x: &'a [f64], _: &'a [f64]) -> AlongLine<'a> {
        let cells = self.cells(0..eta.len());
        Box::new(move |d| cells.log_kernel::<Softplus>(eta, x, d))
    }

    fn log_kernels(&self, eta: &[f64], _: &[f64]) -> Vec<f64> {
        self.cells(0..eta.len()).log_kernels::<Softplus>(eta, eta, 0.0)
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
