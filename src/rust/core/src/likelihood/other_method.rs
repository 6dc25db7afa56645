//! The log-likelihood of a fit by the method that it was not made by, at its delta: the two differ by log|X'V^-1 X| and by the divisor of the variance.

use super::Method;
use crate::linalg::log_det;
use faer::MatRef;
use std::f64::consts::TAU;

/// What a fit says of itself.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// The method of the fit.
    pub method: Method,
    /// Its log-likelihood.
    pub log_lik: f64,
    /// Rows.
    pub n: usize,
    /// Its largest variance, by which V is divided so that no determinant leaves the range of numbers.
    pub variance: f64,
    /// log|X'X| of the kept columns.
    pub log_det_x: f64,
    /// Covariance S of the coefficients of an orthonormal basis of X: log|X'V^-1 X| = log|X'X| - log|S|. From that of beta itself digits would be lost where
    /// columns of X are nearly dependent, as age and an intercept are in years AD.
    pub covariance: MatRef<'a, f64>,
}

/// With d = n or n - r of the fit and d' of the other method, the variance is larger by d / d'.
///
/// Infinite where S is singular.
pub fn by_other_method(known: &Known<'_>) -> f64 {
    let (n, r) = (known.n as f64, known.covariance.nrows() as f64);
    let log_det_xx = r * known.variance.ln() + known.log_det_x - log_det_of(known.covariance);
    let (from, to, taken, added) = match known.method {
        Method::Reml => (n - r, n, log_det_xx, 0.0),
        Method::Ml => (n, n - r, 0.0, log_det_xx),
    };
    let log_det_v = -2.0 * known.log_lik - from * ((TAU * known.variance).ln() + 1.0) - taken;
    -(to * ((TAU * known.variance * from / to).ln() + 1.0) + log_det_v + added) / 2.0
}

fn log_det_of(s: MatRef<'_, f64>) -> f64 {
    let mut lower: Vec<Vec<f64>> = (0..s.nrows()).map(|i| (0..=i).map(|j| s[(i, j)]).collect()).collect();
    log_det(&mut lower).unwrap_or(f64::NEG_INFINITY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use faer::Mat;

    /// Independent rows of variance 1 about a mean: both likelihoods by hand.
    #[test]
    fn of_a_mean() {
        let y = [1.0, 2.0, 4.0, 9.0];
        let n = 4.0;
        let mean = y.iter().sum::<f64>() / n;
        let square: f64 = y.iter().map(|y| (y - mean) * (y - mean)).sum();
        let ml = -(n * ((TAU * square / n).ln() + 1.0)) / 2.0;
        let divisor = n - 1.0;
        let reml = -(divisor * ((TAU * square / divisor).ln() + 1.0) + n.ln()) / 2.0;
        for (method, log_lik, other, variance) in [
            (Method::Ml, ml, reml, square / n),
            (Method::Reml, reml, ml, square / divisor),
        ] {
            let covariance = Mat::full(1, 1, variance);
            let known = Known {
                method,
                log_lik,
                n: 4,
                variance,
                log_det_x: n.ln(),
                covariance: covariance.as_ref(),
            };
            assert!((by_other_method(&known) - other).abs() < 1e-13, "{method:?}");
        }
    }

    #[test]
    fn without_fixed_effects_there_is_no_difference() {
        let known = Known {
            method: Method::Ml,
            log_lik: -3.5,
            n: 4,
            variance: 2.0,
            log_det_x: 0.0,
            covariance: MatRef::from_column_major_slice(&[], 0, 0),
        };
        assert!((by_other_method(&known) + 3.5).abs() < 1e-14);
    }
}
