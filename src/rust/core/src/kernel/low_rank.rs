//! A kernel given by its factor, K = W W', never formed.

use crate::linalg::clear_registers;
use faer::Accum;
use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::{Mat, MatRef, Par};

/// View of W: one row an id, one column a feature; are its columns known to be orthogonal, as those of a decomposition?
#[derive(Clone, Copy)]
pub struct LowRank<'a>(pub MatRef<'a, f64>, pub bool);

impl LowRank<'_> {
    pub(crate) fn entry(&self, i: usize, j: usize) -> f64 {
        (0..self.0.ncols()).map(|c| self.0[(i, c)] * self.0[(j, c)]).sum()
    }

    /// K between some of its rows, from blocks of columns of W.
    pub fn between(&self, rows: &[usize], par: Par) -> Mat<f64> {
        let mut k = Mat::zeros(rows.len(), rows.len());
        for first in (0..self.0.ncols()).step_by(BLOCK) {
            let width = BLOCK.min(self.0.ncols() - first);
            let block = Mat::from_fn(rows.len(), width, |i, c| self.0[(rows[i], first + c)]);
            add_gram(&mut k, block.as_ref(), par);
        }
        k
    }
}

/// Columns that are copied at once.
const BLOCK: usize = 256;

/// C + A A' of a symmetric C, symmetric to the last bit.
fn add_gram(c: &mut Mat<f64>, a: MatRef<'_, f64>, par: Par) {
    let (lower, full) = (BlockStructure::TriangularLower, BlockStructure::Rectangular);
    triangular::matmul(c.as_mut(), lower, Accum::Add, a, full, a.transpose(), full, 1.0, par);
    clear_registers();
    for j in 0..c.ncols() {
        (0..j).for_each(|i| c[(i, j)] = c[(j, i)]);
    }
}
