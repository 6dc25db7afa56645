//! `y_i ~ N(eta_i, 1 / w_i)`, w known: weights, as of voom.

use super::elementary::{Loops, vectorised};
use super::lines::parabola;
use super::{AlongLine, Expected, ExpectedRows, Link, Pseudodata};
use crate::slam::normals::normals;
use crate::slam::rng::{Stream, normal};
use std::f64::consts::PI;

/// Responses with a precision each.
pub struct KnownPrecision {
    /// Responses; what they are where the precision is 0 does not matter.
    pub y: Vec<f64>,
    /// Precisions, 0 where nothing was observed.
    pub w: Vec<f64>,
}

/// From a standard normal number to a draw of eta.
#[inline(always)]
fn place(z: f64, Expected { mean, variance }: Expected, y: f64, w: f64) -> f64 {
    // weight of the datum, right for a precision without bound, too
    let share = 1.0 / (1.0 + 1.0 / (w * variance));
    let moved = if share > 0.0 { share * (y - mean) } else { 0.0 };
    mean + moved + (variance * (1.0 - share)).sqrt() * z
}

/// All rows.
struct Placed<'a> {
    link: &'a KnownPrecision,
    expected: ExpectedRows<'a>,
    eta: &'a mut [f64],
}

impl Loops for Placed<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let ExpectedRows { means, variance } = self.expected;
        for (((eta, mean), y), w) in self.eta.iter_mut().zip(means).zip(&self.link.y).zip(&self.link.w) {
            let mean = *mean;
            *eta = place(*eta, Expected { mean, variance }, *y, *w);
        }
    }
}

impl Link for KnownPrecision {
    fn is_normal(&self) -> bool {
        true
    }

    fn start(&self, row: usize) -> f64 {
        if self.w[row] > 0.0 { self.y[row] } else { 0.0 }
    }

    fn draw(&self, row: usize, _now: f64, expected: Expected, _: &[f64], rng: &mut Stream) -> f64 {
        place(normal(rng), expected, self.y[row], self.w[row])
    }

    fn draw_rows(&self, eta: &mut [f64], expected: ExpectedRows<'_>, _: &[f64], rng: &mut Stream) {
        normals(eta, rng);
        vectorised(Placed {
            link: self,
            expected,
            eta,
        });
    }

    fn along<'a>(&'a self, eta: &'a [f64], x: &'a [f64], _: &'a [f64]) -> AlongLine<'a> {
        parabola(&self.y, &self.w, eta, x)
    }

    fn normal_data(&self, _: &[f64], rows: usize) -> Pseudodata {
        // without a branch
        let y = self.y[..rows].iter().zip(&self.w);
        Pseudodata {
            y: y.map(|(y, w)| if *w > 0.0 { *y } else { 0.0 }).collect(),
            w: self.w[..rows].to_vec(),
        }
    }

    fn information(&self, _: &[f64], rows: usize) -> Vec<f64> {
        self.w[..rows].to_vec()
    }

    fn log_kernels(&self, eta: &[f64], _: &[f64]) -> Vec<f64> {
        let one = |i: usize| match self.w[i] > 0.0 {
            true => -0.5 * self.w[i] * (self.y[i] - eta[i]).powi(2),
            false => 0.0,
        };
        (0..eta.len()).map(one).collect()
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
