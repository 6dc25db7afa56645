//! The deviance of the exact route about a point, to second order, from one inverse.
//!
//! In the coordinates of `ContrastBasis`, with `V = K + delta I`, its contrasts' block V22, `a = V22^-1 y2`, P the inverse of the matrix whose determinant is the likelihood's (V22, for
//! ML V) and D_a, D_ab the derivatives of K in the logarithms of length scales (of V in log delta: delta I)
//!
//! ```text
//! Q_a = -a'D_a a,    Q_ab = -a'D_ab a + 2 a'D_a V22^-1 D_b a
//! L_a = tr P D_a,    L_ab = tr P D_ab - tr P D_a P D_b
//! ```
//!
//! for `deviance = n log Q + L`. The product P D_a takes twice the time of all the rest. Without it, the average of observed and expected information (Gilmour, Thompson and Cullis 1995)
//! is `n (a'D_a V22^-1 D_b a / Q - Q_a Q_b / Q^2)`, the curvature but for terms whose expectation is zero.

use super::exact::{Exact, product_trace};
use super::local::{About, Estimates, Expansion, Here};
use super::places::{mirrored, trace_of_product};
use crate::likelihood::Method;
use crate::likelihood::point::Point;
use crate::linalg::cholesky::Cholesky;
use crate::linalg::{dot, norm, product};
use crate::runtime::error::Result;
use crate::runtime::memory::claim;
use faer::{Mat, MatRef, Par};
use rayon::prelude::*;
use std::f64::consts::TAU;

/// K, its slopes along some directions and the lower triangle of its second derivatives (nothing for the average information), turned.
struct KernelDerivatives {
    k: Mat<f64>,
    first: Vec<Mat<f64>>,
    second: Vec<Mat<f64>>,
}

impl Exact<'_> {
    /// Estimates at a point, and the deviance about it in combinations of the logarithms of the length scales and in log delta.
    pub(super) fn here(&self, about: About<'_>, par: Par) -> Result<Here> {
        let About { at, directions, .. } = about;
        // each derivative twice while it is made and turned, products, V and its inverse
        let count = directions.len();
        let matrices = 2 * (1 + count + count * (count + 1) / 2) + count + 4;
        claim((matrices * self.n() * self.n()) as f64)?;
        let derivatives = self.turned_all(self.places.to_second(directions, at), count, par);
        self.here_by(derivatives, about, par)
    }

    fn here_by(&self, derivatives: KernelDerivatives, about: About<'_>, par: Par) -> Result<Here> {
        let About { method, delta, .. } = about;
        let contrasts = self.noisy(&derivatives.k, self.contrasts(), delta, par)?;
        let form = derivatives.form(&contrasts, self.y2(), delta, par);
        let whole = self.determining(method, contrasts, &derivatives.k, delta, par)?;
        let log_det = derivatives.log_det(whole, delta, par);
        let estimates = self.estimates_by(method, form.value, log_det.value, delta);
        let value = -2.0 * estimates.point.log_lik;
        Ok(Here::of(
            estimates,
            (&form, &log_det),
            (self.observations(method), value),
            0.0,
        ))
    }

    /// The same, its second derivatives those of the average information.
    pub(super) fn about_average(&self, about: About<'_>, par: Par) -> Result<Here> {
        let About { at, directions, .. } = about;
        claim(((2 * (1 + directions.len()) + 4) * self.n() * self.n()) as f64)?;
        let derivatives = self.turned_all(self.places.to_first(directions, at), directions.len(), par);
        self.here_by(derivatives, about, par)
    }

    /// Estimates at a point.
    pub(super) fn estimated(&self, method: Method, at: &[f64], delta: f64, par: Par) -> Result<Estimates> {
        let k = self.turned_kernel(at, par);
        let contrasts = self.noisy(&k, self.contrasts(), delta, par)?;
        let y = self.y2();
        let form = (y.transpose() * contrasts.solve(y.to_owned(), par))[(0, 0)];
        let whole = self.determining(method, contrasts, &k, delta, par)?;
        Ok(self.estimates_by(method, form, whole.log_det(), delta))
    }

    /// The matrix whose determinant is the likelihood's.
    fn determining(&self, method: Method, contrasts: Cholesky, k: &Mat<f64>, delta: f64, par: Par) -> Result<Cholesky> {
        match method {
            Method::Reml => Ok(contrasts),
            Method::Ml => {
                drop(contrasts);
                self.noisy(k, k.nrows(), delta, par)
            }
        }
    }

    /// Variances and likelihood; coefficients are left to the fit with these length scales.
    pub(super) fn estimates_by(&self, method: Method, form: f64, log_det: f64, delta: f64) -> Estimates {
        let sigma2 = form / self.observations(method) * self.basis().y_scale.powi(2);
        Estimates {
            point: Point {
                delta,
                h2: 1.0 / (1.0 + delta),
                sigma2,
                sigma2_e: sigma2 * delta,
                log_lik: -0.5 * self.deviance(method, form, log_det),
            },
            beta: vec![],
            vcov: vec![],
            coefficients: vec![],
            nothing: self.without(method),
        }
    }

    /// -2 log L without the process.
    pub(super) fn without(&self, method: Method) -> f64 {
        self.deviance(method, norm(&self.basis().y[..self.contrasts()]).powi(2), 0.0)
    }

    /// -2 log L at the best scale, from Q and log|V|.
    fn deviance(&self, method: Method, form: f64, log_det: f64) -> f64 {
        let (basis, n) = (self.basis(), self.observations(method));
        let x = match method {
            Method::Reml => basis.design.log_det(),
            Method::Ml => 0.0,
        };
        let constant = n * (1.0 + TAU.ln() + 2.0 * basis.y_scale.ln()) + x - basis.log_weights();
        n * (form / n).ln() + log_det + constant
    }

    /// K, `count` slopes and what follows them.
    fn turned_all(&self, all: Vec<Mat<f64>>, count: usize, par: Par) -> KernelDerivatives {
        let mut all: Vec<Mat<f64>> = all.into_iter().map(|m| self.basis().matrix(m, par)).collect();
        let second = all.split_off(1 + count);
        let first = all.split_off(1);
        let k = all.swap_remove(0);
        KernelDerivatives { k, first, second }
    }
}

impl KernelDerivatives {
    /// Q
    fn form(&self, v: &Cholesky, y: MatRef<'_, f64>, delta: f64, par: Par) -> Expansion {
        let (m, count) = (y.nrows(), self.first.len());
        let a = v.solve(y.to_owned(), par);
        let times = |d: &Mat<f64>| product(d.as_ref().submatrix(0, 0, m, m), a.as_ref(), par);
        let slopes: Vec<Mat<f64>> = self.first.iter().map(times).chain([&a * faer::Scale(delta)]).collect();
        let solved: Vec<Mat<f64>> = slopes.iter().map(|s| v.solve(s.clone(), par)).collect();
        let pair = |x: &Mat<f64>, y: &Mat<f64>| dot(x.col_as_slice(0), y.col_as_slice(0));
        let bend = |i: usize, j: usize| match (i == count, j == count) {
            (true, true) => pair(&a, &slopes[count]),
            (false, false) => pair(&a, &times(&self.second[i * (i + 1) / 2 + j])),
            _ => 0.0,
        };
        let average = self.is_average();
        let second = |i: usize, j: usize| match pair(&slopes[i], &solved[j]) {
            half if average => half,
            half => 2.0 * half - bend(i, j),
        };
        let value = pair(&a, &Mat::from_fn(m, 1, |i, _| y[(i, 0)]));
        Expansion::new(value, count + 1, |i| -pair(&a, &slopes[i]), second)
    }

    fn is_average(&self) -> bool {
        self.second.len() < self.first.len()
    }

    /// log|V|, of the rows that the decomposition has.
    fn log_det(&self, v: Cholesky, delta: f64, par: Par) -> Expansion {
        let (value, size, count) = (v.log_det(), v.size(), self.first.len());
        let lower = v.into_inverse(par);
        if self.is_average() {
            let trace: f64 = (0..size).map(|i| lower[(i, i)]).sum();
            let slope = |i: usize| match i == count {
                true => delta * trace,
                false => product_trace(&lower, &self.first[i]),
            };
            return Expansion::new(value, count + 1, slope, |_, _| 0.0);
        }
        let inverse = mirrored(lower.as_ref());
        let times = |d: &Mat<f64>| product(inverse.as_ref(), d.as_ref().submatrix(0, 0, size, size), par);
        let products: Vec<Mat<f64>> = self.first.iter().map(times).collect();
        let trace: f64 = (0..size).map(|i| inverse[(i, i)]).sum();
        let bend = |i: usize, j: usize| match (i == count, j == count) {
            (true, true) => delta * trace - delta * delta * inner(&inverse, &inverse),
            (true, false) => -delta * inner(&products[j], &inverse),
            _ => {
                product_trace(&inverse, &self.second[i * (i + 1) / 2 + j])
                    - trace_of_product(&products[i], &products[j])
            }
        };
        let slope = |i: usize| match i == count {
            true => delta * trace,
            false => product_trace(&inverse, &self.first[i]),
        };
        Expansion::new(value, count + 1, slope, bend)
    }
}

/// tr A'B
fn inner(a: &Mat<f64>, b: &Mat<f64>) -> f64 {
    (0..a.ncols())
        .into_par_iter()
        .map(|j| dot(a.col_as_slice(j), b.col_as_slice(j)))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::stationary::Family;

    #[test]
    fn the_average_information_is_that_of_its_definition_and_the_slopes_are_exact() {
        let n = 14;
        let at: Vec<f64> = (0..n).map(|i| f64::sin(1.7 * i as f64) + 0.1 * i as f64).collect();
        let y: Vec<f64> = at.iter().map(|x| (2.0 * x).cos() + 0.3 * (9.0 * x).sin()).collect();
        let x = Mat::from_fn(n, 2, |i, j| if j == 0 { 1.0 } else { (i * i) as f64 / 50.0 });
        let ones = vec![1.0; n];
        let exact = Exact::new(Family::Matern52, vec![&at], &y, x.as_ref(), &ones).unwrap();
        let (delta, along) = (0.3, [vec![1.0]]);
        for method in [Method::Reml, Method::Ml] {
            let about = About {
                method,
                at: &[0.6],
                delta,
                directions: &along,
            };
            let here = exact.here(about, Par::Seq).unwrap().local;
            let average = exact.about_average(about, Par::Seq).unwrap().local;
            assert!((here.value - average.value).abs() < 1e-10);
            assert!((0..2).all(|i| (here.gradient[i] - average.gradient[i]).abs() < 1e-9));
            let m = exact.contrasts();
            let block = |k: Mat<f64>| exact.basis().matrix(k, Par::Seq).submatrix(0, 0, m, m).to_owned();
            let slope = block(exact.places.slope_along(&[1.0], &[0.6]));
            let noise = Mat::<f64>::identity(m, m) * delta;
            let v = exact
                .noisy(&block(exact.places.kernel(&[0.6])), m, delta, Par::Seq)
                .unwrap();
            let a = v.solve(exact.y2().to_owned(), Par::Seq);
            let q = (exact.y2().transpose() * &a)[(0, 0)];
            let d = [slope, noise];
            for (i, j) in [(0, 0), (0, 1), (1, 1)] {
                let (di, dj) = (&d[i] * &a, &d[j] * &a);
                let both = (di.transpose() * v.solve(dj.clone(), Par::Seq))[(0, 0)];
                let single = (a.transpose() * &di)[(0, 0)] * (a.transpose() * &dj)[(0, 0)];
                let entry = exact.observations(method) * (both / q - single / (q * q));
                assert!((average.hessian[i][j] / entry - 1.0).abs() < 1e-9, "{i} {j}");
            }
        }
    }
}
