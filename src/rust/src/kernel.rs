//! Entry point of the checks in `R/kernel.R`.

use crate::failure::Reply;
use crate::{reply, view};
use extendr_api::prelude::*;
use fastlmm_core::kernel::dense::examine;

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

extendr_module! {
    mod kernel;
    fn ffi_kernel_facts;
}
