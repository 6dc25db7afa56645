//! Decompositions of large matrices on the threads that are asked for, in memory that is claimed.

use super::clear_registers;
use crate::runtime::error::{Error, Result};
use crate::runtime::memory::claim;
use crate::runtime::parallel::apart;
use faer::diag::Diag;
use faer::dyn_stack::{MemBuffer, MemStack, StackReq};
use faer::linalg::householder;
use faer::linalg::qr::col_pivoting::factor as col_pivoting;
use faer::linalg::qr::no_pivoting::factor as qr;
use faer::linalg::{evd, svd};
use faer::{Conj, Mat, MatRef, Par};

/// U diag(s) V', singular values descending.
pub(crate) struct ThinSvd {
    pub u: Mat<f64>,
    pub s: Vec<f64>,
    pub v: Mat<f64>,
}

/// Of the rows from `first` on.
pub(crate) fn thin_svd(a: Mat<f64>, first: usize, par: Par) -> Result<ThinSvd> {
    let (m, n) = (a.nrows() - first, a.ncols());
    claim_svd(m, n, par)?;
    let operations = 6.0 * (m.max(n) * m.min(n).pow(2)) as f64;
    apart(operations, par, move |par| svd_of(a.as_ref().subrows(first, m), par))?
}

fn svd_of(a: MatRef<'_, f64>, par: Par) -> Result<ThinSvd> {
    let (m, n) = (a.nrows(), a.ncols());
    let rank = m.min(n);
    let (mut u, mut v) = (Mat::zeros(m, rank), Mat::zeros(n, rank));
    let mut s = Diag::<f64>::zeros(rank);
    let mut memory = MemBuffer::new(svd_scratch(m, n, par));
    let stack = MemStack::new(&mut memory);
    let done = svd::svd(
        a,
        s.as_mut(),
        Some(u.as_mut()),
        Some(v.as_mut()),
        par,
        stack,
        Default::default(),
    );
    clear_registers();
    done.map_err(|_| Error::NoConvergence {
        what: "a singular value decomposition",
        iterations: 0,
    })?;
    let s = s.column_vector().iter().copied().collect();
    Ok(ThinSvd { u, s, v })
}

/// Q, m x min(m, n), and R in the upper triangle of the second.
pub(crate) fn thin_qr(a: Mat<f64>, par: Par) -> Result<(Mat<f64>, Mat<f64>)> {
    apart(qr_operations(&a), par, move |par| qr_of(a, par))
}

/// The same with the longest column first, whatever their order.
pub(crate) fn pivoted_qr(a: Mat<f64>, par: Par) -> Result<(Mat<f64>, Mat<f64>)> {
    apart(qr_operations(&a), par, move |par| pivoted_qr_of(a, par))
}

fn qr_operations(a: &Mat<f64>) -> f64 {
    let (long, short) = (a.nrows().max(a.ncols()), a.nrows().min(a.ncols()));
    4.0 * (long * short * short) as f64
}

fn qr_of(mut a: Mat<f64>, par: Par) -> (Mat<f64>, Mat<f64>) {
    let (m, n) = (a.nrows(), a.ncols());
    let block = qr::recommended_block_size::<f64>(m, n);
    let mut coefficients = Mat::zeros(block, m.min(n));
    let mut memory = MemBuffer::new(qr::qr_in_place_scratch::<f64>(m, n, block, par, Default::default()));
    let stack = MemStack::new(&mut memory);
    qr::qr_in_place(a.as_mut(), coefficients.as_mut(), par, stack, Default::default());
    (thin_q(&a, &coefficients, par), a)
}

fn pivoted_qr_of(mut a: Mat<f64>, par: Par) -> (Mat<f64>, Mat<f64>) {
    let (m, n) = (a.nrows(), a.ncols());
    let block = qr::recommended_block_size::<f64>(m, n);
    let mut coefficients = Mat::zeros(block, m.min(n));
    let (mut order, mut place) = (vec![0usize; n], vec![0usize; n]);
    let scratch = col_pivoting::qr_in_place_scratch::<usize, f64>(m, n, block, par, Default::default());
    let mut memory = MemBuffer::new(scratch);
    col_pivoting::qr_in_place(
        a.as_mut(),
        coefficients.as_mut(),
        &mut order,
        &mut place,
        par,
        MemStack::new(&mut memory),
        Default::default(),
    );
    (thin_q(&a, &coefficients, par), a)
}

/// Q from the reflectors below the diagonal.
fn thin_q(reflectors: &Mat<f64>, coefficients: &Mat<f64>, par: Par) -> Mat<f64> {
    let (m, k, block) = (reflectors.nrows(), coefficients.ncols(), coefficients.nrows());
    let mut q = Mat::identity(m, k);
    let scratch = householder::apply_block_householder_sequence_on_the_left_in_place_scratch::<f64>(m, block, k);
    let mut memory = MemBuffer::new(scratch);
    householder::apply_block_householder_sequence_on_the_left_in_place_with_conj(
        reflectors.as_ref().subcols(0, k),
        coefficients.as_ref(),
        Conj::No,
        q.as_mut(),
        par,
        MemStack::new(&mut memory),
    );
    clear_registers();
    q
}

/// Room for the thin SVD of an m x n matrix.
pub(crate) fn claim_svd(m: usize, n: usize, par: Par) -> Result<()> {
    claim(((m + n) * m.min(n)) as f64 + doubles(svd_scratch(m, n, par)))
}

/// Room for the eigendecomposition of an n x n matrix.
pub(crate) fn claim_eigen(n: usize, par: Par) -> Result<()> {
    claim((n * n) as f64 + doubles(eigen_scratch(n, par)))
}

fn svd_scratch(m: usize, n: usize, par: Par) -> StackReq {
    let thin = || svd::ComputeSvdVectors::Thin;
    svd::svd_scratch::<f64>(m, n, thin(), thin(), par, Default::default())
}

pub(super) fn eigen_scratch(n: usize, par: Par) -> StackReq {
    evd::self_adjoint_evd_scratch::<f64>(n, evd::ComputeEigenvectors::Yes, par, Default::default())
}

fn doubles(scratch: StackReq) -> f64 {
    scratch.unaligned_bytes_required() as f64 / 8.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::eigen::eigen;
    use crate::linalg::product;

    #[test]
    fn products_of_the_parts_are_the_matrix() {
        for (m, n) in [(1, 1), (5, 3), (90, 40), (40, 90)] {
            let a = Mat::from_fn(m, n, |i, j| f64::sin((1 + i * 7 + j * j + 3 * i * j) as f64));
            let svd = thin_svd(a.clone(), 0, Par::Seq).unwrap();
            let us = Mat::from_fn(m, svd.s.len(), |i, j| svd.u[(i, j)] * svd.s[j]);
            assert!((product(us.as_ref(), svd.v.transpose(), Par::Seq) - &a).norm_max() < 1e-13);
            let square = product(a.as_ref(), a.transpose(), Par::Seq);
            let (values, u) = eigen(square.clone(), Par::Seq).unwrap();
            let ul = Mat::from_fn(m, m, |i, j| u[(i, j)] * values[j]);
            assert!((product(ul.as_ref(), u.transpose(), Par::Seq) - &square).norm_max() < 1e-12);
            let upper = |r: Mat<f64>| Mat::from_fn(m.min(n), n, |i, j| if i <= j { r[(i, j)] } else { 0.0 });
            let (q, r) = thin_qr(a.clone(), Par::Seq).unwrap();
            assert!((product(q.as_ref(), upper(r).as_ref(), Par::Seq) - &a).norm_max() < 1e-13);
            let (q, r) = pivoted_qr(a.clone(), Par::Seq).unwrap();
            assert!((0..m.min(n)).is_sorted_by(|&i, &j| r[(i, i)].abs() >= r[(j, j)].abs() * (1.0 - 1e-12)));
            let shared = product(q.transpose(), a.as_ref(), Par::Seq);
            assert!((product(q.as_ref(), shared.as_ref(), Par::Seq) - &a).norm_max() < 1e-13);
        }
    }
}
