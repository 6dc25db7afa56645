//! The spectrum of a kernel given by a factor: thin SVD of the projected factor (Lippert et al. 2011, with X projected out first).
//!
//! With F = N^(1/2) W and `F2 = D H' F` without its first rows, `K22 = F2 F2'`. From `F2 = U diag(s) V'` the eigenvalues are s^2, the rotated
//! data U' y2, and all of y2 that U does not hold lies in the null space of the kernel. No matrix has more than m x k entries.

use crate::linalg::{claim_eigen, claim_svd, dot, norm, product};
use crate::rotation::cs_decomposition::Split;
use crate::rotation::factor::{BLOCK, Factor};
use crate::runtime::error::{Error, Result};
use crate::runtime::memory::claim;
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, Par, Side};

pub struct Thin {
    /// s^2, U' y2 and K12 U.
    pub values: Vec<f64>,
    pub y: Vec<f64>,
    pub b: Vec<Vec<f64>>,
    pub k11: Vec<Vec<f64>>,
    /// Q1'F, a row for each direction of X.
    f1: Vec<Vec<f64>>,
    /// Square of what U does not hold of y2, and the number of directions that U leaves.
    pub rest: f64,
    pub lost: usize,
    s: Vec<f64>,
    v: Mat<f64>,
    /// U, where it was computed.
    u: Option<Mat<f64>>,
}

impl Thin {
    /// The way that is both fast and accurate enough: cross products when W is tall and well conditioned, else the SVD.
    pub fn new(factor: &Factor<'_>, split: &Split, y2: &[f64], par: Par) -> Result<Self> {
        let tall = factor.m() >= 4 * factor.k();
        let by_gram = if tall {
            Self::by_gram(factor, split, y2, par)?
        } else {
            None
        };
        if let Some(thin) = by_gram {
            return Ok(thin);
        }
        claim(factor.m() as f64 * factor.k() as f64)?;
        Self::by_svd(factor.matrix(), split, y2, par)
    }

    /// `f`: N^(1/2) W in the coordinates between groups (m x k).
    pub fn by_svd(mut f: Mat<f64>, split: &Split, y2: &[f64], par: Par) -> Result<Self> {
        split.h.transpose_multiply(f.as_mut(), par);
        let (q, q0, m, k) = (split.q(), split.q0(), f.nrows(), f.ncols());
        let f1: Vec<Vec<f64>> = (0..q).map(|i| (0..k).map(|c| f[(i, c)]).collect()).collect();
        for i in q0..q {
            (0..k).for_each(|c| f[(i, c)] *= split.c[i]);
        }
        claim_svd(m - q0, k, par)?;
        let svd = f.as_ref().subrows(q0, m - q0).thin_svd().map_err(|_| FAILED)?;
        let all: Vec<f64> = (0..k.min(m - q0)).map(|j| svd.S()[j]).collect();
        let cut = all.first().copied().unwrap_or(0.0) * m.max(k) as f64 * f64::EPSILON;
        let s: Vec<f64> = all.into_iter().filter(|s| *s > cut).collect();
        let (y, rest) = coordinates(svd.U().subcols(0, s.len()), y2);
        let v = svd.V().subcols(0, s.len()).to_owned();
        let u = svd.U().subcols(0, s.len()).to_owned();
        let thin = Self::assemble(split, &f1, v, s, y, rest, m - q0);
        Ok(Self { u: Some(u), ..thin })
    }

    /// F2'F2 = V diag(s^2) V' from one pass over W, without a copy of it. Cross products square the condition number: `None` if that matters.
    pub fn by_gram(factor: &Factor<'_>, split: &Split, y2: &[f64], par: Par) -> Result<Option<Self>> {
        let (q, q0, m, k) = (split.q(), split.q0(), factor.m(), factor.k());
        claim((k * (k + q + 1) + BLOCK.min(m) * (k + q + 1) + m * (q + 4)) as f64)?;
        let mut columns = split.h.thin();
        columns.push(split.between_part(y2));
        let (mut gram, cross) = factor.cross_products(&columns, par);
        let f1: Vec<Vec<f64>> = (0..q).map(|i| cross.col(i).iter().copied().collect()).collect();
        for (i, f) in f1.iter().enumerate() {
            let loss = if i < q0 { 1.0 } else { 1.0 - split.c[i] * split.c[i] };
            for b in 0..k {
                (b..k).for_each(|a| gram[(a, b)] -= loss * f[a] * f[b]);
            }
        }
        claim_eigen(k, par)?;
        let eigen = gram.self_adjoint_eigen(Side::Lower).map_err(|_| FAILED)?;
        let values: Vec<f64> = (0..k).rev().map(|j| eigen.S()[j]).collect();
        if values[k - 1] < WELL_CONDITIONED * values[0] {
            return Ok(None);
        }
        let v = Mat::from_fn(k, k, |i, j| eigen.U()[(i, k - 1 - j)]);
        let s: Vec<f64> = values.iter().map(|v| v.sqrt()).collect();
        let along = |x: &[f64], j: usize| (0..k).map(|c| x[c] * v[(c, j)]).sum::<f64>();
        let z: Vec<f64> = cross.col(q).iter().copied().collect();
        let y: Vec<f64> = (0..k).map(|j| along(&z, j) / s[j]).collect();
        let x: Vec<f64> = (0..k).map(|c| (0..k).map(|j| v[(c, j)] * y[j] / s[j]).sum()).collect();
        let rest = left_over(split, y2, factor.times(&x));
        Ok(Some(Self::assemble(split, &f1, v, s, y, rest, m - q0)))
    }

    /// `f1`: the first q rows of H'F.
    fn assemble(split: &Split, f1: &[Vec<f64>], v: Mat<f64>, s: Vec<f64>, y: Vec<f64>, rest: f64, rows: usize) -> Self {
        let (r, k) = (split.r(), v.nrows());
        let along = |f: &[f64], j: usize| s[j] * (0..k).map(|c| f[c] * v[(c, j)]).sum::<f64>();
        let row = |i: usize| match f1.get(i) {
            Some(f) => (0..s.len()).map(|j| split.s[i] * along(f, j)).collect(),
            None => vec![0.0; s.len()],
        };
        let entry = |i: usize, j: usize| match (f1.get(i), f1.get(j)) {
            (Some(a), Some(b)) => split.s[i] * dot(a, b) * split.s[j],
            _ => 0.0,
        };
        let along_x = |i: usize| {
            f1.get(i)
                .map_or(vec![0.0; k], |f| f.iter().map(|f| split.s[i] * f).collect())
        };
        let b = (0..r).map(row).collect();
        let k11 = (0..r).map(|i| (0..r).map(|j| entry(i, j)).collect()).collect();
        Self {
            values: s.iter().map(|s| s * s).collect(),
            y,
            b,
            k11,
            f1: (0..r).map(along_x).collect(),
            rest,
            lost: rows - s.len(),
            s,
            v,
            u: None,
        }
    }

    /// U'y2 and the square of the rest, for other responses than the one that was decomposed along, a column each.
    pub fn coordinates(&self, factor: &Factor<'_>, split: &Split, y2: &Mat<f64>, par: Par) -> (Mat<f64>, Vec<f64>) {
        let Some(u) = &self.u else {
            return self.by_cross_products(factor, split, y2, par);
        };
        let mut left = y2.clone();
        let mut y = Mat::zeros(u.ncols(), y2.ncols());
        for _ in 0..2 {
            let part = product(u.transpose(), left.as_ref(), par);
            matmul(left.as_mut(), Accum::Add, u.as_ref(), part.as_ref(), -1.0, par);
            y += &part;
        }
        let rest = (0..y2.ncols()).map(|j| left.col(j).squared_norm_l2()).collect();
        (y, rest)
    }

    /// U, in the coordinates of y2.
    pub fn vectors(&self, factor: &Factor<'_>, split: &Split, par: Par) -> Mat<f64> {
        if let Some(u) = &self.u {
            return u.clone();
        }
        let scaled = Mat::from_fn(self.v.nrows(), self.s.len(), |i, j| self.v[(i, j)] / self.s[j]);
        let mut f = factor.times_each(scaled.as_ref(), par);
        split.h.transpose_multiply(f.as_mut(), par);
        let q0 = split.q0();
        Mat::from_fn(f.nrows() - q0, f.ncols(), |i, j| split.d(q0 + i) * f[(q0 + i, j)])
    }

    /// diag(1/s) V' F2'y2, as `by_gram` has it.
    fn by_cross_products(&self, factor: &Factor<'_>, split: &Split, y2: &Mat<f64>, par: Par) -> (Mat<f64>, Vec<f64>) {
        let columns: Vec<Vec<f64>> = (0..y2.ncols()).map(|j| y2.col(j).iter().copied().collect()).collect();
        let back: Vec<Vec<f64>> = columns.iter().map(|y| split.between_part(y)).collect();
        let cross = factor.transpose_times(&back, par);
        let mut y = product(self.v.transpose(), cross.as_ref(), par);
        let divide =
            |a: &mut Mat<f64>| (0..a.ncols()).for_each(|j| (0..a.nrows()).for_each(|i| a[(i, j)] /= self.s[i]));
        divide(&mut y);
        let mut x = y.clone();
        divide(&mut x);
        let fx = factor.times_each(product(self.v.as_ref(), x.as_ref(), par).as_ref(), par);
        let left = |j: usize| left_over(split, &columns[j], fx.col(j).iter().copied().collect());
        (y, (0..columns.len()).map(left).collect())
    }

    /// As `weights`, for columns of U'y2 that each have their own (h, g).
    pub fn weights_each(&self, y: &Mat<f64>, at: &[(f64, f64)], par: Par) -> Mat<f64> {
        let shrink = |i: usize, (h, g): (f64, f64)| h * self.s[i] / (h * self.s[i] * self.s[i] + g);
        let scaled = Mat::from_fn(self.s.len(), at.len(), |i, j| shrink(i, at[j]) * y[(i, j)]);
        product(self.v.as_ref(), scaled.as_ref(), par)
    }

    /// Components of column c of the factor along U, diag(s) V'e_c, and along X.
    pub fn column(&self, c: usize) -> (Vec<f64>, Vec<f64>) {
        let along = self.s.iter().enumerate().map(|(j, s)| s * self.v[(c, j)]).collect();
        (along, self.f1.iter().map(|row| row[c]).collect())
    }

    /// F'U p = V diag(s) p
    pub fn back(&self, p: &[f64]) -> Vec<f64> {
        let one = |c: usize| (0..p.len()).map(|j| self.v[(c, j)] * self.s[j] * p[j]).sum();
        (0..self.v.nrows()).map(one).collect()
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

/// Smallest eigenvalue over the largest from which cross products lose no more than ten digits' worth.
const WELL_CONDITIONED: f64 = 1e-6;

const FAILED: Error = Error::NoConvergence {
    what: "the decomposition of a factor",
    iterations: 0,
};

/// |y2 - F2 x|^2 from F x.
fn left_over(split: &Split, y2: &[f64], mut fx: Vec<f64>) -> f64 {
    let q0 = split.q0();
    split.h.transpose_apply(&mut fx);
    let left: Vec<f64> = y2
        .iter()
        .enumerate()
        .map(|(j, y)| y - split.d(q0 + j) * fx[q0 + j])
        .collect();
    norm(&left).powi(2)
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
