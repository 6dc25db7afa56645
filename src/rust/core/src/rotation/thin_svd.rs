//! The spectrum of a kernel given by a factor: thin SVD of the projected factor (Lippert et al. 2011, with X projected out first).
//!
//! With F = N^(1/2) W and `F2 = D H' F` without its first rows, `K22 = F2 F2'`. From `F2 = U diag(s) V'` the eigenvalues are s^2, the rotated
//! data U' y2, and all of y2 that U does not hold lies in the null space of the kernel. No matrix has more than m x k entries.

use crate::linalg::decomposition::thin_svd;
use crate::linalg::eigen::eigen;
use crate::linalg::{norm, product};
use crate::rotation::built::{Built, EigenCoordinates};
use crate::rotation::cs_decomposition::Split;
use crate::rotation::factor::{BLOCK, Factor};
use crate::runtime::error::Result;
use crate::runtime::memory::claim;
use crate::runtime::monitor::Monitor;
use crate::runtime::parallel::Workers;
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};

pub struct Thin<'a> {
    factor: Factor<'a>,
    /// s^2
    pub values: Vec<f64>,
    /// Q1'F, a row for each direction of X.
    f1: Vec<Vec<f64>>,
    s: Vec<f64>,
    v: Mat<f64>,
    /// U, where it was computed.
    u: Option<Mat<f64>>,
}

impl<'a> Thin<'a> {
    /// The way that is both fast and accurate enough: cross products when W is tall and well conditioned, else the SVD.
    pub(crate) fn build(
        factor: Factor<'a>,
        split: &Split,
        y2: &Mat<f64>,
        workers: &Workers,
        monitor: &mut dyn Monitor,
    ) -> Result<Built<Self>> {
        let (k_scale, trace) = (factor.unit * factor.unit, factor.square());
        let (thin, first) = Self::new(factor, split, y2, workers, monitor)?;
        let (k11, b) = thin.fixed_blocks(split);
        Ok(Built {
            decomposition: thin,
            k11,
            b,
            first,
            k_scale,
            trace,
            smallest: 0.0,
        })
    }

    fn new(
        factor: Factor<'a>,
        split: &Split,
        y2: &Mat<f64>,
        workers: &Workers,
        monitor: &mut dyn Monitor,
    ) -> Result<(Self, EigenCoordinates)> {
        let mut columns = split.h.thin();
        if factor.m() >= 4 * factor.k() {
            let (m, k, q) = (factor.m(), factor.k(), split.q() + y2.ncols());
            claim((k * (k + q) + BLOCK.min(m) * (k + q) + m * (q + 4)) as f64)?;
            columns.extend(between_parts(split, y2));
            let (gram, cross) = workers.run(|par| factor.cross_products(&columns, par))?;
            monitor.check()?;
            if let Some(eigen) = well_conditioned(gram, &cross, split, workers, monitor)? {
                let f1 = (0..split.q()).map(|i| cross.col(i).iter().copied().collect()).collect();
                let thin = Self::of_eigen(factor, f1, eigen);
                let cross = cross.as_ref().subcols(split.q(), y2.ncols());
                let first = workers.run(|par| thin.of_cross_products(split, y2, cross, par));
                return Ok((thin, first));
            }
        }
        claim(factor.m() as f64 * factor.k() as f64)?;
        let thin = Self::by_svd(factor, split, workers, monitor)?;
        let first = workers.run(|par| thin.coordinates(split, y2, par));
        Ok((thin, first))
    }

    fn by_svd(factor: Factor<'a>, split: &Split, workers: &Workers, monitor: &mut dyn Monitor) -> Result<Self> {
        let mut f = factor.matrix();
        workers.run(|par| split.h.transpose_multiply(f.as_mut(), par));
        let (q, q0, m, k) = (split.q(), split.q0(), f.nrows(), f.ncols());
        let f1: Vec<Vec<f64>> = (0..q).map(|i| (0..k).map(|c| f[(i, c)]).collect()).collect();
        for i in q0..q {
            (0..k).for_each(|c| f[(i, c)] *= split.c[i]);
        }
        let svd = workers.watched(monitor, move |par| thin_svd(f, q0, par))??;
        let cut = svd.s.first().copied().unwrap_or(0.0) * m.max(k) as f64 * f64::EPSILON;
        let s: Vec<f64> = svd.s.into_iter().filter(|s| *s > cut).collect();
        Ok(Self {
            values: s.iter().map(|s| s * s).collect(),
            v: svd.v.subcols(0, s.len()).to_owned(),
            u: Some(svd.u.subcols(0, s.len()).to_owned()),
            factor,
            f1,
            s,
        })
    }

    /// F2'F2 = V diag(s^2) V' from one pass over W, without a copy of it.
    fn of_eigen(factor: Factor<'a>, f1: Vec<Vec<f64>>, (values, v): (Vec<f64>, Mat<f64>)) -> Self {
        let s: Vec<f64> = values.iter().map(|v| v.sqrt()).collect();
        Self {
            values: s.iter().map(|s| s * s).collect(),
            u: None,
            factor,
            f1,
            s,
            v,
        }
    }

    /// K11, and K12 U by rows.
    fn fixed_blocks(&self, split: &Split) -> (Vec<Vec<f64>>, Vec<Vec<f64>>) {
        let (r, q, k) = (split.r(), self.f1.len(), self.v.nrows());
        let f1 = Mat::from_fn(k, q, |c, i| split.s[i] * self.f1[i][c]);
        let k11 = product(f1.transpose(), f1.as_ref(), Par::Seq);
        let k12 = product(self.v.transpose(), f1.as_ref(), Par::Seq);
        let reached = |i: usize, entry: &dyn Fn() -> f64| if i < q { entry() } else { 0.0 };
        let row = |i: usize| {
            (0..self.s.len())
                .map(|j| reached(i, &|| self.s[j] * k12[(j, i)]))
                .collect()
        };
        let entry = |i: usize, j: usize| reached(i.max(j), &|| k11[(i, j)]);
        let k11 = (0..r).map(|i| (0..r).map(|j| entry(i, j)).collect()).collect();
        (k11, (0..r).map(row).collect())
    }

    /// U'y2 and the square of the rest, a column each.
    pub fn coordinates(&self, split: &Split, y2: &Mat<f64>, par: Par) -> EigenCoordinates {
        let Some(u) = &self.u else {
            let cross = self.factor.transpose_times(&between_parts(split, y2), par);
            return self.of_cross_products(split, y2, cross.as_ref(), par);
        };
        let mut left = y2.clone();
        let mut y = Mat::zeros(u.ncols(), y2.ncols());
        // Gram-Schmidt twice: the second pass removes the rounding of the first
        for _ in 0..2 {
            let part = product(u.transpose(), left.as_ref(), par);
            matmul(left.as_mut(), Accum::Add, u.as_ref(), part.as_ref(), -1.0, par);
            y += &part;
        }
        let rest = (0..y2.ncols()).map(|j| left.col(j).squared_norm_l2()).collect();
        EigenCoordinates { y, rest }
    }

    /// U, in the coordinates of y2.
    pub fn vectors(&self, split: &Split, par: Par) -> Mat<f64> {
        if let Some(u) = &self.u {
            return u.clone();
        }
        let scaled = Mat::from_fn(self.v.nrows(), self.s.len(), |i, j| self.v[(i, j)] / self.s[j]);
        let mut f = self.factor.times_each(scaled.as_ref(), par);
        split.h.transpose_multiply(f.as_mut(), par);
        let q0 = split.q0();
        Mat::from_fn(f.nrows() - q0, f.ncols(), |i, j| split.d(q0 + i) * f[(q0 + i, j)])
    }

    /// diag(1/s) V' F2'y2, from F2'y2.
    fn of_cross_products(&self, split: &Split, y2: &Mat<f64>, cross: MatRef<'_, f64>, par: Par) -> EigenCoordinates {
        let mut y = product(self.v.transpose(), cross, par);
        let divide =
            |a: &mut Mat<f64>| (0..a.ncols()).for_each(|j| (0..a.nrows()).for_each(|i| a[(i, j)] /= self.s[i]));
        divide(&mut y);
        let mut x = y.clone();
        divide(&mut x);
        let fx = self
            .factor
            .times_each(product(self.v.as_ref(), x.as_ref(), par).as_ref(), par);
        let left = |j: usize| left_over(split, y2, &fx, j);
        EigenCoordinates {
            rest: (0..y2.ncols()).map(left).collect(),
            y,
        }
    }

    /// Best linear unbiased predictions of the weights on the columns of F at each column's (h, g): h V diag(s / (h s^2 + g)) U'y2.
    pub fn weights(&self, y: &Mat<f64>, at: &[(f64, f64)], par: Par) -> Vec<Vec<f64>> {
        let shrink = |i: usize, (h, g): (f64, f64)| h * self.s[i] / (h * self.s[i] * self.s[i] + g);
        let scaled = Mat::from_fn(self.s.len(), at.len(), |i, j| shrink(i, at[j]) * y[(i, j)]);
        let weights = product(self.v.as_ref(), scaled.as_ref(), par);
        (0..at.len())
            .map(|j| weights.col(j).iter().copied().collect())
            .collect()
    }

    /// Power of two that was divided out of W.
    pub fn unit(&self) -> f64 {
        self.factor.unit
    }

    /// Components of column c of the factor along U, diag(s) V'e_c, and along X.
    pub fn column(&self, split: &Split, c: usize) -> (Vec<f64>, Vec<f64>) {
        let along = self.s.iter().enumerate().map(|(j, s)| s * self.v[(c, j)]).collect();
        let along_x = |i: usize| self.f1.get(i).map_or(0.0, |f| split.s[i] * f[c]);
        (along, (0..split.r()).map(along_x).collect())
    }

    /// F'U p = V diag(s) p
    pub fn back(&self, p: &[f64]) -> Vec<f64> {
        let one = |c: usize| (0..p.len()).map(|j| self.v[(c, j)] * self.s[j] * p[j]).sum();
        (0..self.v.nrows()).map(one).collect()
    }
}

/// H D y2 of each column.
fn between_parts(split: &Split, y2: &Mat<f64>) -> Vec<Vec<f64>> {
    let column = |j: usize| y2.col(j).iter().copied().collect::<Vec<f64>>();
    (0..y2.ncols()).map(|j| split.between_part(&column(j))).collect()
}

/// Eigenvalues, descending, and eigenvectors of F2'F2, from F'F and F'H. Cross products square the condition number: `None` if that matters.
fn well_conditioned(
    mut gram: Mat<f64>,
    cross: &Mat<f64>,
    split: &Split,
    workers: &Workers,
    monitor: &mut dyn Monitor,
) -> Result<Option<(Vec<f64>, Mat<f64>)>> {
    let k = gram.nrows();
    let loss = |i: usize| {
        if i < split.q0() {
            1.0
        } else {
            1.0 - split.c[i] * split.c[i]
        }
    };
    let lost = Mat::from_fn(k, split.q(), |a, i| loss(i) * cross[(a, i)]);
    workers.run(|par| gram -= product(lost.as_ref(), cross.subcols(0, split.q()).transpose(), par));
    let (mut values, u) = workers.watched(monitor, move |par| eigen(gram, par))??;
    values.reverse();
    if values[k - 1] < WELL_CONDITIONED * values[0] {
        return Ok(None);
    }
    let v = Mat::from_fn(k, k, |i, j| u[(i, k - 1 - j)]);
    Ok(Some((values, v)))
}

/// Smallest over largest eigenvalue of F'F from which on the singular values may be taken from it: an eigenvalue has an absolute error of eps times the largest, so that ten digits of
/// the smallest are right at 1e-6. Below, the SVD of F itself is taken.
const WELL_CONDITIONED: f64 = 1e-6;

/// |y2 - F2 x|^2 of column j from F x.
fn left_over(split: &Split, y2: &Mat<f64>, fx: &Mat<f64>, j: usize) -> f64 {
    let q0 = split.q0();
    let mut fx: Vec<f64> = fx.col(j).iter().copied().collect();
    split.h.transpose_apply(&mut fx);
    let left: Vec<f64> = (0..y2.nrows())
        .map(|i| y2[(i, j)] - split.d(q0 + i) * fx[q0 + i])
        .collect();
    norm(&left).powi(2)
}
