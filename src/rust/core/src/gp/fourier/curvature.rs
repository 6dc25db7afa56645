//! The deviance of a weight space about a point, to second order, from one inverse.
//!
//! Only the ratio of `D^2` and delta matters when the scale is at its best: a change of `log delta` by t is one of all `log D_j` by -t/2. So delta is one more parameter
//! with `e_j = -1/2`, and with `E_a = diag(d log D / d a)`, `E_ab` of the second derivatives, `C = (A + delta I)^-1`, `b = D c`, `w = C b` and `S = rho0 - b'w`
//!
//! ```text
//! L_a = 2 tr E_a (I - delta C),   L_ab = 2 tr E_ab (I - delta C) + 4 delta tr E_a E_b C - 4 delta^2 sum_jk e_aj C_jk^2 e_bk
//! S_a = -2 delta w'E_a w,         S_ab = -2 delta w'E_ab w + 4 delta w'E_a E_b w - 8 delta^2 w'E_a C E_b w
//! ```
//!
//! for the log-determinant L of `A / delta + I` (for ML of the matrix without X projected out) and `deviance = n log S + L`.

use super::weights::WeightSpace;
use crate::gp::local::{About, Estimates, Expansion, Here};
use crate::likelihood::Method;
use crate::likelihood::point::Point;
use crate::linalg::cholesky::Cholesky;
use crate::linalg::dot;
use faer::{Mat, Par};
use num_dual::Dual2_64;
use rayon::prelude::*;
use std::f64::consts::TAU;

/// Slopes and second derivatives of the logarithms of the weights, along some directions and log delta.
pub(super) struct Weights {
    pub(super) first: Vec<Vec<f64>>,
    /// Lower triangle.
    pub(super) second: Vec<Vec<Vec<f64>>>,
}

/// `S`, `W C W'`, `W w` and the coefficients `D w`.
pub(super) struct WeightPosterior {
    pub s: f64,
    pub xx: Mat<f64>,
    pub xy: Vec<f64>,
    pub coefficients: Vec<f64>,
}

impl WeightSpace {
    /// d log D_j / d log ell_i, a row for each parameter.
    pub fn log_weight_slopes(&self, at: &[f64]) -> Vec<Vec<f64>> {
        let unit = |i: usize| (0..at.len()).map(|j| f64::from(i == j)).collect();
        let directions: Vec<Vec<f64>> = (0..at.len()).map(unit).collect();
        let mut slopes = self.log_weights_along(at, &directions).first;
        slopes.pop();
        slopes
    }

    /// `directions`: combinations of the parameters' logarithms.
    pub(super) fn log_weights_along(&self, at: &[f64], directions: &[Vec<f64>]) -> Weights {
        let d = self.grid.d();
        let count = directions.len();
        let mut first = vec![vec![-0.5; self.size()]; count + 1];
        let mut second: Vec<Vec<Vec<f64>>> = (0..=count).map(|k| vec![vec![0.0; self.size()]; k + 1]).collect();
        for (k, along) in directions.iter().enumerate() {
            // the groups' part has the ratio for its weight
            first[k].fill(along.get(d).copied().unwrap_or(0.0));
        }
        let pair = |a: &[f64], b: &[f64], u: &[f64]| (0..d).map(|i| a[i] * b[i] * u[i]).sum::<f64>();
        let ones = vec![1.0; d];
        for (f, j) in (0..self.waves()).map(|f| (f, &self.frequencies[f.div_ceil(2)])) {
            let square = |i: usize| (at[i] * self.grid.h[i] * j[i] as f64).powi(2);
            let u: Vec<f64> = (0..d).map(square).collect();
            let rho2 = Dual2_64::from(u.iter().sum::<f64>()).derivative();
            let density = self.family.log_density(rho2, d);
            for (k, a) in directions.iter().enumerate() {
                first[k][f] = 0.5 * a[..d].iter().sum::<f64>() + density.v1 * pair(a, &ones, &u);
                for (l, b) in directions[..=k].iter().enumerate() {
                    let outer = pair(a, &ones, &u) * pair(b, &ones, &u);
                    second[k][l][f] = 2.0 * (density.v2 * outer + density.v1 * pair(a, b, &u));
                }
            }
        }
        Weights { first, second }
    }

    /// Estimates at a point, and the deviance about it in combinations of the parameters' logarithms and in log delta.
    pub(super) fn here(&self, about: About<'_>, par: Par) -> Option<Here> {
        let About { method, at, delta, .. } = about;
        let (d, weights) = (self.weights(at), self.log_weights_along(at, about.directions));
        let projected = self.shifted(self.a(&d), delta, par)?;
        let estimates = self.estimates_by(&projected, method, &d, delta, par);
        let form = weights.form(&projected, self.right(&d), self.rho0, delta, par);
        let log_det = weights.log_det(self.determining(method, projected, &d, delta, par)?, delta, par);
        Some(self.about(method, estimates, (&form, &log_det)))
    }

    /// A point and the deviance about it.
    pub(super) fn about(&self, method: Method, estimates: Estimates, of: (&Expansion, &Expansion)) -> Here {
        let value = self.deviance(method, of.0.value, of.1.value);
        // sigma2 is S / (n delta)
        Here::of(estimates, of, (self.contrasts(method), value), -1.0)
    }

    /// Estimates at a point.
    pub(super) fn estimated(&self, method: Method, at: &[f64], delta: f64, par: Par) -> Option<Estimates> {
        let d = self.weights(at);
        let projected = self.shifted(self.a(&d), delta, par)?;
        let mut estimates = self.estimates_by(&projected, method, &d, delta, par);
        let s = estimates.point.sigma2_e * self.contrasts(method);
        let log_det = log_det(&self.determining(method, projected, &d, delta, par)?, delta);
        estimates.point.log_lik = -0.5 * self.deviance(method, s, log_det);
        Some(estimates)
    }

    /// Observations that count.
    pub(super) fn contrasts(&self, method: Method) -> f64 {
        match method {
            Method::Reml => self.n.trunc() - self.fixed.kept.len() as f64,
            Method::Ml => self.n.trunc(),
        }
    }

    /// The matrix whose determinant is the likelihood's: for ML X is not projected out.
    fn determining(&self, method: Method, projected: Cholesky, d: &[f64], delta: f64, par: Par) -> Option<Cholesky> {
        match method {
            Method::Reml => Some(projected),
            Method::Ml => {
                drop(projected);
                self.shifted(self.whole(d, par), delta, par)
            }
        }
    }

    /// -2 log L at the best scale, from S and `log|A / delta + I|`.
    pub(super) fn deviance(&self, method: Method, s: f64, log_det: f64) -> f64 {
        let n = self.contrasts(method);
        let x = match method {
            Method::Reml => self.fixed.log_det(),
            Method::Ml => 0.0,
        };
        n * (s / n).ln() + log_det + n * (1.0 + TAU.ln()) + x - self.log_weights
    }

    /// All but the likelihood: with `W = Q1'F D` the estimates along Q1 are `Q1'y - W w`, their covariance `sigma2 delta (I + W C W')`.
    fn estimates_by(&self, m: &Cholesky, method: Method, d: &[f64], delta: f64, par: Par) -> Estimates {
        let r = self.fixed.kept.len();
        let columns = self.weighted_columns(d);
        let solved = m.solve(columns.clone(), par);
        let cross = |i: usize, j: usize| dot(columns.col_as_slice(i), solved.col_as_slice(j));
        let posterior = WeightPosterior {
            s: self.rho0 - cross(r, r),
            xx: Mat::from_fn(r, r, cross),
            xy: (0..r).map(|i| cross(i, r)).collect(),
            coefficients: solved.col_as_slice(r).iter().zip(d).map(|(w, d)| w * d).collect(),
        };
        self.estimates_of(posterior, method, delta)
    }

    pub(super) fn estimates_of(&self, posterior: WeightPosterior, method: Method, delta: f64) -> Estimates {
        let r = self.fixed.kept.len();
        // sigma2 is S / (n delta)
        let sigma2_e = posterior.s / self.contrasts(method);
        let y1 = self.fixed.unshifted_y1();
        let along: Vec<f64> = y1.iter().zip(&posterior.xy).map(|(y, xy)| y - xy).collect();
        let unit = |i: usize, j: usize| f64::from(i == j);
        let s: Vec<Vec<f64>> = (0..r)
            .map(|i| (0..r).map(|j| sigma2_e * (unit(i, j) + posterior.xx[(i, j)])).collect())
            .collect();
        let basis = self.fixed.basis();
        let half: Vec<Vec<f64>> = basis
            .iter()
            .map(|b| s.iter().map(|row| dot(row, b)).collect())
            .collect();
        Estimates {
            point: Point {
                delta,
                h2: 1.0 / (1.0 + delta),
                sigma2: sigma2_e / delta,
                sigma2_e,
                log_lik: f64::NAN,
            },
            beta: basis.iter().map(|b| dot(b, &along)).collect(),
            vcov: basis.iter().map(|a| half.iter().map(|b| dot(a, b)).collect()).collect(),
            coefficients: posterior.coefficients,
            nothing: self.deviance(method, self.rho0, 0.0),
        }
    }
}

/// log|A / delta + I|
fn log_det(m: &Cholesky, delta: f64) -> f64 {
    m.log_det() - m.size() as f64 * delta.ln()
}

fn sum(terms: impl Iterator<Item = f64>) -> f64 {
    terms.sum()
}

impl Weights {
    /// S
    fn form(&self, m: &Cholesky, b: Mat<f64>, rho0: f64, delta: f64, par: Par) -> Expansion {
        let w = m.solve(b.clone(), par);
        let value = rho0 - (b.transpose() * &w)[(0, 0)];
        let w = w.col_as_slice(0);
        let ew = Mat::from_fn(w.len(), self.first.len(), |j, a| self.first[a][j] * w[j]);
        let cew = m.solve(ew.clone(), par);
        let squares = |e: &[f64]| sum(e.iter().zip(w).map(|(e, w)| e * w * w));
        let product = |x: &Mat<f64>, a: usize, b: usize| dot(ew.col_as_slice(a), x.col_as_slice(b));
        Expansion::new(
            value,
            self.first.len(),
            |a| -2.0 * delta * squares(&self.first[a]),
            |a, b| {
                -2.0 * delta * squares(&self.second[a][b]) + 4.0 * delta * product(&ew, a, b)
                    - 8.0 * delta * delta * product(&cew, a, b)
            },
        )
    }

    /// log|A / delta + I|
    fn log_det(&self, m: Cholesky, delta: f64, par: Par) -> Expansion {
        let value = log_det(&m, delta);
        let inverse = m.into_inverse(par);
        let size = inverse.nrows();
        let diagonal: Vec<f64> = (0..size).map(|j| inverse[(j, j)]).collect();
        let squared = of_squares(&inverse, &self.first);
        let left = |e: &[f64]| sum(e.iter().zip(&diagonal).map(|(e, c)| e * (1.0 - delta * c)));
        let both = |a: usize, b: usize| sum((0..size).map(|j| self.first[a][j] * self.first[b][j] * diagonal[j]));
        Expansion::new(
            value,
            self.first.len(),
            |a| 2.0 * left(&self.first[a]),
            |a, b| 2.0 * left(&self.second[a][b]) + 4.0 * delta * both(a, b) - 4.0 * delta * delta * squared[a][b],
        )
    }
}

/// `sum_jk a_j C_jk^2 b_k` for all pairs of vectors, C given by its lower triangle.
fn of_squares(c: &Mat<f64>, vectors: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let count = vectors.len();
    let column = |k: usize| -> Vec<f64> {
        let own = c[(k, k)].powi(2);
        let below: Vec<f64> = c.col_as_slice(k)[k + 1..].iter().map(|c| c * c).collect();
        let sums: Vec<f64> = vectors.iter().map(|v| dot(&v[k + 1..], &below)).collect();
        let pair = |a: usize, b: usize| {
            let (x, y) = (vectors[a][k], vectors[b][k]);
            x * own * y + x * sums[b] + y * sums[a]
        };
        (0..count * count).map(|i| pair(i / count, i % count)).collect()
    };
    let add = |a: Vec<f64>, b: Vec<f64>| a.iter().zip(&b).map(|(a, b)| a + b).collect();
    let total = (0..c.ncols())
        .into_par_iter()
        .map(column)
        .reduce(|| vec![0.0; count * count], add);
    total.chunks(count).map(<[f64]>::to_vec).collect()
}
