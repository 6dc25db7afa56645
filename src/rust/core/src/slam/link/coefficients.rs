//! Coefficients of X given what is left of eta (interweaving, Yu and Meng 2011): `b <- b + d, eta <- eta + X d`.
//!
//! Given eta coefficients move by no more than its residual lets them, which is little where counts are large or the residual is small. Given `r = eta - X b` the data themselves draw them: the other way is slow
//! where data say little, and both in turn are slow nowhere.

use super::Link;
use crate::linalg::sum_of;
use crate::slam::rng::{Stream, slice};
use faer::Mat;

/// A trait's coefficients and values.
pub struct Values<'a> {
    /// Coefficients of X.
    pub b: &'a mut [f64],
    /// eta, all rows.
    pub eta: &'a mut [f64],
}

/// One coefficient after the other by slice sampling. `x`: X in rows; `variance`: of each prior, if it is not flat.
pub fn draw(
    link: &dyn Link,
    parameters: &[f64],
    x: &Mat<f64>,
    variance: &[Option<f64>],
    values: Values<'_>,
    rng: &mut Stream,
) {
    let Values { b, eta } = values;
    for (l, variance) in variance.iter().enumerate() {
        let column = x.col_as_slice(l);
        let size = column.iter().map(|x| x * x).sum::<f64>().sqrt();
        if size <= 0.0 {
            continue;
        }
        let density = |d: f64| {
            let data = sum_of(eta.len(), |i| link.log_kernel(i, eta[i] + d * column[i], parameters));
            data - variance.map_or(0.0, |v| 0.5 * (b[l] + d).powi(2) / v)
        };
        let d = slice(0.0, 1.0 / size, density, rng);
        b[l] += d;
        eta.iter_mut().zip(column).for_each(|(eta, x)| *eta += d * x);
    }
}
