//! Sums over the rotated coordinates as series in log delta, near the null model's.
//!
//! `1 / (h lambda + g) = (1 + e^t) / (lambda + e^t)` has its poles at `t = log lambda +- i pi`, whatever lambda: over an interval of half length 1 a term of the Chebyshev series is
//! at least `pi + sqrt(pi^2 + 1) = 6.4` times smaller than the one before it. So a few terms hold all sums of a candidate to rounding, and most candidates, whose effect is
//! small, have their optimum there.

use super::basis::ScanBasis;
use super::candidate::{Candidate, CandidateFactor, criterion};
use crate::likelihood::{Method, proportions};
use crate::linalg::Scalar;
use faer::Mat;
use num_dual::{Dual2_64, DualNum};
use std::f64::consts::PI;

/// Terms of a series: 6.4^-18 is below rounding.
pub const TERMS: usize = 18;
/// Half the length of the interval.
const HALF: f64 = 1.0;

pub struct NearNull {
    method: Method,
    centre: f64,
    /// Coefficients of `1 / (h lambda + g)`, a row a term.
    pub weights: Mat<f64>,
    /// Of the sum of y^2 and of the null model's log-determinant.
    yy: Vec<f64>,
    log_det: Vec<f64>,
}

/// The sums of one candidate.
pub struct Series<'a> {
    pub near: &'a NearNull,
    pub gg: &'a [f64],
    pub gy: &'a [f64],
}

impl NearNull {
    /// `None` if the null model's delta is an end point.
    pub fn new(basis: &ScanBasis<'_>, method: Method, (h, g): (f64, f64)) -> Option<Self> {
        if h == 0.0 || g == 0.0 {
            return None;
        }
        let (null, centre) = (criterion(basis, method), (g / h).ln());
        let transform = transform();
        let coefficient =
            |j: usize, values: &dyn Fn(usize) -> f64| -> f64 { (0..TERMS).map(|k| transform[j][k] * values(k)).sum() };
        let places: Vec<(f64, f64)> = (0..TERMS).map(|k| proportions(centre + HALF * node(k))).collect();
        let inverse: Vec<Vec<f64>> = places.iter().map(|(h, g)| null.inverse(*h, *g)).collect();
        let (y, count) = (&basis.rotated.y, basis.rotated.values.len());
        let weights = Mat::from_fn(TERMS, count, |j, i| coefficient(j, &|k| inverse[k][i]));
        let log_det: Vec<f64> = places.iter().map(|(h, g)| null.log_det(*h, *g)).collect();
        Some(Self {
            method,
            centre,
            yy: (0..TERMS)
                .map(|j| (0..count).map(|i| weights[(j, i)] * y[i] * y[i]).sum())
                .collect(),
            log_det: (0..TERMS).map(|j| coefficient(j, &|k| log_det[k])).collect(),
            weights,
        })
    }

    pub fn holds(&self, t: f64) -> bool {
        (t - self.centre).abs() <= HALF
    }
}

impl Series<'_> {
    /// Slope and curvature of the deviance in log delta.
    pub fn slopes(&self, model: &Candidate<'_>, t: f64) -> (f64, f64) {
        let ([gg, gy, yy], null) = self.parts(model, Dual2_64::from(t).derivative());
        let q = yy - gy * gy / gg;
        let mut deviance = q.ln() * model.n(self.near.method) + null;
        if self.near.method == Method::Reml {
            deviance += gg.ln();
        }
        (deviance.v1, deviance.v2)
    }

    pub fn solve(&self, model: &Candidate<'_>, t: f64) -> Option<CandidateFactor> {
        let ([gg, gy, yy], null) = self.parts(model, t);
        model.solved(proportions(t), null, vec![vec![gg], vec![gy, yy]])
    }

    /// Lower triangle of S, and the null model's log-determinant.
    fn parts<D: Scalar>(&self, model: &Candidate<'_>, t: D) -> ([D; 3], D) {
        let x = (t - self.near.centre) / HALF;
        let rest = (-t).exp() + 1.0; // 1 / g
        let sum = |series: &[f64], a: usize, b: usize| value(series, x) + rest * model.rest_of(a, b);
        let s = [sum(self.gg, 0, 0), sum(self.gy, 1, 0), sum(&self.near.yy, 1, 1)];
        (s, value(&self.near.log_det, x))
    }
}

/// Chebyshev's nodes in -1..1.
fn node(k: usize) -> f64 {
    (PI * (k as f64 + 0.5) / TERMS as f64).cos()
}

/// From values at the nodes to coefficients, a row each.
fn transform() -> Vec<Vec<f64>> {
    let entry = |j: usize, k: usize| {
        let scale = if j == 0 { 1.0 } else { 2.0 } / TERMS as f64;
        scale * (PI * j as f64 * (k as f64 + 0.5) / TERMS as f64).cos()
    };
    (0..TERMS).map(|j| (0..TERMS).map(|k| entry(j, k)).collect()).collect()
}

/// Clenshaw's sum.
fn value<D: Scalar>(series: &[f64], x: D) -> D {
    let (mut b1, mut b2) = (D::from(0.0), D::from(0.0));
    for a in series[1..].iter().rev() {
        (b1, b2) = (x * b1 * 2.0 - b2 + *a, b1);
    }
    x * b1 - b2 + series[0]
}
