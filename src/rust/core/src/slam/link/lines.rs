//! What the data of one trait say of its values, whatever link they have.

// one index of many slices
#![allow(clippy::needless_range_loop)]

use super::elementary::{Loops, exp, ln, vectorised};
use super::{AlongLine, JointLink, Link};
use crate::linalg::sum_of;
use faer::Mat;

/// Normal data, a value and a precision each, that are about the data of a trait: proposals are made by them.
pub struct Pseudodata {
    /// Values.
    pub y: Vec<f64>,
    /// Precisions, 0 where there is no datum.
    pub w: Vec<f64>,
}

struct CountsLike<'a> {
    y: &'a [f64],
    offset: &'a [f64],
    inverse: f64,
}

impl Loops for CountsLike<'_> {
    type Output = Pseudodata;

    #[inline(always)]
    fn run(self) -> Pseudodata {
        let n = self.y.len();
        let (counts, offset) = (&self.y[..n], &self.offset[..n]);
        let (mut y, mut w) = (vec![0.0; n], vec![0.0; n]);
        for i in 0..n {
            w[i] = if counts[i].is_nan() { 0.0 } else { exp(offset[i]) };
        }
        let seen = |i: usize| if counts[i].is_nan() { 0.0 } else { counts[i] };
        let rate = (0.5 + sum_of(n, seen)) / sum_of(n, |i| w[i]);
        for i in 0..n {
            // no more than of one count: a mean may be that of few large ones
            let (count, mean) = (counts[i], rate * w[i]);
            let shared = if mean < 1.0 { mean } else { 1.0 };
            let mu = (count * (1.0 + count) + shared) / (2.0 + count);
            let value = ln(mu) - offset[i] + (count - mu) / mu;
            let precision = 1.0 / (1.0 / mu + self.inverse);
            (y[i], w[i]) = if count.is_nan() { (0.0, 0.0) } else { (value, precision) };
        }
        Pseudodata { y, w }
    }
}

/// The data of one trait.
pub trait DataAlong {
    /// Their log likelihood at eta + d x, as a function of d, but for what depends on neither d nor x.
    fn along<'a>(&'a self, eta: &'a [f64], x: &'a [f64]) -> AlongLine<'a>;

    /// Normal data like them, whatever eta is.
    fn pseudodata(&self, eta: &[f64]) -> Pseudodata;

    /// Are they normal data themselves?
    fn are_normal(&self) -> bool;

    /// `loadings::grams` by the precisions of `pseudodata`, if it is there.
    fn gram(&self) -> Option<&[f64]> {
        None
    }
}

/// Data that one trait has alone.
pub struct OwnData<'l> {
    pub link: &'l dyn Link,
    pub parameters: &'l [f64],
    pub gram: Option<&'l [f64]>,
}

impl DataAlong for OwnData<'_> {
    fn gram(&self) -> Option<&[f64]> {
        self.gram
    }

    fn along<'a>(&'a self, eta: &'a [f64], x: &'a [f64]) -> AlongLine<'a> {
        self.link.along(eta, x, self.parameters)
    }

    fn pseudodata(&self, eta: &[f64]) -> Pseudodata {
        self.link.normal_data(self.parameters, eta.len())
    }

    fn are_normal(&self) -> bool {
        self.link.is_normal()
    }
}

/// Data that a trait has with others, given the others' values.
pub struct SharedData<'l> {
    pub link: &'l dyn JointLink,
    /// eta of all of them.
    pub eta: &'l Mat<f64>,
    /// Number of the trait among them.
    pub at: usize,
    pub parameters: &'l [f64],
}

impl DataAlong for SharedData<'_> {
    fn along<'a>(&'a self, eta: &'a [f64], x: &'a [f64]) -> AlongLine<'a> {
        self.pseudodata(eta).along(eta, x)
    }

    fn pseudodata(&self, _: &[f64]) -> Pseudodata {
        self.link.of_one(self.eta.as_ref(), self.at, self.parameters)
    }

    fn are_normal(&self) -> bool {
        true
    }
}

impl Pseudodata {
    /// Like counts of means e^(offset + eta), by one of Newton's steps from where these and the mean of all have their say: the more, the larger they are. `inverse`: 1 / r of counts of variance `mu + mu^2 / r`.
    pub fn of_counts(y: &[f64], offset: &[f64], inverse: f64) -> Self {
        vectorised(CountsLike { y, offset, inverse })
    }

    fn along<'a>(self, eta: &[f64], x: &[f64]) -> AlongLine<'a> {
        let each = || self.y.iter().zip(&self.w).zip(eta).zip(x);
        let slope: f64 = each().map(|(((y, w), eta), x)| w * x * (y - eta)).sum();
        let curve: f64 = each().map(|(((_, w), _), x)| w * x * x).sum();
        Box::new(move |d| d * (slope - 0.5 * curve * d))
    }

    /// `sum_i w_i (y_i - eta_i)^2 / 2`
    pub fn lack(&self, eta: &[f64]) -> f64 {
        let each = self.y.iter().zip(&self.w).zip(eta);
        0.5 * each.map(|((y, w), eta)| w * (y - eta).powi(2)).sum::<f64>()
    }
}
