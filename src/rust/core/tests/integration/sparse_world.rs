//! `y ~ N(X beta, s2 (sum_r Z_r (T_r T_r' (x) P_r^-1) Z_r' + W^-1))` written out.

use crate::definition::noise;
use faer::prelude::*;
use faer::{Mat, Side};
use fastlmm_core::kernel::sparse::Sparse;
use fastlmm_core::likelihood::Method;
use fastlmm_core::runtime::error::Result;
use fastlmm_core::sparse::estimates::SparseFit;
use fastlmm_core::sparse::fit::fit;
use fastlmm_core::sparse::problem::SparseProblem;
use fastlmm_core::sparse::{Precision, SparseEffect, SparseModel};

/// A precision matrix, and how it is given.
#[derive(Clone)]
pub enum Given {
    Identity,
    Sparse(Mat<f64>),
    Dense(Mat<f64>),
}

#[derive(Clone)]
pub struct Levels {
    pub terms: Vec<Vec<f64>>,
    pub group: Vec<usize>,
    pub levels: usize,
    pub correlated: bool,
    pub given: Given,
}

#[derive(Clone)]
pub struct SparseWorld {
    pub y: Vec<f64>,
    pub x: Mat<f64>,
    pub weights: Vec<f64>,
    pub effects: Vec<Levels>,
}

/// What the definition says at T.
pub struct Dense {
    pub deviance: f64,
    pub s2: f64,
    pub beta: Mat<f64>,
    pub vcov: Mat<f64>,
    /// b of each effect, the terms of a level together, and its covariance given beta.
    pub effects: Vec<(Mat<f64>, Mat<f64>)>,
}

/// Compressed columns of a matrix.
type Columns = (Vec<i32>, Vec<i32>, Vec<f64>);

fn compressed(p: &Mat<f64>) -> Columns {
    let (mut start, mut rows, mut values) = (vec![0], vec![], vec![]);
    for j in 0..p.ncols() {
        for i in (0..p.nrows()).filter(|&i| p[(i, j)] != 0.0) {
            rows.push(i as i32);
            values.push(p[(i, j)]);
        }
        start.push(values.len() as i32);
    }
    (start, rows, values)
}

impl Levels {
    /// An intercept, or an intercept and slopes, in levels that a function of the row says.
    pub fn new(n: usize, l: usize, levels: usize, group: impl Fn(usize) -> usize) -> Self {
        let term = |a: usize| {
            (0..n)
                .map(move |i| if a == 0 { 1.0 } else { 3.0 * noise(40 + a, i, a) - 1.0 })
                .collect()
        };
        Self {
            terms: (0..l).map(term).collect(),
            group: (0..n).map(group).collect(),
            levels,
            correlated: true,
            given: Given::Identity,
        }
    }

    pub fn precision(&self) -> Mat<f64> {
        match &self.given {
            Given::Identity => Mat::identity(self.levels, self.levels),
            Given::Sparse(p) | Given::Dense(p) => p.clone(),
        }
    }

    /// Z: a column for each level and term, those of a level together.
    fn z(&self) -> Mat<f64> {
        let l = self.terms.len();
        Mat::from_fn(self.group.len(), self.levels * l, |i, k| {
            if self.group[i] == k / l {
                self.terms[k % l][i]
            } else {
                0.0
            }
        })
    }

    /// T T' (x) P^-1
    fn covariance(&self, t: &Mat<f64>) -> Mat<f64> {
        let (l, m) = (self.terms.len(), self.levels);
        let inverse = self
            .precision()
            .llt(Side::Lower)
            .unwrap()
            .solve(Mat::<f64>::identity(m, m));
        let tt = t * t.transpose();
        Mat::from_fn(m * l, m * l, |i, j| tt[(i % l, j % l)] * inverse[(i / l, j / l)])
    }
}

impl SparseWorld {
    /// p columns in X, the first constant; a response with a draw of each effect in it.
    pub fn new(seed: usize, n: usize, p: usize, effects: Vec<Levels>) -> Self {
        let mut y: Vec<f64> = (0..n).map(|i| 2.0 * noise(seed, i, 0) - 1.0).collect();
        for (r, effect) in effects.iter().enumerate() {
            for (a, z) in effect.terms.iter().enumerate() {
                let b = |g: usize| 2.0 * noise(seed + 1 + r, g, a) - 1.0;
                (0..n).for_each(|i| y[i] += z[i] * b(effect.group[i]));
            }
        }
        Self {
            y,
            x: Mat::from_fn(n, p, |i, j| if j == 0 { 1.0 } else { noise(seed + 9, i, j) }),
            weights: vec![1.0; n],
            effects,
        }
    }

    pub fn with<T>(&self, work: impl FnOnce(&SparseModel<'_>) -> T) -> T {
        let columns: Vec<Columns> = self.effects.iter().map(|e| compressed(&e.precision())).collect();
        let mut viewed: Vec<(&Levels, Sparse<'_>)> = vec![];
        for (effect, (start, rows, values)) in self.effects.iter().zip(&columns) {
            viewed.push((effect, Sparse::new(effect.levels, start, rows, values).unwrap()));
        }
        let effects = viewed.iter().map(|(effect, sparse)| SparseEffect {
            label: "id",
            terms: effect.terms.iter().map(Vec::as_slice).collect(),
            group: &effect.group,
            levels: effect.levels,
            correlated: effect.correlated,
            precision: match &effect.given {
                Given::Identity => Precision::Identity,
                Given::Sparse(_) => Precision::Sparse(*sparse),
                Given::Dense(p) => Precision::Dense(p.as_ref()),
            },
        });
        work(&SparseModel {
            y: &self.y,
            x: self.x.as_ref(),
            weights: &self.weights,
            sigma2_e: None,
            effects: effects.collect(),
        })
    }

    pub fn problem<T>(&self, method: Method, work: impl FnOnce(&SparseProblem<'_>) -> T) -> T {
        self.with(|model| work(&SparseProblem::new(model, method).unwrap()))
    }

    pub fn fit(&self, method: Method) -> Result<Option<SparseFit>> {
        self.with(|model| fit(model, method, 1, &mut ()))
    }

    /// X must have full rank.
    pub fn at(&self, t: &[Mat<f64>], method: Method) -> Dense {
        let (n, p) = self.x.shape();
        let mut v = Mat::from_fn(n, n, |i, j| if i == j { 1.0 / self.weights[i] } else { 0.0 });
        let parts: Vec<(Mat<f64>, Mat<f64>)> = self
            .effects
            .iter()
            .zip(t)
            .map(|(e, t)| (e.z(), e.covariance(t)))
            .collect();
        parts.iter().for_each(|(z, g)| v += z * g * z.transpose());
        let v = v.llt(Side::Lower).unwrap();
        let log_det = |l: MatRef<'_, f64>| (0..l.nrows()).map(|i| 2.0 * l[(i, i)].ln()).sum::<f64>();
        let y = Mat::from_fn(n, 1, |i, _| self.y[i]);
        let (mut beta, mut vcov, mut of_x) = (Mat::zeros(p, 1), Mat::zeros(p, p), 0.0);
        if p > 0 {
            let xvx = (self.x.transpose() * v.solve(&self.x)).llt(Side::Lower).unwrap();
            beta = xvx.solve(self.x.transpose() * v.solve(&y));
            vcov = xvx.solve(Mat::<f64>::identity(p, p));
            of_x = if method == Method::Reml { log_det(xvx.L()) } else { 0.0 };
        }
        let residual = v.solve(&(&y - &self.x * &beta));
        let r2 = ((&y - &self.x * &beta).transpose() * &residual)[(0, 0)];
        let counted = if method == Method::Reml { n - p } else { n } as f64;
        let s2 = r2 / counted;
        let effect = |(z, g): &(Mat<f64>, Mat<f64>)| {
            let zg = z * g;
            (
                zg.transpose() * &residual,
                Scale(s2) * (g - zg.transpose() * v.solve(&zg)),
            )
        };
        Dense {
            deviance: log_det(v.L()) + of_x + counted * (1.0 + (std::f64::consts::TAU * s2).ln()),
            s2,
            beta,
            vcov: Scale(s2) * vcov,
            effects: parts.iter().map(effect).collect(),
        }
    }

    /// Some T for each effect; lower triangular where it may be.
    pub fn some_factors(&self, seed: usize) -> Vec<Mat<f64>> {
        let entry = |e: &Levels, a: usize, b: usize| match (a == b, a > b && e.correlated) {
            (true, _) => 0.3 + noise(seed, a, b),
            (_, true) => noise(seed, a, b) - 0.5,
            _ => 0.0,
        };
        self.effects
            .iter()
            .map(|e| Mat::from_fn(e.terms.len(), e.terms.len(), |a, b| entry(e, a, b)))
            .collect()
    }
}
