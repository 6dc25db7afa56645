//! Entry points of kernels by themselves: their checks and their spectrum.

use crate::console::Console;
use crate::failure::Reply;
use crate::{reply, view};
use extendr_api::prelude::*;
use faer::Mat;
use fastlmm_core::kernel::dense::examine;
use fastlmm_core::rotation::eigen::eigen;
use fastlmm_core::runtime::parallel::Workers;

/// What is wrong with a square matrix as a kernel.
/// @noRd
#[extendr]
fn ffi_kernel_facts(K: RMatrix<f64>, tolerance: Rfloat, threads: i32) -> Reply<List> {
    view::same_length("K", K.ncols(), K.nrows())?;
    let facts = examine(
        view::matrix(&K),
        view::optional(tolerance),
        view::count(threads, "threads")?,
    )?;
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

extendr_module! {
    mod kernel;
    fn ffi_kernel_facts;
    fn ffi_kernel_eigen;
}
