//! Profiled REML and ML as functions of one number, generic in the scalar: value, slope and curvature are the same code.
//!
//! The covariance is written `tau2 (h K + g I)`, h + g = 1, so that both end points h = 0 (delta = infinity) and h = 1 (delta = 0)
//! are ordinary arguments: `sigma2 = h tau2`, `sigma2_e = g tau2`, `delta = g / h`.

pub(crate) mod constrained;
pub mod ddf;
pub(crate) mod delta_grid;
pub mod information;
pub mod optimize;
pub mod other_method;
pub mod point;
pub mod profile;
pub mod profiled;
pub mod uncertainty;

use crate::kernel::dense::psd_tolerance;
use crate::linalg::{Scalar, columns_of, dot, log_det, matrix_of, product, weighted, weighted_products};
use crate::rotation::rotated::Rotated;
use crate::words;
use faer::{Mat, Par};
use std::f64::consts::TAU;

/// Which likelihood is maximised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Restricted likelihood: the density of contrasts free of beta (Patterson and Thompson 1971).
    Reml,
    /// The density of y at the best beta.
    Ml,
}

words!(Method, "method", "REML" => Method::Reml, "ML" => Method::Ml);

/// h and g = 1 - h of a logarithm of delta, without cancellation.
pub(crate) fn proportions<D: Scalar>(log_delta: D) -> (D, D) {
    let one = D::from(1.0);
    ((log_delta.exp() + one).recip(), ((-log_delta).exp() + one).recip())
}

/// Terms of the likelihood at one (h, g).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms<D> {
    /// Q = (y - X beta)' (h K + g I)^-1 (y - X beta), beta by generalised least squares.
    pub(crate) q: D,
    /// log|h K22 + g I|, and for ML log|h K + g I|.
    pub(crate) log_det: D,
}

/// A likelihood of one rotated data set.
#[derive(Debug, Clone, Copy)]
pub struct Criterion<'a> {
    /// The rotated data.
    pub data: &'a Rotated,
    /// REML or ML.
    pub method: Method,
}

impl Criterion<'_> {
    /// Observations that count: N' for REML, n for ML, without the directions that are left out.
    pub(crate) fn n(&self) -> usize {
        match self.method {
            Method::Reml => self.data.contrasts(),
            Method::Ml => self.data.contrasts() + self.kept(),
        }
    }

    /// -2 log L at the optimal beta and tau2, all constants included (lme4's convention: nothing subtracted for X).
    pub fn deviance<D: Scalar>(&self, log_delta: D) -> D {
        let (h, g) = proportions(log_delta);
        self.deviance_at(h, g)
    }

    /// The same at proportions h >= 0 and g >= 0; the limits (1, 0) and (0, 1) are allowed where they exist.
    pub fn deviance_at<D: Scalar>(&self, h: D, g: D) -> D {
        let n = self.n() as f64;
        let Terms { q, log_det } = self.terms(h, g);
        (q / n).ln() * n + log_det + (n + self.constant())
    }

    /// Part of -2 log L that depends on neither parameter.
    pub(crate) fn constant(&self) -> f64 {
        let n = self.n() as f64;
        let x = if self.method == Method::Reml {
            self.data.log_det_x
        } else {
            0.0
        };
        n * TAU.ln() + 2.0 * n * self.data.y_scale.ln() + x - self.data.log_weights
    }

    pub(crate) fn terms<D: Scalar>(&self, h: D, g: D) -> Terms<D> {
        let inverse = self.inverse(h, g);
        let mut q = weighted(&self.data.y, &self.data.y, &inverse);
        if self.data.rho > 0.0 {
            q += g.recip() * self.data.rho;
        }
        let mut log_det = self.log_det_reached(h, g);
        if self.data.n_rest > 0 {
            log_det += g.ln() * self.data.n_rest as f64;
        }
        if self.method == Method::Ml {
            log_det += self.log_det_schur(h, g, &inverse);
        }
        Terms { q, log_det }
    }

    /// Does the deviance have a finite limit for delta -> 0?
    ///
    /// It rises to infinity when y has a part that the kernel does not reach, and ML falls without bound when the kernel
    /// does not reach some direction that X holds wholly or partly.
    pub(crate) fn is_bounded(&self) -> bool {
        self.data.full_rank()
            && (self.method == Method::Reml || self.data.null == self.data.dropped && self.schur_is_regular())
    }

    /// Does the deviance of ML fall without bound as delta -> 0?
    pub(crate) fn is_unbounded(&self) -> bool {
        self.data.full_rank() && !self.is_bounded()
    }

    /// The same for a direction that lies only partly in X, and cannot be left out?
    pub(crate) fn misses_part_of_x(&self) -> bool {
        self.is_unbounded() && !self.schur_is_regular()
    }

    /// Directions of X that ML holds.
    fn kept(&self) -> usize {
        self.data.rank() - self.data.dropped
    }

    /// Is S regular at delta = 0, null directions apart?
    fn schur_is_regular(&self) -> bool {
        let small = f64::EPSILON.sqrt() * self.data.largest();
        let mut s = self.schur(1.0, 0.0, &self.inverse(1.0, 0.0), self.data.rank() - self.data.null);
        log_det(&mut s).is_some() && s.iter().enumerate().all(|(j, row)| row[j] * row[j] > small)
    }

    /// 1 / (h lambda_i + g)
    pub fn inverse<D: Scalar>(&self, h: D, g: D) -> Vec<D> {
        self.data.values.iter().map(|v| (h * *v + g).recip()).collect()
    }

    /// `sum_i log(h lambda_i + g)`: logarithms of products of some values, where these do not leave the range of numbers.
    fn log_det_reached<D: Scalar>(&self, h: D, g: D) -> D {
        const TOGETHER: usize = 8;
        let mut sum = D::from(0.0);
        for values in self.data.values.chunks(TOGETHER) {
            let product = values.iter().fold(D::from(1.0), |product, v| product * (h * *v + g));
            match product.re() {
                p if p > 1e-290 && p < 1e290 => sum += product.ln(),
                _ => values.iter().for_each(|v| sum += (h * *v + g).ln()),
            }
        }
        sum
    }

    /// log|h K22 + g I|, and for ML log|h K + g I|.
    pub(crate) fn log_det(&self, h: f64, g: f64) -> f64 {
        let reached = self.log_det_reached(h, g);
        let rest = if self.data.n_rest > 0 {
            g.ln() * self.data.n_rest as f64
        } else {
            0.0
        };
        let fixed = match self.method {
            Method::Reml => 0.0,
            Method::Ml => self.log_det_schur(h, g, &self.inverse(h, g)),
        };
        reached + rest + fixed
    }

    /// log|S|, infinite where S is singular to rounding.
    ///
    /// Along null directions S is g: what is computed of the kernel there is rounding, and would pass for an optimum at a delta as small.
    pub(crate) fn log_det_schur<D: Scalar>(&self, h: D, g: D, inverse: &[D]) -> D {
        let Rotated { null, dropped, .. } = *self.data;
        let reached = self.data.rank() - null;
        let reached = log_det(&mut self.schur(h, g, inverse, reached)).unwrap_or(D::from(f64::INFINITY));
        if null > dropped {
            reached + g.ln() * (null - dropped) as f64
        } else {
            reached
        }
    }

    /// Lower triangle of S = h K11 + g I - h^2 K12 (h K22 + g I)^-1 K21 = (Q1' (h K + g I)^-1 Q1)^-1, its first `kept` rows.
    pub(crate) fn schur<D: Scalar>(&self, h: D, g: D, inverse: &[D], kept: usize) -> Vec<Vec<D>> {
        let Rotated { k11, b, .. } = self.data;
        let mut s = weighted_products(&b[..kept], inverse);
        for (i, row) in s.iter_mut().enumerate() {
            row.iter_mut()
                .zip(&k11[i])
                .for_each(|(s, k11)| *s = h * *k11 - h * h * *s);
            row[i] += g;
        }
        s
    }

    /// S of all directions of X. Along null ones that the kernel does not reach at all it is g: what is computed there is rounding of either sign, and would be a
    /// variance; along others it is what is left of the kernel, however little beside its largest eigenvalue.
    fn whole_schur(&self, h: f64, g: f64, inverse: &[f64]) -> Vec<Vec<f64>> {
        let (r, n) = (self.data.rank(), self.data.rank() + self.data.values.len());
        let mut s = self.schur(h, g, inverse, r);
        let rounding = psd_tolerance(n, None) * h * self.data.largest();
        for i in r - self.data.null..r {
            if s[i][i] - g > rounding {
                continue;
            }
            s[i].fill(0.0);
            s[i + 1..].iter_mut().for_each(|row| row[i] = 0.0);
            s[i][i] = g;
        }
        s
    }

    /// beta_hat in units of `y_scale`, along the given combination `row` of the basis of span(X).
    pub fn beta<D: Scalar>(&self, row: &[f64], h: D, inverse: &[D]) -> D {
        let mut beta = D::from(dot(row, &self.data.y1));
        for (c, b) in row.iter().zip(&self.data.b) {
            beta -= h * weighted(b, &self.data.y, inverse) * *c;
        }
        beta
    }

    /// beta_hat along the basis of span(X), in units of `y_scale`.
    pub(crate) fn beta_along_basis(&self, h: f64, inverse: &[f64]) -> Vec<f64> {
        let Rotated { y, y1, b, .. } = self.data;
        let along = |(y1, b): (&f64, &Vec<f64>)| y1 - h * weighted(b, y, inverse);
        y1.iter().zip(b).map(along).collect()
    }

    /// beta_hat along the basis of span(X), and its covariance S there, in units of `y_scale`.
    pub fn along_basis(&self, h: f64, g: f64) -> (Vec<f64>, Vec<Vec<f64>>) {
        let inverse = self.inverse(h, g);
        let s = self.whole_schur(h, g, &inverse);
        let full = |i: usize, j: usize| if i >= j { s[i][j] } else { s[j][i] };
        let row = |i: usize| (0..s.len()).map(|j| full(i, j)).collect();
        (self.beta_along_basis(h, &inverse), (0..s.len()).map(row).collect())
    }

    /// Var(beta_hat) / tau2 = basis S basis'.
    pub fn vcov(&self, h: f64, g: f64) -> Vec<Vec<f64>> {
        let r = self.data.rank();
        let s = self.whole_schur(h, g, &self.inverse(h, g));
        let s = Mat::from_fn(r, r, |i, j| s[i.max(j)][i.min(j)]);
        let basis = matrix_of(&self.data.basis, r); // its rows as columns
        let half = product(s.as_ref(), basis.as_ref(), Par::Seq);
        columns_of(product(half.transpose(), basis.as_ref(), Par::Seq).as_ref())
    }
}
