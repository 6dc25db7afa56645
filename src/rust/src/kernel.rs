//! Entry points of kernels by themselves: their checks and their spectrum.

use crate::console::Console;
use crate::failure::Reply;
use crate::view::KernelView;
use crate::{reply, view};
use extendr_api::prelude::*;
use faer::Mat;
use fastlmm_core::kernel::Kernel;
use fastlmm_core::kernel::dense::{examine, scan};
use fastlmm_core::kernel::pedigree::{Parents, Pedigree};
use fastlmm_core::kernel::precision::inverse_diagonal;
use fastlmm_core::rotation::eigen::eigen;
use fastlmm_core::runtime::parallel::Workers;

/// What is wrong with a square matrix as a kernel; `definite`: is it positive semidefinite, too?
/// @noRd
#[extendr]
fn ffi_kernel_facts(K: RMatrix<f64>, definite: bool, tolerance: Rfloat, threads: i32) -> Reply<List> {
    view::same_length("K", K.ncols(), K.nrows())?;
    let (k, threads) = (view::matrix(&K), view::count(threads, "threads")?);
    let facts = match definite {
        true => examine(k, view::optional(tolerance), threads)?,
        false => scan(k),
    };
    Ok(reply::facts(&facts))
}

/// Eigenvalues and eigenvectors of the kernel of an effect with a row for each id.
/// @noRd
#[extendr]
fn ffi_kernel_eigen(effect: List, threads: i32) -> Reply<List> {
    let held = view::effect(&effect)?;
    let n = held.rows();
    let (x, weights) = (Mat::<f64>::zeros(n, 0), vec![1.0; n]);
    let workers = Workers::new(view::count(threads, "threads")?)?;
    let (values, vectors) = eigen(&held.model(x.as_ref(), &weights)?, &workers, &mut Console)?;
    Ok(list!(values = values, vectors = reply::columns(&vectors)))
}

/// Inbreeding, Mendelian sampling and order of the animals of a pedigree, parents by number and NA; or animals that are ancestors of themselves.
/// @noRd
#[extendr]
fn ffi_pedigree(sire: &[i32], dam: &[i32]) -> Reply<List> {
    view::same_length("dam", dam.len(), sire.len())?;
    let parent = |number: i32, what| match number.is_na() {
        true => Ok(None),
        false => view::index(number, sire.len(), what).map(Some),
    };
    let one = |(s, d): (&i32, &i32)| Ok([parent(*s, "sire")?, parent(*d, "dam")?]);
    let parents: Vec<Parents> = sire.iter().zip(dam).map(one).collect::<Reply<_>>()?;
    Ok(match Pedigree::new(&parents) {
        Ok(found) => list!(
            inbreeding = found.inbreeding,
            sampling = found.sampling,
            order = reply::from_one(&found.order)
        ),
        Err(members) => list!(members = reply::from_one(&members)),
    })
}

/// Diagonal of the inverse of a sparse positive definite matrix, `list(n, p, i, x)` with its lower triangle; nothing if it is not one.
/// @noRd
#[extendr]
fn ffi_precision_diagonal(P: Robj) -> Reply<List> {
    let held = KernelView::new(&P, "precision")?;
    let found = match held.kernel()? {
        Kernel::Precision(p) => inverse_diagonal(&p)?,
        _ => None,
    };
    Ok(list!(diagonal = found.unwrap_or_default()))
}

extendr_module! {
    mod kernel;
    fn ffi_kernel_facts;
    fn ffi_kernel_eigen;
    fn ffi_pedigree;
    fn ffi_precision_diagonal;
}
