//! `y ~ N(X beta, sum_k sigma2_k Z_k K_k Z_k' + sigma2_e W^-1)` written out.

use crate::definition::{close, noise};
use faer::prelude::*;
use faer::{Mat, Side};
use fastlmm_core::kernel::Kernel;
use fastlmm_core::kernel::dense::Dense;
use fastlmm_core::kernel::low_rank::LowRank;
use fastlmm_core::likelihood::Method;
use fastlmm_core::mix::fit::{MixFit, Setup, fit};
use fastlmm_core::mix::{Effect, MixModel};
use fastlmm_core::runtime::error::Result;

/// A kernel that owns its numbers.
#[derive(Clone)]
pub enum Own {
    Identity(usize),
    Dense(Mat<f64>),
    LowRank(Mat<f64>),
}

impl Own {
    pub fn matrix(&self) -> Mat<f64> {
        match self {
            Own::Identity(m) => Mat::identity(*m, *m),
            Own::Dense(k) => k.clone(),
            Own::LowRank(w) => w * w.transpose(),
        }
    }

    fn view(&self) -> Kernel<'_> {
        match self {
            Own::Identity(_) => Kernel::Identity,
            Own::Dense(k) => Kernel::Dense(Dense(k.as_ref())),
            Own::LowRank(w) => Kernel::LowRank(LowRank(w.as_ref(), false)),
        }
    }

    pub fn times(&self, c: f64) -> Own {
        match self {
            Own::Identity(_) => Own::Dense(self.matrix() * Scale(c)),
            Own::Dense(k) => Own::Dense(k * Scale(c)),
            Own::LowRank(w) => Own::LowRank(w * Scale(c.sqrt())),
        }
    }
}

#[derive(Clone)]
pub struct Term {
    pub z: Vec<f64>,
    pub group: Vec<usize>,
    pub kernel: Own,
}

#[derive(Clone)]
pub struct Mixed {
    pub y: Vec<f64>,
    pub x: Mat<f64>,
    pub weights: Vec<f64>,
    pub terms: Vec<Term>,
}

/// What the definition says at given variances.
pub struct At {
    pub deviance: f64,
    pub beta: Vec<f64>,
    pub vcov: Mat<f64>,
    /// V^-1 (y - X beta)
    pub residual: Mat<f64>,
    /// r' V^-1 r
    pub q: f64,
}

/// m x m of the given rank.
pub fn dense(seed: usize, m: usize, rank: usize) -> Own {
    let w = factor(seed, m, rank);
    Own::Dense(&w * w.transpose())
}

pub fn factor(seed: usize, m: usize, rank: usize) -> Mat<f64> {
    Mat::from_fn(m, rank, |i, j| noise(seed, i, j) - 0.5)
}

pub fn low_rank(seed: usize, m: usize, rank: usize) -> Own {
    Own::LowRank(factor(seed, m, rank))
}

impl Term {
    pub fn new(group: Vec<usize>, kernel: Own) -> Self {
        Self {
            z: vec![1.0; group.len()],
            group,
            kernel,
        }
    }

    /// Groups that alternate from row to row, and groups of consecutive rows.
    pub fn cycled(n: usize, m: usize, kernel: Own) -> Self {
        Self::new((0..n).map(|i| i % m).collect(), kernel)
    }

    pub fn blocked(n: usize, m: usize, kernel: Own) -> Self {
        Self::new((0..n).map(|i| i * m / n).collect(), kernel)
    }

    pub fn covariance(&self) -> Mat<f64> {
        let (k, g, z, n) = (self.kernel.matrix(), &self.group, &self.z, self.group.len());
        Mat::from_fn(n, n, |i, j| z[i] * k[(g[i], g[j])] * z[j])
    }
}

impl Mixed {
    /// p columns in X, the first of them constant; a response with a draw of each term in it.
    pub fn new(seed: usize, n: usize, p: usize, terms: Vec<Term>) -> Self {
        let mut y: Vec<f64> = (0..n).map(|i| 2.0 * noise(seed + 2, i, 0)).collect();
        for (t, term) in terms.iter().enumerate() {
            let k = term.kernel.matrix();
            let m = k.nrows();
            let half = k.self_adjoint_eigen(Side::Lower).unwrap();
            let draw = |g: usize| -> f64 {
                let part = |j: usize| half.U()[(g, j)] * half.S()[j].max(0.0).sqrt() * (noise(seed + 1, j, t) - 0.5);
                3.0 * (0..m).map(part).sum::<f64>()
            };
            let u: Vec<f64> = (0..m).map(draw).collect();
            (0..n).for_each(|i| y[i] += term.z[i] * u[term.group[i]]);
        }
        let x = Mat::from_fn(n, p, |i, j| if j == 0 { 1.0 } else { noise(seed + 3, i, j) });
        Self {
            y,
            x,
            weights: vec![1.0; n],
            terms,
        }
    }

    pub fn n(&self) -> usize {
        self.y.len()
    }

    pub fn with<T>(&self, work: impl FnOnce(&MixModel<'_>) -> T) -> T {
        let index: Vec<Vec<usize>> = self
            .terms
            .iter()
            .map(|t| (0..t.kernel.matrix().nrows()).collect())
            .collect();
        let effect = |k: usize| Effect {
            label: ["a", "b", "c", "d", "e"][k],
            z: &self.terms[k].z,
            group: &self.terms[k].group,
            kernel: self.terms[k].kernel.view(),
            index: &index[k],
        };
        let effects = (0..self.terms.len()).map(effect).collect();
        work(&MixModel {
            y: &self.y,
            x: self.x.as_ref(),
            weights: &self.weights,
            effects,
        })
    }

    pub fn fit(&self, method: Method) -> Result<MixFit> {
        self.with(|model| fit(model, method, 1, &mut ()))
    }

    pub fn setup(&self, method: Method) -> Setup {
        self.with(|model| Setup::new(model, method, faer::Par::Seq)).unwrap()
    }

    /// Residual's variance last.
    pub fn v(&self, sigma2: &[f64]) -> Mat<f64> {
        let n = self.n();
        let mut v = Mat::from_fn(n, n, |i, j| {
            if i == j {
                sigma2[self.terms.len()] / self.weights[i]
            } else {
                0.0
            }
        });
        for (term, s) in self.terms.iter().zip(sigma2) {
            v += Scale(*s) * term.covariance();
        }
        v
    }

    /// X must have full rank.
    pub fn at(&self, sigma2: &[f64], method: Method) -> At {
        let (n, p) = self.x.shape();
        let v = self.v(sigma2).llt(Side::Lower).unwrap();
        let y = Mat::from_fn(n, 1, |i, _| self.y[i]);
        let log_det = |l: MatRef<'_, f64>| (0..l.nrows()).map(|i| 2.0 * l[(i, i)].ln()).sum::<f64>();
        let mut deviance = log_det(v.L());
        let (mut beta, mut vcov) = (Mat::zeros(p, 1), Mat::zeros(p, p));
        if p > 0 {
            let xvx = (self.x.transpose() * v.solve(&self.x)).llt(Side::Lower).unwrap();
            vcov = xvx.solve(Mat::<f64>::identity(p, p));
            beta = xvx.solve(self.x.transpose() * v.solve(&y));
            deviance += if method == Method::Reml { log_det(xvx.L()) } else { 0.0 };
        }
        let r = &y - &self.x * &beta;
        let residual = v.solve(&r);
        let q = (r.transpose() * &residual)[(0, 0)];
        let df = if method == Method::Reml { n - p } else { n } as f64;
        At {
            deviance: deviance + q + df * std::f64::consts::TAU.ln(),
            beta: (0..p).map(|j| beta[(j, 0)]).collect(),
            vcov,
            residual,
            q,
        }
    }

    /// Least deviance over the scale at these proportions.
    pub fn scaled(&self, shape: &[f64], method: Method) -> f64 {
        let (n, p) = self.x.shape();
        let df = if method == Method::Reml { n - p } else { n } as f64;
        let at = self.at(shape, method);
        at.deviance - at.q + df + df * (at.q / df).ln()
    }

    /// Least deviance over a fine grid of the proportions of two effects, zeros included.
    pub fn best_of_two(&self, method: Method) -> f64 {
        let trace = |t: &Term| {
            let k = t.covariance();
            (0..k.nrows()).map(|i| k[(i, i)]).sum::<f64>() / k.nrows() as f64
        };
        let size: Vec<f64> = self.terms.iter().map(trace).collect();
        let ratio = |i: i32| if i < 0 { 0.0 } else { (0.35 * f64::from(i) - 6.0).exp() };
        let at = |i, j| self.scaled(&[ratio(i) / size[0], ratio(j) / size[1], 1.0], method);
        (-1..=34)
            .flat_map(|i| (-1..=34).map(move |j| (i, j)))
            .map(|(i, j)| at(i, j))
            .fold(f64::INFINITY, f64::min)
    }
}

pub fn all_variances(fit: &MixFit) -> Vec<f64> {
    fit.best.sigma2.iter().copied().chain([fit.best.sigma2_e]).collect()
}

/// u_hat of each group.
pub fn effects(fit: &MixFit, data: &Mixed, k: usize) -> Mat<f64> {
    let alpha = Mat::from_fn(fit.alpha[k].len(), 1, |i, _| fit.alpha[k][i]);
    match &data.terms[k].kernel {
        Own::LowRank(w) => w * alpha,
        kernel => kernel.matrix() * alpha,
    }
}

pub fn same_fit(a: &MixFit, b: &MixFit, name: &str) {
    assert!(
        close(a.best.log_lik, b.best.log_lik, 1e-10),
        "{name} {} {}",
        a.best.log_lik,
        b.best.log_lik
    );
    for (x, y) in all_variances(a).iter().zip(all_variances(b)) {
        assert!(close(*x, y, 1e-7), "{name} {x} {y}");
    }
    assert!(
        a.beta.iter().zip(&b.beta).all(|(x, y)| close(*x, *y, 1e-8)),
        "{name} beta"
    );
}
