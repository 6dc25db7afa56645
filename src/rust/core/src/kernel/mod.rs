//! Covariances of the random effect.

pub mod dense;
pub mod low_rank;
pub mod sparse;
pub mod stationary;

use crate::linalg::by_entries;
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
        }
    }

    /// K between some of its rows, all entries.
    pub fn between(&self, rows: &[usize], par: Par) -> Mat<f64> {
        match self {
            Kernel::LowRank(w) => w.between(rows, par),
            _ => by_entries(rows.len(), rows.len(), |i, j| self.entry(rows[i], rows[j])),
        }
    }
}
