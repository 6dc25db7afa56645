//! Degrees of freedom of tests of fixed effects, by REML with one kernel.
//!
//! V = a K + b I is linear in theta = (a, b), and in the basis of the rotated object all is read off S(theta) = (Q1' V^-1 Q1)^-1, the covariance of the coefficients,
//! and the log-determinant of REML, whose derivatives are taken by dual numbers. With v = row' S row the variance of a coefficient and m its slope in log theta,
//! the degrees of freedom are 2 v^2 / (m' W m):
//!
//! * Fai and Cornelius (1996), for Satterthwaite's: W from the observed information.
//! * Kenward and Roger (1997): W from the expected one. Their adjusted covariance, with P_i and Q_ij written as derivatives of S^-1, is `S - sum_ij W_ij d2S/didj`.

use crate::likelihood::{Criterion, Method, Terms};
use crate::rotation::rotated::Rotated;
use crate::runtime::error::{Error, Result};
use crate::words;
use num_dual::HyperDual64;

/// Whose degrees of freedom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Approximation {
    /// Satterthwaite's.
    Satterthwaite,
    /// Kenward's and Roger's.
    KenwardRoger,
}

words!(
    Approximation, "df",
    "satterthwaite" => Approximation::Satterthwaite, "kenward-roger" => Approximation::KenwardRoger
);

/// Covariance of the coefficients for the tests, r x r in the user's units, and the degrees of freedom of each.
#[derive(Debug, Clone)]
pub struct Tests {
    /// Of the kept columns of X, by rows.
    pub vcov: Vec<Vec<f64>>,
    /// One a coefficient.
    pub df: Vec<f64>,
}

/// The fixed effects along the orthonormal basis of X, and their covariance there, at the variances of a fit.
pub fn along_x(data: &Rotated, (sigma2, sigma2_e): (f64, f64)) -> (Vec<f64>, Vec<Vec<f64>>) {
    let criterion = Criterion {
        data,
        method: Method::Reml,
    };
    let unit = data.y_scale * data.y_scale;
    let (mut along, mut covariance) = criterion.along_basis(sigma2 / unit * data.k_scale, sigma2_e / unit);
    along.iter_mut().for_each(|a| *a *= data.y_scale);
    covariance.iter_mut().flatten().for_each(|s| *s *= unit);
    (along, covariance)
}

/// The pairs of variances, with the order of differentiation that gives each entry of a symmetric matrix once.
const PAIRS: [(usize, usize); 3] = [(0, 0), (0, 1), (1, 1)];

/// S and its derivatives in the logarithms of the variances, first and second ones, in which V is still taken to be linear.
struct CoefficientCovariance {
    value: Vec<Vec<f64>>,
    first: [Vec<Vec<f64>>; 2],
    second: [Vec<Vec<f64>>; 3],
}

/// At the variances of a fit by REML, both of them positive.
pub fn tests(data: &Rotated, by: Approximation, (sigma2, sigma2_e): (f64, f64)) -> Result<Tests> {
    let criterion = Criterion {
        data,
        method: Method::Reml,
    };
    let unit = data.y_scale * data.y_scale;
    let theta = [sigma2 / unit * data.k_scale, sigma2_e / unit];
    let s = covariance(&criterion, theta);
    let w = inverse(information(&criterion, theta, by)).ok_or(Error::NoConvergence {
        what: "the information of the variances",
        iterations: 0,
    })?;
    let df = data.basis.iter().map(|row| {
        let m = [0, 1].map(|i| quadratic(row, &s.first[i]) / quadratic(row, &s.value));
        2.0 / (w[0] * m[0] * m[0] + 2.0 * w[1] * m[0] * m[1] + w[2] * m[1] * m[1])
    });
    let adjusted = match by {
        Approximation::Satterthwaite => s.value.clone(),
        Approximation::KenwardRoger => s.adjusted(w),
    };
    Ok(Tests {
        df: df.collect(),
        vcov: (data.basis.iter())
            .map(|a| data.basis.iter().map(|b| unit * bilinear(a, &adjusted, b)).collect())
            .collect(),
    })
}

impl CoefficientCovariance {
    fn adjusted(&self, w: [f64; 3]) -> Vec<Vec<f64>> {
        let taken = |i: usize, j: usize| {
            w[0] * self.second[0][i][j] + 2.0 * w[1] * self.second[1][i][j] + w[2] * self.second[2][i][j]
        };
        let r = self.value.len();
        (0..r)
            .map(|i| (0..r).map(|j| self.value[i][j] - taken(i, j)).collect())
            .collect()
    }
}

/// theta with a unit of each of two directions: the derivatives are those in log theta of what is linear in theta.
fn moved(theta: [f64; 2], (i, j): (usize, usize)) -> [HyperDual64; 2] {
    let along = |k: usize, l: usize| if k == l { theta[k] } else { 0.0 };
    [0, 1].map(|k| HyperDual64::new(theta[k], along(k, i), along(k, j), 0.0))
}

fn covariance(criterion: &Criterion<'_>, theta: [f64; 2]) -> CoefficientCovariance {
    let r = criterion.data.rank();
    let of_pair = PAIRS.map(|pair| {
        let [a, b] = moved(theta, pair);
        criterion.schur(a, b, &criterion.inverse(a, b), r)
    });
    let full = |pair: usize, part: fn(&HyperDual64) -> f64| -> Vec<Vec<f64>> {
        let entry = |i: usize, j: usize| part(&of_pair[pair][i.max(j)][i.min(j)]);
        (0..r).map(|i| (0..r).map(|j| entry(i, j)).collect()).collect()
    };
    CoefficientCovariance {
        value: full(0, |s| s.re),
        first: [full(0, |s| s.eps1), full(2, |s| s.eps1)],
        second: [0, 1, 2].map(|pair| full(pair, |s| s.eps1eps2)),
    }
}

/// The Hessian of -2 log L, or its expectation, which is less the second derivatives of the log-determinant.
fn information(criterion: &Criterion<'_>, theta: [f64; 2], by: Approximation) -> [f64; 3] {
    PAIRS.map(|pair| {
        let [a, b] = moved(theta, pair);
        let Terms { q, log_det } = criterion.terms(a, b);
        match by {
            Approximation::Satterthwaite => (q + log_det).eps1eps2,
            Approximation::KenwardRoger => -log_det.eps1eps2,
        }
    })
}

/// Twice the inverse of a symmetric 2 x 2 matrix.
fn inverse([a, b, c]: [f64; 3]) -> Option<[f64; 3]> {
    let determinant = a * c - b * b;
    let twice = 2.0 / determinant;
    (a > 0.0 && determinant > 0.0).then_some([c * twice, -b * twice, a * twice])
}

fn bilinear(a: &[f64], s: &[Vec<f64>], b: &[f64]) -> f64 {
    let row = |row: &Vec<f64>| row.iter().zip(b).map(|(s, b)| s * b).sum::<f64>();
    a.iter().zip(s).map(|(a, s)| a * row(s)).sum()
}

fn quadratic(a: &[f64], s: &[Vec<f64>]) -> f64 {
    bilinear(a, s, a)
}
