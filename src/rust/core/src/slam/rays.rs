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

use super::few_columns;
use super::model::FactorModel;
use crate::kernel::Kernel;
use crate::linalg::eigen::eigen;
use crate::linalg::{by_entries, product};
use crate::runtime::error::Result;
use faer::{Mat, MatRef, Par, Scale};
use rayon::prelude::*;
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
    /// Number of the first eigenvalue that is not 0 to rounding: they ascend.
    first: usize,
    /// K_w, where one effect has all and it takes fewer numbers than its eigenvectors do twice.
    k: Option<Mat<f64>>,
}

impl Ray {
    /// `covariances`: Z K Z' of each effect. By one thread, so that the basis does not depend on how many there are.
    pub fn new(shares: Vec<f64>, covariances: &[Mat<f64>], x: MatRef<'_, f64>, xf: MatRef<'_, f64>) -> Result<Self> {
        let n = x.nrows();
        let mut k: Mat<f64> = Mat::zeros(n, n);
        for (share, covariance) in shares.iter().zip(covariances) {
            k += Scale(*share) * covariance;
        }
        let of_one = shares.contains(&1.0).then(|| k.clone());
        let (s, q) = eigen(k, Par::Seq)?;
        let s: Vec<f64> = s.into_iter().map(|s| s.max(0.0)).collect();
        let (x, xf) = (turned(&q, x), turned(&q, xf));
        let rounding = n as f64 * f64::EPSILON * s.last().copied().unwrap_or(0.0);
        let first = s.partition_point(|s| *s <= rounding);
        Ok(Self {
            shares,
            q,
            s,
            x,
            xf,
            first,
            k: of_one.filter(|_| 2 * (n - first) > n),
        })
    }

    /// Rank of K_w to rounding.
    pub(crate) fn rank(&self) -> usize {
        self.s.len() - self.first
    }

    /// A root of K_w, a column each of its rank, times columns.
    pub(crate) fn root_times(&self, mut a: Mat<f64>) -> Mat<f64> {
        for column in a.col_iter_mut() {
            (column.iter_mut().zip(&self.s[self.first..])).for_each(|(a, s)| *a *= s.sqrt());
        }
        product(self.q.subcols(self.first, self.rank()), a.as_ref(), Par::Seq)
    }

    /// K_w times columns.
    pub(crate) fn covariance_times(&self, a: MatRef<'_, f64>) -> Mat<f64> {
        if let Some(k) = &self.k {
            return product(k.as_ref(), a, Par::Seq);
        }
        let q = self.q.subcols(self.first, self.rank());
        let mut turned = product(q.transpose(), a, Par::Seq);
        for column in turned.col_iter_mut() {
            (column.iter_mut().zip(&self.s[self.first..])).for_each(|(a, s)| *a *= s);
        }
        product(q, turned.as_ref(), Par::Seq)
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
    match few_columns::are_few(a) {
        true => few_columns::transpose_times(q, a),
        false => product(q.transpose(), a, Par::Seq),
    }
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
            Some(ray) if few_columns::are_few(a) => few_columns::times(&ray.q, a),
            Some(ray) => product(ray.q.as_ref(), a, Par::Seq),
            None => a.to_owned(),
        }
    }

    /// Columns that each belong to a point of the grid, by the bases of their points: `work` gets those of a basis, and what it makes of them takes their place.
    pub(crate) fn by_basis(
        &self,
        a: MatRef<'_, f64>,
        g: &[usize],
        work: impl Fn(usize, &[usize], Mat<f64>) -> Mat<f64> + Sync,
    ) -> Mat<f64> {
        let one = |basis: usize| {
            let those: Vec<usize> = (0..g.len()).filter(|&j| self.basis_of(g[j]) == basis).collect();
            let some = few_columns::chosen(a, &those);
            let made = if those.is_empty() {
                some
            } else {
                work(basis, &those, some)
            };
            (those, made)
        };
        let all: Vec<(Vec<usize>, Mat<f64>)> = (0..self.bases()).into_par_iter().map(one).collect();
        let mut whole: Mat<f64> = Mat::zeros(a.nrows(), g.len());
        for (those, made) in all {
            (those.iter().zip(made.col_iter())).for_each(|(&j, column)| whole.col_mut(j).copy_from(column));
        }
        whole
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Rays of a kernel of all rows and of groups of them: bases of few vectors, and such as are all of a matrix.
    #[test]
    fn products_with_a_covariance_and_its_root_are_those_of_the_matrix() -> Result<()> {
        const N: usize = 7;
        let dense = Mat::from_fn(N, N, |i, j| f64::exp(-(i.abs_diff(j) as f64) / 3.0));
        let groups = Mat::from_fn(N, N, |i, j| if i / 3 == j / 3 { 1.5 } else { 0.0 });
        let covariances = [dense, groups];
        let (x, xf) = (Mat::full(N, 1, 1.0), Mat::zeros(N, 0));
        let columns = Mat::from_fn(N, 3, |i, j| f64::sin((1 + 2 * i + 5 * j) as f64));
        for (shares, rank, has_matrix) in [([1.0, 0.0], 7, true), ([0.3, 0.7], 7, false), ([0.0, 1.0], 3, false)] {
            let whole = Scale(shares[0]) * &covariances[0] + Scale(shares[1]) * &covariances[1];
            let ray = Ray::new(shares.to_vec(), &covariances, x.as_ref(), xf.as_ref())?;
            assert_eq!((ray.rank(), ray.k.is_some()), (rank, has_matrix));
            let away = |a: &Mat<f64>, b: &Mat<f64>| (a - b).norm_max();
            assert!(away(&ray.covariance_times(columns.as_ref()), &(&whole * &columns)) < 1e-13);
            let root = ray.root_times(Mat::identity(rank, rank));
            assert!(away(&(&root * root.transpose()), &whole) < 1e-13);
            let some = Mat::from_fn(rank, 2, |i, j| f64::cos((i + 3 * j) as f64));
            assert!(away(&ray.root_times(some.clone()), &(&root * &some)) < 1e-13);
        }
        Ok(())
    }
}
