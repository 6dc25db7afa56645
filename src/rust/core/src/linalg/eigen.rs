//! Eigenvalues and eigenvectors: `A = P T P'` by `faer`'s blocked Householder tridiagonalisation, in the storage of A, then those of T by divide and conquer.
//!
//! Without eigenvectors `band` is faster.

use super::decomposition::{claim_eigen, eigen_scratch};
use crate::linalg::ql::rotate_graded;
use crate::linalg::registers::TurnedRows;
use crate::linalg::{clear_registers, share};
use crate::runtime::error::{Error, Result};
use crate::runtime::parallel::apart;
use crate::runtime::stop::{self, pieces};
use dyn_stack::{MemBuffer, MemStack};
use faer::diag::{Diag, DiagRef};
use faer::linalg::evd::{self, tridiag};
use faer::linalg::householder;
use faer::linalg::qr::no_pivoting::factor::recommended_block_size;
use faer::{Conj, Mat, MatMut, MatRef, Par};

/// `faer`'s application of reflectors, or of their transpose.
type ApplySequence = fn(MatRef<'_, f64>, MatRef<'_, f64>, Conj, MatMut<'_, f64>, Par, &mut MemStack);

/// `A = P T P'` of the trailing block, from row and column `first` on, of a symmetric matrix.
struct Tridiagonal {
    reflectors: Mat<f64>,
    first: usize,
    coefficients: Mat<f64>,
    diagonal: Vec<f64>,
    /// Entry k couples k and k + 1; the last one is 0.
    coupling: Vec<f64>,
}

impl Tridiagonal {
    /// Consumes the storage of A; only its lower triangle is read.
    fn new(a: Mat<f64>, first: usize, par: Par) -> Result<Self> {
        let n = (a.nrows() - first) as f64;
        apart(4.0 / 3.0 * n.powi(3), par, move |par| Self::reduced(a, first, par))
    }

    fn reduced(mut a: Mat<f64>, first: usize, par: Par) -> Self {
        let n = a.nrows() - first;
        let block = recommended_block_size::<f64>(n, n).max(1);
        let mut coefficients = Mat::zeros(block, n.saturating_sub(1));
        let mut memory = MemBuffer::new(tridiag::tridiag_in_place_scratch::<f64>(n, par, Default::default()));
        let stack = MemStack::new(&mut memory);
        let trailing = a.as_mut().submatrix_mut(first, first, n, n);
        tridiag::tridiag_in_place(trailing, coefficients.as_mut(), par, stack, Default::default());
        clear_registers();
        let entry = |i: usize, j: usize| a[(first + i, first + j)];
        let diagonal = (0..n).map(|i| entry(i, i)).collect();
        let coupling = (0..n).map(|i| if i + 1 < n { entry(i + 1, i) } else { 0.0 }).collect();
        Self {
            reflectors: a,
            first,
            coefficients,
            diagonal,
            coupling,
        }
    }

    fn n(&self) -> usize {
        self.diagonal.len()
    }

    /// C <- P' C
    fn transpose_apply(&self, c: MatMut<'_, f64>, par: Par) {
        self.reflect(
            c,
            par,
            householder::apply_block_householder_sequence_transpose_on_the_left_in_place_with_conj,
        );
    }

    /// C <- P C
    fn apply(&self, c: MatMut<'_, f64>, par: Par) {
        self.reflect(
            c,
            par,
            householder::apply_block_householder_sequence_on_the_left_in_place_with_conj,
        );
    }

    fn reflect(&self, c: MatMut<'_, f64>, par: Par, apply: ApplySequence) {
        let n = self.n();
        if n < 2 {
            return;
        }
        let (first, block) = (self.first, self.coefficients.nrows());
        let basis = self.reflectors.as_ref().submatrix(first + 1, first, n - 1, n - 1);
        let scratch = householder::apply_block_householder_sequence_on_the_left_in_place_scratch::<f64>;
        let mut memory = MemBuffer::new(scratch(n - 1, block, c.ncols()));
        let rows = c.subrows_mut(1, n - 1);
        apply(
            basis,
            self.coefficients.as_ref(),
            Conj::No,
            rows,
            par,
            MemStack::new(&mut memory),
        );
        clear_registers();
    }

    /// Eigenvalues of A, ascending, and its eigenvectors P S: by divide and conquer, for those who rotate many vectors.
    fn vectors(&self, par: Par) -> Result<(Vec<f64>, Mat<f64>)> {
        let n = self.n();
        claim_eigen(n, par)?;
        let (diagonal, coupling) = (self.diagonal.clone(), self.coupling.clone());
        let divide = move |par| divide_and_conquer(&diagonal, &coupling, par);
        let (values, mut u) = apart((n as f64).powi(3), par, divide)??;
        for part in pieces(n, share(2.0 * (n * n) as f64)) {
            self.apply(u.as_mut().subcols_mut(part.start, part.len()), par);
        }
        stop::check()?;
        Ok((values, u))
    }
}

/// Eigenvalues, ascending, and eigenvectors of the symmetric matrix with this lower triangle.
pub(crate) fn eigen(a: Mat<f64>, par: Par) -> Result<(Vec<f64>, Mat<f64>)> {
    claim_eigen(a.nrows(), par)?;
    eigen_from(0, a, par)
}

/// Of the block from row and column `first` on.
pub(crate) fn eigen_from(first: usize, a: Mat<f64>, par: Par) -> Result<(Vec<f64>, Mat<f64>)> {
    Tridiagonal::new(a, first, par)?.vectors(par)
}

/// Eigenvalues, and columns along the eigenvectors, of a matrix whose entries fall from its first row to its last by many orders of magnitude: a
/// band mixes rows as far apart as it is wide, and of eigenvalues as small fewer digits are left.
pub(crate) fn diagonalise_graded(a: Mat<f64>, mut c: Mat<f64>, par: Par) -> Result<(Vec<f64>, Mat<f64>)> {
    let form = Tridiagonal::new(a, 0, par)?;
    form.transpose_apply(c.as_mut(), par);
    let mut rows = TurnedRows::of(c.as_ref());
    let values = rotate_graded(form.diagonal, form.coupling, &mut rows)?;
    Ok((values, rows.matrix()))
}

/// Eigenvalues, ascending, and eigenvectors of T.
fn divide_and_conquer(diagonal: &[f64], coupling: &[f64], par: Par) -> Result<(Vec<f64>, Mat<f64>)> {
    let n = diagonal.len();
    let mut u = Mat::zeros(n, n);
    let mut values = Diag::<f64>::zeros(n);
    let mut memory = MemBuffer::new(eigen_scratch(n, par));
    evd::tridiagonal_self_adjoint_evd(
        DiagRef::from_slice(diagonal),
        DiagRef::from_slice(coupling),
        values.as_mut(),
        Some(u.as_mut()),
        par,
        MemStack::new(&mut memory),
        Default::default(),
    )
    .map_err(|_| Error::NoConvergence {
        what: "an eigendecomposition",
        iterations: 0,
    })?;
    clear_registers();
    Ok((values.column_vector().iter().copied().collect(), u))
}
