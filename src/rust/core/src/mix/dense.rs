//! V22 as a matrix: Cholesky at each set of variances.

use super::covariance::{Factorised, MarginalCovariance, Traces};
use crate::linalg::cholesky::Cholesky;
use crate::linalg::product;
use faer::{Mat, MatRef, Par};

/// Matrices of the effects, contrasts first, then directions of X.
pub struct DenseCovariance {
    a: Vec<Mat<f64>>,
    m: usize,
}

struct FactorisedDense<'a> {
    of: &'a DenseCovariance,
    theta: Vec<f64>,
    v: Cholesky,
}

impl DenseCovariance {
    pub fn new(a: Vec<Mat<f64>>, m: usize) -> Self {
        Self { a, m }
    }

    fn a22(&self, k: usize) -> MatRef<'_, f64> {
        self.a[k].as_ref().submatrix(0, 0, self.m, self.m)
    }
}

impl MarginalCovariance for DenseCovariance {
    fn m(&self) -> usize {
        self.m
    }

    fn apply(&self, k: usize, x: MatRef<'_, f64>, par: Par) -> Mat<f64> {
        match self.a.get(k) {
            Some(a) => product(a.as_ref(), x, par),
            None => x.to_owned(),
        }
    }

    fn factorise<'a>(&'a self, theta: &[f64], par: Par) -> Option<Box<dyn Factorised + 'a>> {
        let residual = theta[self.a.len()];
        let mut v = Mat::from_fn(self.m, self.m, |i, j| if i == j { residual } else { 0.0 });
        for (k, share) in theta[..self.a.len()]
            .iter()
            .enumerate()
            .filter(|(_, share)| **share > 0.0)
        {
            let a = self.a22(k);
            for j in 0..self.m {
                (j..self.m).for_each(|i| v[(i, j)] += share * a[(i, j)]);
            }
        }
        let v = Cholesky::new(v, par)?;
        Some(Box::new(FactorisedDense {
            of: self,
            theta: theta.to_vec(),
            v,
        }))
    }
}

impl Factorised for FactorisedDense<'_> {
    fn log_det(&self) -> f64 {
        self.v.log_det()
    }

    fn solve(&self, b: MatRef<'_, f64>, par: Par) -> Mat<f64> {
        self.v.solve(b.to_owned(), par)
    }

    /// P_k = V22^-1 A_k. The P_k of the component with the largest part needs no product: sum_k theta_k P_k = I.
    fn traces(&self, par: Par) -> Traces {
        let count = self.theta.len();
        let inverse = self.v.inverse(par);
        let part = |k: usize| {
            self.theta[k]
                * if k + 1 < count {
                    self.of.a[k].diagonal().column_vector().subrows(0, self.of.m).sum()
                } else {
                    0.0
                }
        };
        let largest = (0..count - 1)
            .max_by(|&a, &b| part(a).total_cmp(&part(b)))
            .filter(|&k| part(k) > 0.0);
        let mut p: Vec<Mat<f64>> = (0..count - 1)
            .map(|k| {
                if Some(k) == largest {
                    Mat::zeros(0, 0)
                } else {
                    product(inverse.as_ref(), self.of.a22(k), par)
                }
            })
            .collect();
        p.push(inverse);
        if let Some(last) = largest {
            p[last] = self.remaining(&p, last);
        }
        let trace = |k: usize| p[k].diagonal().column_vector().sum();
        let pair = |k: usize, l: usize| frobenius(p[k].as_ref(), p[l].transpose());
        let second: Vec<Vec<f64>> = (0..count).map(|k| (0..=k).map(|l| pair(k, l)).collect()).collect();
        Traces {
            first: (0..count).map(trace).collect(),
            second: (0..count)
                .map(|k| (0..count).map(|l| second[k.max(l)][k.min(l)]).collect())
                .collect(),
        }
    }
}

impl FactorisedDense<'_> {
    fn remaining(&self, p: &[Mat<f64>], last: usize) -> Mat<f64> {
        let mut rest = Mat::<f64>::identity(self.of.m, self.of.m);
        for (k, p) in p.iter().enumerate().filter(|(k, _)| *k != last && self.theta[*k] > 0.0) {
            rest -= faer::Scale(self.theta[k]) * p;
        }
        rest *= faer::Scale(1.0 / self.theta[last]);
        rest
    }
}

/// sum_ij a_ij b_ij
fn frobenius(a: MatRef<'_, f64>, b: MatRef<'_, f64>) -> f64 {
    (0..a.ncols())
        .map(|j| (0..a.nrows()).map(|i| a[(i, j)] * b[(i, j)]).sum::<f64>())
        .sum()
}
