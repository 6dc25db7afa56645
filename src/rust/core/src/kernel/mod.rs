//! Covariances of the random effect.

pub mod dense;
pub mod low_rank;
pub mod stationary;

use dense::Dense;
use low_rank::LowRank;

/// What `u ~ N(0, sigma2 K)` may have for K.
#[derive(Clone, Copy)]
pub enum Kernel<'a> {
    /// Independent levels.
    Identity,
    /// A positive semidefinite matrix.
    Dense(Dense<'a>),
    /// K = W W'.
    LowRank(LowRank<'a>),
}

impl Kernel<'_> {
    /// K between two of its rows.
    pub fn entry(&self, i: usize, j: usize) -> f64 {
        match self {
            Kernel::Identity => f64::from(i == j),
            Kernel::Dense(k) => k.entry(i, j),
            Kernel::LowRank(w) => w.entry(i, j),
        }
    }
}
