//! A kernel given by its factor, K = W W', never formed.

use crate::linalg::clear_registers;
use faer::Accum;
use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::{Mat, MatRef, Par};

/// View of W: one row an id, one column a feature; are its columns known to be orthogonal, as those of a decomposition?
///
/// The fit is that of W W' itself:
///
/// ```
/// use fastlmm_core::{kernel::{Kernel, dense::Dense, low_rank::LowRank}, likelihood::Method, rotation::Model};
/// # use fastlmm_core::lmm::fit::{Options, fit};
/// # fn main() -> fastlmm_core::runtime::error::Result<()> {
/// let w = faer::Mat::from_fn(8, 2, |i, c| [[1.0, 0.0], [0.0, 2.0], [1.0, 1.0], [2.0, 0.0]][i % 4][c] + 0.1 * i as f64);
/// let k = &w * w.transpose();
/// let (x, rows): (_, Vec<usize>) = (faer::Mat::full(8, 1, 1.0), (0..8).collect());
/// let log_lik = |kernel| {
///     let y = &[1.0, 2.5, 4.0, 5.0, 9.0, 8.0, 3.0, 6.0];
///     let model = Model { y, x: x.as_ref(), weights: &[1.0; 8], z: &[1.0; 8], group: &rows, kernel, index: &rows };
///     fit(&model, Options { method: Method::Reml, threads: 1, tolerance: None }, &mut ()).map(|fit| fit.point.log_lik)
/// };
/// let (thin, dense) = (log_lik(Kernel::LowRank(LowRank(w.as_ref(), false)))?, log_lik(Kernel::Dense(Dense(k.as_ref())))?);
/// assert!((thin - dense).abs() < 1e-7);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy)]
pub struct LowRank<'a>(pub MatRef<'a, f64>, pub bool);

impl LowRank<'_> {
    pub(crate) fn entry(&self, i: usize, j: usize) -> f64 {
        (0..self.0.ncols()).map(|c| self.0[(i, c)] * self.0[(j, c)]).sum()
    }

    /// K over the square of a unit between some of its rows, from blocks of columns of W.
    pub(crate) fn between(&self, rows: &[usize], unit: f64, par: Par) -> Mat<f64> {
        let mut k = Mat::zeros(rows.len(), rows.len());
        for first in (0..self.0.ncols()).step_by(BLOCK) {
            let width = BLOCK.min(self.0.ncols() - first);
            let block = Mat::from_fn(rows.len(), width, |i, c| self.0[(rows[i], first + c)] / unit);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wide_factor_gives_its_kernel_between_rows_symmetric_to_the_last_bit() {
        let w = Mat::from_fn(7, 2 * BLOCK + 3, |i, c| ((i * 31 + c * 17) % 23) as f64 - 11.0);
        let (w, rows) = (LowRank(w.as_ref(), false), [4, 0, 6, 3]);
        let k = w.between(&rows, 1.0, Par::Seq);
        for (i, j) in (0..4).flat_map(|i| (0..4).map(move |j| (i, j))) {
            assert_eq!(k[(i, j)], w.entry(rows[i], rows[j]));
            assert_eq!(k[(i, j)].to_bits(), k[(j, i)].to_bits());
        }
    }
}
