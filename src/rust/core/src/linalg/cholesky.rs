//! Cholesky decompositions of matrices, by panels: between two of them there is a look for a request to stop.

use super::{clear_registers, share};
use crate::runtime::stop::{self, pieces};
use faer::dyn_stack::{MemBuffer, MemStack, StackReq};
use faer::linalg::cholesky::llt;
use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::linalg::triangular_inverse::invert_lower_triangular;
use faer::linalg::triangular_solve::solve_lower_triangular_in_place;
use faer::reborrow::*;
use faer::{Accum, Mat, MatMut, MatRef, Par};

/// L L' of a matrix given by its lower triangle, in its own memory.
pub(crate) struct Cholesky {
    l: Mat<f64>,
}

impl Cholesky {
    /// `None` if the matrix is not positive definite to rounding, or there is a request to stop.
    pub(crate) fn new(mut a: Mat<f64>, par: Par) -> Option<Self> {
        let n = a.nrows();
        for part in pieces(n, panel(n)) {
            let rest = n - part.start;
            step(
                a.as_mut().submatrix_mut(part.start, part.start, rest, rest),
                part.len(),
                par,
            )?;
        }
        stop::check().ok()?;
        clear_registers();
        Some(Self { l: a })
    }

    /// A^-1 B
    pub(crate) fn solve(&self, mut b: Mat<f64>, par: Par) -> Mat<f64> {
        for part in pieces(b.ncols(), share(2.0 * (self.size() as f64).powi(2))) {
            let mut memory = MemBuffer::new(StackReq::EMPTY);
            let columns = b.as_mut().subcols_mut(part.start, part.len());
            llt::solve::solve_in_place(self.l.as_ref(), columns, par, MemStack::new(&mut memory));
        }
        clear_registers();
        b
    }

    pub(crate) fn size(&self) -> usize {
        self.l.nrows()
    }

    /// L; above it is what was there.
    pub(crate) fn factor(&self) -> MatRef<'_, f64> {
        self.l.as_ref()
    }

    pub(crate) fn into_factor(self) -> Mat<f64> {
        self.l
    }

    /// log|A|
    pub(crate) fn log_det(&self) -> f64 {
        2.0 * (0..self.l.nrows()).map(|i| self.l[(i, i)].ln()).sum::<f64>()
    }

    /// Lower triangle of A^-1, in the memory of the decomposition; above it is what is left of that.
    pub(crate) fn into_inverse(self, par: Par) -> Mat<f64> {
        let root = self.inverse_root(par);
        let mut inverse = self.l;
        square(&root, inverse.as_mut(), par);
        inverse
    }

    /// A^-1, both triangles.
    pub(crate) fn inverse(&self, par: Par) -> Mat<f64> {
        let n = self.size();
        let mut inverse = Mat::zeros(n, n);
        square(&self.inverse_root(par), inverse.as_mut(), par);
        for j in 0..n {
            (0..j).for_each(|i| inverse[(i, j)] = inverse[(j, i)]);
        }
        inverse
    }

    /// Diagonal of A^-1: sums of squares of the columns of L^-1.
    pub(crate) fn inverse_diagonal(&self, par: Par) -> Vec<f64> {
        let (n, root) = (self.size(), self.inverse_root(par));
        (0..n)
            .map(|j| root.col(j).subrows(j, n - j).squared_norm_l2())
            .collect()
    }

    /// L^-1
    pub(crate) fn inverse_root(&self, par: Par) -> Mat<f64> {
        let n = self.size();
        let mut root = Mat::zeros(n, n);
        if panel(n) == n {
            invert_lower_triangular(root.as_mut(), self.l.as_ref(), par);
            clear_registers();
            return root;
        }
        for part in pieces(n, panel(n)) {
            let (first, rest) = (part.start, n - part.start);
            let mut columns = root.as_mut().submatrix_mut(first, first, rest, part.len());
            columns.rb_mut().diagonal_mut().fill(1.0);
            let l = self.l.as_ref().submatrix(first, first, rest, rest);
            solve_lower_triangular_in_place(l, columns, par);
        }
        clear_registers();
        root
    }
}

/// Columns of a panel; small matrices are one.
fn panel(n: usize) -> usize {
    const WHOLE: usize = 1024;
    if n <= WHOLE { n } else { WHOLE / 4 }
}

/// Decomposes the first columns, and takes them off the rest.
fn step(a: MatMut<'_, f64>, width: usize, par: Par) -> Option<()> {
    let (mut top, _, mut below, rest) = a.split_at_mut(width, width);
    let scratch = llt::factor::cholesky_in_place_scratch::<f64>(width, par, Default::default());
    let mut memory = MemBuffer::new(scratch);
    let stack = MemStack::new(&mut memory);
    llt::factor::cholesky_in_place(top.rb_mut(), Default::default(), par, stack, Default::default()).ok()?;
    solve_lower_triangular_in_place(top.rb(), below.rb_mut().transpose_mut(), par);
    triangular::matmul(
        rest,
        BlockStructure::TriangularLower,
        Accum::Add,
        below.rb(),
        BlockStructure::Rectangular,
        below.rb().transpose(),
        BlockStructure::Rectangular,
        -1.0,
        par,
    );
    Some(())
}

/// Lower triangle of R'R for a lower triangular R; some entries above it are overwritten.
fn square(root: &Mat<f64>, mut out: MatMut<'_, f64>, par: Par) {
    let n = root.nrows();
    if panel(n) == n {
        triangular::matmul(
            out,
            BlockStructure::TriangularLower,
            Accum::Replace,
            root.transpose(),
            BlockStructure::TriangularUpper,
            root.as_ref(),
            BlockStructure::TriangularLower,
            1.0,
            par,
        );
        return clear_registers();
    }
    for part in pieces(n, panel(n)) {
        let (first, rest) = (part.start, n - part.start);
        triangular::matmul(
            out.rb_mut().submatrix_mut(first, first, rest, part.len()),
            BlockStructure::Rectangular,
            Accum::Replace,
            root.as_ref().submatrix(first, first, rest, rest).transpose(),
            BlockStructure::TriangularUpper,
            root.as_ref().submatrix(first, first, rest, part.len()),
            BlockStructure::Rectangular,
            1.0,
            par,
        );
    }
    clear_registers();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::product;

    #[test]
    fn panels_give_the_decomposition_of_the_whole() {
        for n in [1, 7, 300, 1100] {
            let w = Mat::from_fn(n, n, |i, j| f64::sin((1 + i * 7 + j * j) as f64));
            let mut a = &w * w.transpose();
            (0..n).for_each(|i| a[(i, i)] += n as f64);
            let l = Cholesky::new(a.clone(), Par::Seq).unwrap();
            let one = Mat::<f64>::identity(n, n);
            let (inverse, size) = (l.inverse(Par::Seq), n as f64);
            assert!((product(a.as_ref(), inverse.as_ref(), Par::Seq) - &one).norm_max() < 1e-14 * size);
            assert!((l.solve(a.clone(), Par::Seq) - &one).norm_max() < 1e-14 * size);
            let diagonal = l.inverse_diagonal(Par::Seq);
            assert!((0..n).all(|i| (diagonal[i] - inverse[(i, i)]).abs() < 1e-14 * inverse[(i, i)]));
            let exact: f64 = a
                .self_adjoint_eigenvalues(faer::Side::Lower)
                .unwrap()
                .iter()
                .map(|v| v.ln())
                .sum();
            assert!((l.log_det() - exact).abs() < 1e-12 * exact.abs());
            let again = l.into_inverse(Par::Seq);
            assert!((0..n).all(|j| (j..n).all(|i| again[(i, j)] == inverse[(i, j)])));
            a[(n - 1, n - 1)] = -1.0;
            assert!(Cholesky::new(a, Par::Seq).is_none());
        }
    }
}
