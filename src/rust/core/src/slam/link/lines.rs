//! What the data of one trait say of its values, whatever link they have.

use super::{AlongLine, JointLink, Link};
use faer::Mat;

/// Normal data, a value and a precision each, that are about the data of a trait: proposals are made by them.
pub struct Pseudodata {
    /// Values.
    pub y: Vec<f64>,
    /// Precisions, 0 where there is no datum.
    pub w: Vec<f64>,
}

/// The data of one trait.
pub trait DataAlong {
    /// Their log likelihood at eta + d x, as a function of d, but for what does not depend on the place.
    fn along<'a>(&'a self, eta: &'a [f64], x: &'a [f64]) -> AlongLine<'a>;

    /// Normal data like them, whatever eta is.
    fn pseudodata(&self, eta: &[f64]) -> Pseudodata;
}

/// Data that one trait has alone.
pub struct OwnData<'l> {
    pub link: &'l dyn Link,
    pub parameters: &'l [f64],
}

impl DataAlong for OwnData<'_> {
    fn along<'a>(&'a self, eta: &'a [f64], x: &'a [f64]) -> AlongLine<'a> {
        self.link.along(eta, x, self.parameters)
    }

    fn pseudodata(&self, eta: &[f64]) -> Pseudodata {
        Pseudodata {
            y: (0..eta.len()).map(|row| self.link.start(row)).collect(),
            w: (0..eta.len()).map(|row| self.link.information(row)).collect(),
        }
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
}

impl Pseudodata {
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
