//! A data set and its kernel, as they are given.

use crate::kernel::Kernel;

/// One data set and its kernel. Rows are observations.
pub struct Model<'a> {
    /// Response, n.
    pub y: &'a [f64],
    /// n x p, p = 0 allowed, aliased columns allowed.
    pub x: faer::MatRef<'a, f64>,
    /// Residual variance of row i is `sigma2_e / weights[i]`.
    pub weights: &'a [f64],
    /// Multiplier of the random effect in row i.
    pub z: &'a [f64],
    /// Group of row i, below `index.len()`.
    pub group: &'a [usize],
    /// Covariance of the groups over sigma2.
    pub kernel: Kernel<'a>,
    /// Row of the kernel of each group.
    pub index: &'a [usize],
}
