//! The kernel's part on the complement of X, diagonalised: `K22 = U diag(lambda) U'` in the coordinates of `Projection`.
//!
//! A matrix is made a band, and its eigenvectors are formed only for those who rotate many vectors; a factor has a thin singular value
//! decomposition; a decomposition that was made before is changed by as many directions as X has.

use super::built::{Built, EigenCoordinates};
use super::cs_decomposition::Split;
use super::factor::Factor;
use super::groups::BetweenGroups;
use super::model::Model;
use super::projection::Projection;
use super::reused_eigen::Reused;
use super::thin_svd::Thin;
use crate::kernel::Kernel;
use crate::linalg::band::{self, Band};
use crate::linalg::eigen::eigen_from;
use crate::linalg::{max_abs, power_of_two, product};
use crate::runtime::error::Result;
use crate::runtime::memory::claim;
use crate::runtime::monitor::Monitor;
use crate::runtime::parallel::Workers;
use faer::{Mat, Par};
use std::borrow::Cow;

pub enum Decomposition<'a> {
    /// `K22 = Q B Q'` and the eigenvalues: vectors are rotated by making the band diagonal once more.
    Banded(Band, Vec<f64>),
    /// Eigenvalues and eigenvectors.
    Spectral(Vec<f64>, Mat<f64>),
    /// Of a factor, from its columns.
    ThinSvd(Thin<'a>),
    /// Of a factor with orthogonal columns.
    Reused(Reused<'a>),
}

impl<'a> Decomposition<'a> {
    /// `y2`: responses that are known by now, a column each. The cheaper side of a factor is taken: its columns, or the ids that it relates.
    pub(crate) fn build(
        model: &Model<'a>,
        projection: &Projection,
        y2: &Mat<f64>,
        vectors: bool,
        workers: &Workers,
        monitor: &mut dyn Monitor,
    ) -> Result<Built<Self>> {
        let (n, z) = (projection.coordinates(), &projection.between.z);
        let mut by_matrix = |kernel: Kernel<'_>| {
            MatrixKernel::new(kernel, model.index, projection, workers, monitor)?.built(y2, vectors, workers, monitor)
        };
        match model.kernel {
            Kernel::LowRank(w) if w.1 && is_one_to_one(model) => {
                let row = model.group.iter().map(|&g| model.index[g]).collect();
                let built = workers.run(|par| Reused::build(w.0, row, projection, y2, par))?;
                Ok(built.map(Self::Reused))
            }
            Kernel::LowRank(w) if w.0.ncols() < n => {
                let factor = Factor::new(w.0, model.index, z);
                Ok(Thin::build(factor, &projection.split, y2, workers, monitor)?.map(Self::ThinSvd))
            }
            Kernel::Sparse(w) if w.ncols() < n => {
                let factor = Factor::sparse(w, model.index, z);
                Ok(Thin::build(factor, &projection.split, y2, workers, monitor)?.map(Self::ThinSvd))
            }
            kernel => by_matrix(kernel),
        }
    }

    /// lambda, at least 0.
    pub fn values(&self) -> &[f64] {
        match self {
            Self::Banded(_, values) | Self::Spectral(values, _) => values,
            Self::ThinSvd(thin) => &thin.values,
            Self::Reused(reused) => &reused.values,
        }
    }

    /// Of a matrix.
    fn values_mut(&mut self) -> &mut [f64] {
        match self {
            Self::Banded(_, values) | Self::Spectral(values, _) => values,
            Self::ThinSvd(thin) => &mut thin.values,
            Self::Reused(reused) => &mut reused.values,
        }
    }

    /// U'y2 of a block of columns.
    pub fn rotate(&self, projection: &Projection, y2: &Mat<f64>, par: Par) -> Result<EigenCoordinates> {
        let all = |y: Mat<f64>| EigenCoordinates {
            rest: vec![0.0; y.ncols()],
            y,
        };
        match self {
            Self::Banded(band, _) => band.diagonalise(y2.clone(), par).map(|(_, y)| all(y)),
            Self::Spectral(_, u) => Ok(all(product(u.transpose(), y2.as_ref(), par))),
            Self::ThinSvd(thin) => Ok(thin.coordinates(&projection.split, y2, par)),
            Self::Reused(reused) => Ok(reused.coordinates(projection, y2, par)),
        }
    }

    /// U, in the order of the values.
    pub fn vectors(&self, projection: &Projection, par: Par) -> Result<Cow<'_, Mat<f64>>> {
        match self {
            Self::Spectral(_, u) => Ok(Cow::Borrowed(u)),
            Self::ThinSvd(thin) => {
                claim(2.0 * (projection.split.h.rows() * thin.values.len()) as f64)?;
                Ok(Cow::Owned(thin.vectors(&projection.split, par)))
            }
            Self::Banded(..) | Self::Reused(_) => {
                let n = projection.coordinates();
                claim(3.0 * (n as f64).powi(2))?;
                let rotated = self.rotate(projection, &Mat::identity(n, n), par)?;
                Ok(Cow::Owned(rotated.y.transpose().to_owned()))
            }
        }
    }
}

/// Does every row of the data stand for an id of its own, all ids and nothing else?
fn is_one_to_one(model: &Model<'_>) -> bool {
    let (n, ones) = (model.group.len(), |x: &[f64]| x.iter().all(|v| *v == 1.0));
    let all = matches!(model.kernel, Kernel::LowRank(w) if w.0.nrows() == n);
    all && model.index.len() == n && ones(model.z) && ones(model.weights)
}

/// A kernel matrix between groups on the complement of X, whose block is the last one of `m`.
struct MatrixKernel {
    m: Mat<f64>,
    first: usize,
    k11: Vec<Vec<f64>>,
    k12: Vec<Vec<f64>>,
    k_scale: f64,
    trace: f64,
}

impl MatrixKernel {
    fn new(
        kernel: Kernel<'_>,
        index: &[usize],
        projection: &Projection,
        workers: &Workers,
        monitor: &mut dyn Monitor,
    ) -> Result<Self> {
        kernel.check_entries()?;
        let (between, split) = (&projection.between, &projection.split);
        let (m, r) = (between.groups().len() as f64, split.r() as f64);
        claim(m * (m + band::BESIDE + 8.0 * (r + 1.0)))?;
        monitor.check()?;
        let (mut m, k_scale) = workers.run(|par| kernel_between(&kernel, index, between, par));
        let trace = (0..m.nrows()).map(|i| m[(i, i)]).sum();
        workers.run(|par| split.h.conjugate(m.as_mut(), par));
        let (k11, k12) = fixed_blocks(&mut m, split);
        monitor.check()?;
        Ok(Self {
            m,
            first: split.q0(),
            k11,
            k12,
            k_scale,
            trace,
        })
    }

    /// K12 and the responses are turned with the matrix. Eigenvalues that are rounding are cut to 0.
    fn built(
        self,
        y2: &Mat<f64>,
        vectors: bool,
        workers: &Workers,
        monitor: &mut dyn Monitor,
    ) -> Result<Built<Decomposition<'static>>> {
        let (m, first) = (self.m, self.first);
        let (n, r) = (m.nrows() - first, self.k12.len());
        let beside = |i: usize, j: usize| if j < r { self.k12[j][i] } else { y2[(i, j - r)] };
        let both = Mat::from_fn(n, r + y2.ncols(), beside);
        let (mut decomposition, rotated) = match vectors {
            true => workers.watched(monitor, move |par| spectral(m, first, &both, par))??,
            false => workers.run(|par| banded(m, first, both, par))?,
        };
        monitor.check()?;
        let values = decomposition.values_mut();
        let smallest = values.iter().copied().fold(f64::INFINITY, f64::min);
        let cut = n as f64 * f64::EPSILON * values.iter().copied().fold(0.0, f64::max);
        values.iter_mut().filter(|v| **v <= cut).for_each(|v| *v = 0.0);
        Ok(Built {
            k11: self.k11,
            b: (0..r).map(|j| rotated.col(j).iter().copied().collect()).collect(),
            first: EigenCoordinates {
                y: rotated.subcols(r, y2.ncols()).to_owned(),
                rest: vec![0.0; y2.ncols()],
            },
            k_scale: self.k_scale,
            trace: self.trace,
            smallest,
            decomposition,
        })
    }
}

/// With eigenvectors.
fn spectral(m: Mat<f64>, first: usize, both: &Mat<f64>, par: Par) -> Result<(Decomposition<'static>, Mat<f64>)> {
    let (values, u) = eigen_from(first, m, par)?;
    let rotated = product(u.transpose(), both.as_ref(), par);
    Ok((Decomposition::Spectral(values, u), rotated))
}

fn banded(m: Mat<f64>, first: usize, both: Mat<f64>, par: Par) -> Result<(Decomposition<'static>, Mat<f64>)> {
    let band = Band::new(m, first, par)?;
    let (values, rotated) = band.diagonalise(both, par)?;
    Ok((Decomposition::Banded(band, values), rotated))
}

/// N^(1/2) K N^(1/2) in the coordinates between groups, divided by a power of two: its lower triangle.
fn kernel_between(kernel: &Kernel<'_>, index: &[usize], between: &BetweenGroups, par: Par) -> (Mat<f64>, f64) {
    let (z, groups) = (&between.z, between.groups());
    let row: Vec<usize> = groups.iter().map(|&g| index[z.label[g]]).collect();
    let root_scale = power_of_two(max_abs(z.root.iter().copied()));
    let root: Vec<f64> = groups.iter().map(|&g| z.root[g] / root_scale).collect();
    let m = groups.len();
    let of_factor = kernel.factor_between(&row, 1.0, par);
    let mut k = of_factor.unwrap_or_else(|| kernel.lower(&row, par));
    let scale = power_of_two(max_abs((0..m).map(|i| k[(i, i)] * root[i] * root[i])));
    let scaled: Vec<f64> = root.iter().map(|root| root / scale).collect();
    for j in 0..m {
        let column = k.col_as_slice_mut(j)[j..].iter_mut().zip(&scaled[j..]);
        column.for_each(|(k, of_row)| *k *= of_row * root[j]);
    }
    (k, scale * root_scale * root_scale)
}

/// K11 and K12 from the lower triangle of M = H' N^(1/2) K N^(1/2) H; M itself is turned into D M D.
fn fixed_blocks(m: &mut Mat<f64>, split: &Split) -> (Vec<Vec<f64>>, Vec<Vec<f64>>) {
    let (r, q, q0, n) = (split.r(), split.q(), split.q0(), m.nrows());
    let reached = |i: usize, j: usize| i < q && j < q;
    let entry = |i: usize, j: usize| {
        if reached(i, j) {
            split.s[i] * m[(i.max(j), i.min(j))] * split.s[j]
        } else {
            0.0
        }
    };
    let k11 = (0..r).map(|i| (0..r).map(|j| entry(i, j)).collect()).collect();
    let cross = |i: usize, j: usize| {
        if i < q {
            split.s[i] * m[(i.max(j), i.min(j))] * split.d(j)
        } else {
            0.0
        }
    };
    let k12 = (0..r).map(|i| (q0..n).map(|j| cross(i, j)).collect()).collect();
    for j in q0..q {
        (j..n).for_each(|i| m[(i, j)] *= split.c[j]);
        (q0..=j).for_each(|i| m[(j, i)] *= split.c[j]);
    }
    (k11, k12)
}
