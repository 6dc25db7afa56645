//! Coefficients of X given what is left of eta (interweaving, Yu and Meng 2011): `b <- b + d, eta <- eta + X d`.
//!
//! Given eta coefficients move by no more than its residual lets them, which is little where counts are large or the residual is small. Given `r = eta - X b` the data themselves draw them: the other way is slow
//! where data say little, and both in turn are slow nowhere.

use super::Link;
use crate::linalg::{axpy, sum_of};
use crate::slam::gaussian::Gaussian;
use crate::slam::rng::{Stream, slice};
use faer::Mat;

/// A trait's coefficients and values.
pub struct Values<'a> {
    /// Coefficients of X.
    pub b: &'a mut [f64],
    /// eta, all rows.
    pub eta: &'a mut [f64],
}

/// One direction after the other by slice sampling. `x`: X in rows; `variance`: of each prior, if it is not flat.
pub fn draw(
    link: &dyn Link,
    parameters: &[f64],
    x: &Mat<f64>,
    variance: &[Option<f64>],
    values: Values<'_>,
    rng: &mut Stream,
) {
    let Values { b, eta } = values;
    for direction in directions(&link.information(parameters, eta.len()), x, variance) {
        let mut shift = vec![0.0; eta.len()];
        (direction.iter().enumerate()).for_each(|(l, by)| axpy(*by, x.col_as_slice(l), &mut shift));
        let t = {
            let data = link.along(eta, &shift, parameters);
            let prior = |l: usize, t: f64| variance[l].map_or(0.0, |v| 0.5 * (b[l] + t * direction[l]).powi(2) / v);
            let density = |t: f64| data(t) - sum_of(b.len(), |l| prior(l, t));
            slice(0.0, 2.0, density, rng)
        };
        b.iter_mut().zip(&direction).for_each(|(b, d)| *b += t * d);
        eta.iter_mut().zip(&shift).for_each(|(eta, s)| *eta += t * s);
    }
}

/// Directions along which coefficients are about independent, as far as data tell beforehand, in units of their standard deviations: what hardly any datum tells, as the coefficient of a level without counts, has one of its own.
fn directions(w: &[f64], x: &Mat<f64>, variance: &[Option<f64>]) -> Vec<Vec<f64>> {
    let (n, b) = (x.nrows(), x.ncols());
    let data = |l: usize, o: usize| {
        let (w, l, o) = (&w[..n], &x.col_as_slice(l)[..n], &x.col_as_slice(o)[..n]);
        sum_of(n, |i| w[i] * l[i] * o[i])
    };
    let mut gaussian = Gaussian::new(b);
    let prior = |l: usize| variance[l].map_or(0.0, |v| 1.0 / v);
    gaussian.set(|l, o| data(l, o) + if l == o { prior(l) } else { 0.0 }, |_| 0.0);
    // without enough data each its own
    let own = |l: usize| {
        let mut axis = vec![0.0; b];
        axis[l] = if data(l, l) > 0.0 {
            data(l, l).sqrt().recip()
        } else {
            0.0
        };
        axis
    };
    gaussian.axes().unwrap_or_else(|| (0..b).map(own).collect())
}
