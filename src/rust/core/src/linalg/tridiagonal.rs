//! Eigenvalues and rotated data without eigenvectors.
//!
//! `A = P T P'` by `faer`'s blocked Householder tridiagonalisation, in the storage of A; then `T = S Lambda S'` by the implicit
//! QL algorithm with Wilkinson shifts (Golub and Van Loan, section 8.3), whose rotations are applied only to the few vectors
//! that the model needs. Against a full eigendecomposition this saves the n x n eigenvectors and half of the time.

use super::decomposition::{claim_eigen, eigen_scratch};
use crate::linalg::{Scalar, clear_registers, max_abs, share, sum_of};
use crate::runtime::error::{Error, Result};
use crate::runtime::parallel::apart;
use crate::runtime::stop::{self, pieces};
use dyn_stack::{MemBuffer, MemStack};
use faer::diag::{Diag, DiagRef};
use faer::linalg::evd::{self, tridiag};
use faer::linalg::householder;
use faer::linalg::qr::no_pivoting::factor::recommended_block_size;
use faer::{Conj, Mat, MatMut, Par};

/// QR sweeps for one eigenvalue at most; two are usual, LAPACK allows 30.
const MAX_SWEEPS: usize = 60;

/// `A = P T P'` of the trailing block, from row and column `first` on, of a symmetric matrix.
pub struct Tridiagonal {
    reflectors: Mat<f64>,
    first: usize,
    coefficients: Mat<f64>,
    pub diagonal: Vec<f64>,
    /// Entry k couples k and k + 1; the last one is 0.
    pub coupling: Vec<f64>,
}

impl Tridiagonal {
    /// Consumes the storage of A; only its lower triangle is read.
    pub fn new(a: Mat<f64>, first: usize, par: Par) -> Result<Self> {
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

    pub fn n(&self) -> usize {
        self.diagonal.len()
    }

    /// C <- P' C
    pub fn transpose_apply(&self, c: MatMut<'_, f64>, par: Par) {
        self.reflect(c, par, true);
    }

    /// C <- P C
    pub fn apply(&self, c: MatMut<'_, f64>, par: Par) {
        self.reflect(c, par, false);
    }

    fn reflect(&self, c: MatMut<'_, f64>, par: Par, transpose: bool) {
        let n = self.n();
        if n < 2 {
            return;
        }
        let basis = self
            .reflectors
            .as_ref()
            .submatrix(self.first + 1, self.first, n - 1, n - 1);
        let columns = c.ncols();
        let block = self.coefficients.nrows();
        let scratch = householder::apply_block_householder_sequence_transpose_on_the_left_in_place_scratch::<f64>;
        let mut memory = MemBuffer::new(scratch(n - 1, block, columns));
        let stack = MemStack::new(&mut memory);
        let below = c.subrows_mut(1, n - 1);
        let factor = self.coefficients.as_ref();
        if transpose {
            householder::apply_block_householder_sequence_transpose_on_the_left_in_place_with_conj(
                basis,
                factor,
                Conj::No,
                below,
                par,
                stack,
            );
        } else {
            householder::apply_block_householder_sequence_on_the_left_in_place_with_conj(
                basis,
                factor,
                Conj::No,
                below,
                par,
                stack,
            );
        }
        clear_registers();
    }

    /// Eigenvalues of T, and `rows <- S' rows`: n rows of `width` numbers each, rotated along.
    ///
    /// QL converges fast when T grows downwards. The reduction of a low-rank kernel leaves it the other way round, so T is
    /// turned over if its head outweighs its tail.
    pub fn rotate(&self, rows: &mut [f64], width: usize) -> Result<Vec<f64>> {
        let (mut values, mut coupling) = (self.diagonal.clone(), self.coupling.clone());
        let n = values.len();
        let weight = |half: &[f64]| half.iter().map(|d| d.abs()).sum::<f64>();
        let turned = weight(&values[..n / 2]) > weight(&values[n / 2..]);
        if turned {
            values.reverse();
            coupling[..n - 1].reverse();
            reverse_rows(rows, width);
        }
        let floor = f64::EPSILON * max_abs(values.iter().chain(&coupling).copied());
        for l in 0..n {
            stop::check()?;
            deflate(l, floor, &mut values, &mut coupling, rows, width)?;
        }
        Ok(values)
    }

    /// Eigenvalues of A, ascending, and its eigenvectors P S: by divide and conquer, for those who rotate many vectors.
    pub fn vectors(&self, par: Par) -> Result<(Vec<f64>, Mat<f64>)> {
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

    /// (h T + g I)^-1 b by LDL', for h T + g I positive definite.
    pub fn solve(&self, h: f64, g: f64, b: &mut [f64]) {
        let n = self.n();
        let mut pivot = vec![0.0; n];
        for i in 0..n {
            pivot[i] = h * self.diagonal[i] + g;
            if i > 0 {
                let factor = h * self.coupling[i - 1] / pivot[i - 1];
                pivot[i] -= factor * h * self.coupling[i - 1];
                b[i] -= factor * b[i - 1];
            }
        }
        for i in (0..n).rev() {
            let above = if i + 1 < n {
                h * self.coupling[i] * b[i + 1]
            } else {
                0.0
            };
            b[i] = (b[i] - above) / pivot[i];
        }
    }
}

/// Eigenvalues, ascending, and eigenvectors of the symmetric matrix with this lower triangle.
pub(crate) fn eigen(a: Mat<f64>, par: Par) -> Result<(Vec<f64>, Mat<f64>)> {
    claim_eigen(a.nrows(), par)?;
    Tridiagonal::new(a, 0, par)?.vectors(par)
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

fn reverse_rows(rows: &mut [f64], width: usize) {
    if width > 0 {
        rows.reverse();
        rows.chunks_mut(width).for_each(<[f64]>::reverse);
    }
}

/// QL sweeps until the eigenvalue at `l` has split off.
///
/// Couplings below `floor` are rounding of the reduction to T: without it the null space of a singular kernel, whose entries are all
/// rounding, never converges.
fn deflate(l: usize, floor: f64, d: &mut [f64], e: &mut [f64], rows: &mut [f64], width: usize) -> Result<()> {
    for _ in 0..MAX_SWEEPS {
        let m = block_end(l, floor, d, e);
        if m == l {
            return Ok(());
        }
        sweep(l, m, d, e, rows, width);
    }
    Err(Error::NoConvergence {
        what: "the QL algorithm",
        iterations: MAX_SWEEPS,
    })
}

/// Last index of the unreduced block that starts at `l`.
fn block_end(l: usize, floor: f64, d: &[f64], e: &[f64]) -> usize {
    let negligible = |m: usize| e[m].abs() <= floor.max(f64::EPSILON * (d[m].abs() + d[m + 1].abs()));
    (l..d.len() - 1).find(|&m| negligible(m)).unwrap_or(d.len() - 1)
}

/// One implicit QL sweep over the block l..=m.
fn sweep(l: usize, m: usize, d: &mut [f64], e: &mut [f64], rows: &mut [f64], width: usize) {
    let theta = (d[l + 1] - d[l]) / (2.0 * e[l]);
    let mut g = d[m] - d[l] + e[l] / (theta + theta.hypot(1.0).copysign(theta));
    let (mut s, mut c, mut p) = (1.0, 1.0, 0.0);
    for i in (l..m).rev() {
        let (f, b) = (s * e[i], c * e[i]);
        // T is of order one: what is too small for its square is a coupling that has split off
        let r = (f * f + g * g).sqrt();
        e[i + 1] = r;
        if r == 0.0 {
            d[i + 1] -= p;
            e[m] = 0.0;
            return;
        }
        (s, c) = (f / r, g / r);
        g = d[i + 1] - p;
        let t = (d[i] - g) * s + 2.0 * c * b;
        p = s * t;
        d[i + 1] = g + p;
        g = c * t - b;
        rotate_pair(&mut rows[i * width..(i + 2) * width], width, s, c);
    }
    d[l] -= p;
    e[l] = g;
    e[m] = 0.0;
}

fn rotate_pair(rows: &mut [f64], width: usize, s: f64, c: f64) {
    let (upper, lower) = rows.split_at_mut(width);
    for (a, b) in upper.iter_mut().zip(lower) {
        (*a, *b) = (c * *a - s * *b, s * *a + c * *b);
    }
}

/// sum_i a_i b_i / (h lambda_i + g): the quadratic form that every likelihood term is made of.
pub fn weighted<D: Scalar>(a: &[f64], b: &[f64], inverse: &[D]) -> D {
    let n = a.len().min(b.len()).min(inverse.len());
    let (a, b, inverse) = (&a[..n], &b[..n], &inverse[..n]);
    sum_of(n, |i| inverse[i] * (a[i] * b[i]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(n: usize, rank: usize) -> Mat<f64> {
        let w = Mat::from_fn(n, rank, |i, j| f64::sin((1 + i * 37 + j * 101 + i * j) as f64));
        &w * w.transpose()
    }

    /// A block of zeros in front must not be touched by the reduction of the trailing block.
    fn embedded(a: &Mat<f64>, first: usize) -> Mat<f64> {
        let n = a.nrows() + first;
        Mat::from_fn(n, n, |i, j| {
            if i < first || j < first {
                9.0
            } else {
                a[(i - first, j - first)]
            }
        })
    }

    #[test]
    fn rotated_vectors_reproduce_quadratic_forms_and_traces() {
        for (n, rank, first) in [(1, 1, 0), (2, 2, 1), (7, 3, 2), (60, 60, 3), (133, 20, 0), (400, 80, 1)] {
            let a = random(n, rank);
            let y: Vec<f64> = (0..n).map(|i| f64::cos(3.0 * i as f64)).collect();
            let t = Tridiagonal::new(embedded(&a, first), first, Par::Seq).unwrap();
            let mut c = Mat::from_fn(n, 1, |i, _| y[i]);
            t.transpose_apply(c.as_mut(), Par::Seq);
            let mut rows: Vec<f64> = (0..n).map(|i| c[(i, 0)]).collect();
            let values = t.rotate(&mut rows, 1).unwrap();
            let direct: f64 = (0..n)
                .map(|i| (0..n).map(|j| y[i] * a[(i, j)] * y[j]).sum::<f64>())
                .sum();
            let form: f64 = values.iter().zip(&rows).map(|(v, r)| v * r * r).sum();
            let trace: f64 = (0..n).map(|i| a[(i, i)]).sum();
            assert!((form - direct).abs() < 1e-11 * trace * n as f64, "{n} {rank}");
            assert!((values.iter().sum::<f64>() - trace).abs() < 1e-12 * trace * n as f64);
            let mut solved = Mat::from_fn(n, 1, |i, _| c[(i, 0)]);
            let mut b: Vec<f64> = (0..n).map(|i| solved[(i, 0)]).collect();
            t.solve(0.7, 0.3, &mut b);
            (0..n).for_each(|i| solved[(i, 0)] = b[i]);
            t.apply(solved.as_mut(), Par::Seq);
            for i in 0..n {
                let back = (0..n).map(|j| 0.7 * a[(i, j)] * solved[(j, 0)]).sum::<f64>() + 0.3 * solved[(i, 0)];
                assert!((back - y[i]).abs() < 1e-10, "{n} {rank} {i}");
            }
        }
    }
}
