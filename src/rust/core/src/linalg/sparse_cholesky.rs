//! Cholesky decomposition of a sparse symmetric matrix: faer's simplicial one, ordered by approximate minimum degree and analysed once for its pattern; and the entries of
//! the inverse on the pattern of the factor (Takahashi, Fagan and Chin 1973).

use crate::runtime::error::{Error, Result};
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::sparse::linalg::SupernodalThreshold;
use faer::sparse::linalg::cholesky::simplicial::SymbolicSimplicialCholesky;
use faer::sparse::linalg::cholesky::{
    CholeskySymbolicParams, LltRef, SymbolicCholesky, SymbolicCholeskyRaw, SymmetricOrdering,
    factorize_symbolic_cholesky,
};
use faer::sparse::{SparseColMatRef, SymbolicSparseColMat};
use faer::{Conj, Mat, Par, Side};

/// The pattern of a matrix and of its factor.
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
            supernodal_flop_ratio_threshold: SupernodalThreshold::FORCE_SIMPLICIAL,
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
    pub(crate) fn factor(&self, values: &[f64]) -> Option<SparseFactor<'_>> {
        let mut l = vec![0.0; self.symbolic.len_val()];
        let matrix = SparseColMatRef::new(self.pattern.as_ref(), values);
        let scratch = self
            .symbolic
            .factorize_numeric_llt_scratch::<f64>(Par::Seq, Default::default());
        let mut memory = MemBuffer::new(scratch);
        let stack = MemStack::new(&mut memory);
        let (symbolic, regularise, params) = (&self.symbolic, Default::default(), Default::default());
        symbolic
            .factorize_numeric_llt(&mut l, matrix, Side::Lower, regularise, Par::Seq, stack, params)
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
    fn simplicial(&self) -> &'a SymbolicSimplicialCholesky<usize> {
        match self.symbolic.raw() {
            SymbolicCholeskyRaw::Simplicial(simplicial) => simplicial,
            SymbolicCholeskyRaw::Supernodal(_) => unreachable!("the analysis is simplicial"),
        }
    }

    /// log|A|; the diagonal entry is the first of each column of L.
    pub(crate) fn log_det(&self) -> f64 {
        let start = self.simplicial().col_ptr();
        2.0 * start[..start.len() - 1].iter().map(|&d| self.l[d].ln()).sum::<f64>()
    }

    /// A^-1 B
    pub(crate) fn solve(&self, mut b: Mat<f64>) -> Mat<f64> {
        let mut memory = MemBuffer::new(self.symbolic.solve_in_place_scratch::<f64>(b.ncols(), Par::Seq));
        let llt = LltRef::new(self.symbolic, &self.l);
        llt.solve_in_place_with_conj(Conj::No, b.as_mut(), Par::Seq, MemStack::new(&mut memory));
        b
    }

    /// Entries of A^-1 where L or L' has one. From `Z L = L^-T`, by columns from the last to the first:
    ///
    /// ```text
    /// Z_ij = -sum_(k > j) Z_ik L_kj / L_jj,   Z_jj = (1 / L_jj - sum_(k > j) Z_kj L_kj) / L_jj
    /// ```
    pub(crate) fn inverse(&self) -> SelectedInverse<'a> {
        let simplicial = self.simplicial();
        let (start, rows) = (simplicial.col_ptr(), simplicial.row_idx());
        let n = simplicial.ncols();
        let mut z = vec![0.0; self.l.len()];
        let (mut sum, mut in_column) = (vec![0.0; n], vec![false; n]);
        for j in (0..n).rev() {
            let (diagonal, below) = (start[j], start[j] + 1..start[j + 1]);
            rows[below.clone()].iter().for_each(|&i| in_column[i] = true);
            for at in below.clone() {
                let (k, l_kj) = (rows[at], self.l[at]);
                sum[k] += z[start[k]] * l_kj;
                for (&i, z_ik) in rows[start[k] + 1..start[k + 1]].iter().zip(&z[start[k] + 1..]) {
                    if in_column[i] {
                        sum[i] += z_ik * l_kj;
                        sum[k] += z_ik * self.l[place(rows, below.clone(), i)];
                    }
                }
            }
            let mut rest = 1.0 / self.l[diagonal];
            for at in below {
                let i = rows[at];
                z[at] = -sum[i] / self.l[diagonal];
                rest -= z[at] * self.l[at];
                (sum[i], in_column[i]) = (0.0, false);
            }
            z[diagonal] = rest / self.l[diagonal];
        }
        let permuted = self.symbolic.perm().map(|perm| perm.arrays().1);
        SelectedInverse {
            simplicial,
            permuted,
            z,
        }
    }
}

/// Where a row stands among those of a column.
fn place(rows: &[usize], column: std::ops::Range<usize>, i: usize) -> usize {
    column.start + rows[column].partition_point(|row| *row < i)
}

/// A^-1 on the pattern of its factor.
pub(crate) struct SelectedInverse<'a> {
    simplicial: &'a SymbolicSimplicialCholesky<usize>,
    /// Place of each row of A in P A P'.
    permuted: Option<&'a [usize]>,
    z: Vec<f64>,
}

impl SelectedInverse<'_> {
    /// Of a place that A has an entry at, or its factor.
    pub(crate) fn get(&self, i: usize, j: usize) -> f64 {
        let at = |i: usize| self.permuted.map_or(i, |permuted| permuted[i]);
        let (i, j) = (at(i).max(at(j)), at(i).min(at(j)));
        let column = self.simplicial.col_ptr()[j]..self.simplicial.col_ptr()[j + 1];
        self.z[place(self.simplicial.row_idx(), column, i)]
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
                push(i, i + 1, -1.0 + 0.01 * i as f64);
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
        for side in [1, 2, 7] {
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
            let factor = analysis.factor(&sums).unwrap();
            let dense = Cholesky::new(a.clone(), Par::Seq).unwrap();
            assert!((factor.log_det() - dense.log_det()).abs() < 1e-12);
            assert!((factor.solve(a) - Mat::<f64>::identity(n, n)).norm_max() < 1e-13);
            let (selected, inverse) = (factor.inverse(), dense.inverse(Par::Seq));
            for (i, j) in entries {
                assert!((selected.get(i, j) - inverse[(i, j)]).abs() < 1e-14);
                assert!((selected.get(j, i) - inverse[(i, j)]).abs() < 1e-14);
            }
        }
    }

    #[test]
    fn a_matrix_that_is_not_positive_definite_has_no_factor() {
        let (analysis, places) = SparseAnalysis::new(2, &[(0, 0), (1, 1), (1, 0)]).unwrap();
        let mut values = vec![0.0; 3];
        places.iter().zip([1.0, 1.0, 1.0]).for_each(|(&at, x)| values[at] = x);
        assert!(analysis.factor(&values).is_none());
    }
}
