//! Several random effects: rays of their shares, along each of which V is diagonal in one basis.
//!
//! With H the part of variance that all random effects explain together and w their shares of it,
//!
//! ```text
//! V(H, w) = H K_w + (1 - H) I,   K_w = sum_r w_r Z_r K_r Z_r' = Q_w diag(s_w) Q_w'
//! ```
//!
//! so that one eigendecomposition a ray w takes the place of a Cholesky factor a point of the grid. The state is in rows, and each trait and factor at a point of some ray; one random effect is one ray, with
//! everything in its basis from the beginning.

use super::model::FactorModel;
use crate::kernel::Kernel;
use crate::linalg::tridiagonal::eigen;
use crate::linalg::{by_entries, product};
use crate::runtime::error::Result;
use faer::{Mat, MatRef, Par, Scale};
use std::ops::Range;

/// Z K Z', rows by rows, over a number.
pub fn covariance_of_rows(kernel: Kernel<'_>, index: &[usize], group: &[usize], z: &[f64], unit: f64) -> Mat<f64> {
    let between = kernel.between(index, Par::Seq);
    by_entries(z.len(), z.len(), |i, j| {
        z[i] * between[(group[i], group[j])] * z[j] / unit
    })
}

/// Shares of several random effects, and the basis that goes with them.
pub struct Ray {
    /// Of each effect, none negative, 1 in all.
    pub shares: Vec<f64>,
    /// Eigenvectors of K_w, n x n.
    q: Mat<f64>,
    /// Its eigenvalues.
    s: Vec<f64>,
    /// Q'X
    x: Mat<f64>,
    /// Q'X_F
    xf: Mat<f64>,
}

impl Ray {
    /// `covariances`: Z K Z' of each effect. By one thread, so that the basis does not depend on how many there are.
    pub fn new(shares: Vec<f64>, covariances: &[Mat<f64>], x: MatRef<'_, f64>, xf: MatRef<'_, f64>) -> Result<Self> {
        let n = x.nrows();
        let mut k: Mat<f64> = Mat::zeros(n, n);
        for (share, covariance) in shares.iter().zip(covariances) {
            k += Scale(*share) * covariance;
        }
        let (s, q) = eigen(k, Par::Seq)?;
        let s = s.into_iter().map(|s| s.max(0.0)).collect();
        let (x, xf) = (turned(&q, x), turned(&q, xf));
        Ok(Self { shares, q, s, x, xf })
    }

    /// Eigenvectors of K_w, n x n.
    pub fn vectors(&self) -> &Mat<f64> {
        &self.q
    }

    /// Eigenvalues of K_w.
    pub fn values(&self) -> &[f64] {
        &self.s
    }
}

fn turned(q: &Mat<f64>, a: MatRef<'_, f64>) -> Mat<f64> {
    product(q.transpose(), a, Par::Seq)
}

impl FactorModel {
    /// Number of bases: the rays', or that of the only effect.
    pub(crate) fn bases(&self) -> usize {
        self.rays.len().max(1)
    }

    /// Basis of a point of the grid.
    pub(crate) fn basis_of(&self, g: usize) -> usize {
        g * self.bases() / self.proportions.count()
    }

    /// Points of the grid in a basis.
    pub(crate) fn points_in(&self, basis: usize) -> Range<usize> {
        let each = self.proportions.count() / self.bases();
        basis * each..(basis + 1) * each
    }

    /// Columns in a basis.
    pub(crate) fn in_basis(&self, basis: usize, a: MatRef<'_, f64>) -> Mat<f64> {
        match self.rays.get(basis) {
            Some(ray) => turned(&ray.q, a),
            None => a.to_owned(),
        }
    }

    /// Columns in every basis.
    pub(crate) fn in_each_basis(&self, a: MatRef<'_, f64>) -> Vec<Mat<f64>> {
        (0..self.bases()).map(|basis| self.in_basis(basis, a)).collect()
    }

    /// Columns of a basis in rows.
    pub(crate) fn in_rows(&self, basis: usize, a: MatRef<'_, f64>) -> Mat<f64> {
        match self.rays.get(basis) {
            Some(ray) => product(ray.q.as_ref(), a, Par::Seq),
            None => a.to_owned(),
        }
    }

    /// X in a basis.
    pub(crate) fn x_in(&self, basis: usize) -> &Mat<f64> {
        self.rays.get(basis).map_or(&self.data.x, |ray| &ray.x)
    }

    /// X_F in a basis.
    pub(crate) fn xf_in(&self, basis: usize) -> &Mat<f64> {
        self.rays.get(basis).map_or(&self.data.xf, |ray| &ray.xf)
    }

    /// Eigenvalues that belong to a basis.
    pub(crate) fn s_in(&self, basis: usize) -> &[f64] {
        self.rays.get(basis).map_or(&self.data.s, |ray| &ray.s)
    }
}
