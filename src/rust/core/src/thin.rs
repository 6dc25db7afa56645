//! The spectrum of a kernel given by a factor: thin SVD of the projected factor (Lippert et al. 2011, with X projected out first).
//!
//! With F = N^(1/2) W and `F2 = D H' F` without its first rows, `K22 = F2 F2'`. From `F2 = U diag(s) V'` the eigenvalues are s^2, the rotated
//! data U' y2, and all of y2 that U does not hold lies in the null space of the kernel. No matrix has more than m x k entries.

use crate::error::{Error, Result};
use crate::linalg::{dot, norm};
use crate::split::Split;
use faer::{Mat, Par};

pub struct Thin {
    /// s^2, U' y2 and K12 U.
    pub values: Vec<f64>,
    pub y: Vec<f64>,
    pub b: Vec<Vec<f64>>,
    pub k11: Vec<Vec<f64>>,
    /// Square of what U does not hold of y2, and the number of directions that U leaves.
    pub rest: f64,
    pub lost: usize,
    s: Vec<f64>,
    v: Mat<f64>,
}

impl Thin {
    /// `f`: N^(1/2) W in the coordinates between groups (m x k).
    pub fn new(mut f: Mat<f64>, split: &Split, y2: &[f64], par: Par) -> Result<Self> {
        split.h.transpose_multiply(f.as_mut(), par);
        let (q, q0, r, m, k) = (split.q(), split.q0(), split.r(), f.nrows(), f.ncols());
        let f1: Vec<Vec<f64>> = (0..q)
            .map(|i| (0..k).map(|c| split.s[i] * f[(i, c)]).collect())
            .collect();
        for i in q0..q {
            (0..k).for_each(|c| f[(i, c)] *= split.c[i]);
        }
        let svd = f.as_ref().subrows(q0, m - q0).thin_svd();
        let svd = svd.map_err(|_| Error::NoConvergence {
            what: "a singular value decomposition",
            iterations: 0,
        })?;
        let all: Vec<f64> = (0..k.min(m - q0)).map(|j| svd.S()[j]).collect();
        let cut = all.first().copied().unwrap_or(0.0) * m.max(k) as f64 * f64::EPSILON;
        let s: Vec<f64> = all.into_iter().filter(|s| *s > cut).collect();
        let (u, v) = (svd.U().subcols(0, s.len()), svd.V().subcols(0, s.len()).to_owned());
        let (y, rest) = coordinates(u, y2);
        let along = |f: &[f64], j: usize| s[j] * (0..k).map(|c| f[c] * v[(c, j)]).sum::<f64>();
        let reached = |i: usize| (i < q).then(|| &f1[i]);
        let b = (0..r)
            .map(|i| (0..s.len()).map(|j| reached(i).map_or(0.0, |f| along(f, j))).collect())
            .collect();
        let entry = |i, j| reached(i).zip(reached(j)).map_or(0.0, |(a, b)| dot(a, b));
        let k11 = (0..r).map(|i| (0..r).map(|j| entry(i, j)).collect()).collect();
        let values = s.iter().map(|s| s * s).collect();
        Ok(Self {
            values,
            y,
            b,
            k11,
            rest,
            lost: m - q0 - s.len(),
            s,
            v,
        })
    }

    /// Best linear unbiased prediction of the weights on the columns of F at (h, g): h V diag(s / (h s^2 + g)) U' y2.
    pub fn weights(&self, h: f64, g: f64) -> Vec<f64> {
        let scaled: Vec<f64> = (self.s.iter().zip(&self.y))
            .map(|(s, y)| h * s * y / (h * s * s + g))
            .collect();
        (0..self.v.nrows())
            .map(|c| scaled.iter().enumerate().map(|(j, x)| x * self.v[(c, j)]).sum())
            .collect()
    }
}

/// U'y, and the square of what is left of y. Two passes: what the first one leaves is rounding of the first one.
fn coordinates(u: faer::MatRef<'_, f64>, y2: &[f64]) -> (Vec<f64>, f64) {
    let mut left = y2.to_vec();
    let mut y = vec![0.0; u.ncols()];
    for _ in 0..2 {
        let part: Vec<f64> = (0..u.ncols())
            .map(|j| (0..left.len()).map(|i| u[(i, j)] * left[i]).sum())
            .collect();
        for (j, a) in part.iter().enumerate() {
            (0..left.len()).for_each(|i| left[i] -= a * u[(i, j)]);
            y[j] += a;
        }
    }
    (y, norm(&left).powi(2))
}
