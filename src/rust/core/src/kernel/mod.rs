//! Covariances of the random effect.

pub mod dense;
pub mod low_rank;
mod mirrored;
pub mod pedigree;
pub mod precision;
pub mod sparse;
pub mod stationary;

use crate::linalg::{by_entries, max_abs};
use crate::runtime::error::{Error, Result};
use dense::Dense;
use faer::{Mat, Par};
use low_rank::LowRank;
use sparse::Sparse;

/// What `u ~ N(0, sigma2 K)` may have for K.
#[derive(Clone, Copy)]
pub enum Kernel<'a> {
    /// Independent levels.
    Identity,
    /// A positive semidefinite matrix.
    Dense(Dense<'a>),
    /// K = W W'.
    LowRank(LowRank<'a>),
    /// K = W W', W of few entries.
    Sparse(Sparse<'a>),
    /// K = P^-1, P of few entries: for penalised least squares ([`crate::sparse`]) alone.
    Precision(Sparse<'a>),
}

impl<'a> Kernel<'a> {
    /// The same kernel, nothing said of the columns of its factor.
    pub(crate) fn without_order(self) -> Kernel<'a> {
        match self {
            Kernel::LowRank(w) => Kernel::LowRank(LowRank(w.0, false)),
            other => other,
        }
    }

    /// K between two of its rows.
    pub(crate) fn entry(&self, i: usize, j: usize) -> f64 {
        match self {
            Kernel::Identity => f64::from(i == j),
            Kernel::Dense(k) => k.entry(i, j),
            Kernel::LowRank(w) => w.entry(i, j),
            Kernel::Sparse(w) => w.entry(i, j),
            // `check_entries()` refuses it before
            Kernel::Precision(_) => f64::NAN,
        }
    }

    /// For those who read entries of K.
    pub(crate) fn check_entries(&self) -> Result<()> {
        if !matches!(self, Kernel::Precision(_)) {
            return Ok(());
        }
        let why = "is known by its inverse, which only penalised least squares takes".to_owned();
        Err(Error::Argument { what: "K", why })
    }

    /// K between some of its rows, all entries.
    pub fn between(&self, rows: &[usize], par: Par) -> Mat<f64> {
        match self.factor_between(rows, 1.0, par) {
            Some(k) => k,
            None => {
                let lower = self.lower(rows, par);
                by_entries(rows.len(), rows.len(), |i, j| lower[(i.max(j), i.min(j))])
            }
        }
    }

    /// The lower triangle of a kernel without a factor; what stands above it means nothing.
    pub(crate) fn lower(&self, rows: &[usize], par: Par) -> Mat<f64> {
        match self {
            Kernel::Dense(k) => k.lower(rows, par),
            other => by_entries(rows.len(), rows.len(), |i, j| other.entry(rows[i], rows[j])),
        }
    }

    /// The same over the square of a unit of W, of a kernel with a factor.
    pub(crate) fn factor_between(&self, rows: &[usize], unit: f64, par: Par) -> Option<Mat<f64>> {
        match self {
            Kernel::LowRank(w) => Some(w.between(rows, unit, par)),
            Kernel::Sparse(w) => Some(w.between(rows, unit)),
            Kernel::Identity | Kernel::Dense(_) | Kernel::Precision(_) => None,
        }
    }

    /// Number of columns of the factor, if there is one.
    pub fn factor_columns(&self) -> Option<usize> {
        match self {
            Kernel::LowRank(w) => Some(w.0.ncols()),
            Kernel::Sparse(w) => Some(w.ncols()),
            Kernel::Identity | Kernel::Dense(_) | Kernel::Precision(_) => None,
        }
    }

    /// Largest entry of some rows of the factor.
    pub(crate) fn factor_largest(&self, rows: &[usize]) -> Option<f64> {
        match self {
            Kernel::LowRank(w) => {
                let of_column = |c: usize| max_abs(rows.iter().map(|&i| w.0[(i, c)]));
                Some(max_abs((0..w.0.ncols()).map(of_column)))
            }
            Kernel::Sparse(w) => Some(max_abs(w.entries(rows).iter().flatten().map(|(_, x)| *x))),
            Kernel::Identity | Kernel::Dense(_) | Kernel::Precision(_) => None,
        }
    }

    /// W' a over some rows of the factor, each once.
    pub(crate) fn factor_times(&self, rows: &[usize], a: &[f64]) -> Option<Vec<f64>> {
        match self {
            Kernel::LowRank(w) => {
                let column = |c: usize| a.iter().zip(rows).map(|(a, &i)| a * w.0[(i, c)]).sum();
                Some((0..w.0.ncols()).map(column).collect())
            }
            Kernel::Sparse(w) => {
                let mut all = vec![0.0; w.nrows];
                rows.iter().zip(a).for_each(|(&i, a)| all[i] = *a);
                Some(w.transpose_times(&all))
            }
            Kernel::Identity | Kernel::Dense(_) | Kernel::Precision(_) => None,
        }
    }

    /// Rows of the factor over a unit, each times a number, as a dense matrix: for those who make its columns orthogonal and have claimed the memory.
    pub(crate) fn factor_rows(&self, rows: impl Fn(usize) -> usize, z: &[f64], unit: f64) -> Option<Mat<f64>> {
        let n = z.len();
        match self {
            Kernel::LowRank(w) => Some(Mat::from_fn(n, w.0.ncols(), |i, c| z[i] * (w.0[(rows(i), c)] / unit))),
            Kernel::Sparse(w) => {
                let (mut c, all) = (Mat::zeros(n, w.ncols()), (0..w.nrows).collect::<Vec<_>>());
                let entries = w.entries(&all);
                (0..n).for_each(|i| {
                    entries[rows(i)]
                        .iter()
                        .for_each(|&(j, x)| c[(i, j)] += z[i] * (x / unit))
                });
                Some(c)
            }
            Kernel::Identity | Kernel::Dense(_) | Kernel::Precision(_) => None,
        }
    }
}
