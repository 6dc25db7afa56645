//! Cholesky decomposition of a sparse symmetric matrix: faer's supernodal one, ordered by approximate minimum degree and analysed once for its pattern.

use super::sparse_inverse::SelectedInverse;
use crate::runtime::error::{Error, Result};
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::sparse::linalg::SupernodalThreshold;
use faer::sparse::linalg::cholesky::supernodal::{SupernodalLltRef, SymbolicSupernodalCholesky};
use faer::sparse::linalg::cholesky::{
    CholeskySymbolicParams, LltRef, SymbolicCholesky, SymbolicCholeskyRaw, SymmetricOrdering,
    factorize_symbolic_cholesky,
};
use faer::sparse::{SparseColMatRef, SymbolicSparseColMat};
use faer::{Conj, Mat, Par, Side};

/// The pattern of a matrix and of its factor, whose columns of one pattern stand together in blocks (supernodes).
pub(crate) struct SparseAnalysis {
    pattern: SymbolicSparseColMat<usize>,
    symbolic: SymbolicCholesky<usize>,
}

impl SparseAnalysis {
    /// Of an n x n matrix with these entries in its lower triangle, (row, column), in any order and as often as one likes, the diagonal among them; and the place of each among
    /// the values that `factor()` takes.
    pub(crate) fn new(n: usize, entries: &[(usize, usize)]) -> Result<(Self, Vec<usize>)> {
        let mut columns = vec![vec![]; n];
        entries.iter().for_each(|&(i, j)| columns[j].push(i));
        let (mut start, mut rows) = (vec![0], vec![]);
        for column in &mut columns {
            column.sort_unstable();
            column.dedup();
            rows.append(column);
            start.push(rows.len());
        }
        let find = |&(i, j): &(usize, usize)| {
            let first = start[j];
            first + rows[first..start[j + 1]].partition_point(|row| *row < i)
        };
        let places = entries.iter().map(find).collect();
        let pattern = SymbolicSparseColMat::new_checked(n, n, start, None, rows);
        let params = CholeskySymbolicParams {
            // below what a diagonal matrix has, for which `FORCE_SUPERNODAL` does nothing
            supernodal_flop_ratio_threshold: SupernodalThreshold(-1.0),
            ..Default::default()
        };
        let failed = |_| Error::NoConvergence {
            what: "the analysis of a sparse matrix",
            iterations: 0,
        };
        let ordering = SymmetricOrdering::Amd;
        let symbolic = factorize_symbolic_cholesky(pattern.as_ref(), Side::Lower, ordering, params).map_err(failed)?;
        Ok((Self { pattern, symbolic }, places))
    }

    /// Entries of the lower triangle.
    pub(crate) fn entries(&self) -> usize {
        self.pattern.compute_nnz()
    }

    /// Entries of the factor.
    pub(crate) fn factor_entries(&self) -> usize {
        self.symbolic.len_val()
    }

    /// `None` if the matrix is not positive definite to rounding.
    pub(crate) fn factor(&self, values: &[f64], par: Par) -> Option<SparseFactor<'_>> {
        let mut l = vec![0.0; self.symbolic.len_val()];
        let matrix = SparseColMatRef::new(self.pattern.as_ref(), values);
        let scratch = self
            .symbolic
            .factorize_numeric_llt_scratch::<f64>(par, Default::default());
        let mut memory = MemBuffer::new(scratch);
        let stack = MemStack::new(&mut memory);
        let (symbolic, regularise, params) = (&self.symbolic, Default::default(), Default::default());
        symbolic
            .factorize_numeric_llt(&mut l, matrix, Side::Lower, regularise, par, stack, params)
            .ok()?;
        let factor = SparseFactor { symbolic, l };
        factor.log_det().is_finite().then_some(factor)
    }
}

/// L of P A P' = L L'.
pub(crate) struct SparseFactor<'a> {
    symbolic: &'a SymbolicCholesky<usize>,
    l: Vec<f64>,
}

impl<'a> SparseFactor<'a> {
    fn blocks(&self) -> &'a SymbolicSupernodalCholesky<usize> {
        match self.symbolic.raw() {
            SymbolicCholeskyRaw::Supernodal(blocks) => blocks,
            SymbolicCholeskyRaw::Simplicial(_) => unreachable!("the analysis is supernodal"),
        }
    }

    /// log|A|
    pub(crate) fn log_det(&self) -> f64 {
        let factor = SupernodalLltRef::new(self.blocks(), &self.l);
        let of_block = |s| {
            let l = factor.supernode(s).val();
            (0..l.ncols()).map(|j| l[(j, j)].ln()).sum::<f64>()
        };
        2.0 * (0..self.blocks().n_supernodes()).map(of_block).sum::<f64>()
    }

    /// A^-1 B
    pub(crate) fn solve(&self, mut b: Mat<f64>, par: Par) -> Mat<f64> {
        let mut memory = MemBuffer::new(self.symbolic.solve_in_place_scratch::<f64>(b.ncols(), par));
        let llt = LltRef::new(self.symbolic, &self.l);
        llt.solve_in_place_with_conj(Conj::No, b.as_mut(), par, MemStack::new(&mut memory));
        b
    }

    /// Entries of A^-1 where L or L' has one.
    pub(crate) fn inverse(&self, par: Par) -> SelectedInverse<'a> {
        let permuted = self.symbolic.perm().map(|perm| perm.arrays().1);
        SelectedInverse::new(self.blocks(), permuted, &self.l, par)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::cholesky::Cholesky;

    /// A grid of points, each beside its neighbours, and a chord.
    fn lattice(side: usize) -> (Vec<(usize, usize)>, Vec<f64>) {
        let (mut entries, mut values) = (vec![], vec![]);
        let mut push = |i: usize, j: usize, x: f64| {
            entries.push((i.max(j), i.min(j)));
            values.push(x);
        };
        for i in 0..side * side {
            push(i, i, 4.5);
            if i % side + 1 < side {
                push(i, i + 1, -1.0 + 0.5 * i as f64 / (side * side) as f64);
            }
            if i + side < side * side {
                push(i, i + side, -0.9);
            }
        }
        push(side * side - 1, 0, 0.5);
        (entries, values)
    }

    #[test]
    fn decomposition_and_inverse_are_those_of_the_dense_matrix() {
        for side in [1, 2, 7, 20] {
            let (entries, values) = lattice(side);
            let n = side * side;
            let mut a = Mat::zeros(n, n);
            for (&(i, j), x) in entries.iter().zip(&values) {
                a[(i, j)] += x;
                a[(j, i)] = a[(i, j)];
            }
            let (analysis, places) = SparseAnalysis::new(n, &entries).unwrap();
            let mut sums = vec![0.0; analysis.entries()];
            places.iter().zip(&values).for_each(|(&at, x)| sums[at] += x);
            let factor = analysis.factor(&sums, Par::Seq).unwrap();
            let dense = Cholesky::new(a.clone(), Par::Seq).unwrap();
            assert!((factor.log_det() - dense.log_det()).abs() < 1e-12);
            assert!((factor.solve(a, Par::Seq) - Mat::<f64>::identity(n, n)).norm_max() < 1e-13);
            let (selected, inverse) = (factor.inverse(Par::Seq), dense.inverse(Par::Seq));
            for (i, j) in entries {
                assert!((selected.get(i, j) - inverse[(i, j)]).abs() < 1e-14);
                assert!((selected.get(j, i) - inverse[(i, j)]).abs() < 1e-14);
            }
        }
    }

    #[test]
    fn a_diagonal_matrix_is_one_too() {
        let (analysis, places) = SparseAnalysis::new(3, &[(2, 2), (0, 0), (1, 1)]).unwrap();
        let mut values = vec![0.0; 3];
        places.iter().zip([4.0, 2.0, 0.5]).for_each(|(&at, x)| values[at] += x);
        let factor = analysis.factor(&values, Par::Seq).unwrap();
        assert!((factor.log_det() - 4.0_f64.ln()).abs() < 1e-14);
        let inverse = factor.inverse(Par::Seq);
        for (i, x) in [0.5_f64, 2.0, 0.25].iter().enumerate() {
            assert!((inverse.get(i, i) - x).abs() < 1e-15);
        }
    }

    #[test]
    fn a_matrix_that_is_not_positive_definite_has_no_factor() {
        let (analysis, places) = SparseAnalysis::new(2, &[(0, 0), (1, 1), (1, 0)]).unwrap();
        let mut values = vec![0.0; 3];
        places.iter().zip([1.0, 1.0, 1.0]).for_each(|(&at, x)| values[at] = x);
        assert!(analysis.factor(&values, Par::Seq).is_none());
    }
}
