//! `y_i ~ NB(mu_i, r)` with `mu_i = exp(o_i + eta_i)` and variance `mu + mu^2 / r`; a priori 1 / r has an exponential distribution with mean 1.

use super::concave::ConcaveCells;
use super::cumulant::{Cumulant, Softplus};
use super::elementary::{Loops, exp, ln, vectorised};
use super::lines::information_of_counts;
use super::{AlongLine, Expected, ExpectedRows, Link, Pseudodata, or_zero, softplus};
use crate::linalg::sum_of;
use crate::slam::rng::{Stream, gamma, poisson, slice};
use libm::lgamma;
use std::ops::Range;

/// Counts and their offsets.
pub struct NegativeBinomial {
    /// Counts; not a number where nothing was observed.
    pub y: Vec<f64>,
    /// Known part of the log mean.
    pub offset: Vec<f64>,
}

impl NegativeBinomial {
    fn cells(&self, rows: Range<usize>, r: f64) -> ConcaveCells {
        let (y, offset, log) = (&self.y[rows.clone()], &self.offset[rows], r.ln());
        ConcaveCells {
            y: y.iter().map(|y| or_zero(*y)).collect(),
            n: y.iter().map(|y| if y.is_nan() { 0.0 } else { y + r }).collect(),
            shift: offset.iter().map(|offset| offset - log).collect(),
        }
    }
}

/// What the likelihood of r takes of the counts: `Gamma(y + r) / Gamma(r)` is a product, whose first factors all rows share.
struct Dispersion {
    y: Vec<f64>,
    /// o + eta
    log_mean: Vec<f64>,
    /// How many counts are above 0, 1, ...
    above: [f64; SHARED],
    large: Vec<f64>,
}

/// Factors that are shared; beyond, Stirling's series has all digits.
const SHARED: usize = 16;

impl Dispersion {
    fn new(y: &[f64], offset: &[f64], eta: &[f64]) -> Self {
        let seen: Vec<usize> = (0..y.len()).filter(|&i| !y[i].is_nan()).collect();
        let mut above = [0.0; SHARED];
        for &i in &seen {
            let small = (y[i] as usize).min(SHARED);
            above[..small].iter_mut().for_each(|count| *count += 1.0);
        }
        Self {
            log_mean: seen.iter().map(|&i| offset[i] + eta[i]).collect(),
            y: seen.iter().map(|&i| y[i]).collect(),
            above,
            large: y.iter().copied().filter(|y| *y > SHARED as f64).collect(),
        }
    }

    /// Log likelihood but for what does not depend on r.
    fn log(&self, log_r: f64) -> f64 {
        let r = log_r.exp();
        let factor = |t: usize| self.above[t] * (r + t as f64).ln();
        let shared: f64 = (0..SHARED).map(factor).sum();
        let (beyond, data) = vectorised(At { data: self, log_r });
        shared + sum_of(beyond.len(), |i| beyond[i]) + sum_of(data.len(), |i| data[i])
    }
}

/// What large counts have beyond the shared factors, and each row beside its factors.
struct At<'a> {
    data: &'a Dispersion,
    log_r: f64,
}

impl Loops for At<'_> {
    type Output = (Vec<f64>, Vec<f64>);

    #[inline(always)]
    fn run(self) -> (Vec<f64>, Vec<f64>) {
        let r = exp(self.log_r);
        let shared = stirling(r + SHARED as f64);
        let mut beyond = self.data.large.clone();
        beyond.iter_mut().for_each(|y| *y = stirling(r + *y) - shared);
        let mut data = vec![0.0; self.data.y.len()];
        for ((data, y), log_mean) in data.iter_mut().zip(&self.data.y).zip(&self.data.log_mean) {
            let psi = log_mean - self.log_r;
            *data = y * psi - (y + r) * Softplus::value(psi);
        }
        (beyond, data)
    }
}

/// log Gamma(x) but for a constant, x at least 16.
#[inline(always)]
fn stirling(x: f64) -> f64 {
    let inverse = 1.0 / x;
    let z = inverse * inverse;
    let series = inverse * (1.0 / 12.0 - z * (1.0 / 360.0 - z * (1.0 / 1260.0 - z / 1680.0)));
    (x - 0.5) * ln(x) - x + series
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

    fn parameters_are_costly(&self) -> bool {
        true
    }

    fn draw_parameters(&self, eta: &[f64], _: ExpectedRows<'_>, parameters: &mut [f64], rng: &mut Stream) {
        let data = Dispersion::new(&self.y, &self.offset, eta);
        let density = |log: f64| data.log(log) - (-log).exp() - log;
        parameters[0] = slice(parameters[0].ln(), 0.5, density, rng).exp();
    }

    fn draw(&self, row: usize, _now: f64, expected: Expected, parameters: &[f64], rng: &mut Stream) -> f64 {
        self.cells(row..row + 1, parameters[0])
            .draw_one::<Softplus>(expected, rng)
    }

    fn normal_data(&self, parameters: &[f64], _: usize) -> Pseudodata {
        Pseudodata::of_counts(&self.y, &self.offset, parameters[0].recip())
    }

    fn information(&self, parameters: &[f64], _: usize) -> Vec<f64> {
        information_of_counts(&self.y, parameters[0].recip())
    }

    fn draw_rows(&self, eta: &mut [f64], expected: ExpectedRows<'_>, parameters: &[f64], rng: &mut Stream) {
        self.cells(0..eta.len(), parameters[0])
            .draw::<Softplus>(eta, expected, rng);
    }

    fn along<'a>(&'a self, eta: &'a [f64], x: &'a [f64], parameters: &'a [f64]) -> AlongLine<'a> {
        let cells = self.cells(0..eta.len(), parameters[0]);
        Box::new(move |d| cells.log_kernel::<Softplus>(eta, x, d))
    }

    fn log_kernels(&self, eta: &[f64], parameters: &[f64]) -> Vec<f64> {
        self.cells(0..eta.len(), parameters[0])
            .log_kernels::<Softplus>(eta, eta, 0.0)
    }

    fn log_likelihood(&self, row: usize, eta: f64, parameters: &[f64]) -> f64 {
        let (y, r) = (self.y[row], parameters[0]);
        if y.is_nan() {
            return 0.0;
        }
        let psi = eta + self.offset[row] - r.ln();
        lgamma(y + r) - lgamma(r) - lgamma(y + 1.0) + y * psi - (y + r) * softplus(psi)
    }

    fn simulate(&self, row: usize, eta: f64, parameters: &[f64], rng: &mut Stream) -> f64 {
        let r = parameters[0];
        poisson((eta + self.offset[row]).exp() * gamma(r, r, rng), rng)
    }
}
