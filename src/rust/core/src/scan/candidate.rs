//! Candidates of a block in rotated coordinates, and models that hold some of them.

use super::basis::Basis;
use super::clean::{Column, clean};
use crate::likelihood::{Criterion, Method, proportions};
use crate::linalg::{Scalar, dot, log_det, product, sum_of};
use crate::spectrum::weighted;
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, MatRef, Par};
use num_dual::{Dual2_64, DualNum};
use rayon::prelude::*;

/// A block of candidates.
pub struct Rotated {
    pub columns: Vec<Column>,
    /// Values with missing cells at their mean, scaled to order one: cells x candidates.
    g: Vec<f64>,
    cells: usize,
    /// eigenvalues x candidates
    e: Vec<f64>,
    q: Mat<f64>,
    /// g'Py
    pub v: Vec<f64>,
}

/// Part of a candidate's square that X must leave.
pub const LEFT: f64 = 1e-10;

impl Rotated {
    /// Some columns of G. `centred`: X explains constants, so that means may be taken off first.
    pub fn new(basis: &Basis<'_>, g: MatRef<'_, f64>, which: &[usize], centred: bool, par: Par) -> Self {
        let cells = g.nrows();
        let mut values = vec![0.0; cells * which.len()];
        let one = |(out, &j): (&mut [f64], &usize)| {
            out.iter_mut().zip(g.col(j).iter()).for_each(|(out, x)| *out = *x);
            (clean(out, basis.weight, centred), dot(basis.v, out))
        };
        // a candidate of no cells has no chunk
        let chunks = values.par_chunks_mut(cells.max(1));
        let (columns, v) = chunks.zip(which).map(one).unzip();
        let cleaned = MatRef::from_column_major_slice(&values, cells, which.len());
        let count = basis.e.ncols();
        let mut e = vec![0.0; count * which.len()];
        let rotated = MatMut::from_column_major_slice_mut(&mut e, count, which.len());
        matmul(rotated, Accum::Replace, basis.e.transpose(), cleaned, 1.0, par);
        Self {
            e,
            q: product(basis.q.transpose(), cleaned, par),
            v,
            columns,
            g: values,
            cells,
        }
    }

    /// Values with missing cells at their mean, cells x candidates.
    pub fn values(&self) -> MatRef<'_, f64> {
        MatRef::from_column_major_slice(&self.g, self.cells, self.columns.len())
    }

    fn cleaned(&self, j: usize) -> &[f64] {
        &self.g[j * self.cells..(j + 1) * self.cells]
    }

    /// g_a'P g_b, X projected out.
    pub fn projected(&self, basis: &Basis<'_>, a: usize, b: usize) -> f64 {
        let (x, y, w) = (self.cleaned(a), self.cleaned(b), &basis.weight[..self.cells]);
        let whole: f64 = if a == b {
            self.columns[a].square
        } else {
            sum_of(self.cells, |i| w[i] * x[i] * y[i])
        };
        whole
            - (0..self.q.nrows())
                .map(|k| self.q[(k, a)] * self.q[(k, b)])
                .sum::<f64>()
    }

    /// What the kernel does not reach of a product, given all of it.
    fn rest(&self, basis: &Basis<'_>, whole: impl FnOnce() -> f64, rotated: impl FnOnce() -> f64) -> f64 {
        if basis.rotated.n_rest == 0 {
            0.0
        } else {
            whole() - rotated()
        }
    }

    /// The model with some candidates; those that depend on X or on others before them are left out.
    pub fn model<'a>(&'a self, basis: &'a Basis<'a>, candidates: &[usize], adjust: usize) -> Candidate<'a> {
        let mut kept: Vec<usize> = vec![];
        let mut factor: Vec<Vec<f64>> = vec![];
        let mut adjusted = 0;
        for (place, &j) in candidates.iter().enumerate() {
            let mut row: Vec<f64> = vec![];
            for (i, &k) in kept.iter().enumerate() {
                row.push((self.projected(basis, j, k) - dot(&factor[i][..i], &row)) / factor[i][i]);
            }
            let left = self.projected(basis, j, j) - dot(&row, &row);
            if left > LEFT * self.columns[j].square {
                row.push(left.sqrt());
                factor.push(row);
                kept.push(j);
                adjusted += usize::from(place < adjust);
            }
        }
        let data = basis.rotated;
        let columns: Vec<&[f64]> = kept.iter().map(|&j| self.column(j)).collect();
        let pair = |a: usize, b: usize| {
            let whole = || self.projected(basis, kept[a], kept[b]);
            self.rest(basis, whole, || dot(columns[a], columns[b]))
        };
        let mut rest: Vec<Vec<f64>> = (0..kept.len()).map(|a| (0..=a).map(|b| pair(a, b)).collect()).collect();
        let with_y = |a: usize| self.rest(basis, || self.v[kept[a]], || dot(columns[a], &data.y));
        let last = (0..kept.len()).map(with_y).chain([data.rho]).collect();
        rest.push(last);
        Candidate {
            basis,
            log_scale: kept.iter().map(|&j| self.columns[j].scale.ln()).sum(),
            columns,
            rest,
            adjust: adjusted,
            kept,
        }
    }

    /// Rotated coordinates, eigenvalues x candidates.
    pub fn e(&self) -> MatRef<'_, f64> {
        let m = self.columns.len();
        MatRef::from_column_major_slice(&self.e, self.e.len() / m.max(1), m)
    }

    pub fn column(&self, j: usize) -> &[f64] {
        let n = self.e.len() / self.columns.len();
        &self.e[j * n..(j + 1) * n]
    }
}

/// What all candidates share at one (h, g).
#[derive(Clone)]
pub struct Place {
    pub h: f64,
    pub g: f64,
    inverse: Vec<f64>,
    /// Of the null model.
    pub log_det: f64,
}

impl Place {
    pub fn new(basis: &Basis<'_>, method: Method, (h, g): (f64, f64)) -> Self {
        let null = criterion(basis, method);
        Self {
            h,
            g,
            inverse: null.inverse(h, g),
            log_det: null.log_det(h, g),
        }
    }
}

/// The null model with further columns, the first `adjust` of them not under test.
pub struct Candidate<'a> {
    basis: &'a Basis<'a>,
    pub kept: Vec<usize>,
    columns: Vec<&'a [f64]>,
    /// Lower triangle of what the kernel does not reach of [C y]'[C y].
    rest: Vec<Vec<f64>>,
    pub adjust: usize,
    log_scale: f64,
}

/// S(delta) by its Cholesky factor, which says all about the model there.
pub struct Solved {
    pub h: f64,
    pub g: f64,
    /// The null model's log-determinant.
    null: f64,
    factor: Vec<Vec<f64>>,
    adjust: usize,
}

impl Solved {
    /// log|S|
    pub fn log_det(&self) -> f64 {
        2.0 * self.factor.iter().enumerate().map(|(i, row)| row[i].ln()).sum::<f64>()
    }

    fn c(&self) -> usize {
        self.factor.len() - 1
    }

    /// Residual square, and what the columns under test take from it.
    pub fn squares(&self) -> (f64, f64) {
        let y = &self.factor[self.c()];
        (
            y[self.c()].powi(2),
            y[self.adjust..self.c()].iter().map(|l| l * l).sum(),
        )
    }

    /// Estimate of the last column, and its standard error for a unit residual variance.
    pub fn last(&self) -> (f64, f64) {
        let c = self.c();
        let pivot = self.factor[c - 1][c - 1];
        (self.factor[c][c - 1] / pivot, pivot.recip())
    }
}

impl Candidate<'_> {
    pub fn c(&self) -> usize {
        self.columns.len()
    }

    /// What the kernel does not reach of a product; y comes last.
    pub fn rest_of(&self, a: usize, b: usize) -> f64 {
        self.rest[a][b]
    }

    pub fn tested(&self) -> usize {
        self.c() - self.adjust
    }

    /// Contrasts that are left.
    pub fn contrasts(&self) -> usize {
        self.basis.rotated.contrasts().saturating_sub(self.c())
    }

    /// Lower triangle of S at (h, g).
    fn s<D: Scalar>(&self, inverse: &[D], g: D) -> Vec<Vec<D>> {
        let y = &self.basis.rotated.y[..];
        let column = |a: usize| self.columns.get(a).copied().unwrap_or(y);
        let entry = |a: usize, b: usize| {
            let sum = weighted(column(a), column(b), inverse);
            match self.rest[a][b] {
                0.0 => sum,
                rest => sum + g.recip() * rest,
            }
        };
        (0..=self.c()).map(|a| (0..=a).map(|b| entry(a, b)).collect()).collect()
    }

    pub fn solve(&self, place: &Place) -> Option<Solved> {
        self.solved((place.h, place.g), place.log_det, self.s(&place.inverse, place.g))
    }

    /// From the lower triangle of S at (h, g), and the null model's log-determinant.
    pub fn solved(&self, (h, g): (f64, f64), null: f64, s: Vec<Vec<f64>>) -> Option<Solved> {
        let mut factor = s;
        log_det(&mut factor)?;
        Some(Solved {
            h,
            g,
            null,
            factor,
            adjust: self.adjust,
        })
    }

    /// -2 log L, all constants included.
    pub fn deviance(&self, method: Method, solved: &Solved) -> f64 {
        self.deviance_of(method, solved.log_det(), solved.squares().0, solved.null)
    }

    pub fn deviance_at(&self, method: Method, place: &Place) -> f64 {
        let solved = self.solve(place);
        solved.map_or(f64::INFINITY, |solved| self.deviance(method, &solved))
    }

    /// From `log|S|`, Q and the null model's log-determinant.
    pub fn deviance_of(&self, method: Method, log_det: f64, q: f64, null: f64) -> f64 {
        let n = self.n(method);
        let data = self.basis.rotated;
        let fixed = match method {
            Method::Reml => log_det - q.ln() + data.log_det_x + 2.0 * self.log_scale,
            Method::Ml => 0.0,
        };
        n * ((q / n).ln() + 1.0 + std::f64::consts::TAU.ln() + 2.0 * data.y_scale.ln()) + fixed + null
            - data.log_weights
    }

    /// Observations that count.
    pub fn n(&self, method: Method) -> f64 {
        match method {
            Method::Reml => self.contrasts() as f64,
            Method::Ml => criterion(self.basis, method).n() as f64,
        }
    }

    /// Slope and curvature of the deviance in log delta.
    pub fn slopes(&self, method: Method, log_delta: f64) -> (f64, f64) {
        let null = criterion(self.basis, method);
        let (h, g) = proportions(Dual2_64::from(log_delta).derivative());
        let inverse = null.inverse(h, g);
        let mut s = self.s(&inverse, g);
        let Some(log_s) = log_det(&mut s) else {
            return (f64::NAN, f64::NAN);
        };
        let log_q = s[self.c()][self.c()].ln() * 2.0;
        let mut deviance = log_q * self.n(method);
        match method {
            Method::Reml => deviance += log_s - log_q,
            Method::Ml => deviance += null.log_det_schur(h, g, &inverse),
        }
        // the slope of ln x is that of x over x: no logarithms
        let (mut slope, mut curvature) = (deviance.v1, deviance.v2);
        for u in &inverse {
            let relative = u.v1 / u.re;
            slope -= relative;
            curvature -= u.v2 / u.re - relative * relative;
        }
        let log_g = g.ln() * self.basis.rotated.n_rest as f64;
        (slope + log_g.v1, curvature + log_g.v2)
    }
}

pub fn criterion<'a>(basis: &Basis<'a>, method: Method) -> Criterion<'a> {
    Criterion {
        data: basis.rotated,
        method,
    }
}
