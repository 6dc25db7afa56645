//! A kernel known by its inverse P of few entries: `K = P^-1`.

use crate::kernel::sparse::Sparse;
use crate::linalg::sparse_cholesky::SparseAnalysis;
use crate::runtime::error::Result;
use crate::runtime::stop;
use faer::Par;

/// Diagonal of P^-1, of the lower triangle of P, from the inverse on the pattern of its factor; `None` if P is not positive definite to rounding.
pub fn inverse_diagonal(p: &Sparse<'_>) -> Result<Option<Vec<f64>>> {
    let (mut entries, mut given) = (vec![], vec![]);
    for j in 0..p.ncols() {
        for (i, x) in p.column(j).filter(|(i, _)| *i >= j) {
            entries.push((i, j));
            given.push(x);
        }
    }
    let (analysis, places) = SparseAnalysis::new(p.ncols(), &entries)?;
    let mut values = vec![0.0; analysis.entries()];
    places.iter().zip(&given).for_each(|(&at, x)| values[at] += x);
    let Some(factor) = analysis.factor(&values, Par::Seq) else {
        return Ok(None);
    };
    let inverse = factor.inverse(Par::Seq);
    stop::check()?;
    Ok(Some((0..p.ncols()).map(|j| inverse.get(j, j)).collect()))
}
