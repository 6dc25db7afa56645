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

/// [`Link::information`] of counts with means `e^eta` and variances `mu + inverse mu^2`: of their sizes, the mean of all having its say in small ones.
pub fn information_of_counts(y: &[f64], inverse: f64) -> Vec<f64> {
    let (seen, sum) = y.iter().fold((0.0, 0.0), |(seen, sum), y| match y.is_nan() {
        true => (seen, sum),
        false => (seen + 1.0, sum + y),
    });
    let shared = f64::min((0.5 + sum) / f64::max(seen, 1.0), 1.0);
    let one = |y: &f64| {
        let mu = (y * (1.0 + y) + shared) / (2.0 + y);
        if y.is_nan() { 0.0 } else { mu / (1.0 + inverse * mu) }
    };
    y.iter().map(one).collect()
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
        parabola(&self.y, &self.w, eta, x)
    }

    /// `sum_i w_i (y_i - eta_i)^2 / 2`
    pub fn lack(&self, eta: &[f64]) -> f64 {
        0.5 * vectorised(ParabolaSums {
            y: &self.y,
            w: &self.w,
            eta,
            x: eta,
        })
        .2
    }
}

/// `-sum_i w_i (y_i - eta_i - d x_i)^2 / 2` but for what d does not change; y where w is 0 does not matter.
pub fn parabola<'a>(y: &[f64], w: &[f64], eta: &[f64], x: &[f64]) -> AlongLine<'a> {
    let (slope, curve, _) = vectorised(ParabolaSums { y, w, eta, x });
    Box::new(move |d| d * (slope - 0.5 * curve * d))
}

/// Sums over rows of `w x (y - eta)`, `w x^2` and `w (y - eta)^2`.
struct ParabolaSums<'a> {
    y: &'a [f64],
    w: &'a [f64],
    eta: &'a [f64],
    x: &'a [f64],
}

impl Loops for ParabolaSums<'_> {
    type Output = (f64, f64, f64);

    #[inline(always)]
    fn run(self) -> (f64, f64, f64) {
        const LANES: usize = 8;
        let n = self.eta.len();
        let [y, w, eta, x] = [self.y, self.w, self.eta, self.x].map(|all| &all[..n]);
        let mut sums = [[0.0; LANES]; 3];
        let mut add = |lane: usize, y: f64, w: f64, eta: f64, x: f64| {
            let left = if w > 0.0 { y - eta } else { 0.0 };
            sums[0][lane] += w * x * left;
            sums[1][lane] += w * x * x;
            sums[2][lane] += w * left * left;
        };
        let parts = y.chunks_exact(LANES).zip(w.chunks_exact(LANES));
        for (((y, w), eta), x) in parts.zip(eta.chunks_exact(LANES)).zip(x.chunks_exact(LANES)) {
            for l in 0..LANES {
                add(l, y[l], w[l], eta[l], x[l]);
            }
        }
        for i in n - n % LANES..n {
            add(i % LANES, y[i], w[i], eta[i], x[i]);
        }
        let [slope, curve, square] = sums.map(|lanes| lanes.iter().sum());
        (slope, curve, square)
    }
}
