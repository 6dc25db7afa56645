//! `y ~ N(X beta, sigma2 (Z K Z' + delta W^-1))` written out.

use faer::prelude::*;
use faer::{Mat, Side};
use fastlmm_core::kernel::Kernel;
use fastlmm_core::kernel::dense::Dense;
use fastlmm_core::likelihood::Method;
use fastlmm_core::lmm::fit::{Fit, Options, fit};
use fastlmm_core::rotation::Model;

/// Numbers in (0, 1) that look random and need no generator.
pub fn noise(seed: usize, i: usize, j: usize) -> f64 {
    let x = (1.0 + seed as f64 * 12.9898 + i as f64 * 78.233 + j as f64 * 37.719).sin() * 43758.5453;
    x - x.floor()
}

#[derive(Clone)]
pub struct Data {
    pub y: Vec<f64>,
    pub x: Mat<f64>,
    pub weights: Vec<f64>,
    pub z: Vec<f64>,
    pub group: Vec<usize>,
    pub k: Mat<f64>,
}

impl Data {
    /// n rows, m groups, p columns in X (the first constant), a kernel of the given rank.
    pub fn new(seed: usize, n: usize, m: usize, p: usize, rank: usize) -> Self {
        let w = Mat::from_fn(m, rank, |i, j| noise(seed, i, j) - 0.5);
        let group: Vec<usize> = (0..n).map(|i| i % m).collect();
        let effect: Vec<f64> = (0..m)
            .map(|i| (0..rank).map(|j| w[(i, j)] * (noise(seed + 1, j, 0) - 0.5) * 8.0).sum())
            .collect();
        let y = (0..n).map(|i| effect[group[i]] + noise(seed + 2, i, 0)).collect();
        let x = Mat::from_fn(n, p, |i, j| if j == 0 { 1.0 } else { noise(seed + 3, i, j) });
        let k = &w * w.transpose();
        Self {
            y,
            x,
            weights: vec![1.0; n],
            z: vec![1.0; n],
            group,
            k,
        }
    }

    pub fn fit(&self, method: Method) -> fastlmm_core::runtime::error::Result<Fit> {
        self.fit_with(Kernel::Dense(Dense(self.k.as_ref())), method)
    }

    /// The fit without a kernel matrix.
    pub fn fit_identity(&self, method: Method) -> fastlmm_core::runtime::error::Result<Fit> {
        self.fit_with(Kernel::Identity, method)
    }

    pub fn fit_with(&self, kernel: Kernel<'_>, method: Method) -> fastlmm_core::runtime::error::Result<Fit> {
        let index: Vec<usize> = (0..self.k.nrows()).collect();
        let model = Model {
            y: &self.y,
            x: self.x.as_ref(),
            weights: &self.weights,
            z: &self.z,
            group: &self.group,
            kernel,
            index: &index,
        };
        fit(
            &model,
            Options {
                method,
                threads: 1,
                tolerance: None,
            },
            &mut (),
        )
    }

    fn h(&self, delta: f64) -> Mat<f64> {
        let n = self.y.len();
        Mat::from_fn(n, n, |i, j| {
            let g = self.z[i] * self.k[(self.group[i], self.group[j])] * self.z[j];
            if i == j { g + delta / self.weights[i] } else { g }
        })
    }

    /// beta, Var(beta) / sigma2, Q and -2 log L at delta.
    pub fn at(&self, delta: f64, method: Method) -> (Vec<f64>, Mat<f64>, f64, f64) {
        let (n, p) = self.x.shape();
        let h = self.h(delta);
        let y = Mat::from_fn(n, 1, |i, _| self.y[i]);
        let llt = h.llt(Side::Lower).unwrap();
        let (hx, hy) = (llt.solve(&self.x), llt.solve(&y));
        let xhx = self.x.transpose() * &hx;
        let inverse = if p > 0 {
            xhx.llt(Side::Lower).unwrap().solve(Mat::<f64>::identity(p, p))
        } else {
            Mat::zeros(0, 0)
        };
        let beta = &inverse * (hx.transpose() * &y);
        let r = &y - &self.x * &beta;
        let q = (r.transpose() * (&hy - &hx * &beta))[(0, 0)];
        let log_det = |a: &Mat<f64>| {
            let l = a.llt(Side::Lower).unwrap();
            (0..a.nrows()).map(|i| 2.0 * l.L()[(i, i)].ln()).sum::<f64>()
        };
        let df = if method == Method::Reml { n - p } else { n } as f64;
        let x_part = if method == Method::Reml && p > 0 {
            log_det(&xhx)
        } else {
            0.0
        };
        let deviance = df * (std::f64::consts::TAU * q / df).ln() + df + log_det(&h) + x_part;
        ((0..p).map(|j| beta[(j, 0)]).collect(), inverse, q / df, deviance)
    }

    /// Least deviance over a fine grid of delta.
    pub fn best(&self, method: Method) -> f64 {
        let scale: f64 = (0..self.k.nrows()).map(|i| self.k[(i, i)]).sum::<f64>() / self.k.nrows() as f64;
        let at = |i: i32| self.at(scale * f64::from(i).mul_add(0.1, 0.0).exp(), method).3;
        (-120..=160).map(at).fold(f64::INFINITY, f64::min)
    }
}

pub const METHODS: [Method; 2] = [Method::Reml, Method::Ml];

pub fn close(a: f64, b: f64, relative: f64) -> bool {
    a == b || (a - b).abs() <= relative * (1.0 + a.abs().max(b.abs()))
}
