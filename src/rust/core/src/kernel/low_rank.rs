//! A kernel given by its factor, K = W W', never formed.

use faer::MatRef;

/// View of W: one row an id, one column a feature; are its columns known to be orthogonal, as those of a decomposition?
#[derive(Clone, Copy)]
pub struct LowRank<'a>(pub MatRef<'a, f64>, pub bool);

impl LowRank<'_> {
    pub fn entry(&self, i: usize, j: usize) -> f64 {
        (0..self.0.ncols()).map(|c| self.0[(i, c)] * self.0[(j, c)]).sum()
    }
}
