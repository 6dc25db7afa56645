//! Entry point of `fastlmm_exclude()`.

use crate::console::Console;
use crate::failure::Reply;
use crate::{reply, view};
use extendr_api::prelude::*;
use fastlmm_core::lmm::exclude::exclude;
use fastlmm_core::lmm::fit::Options;
use fastlmm_core::rotation::Model;

/// Fit one response without sets of columns of its factor.
/// @noRd
#[extendr]
#[allow(clippy::too_many_arguments)] // one data set, as R holds it
fn ffi_exclude(
    y: &[f64],
    X: RMatrix<f64>,
    weights: &[f64],
    z: &[f64],
    group: &[i32],
    W: RMatrix<f64>,
    index: &[i32],
    sets: List,
    method: &str,
    threads: i32,
    tolerance: Rfloat,
) -> Reply<List> {
    let group = view::indices(group, index.len(), "group")?;
    let index = view::indices(index, W.nrows(), "index")?;
    let sets = view::index_sets(&sets, W.ncols(), "columns")?;
    let model = Model {
        y,
        x: view::matrix(&X),
        weights,
        z,
        group: &group,
        kernel: view::kernel(&W, true),
        index: &index,
    };
    let options = Options {
        method: view::method(method)?,
        threads: view::count(threads, "threads")?,
        tolerance: view::optional(tolerance),
    };
    let fits = exclude(&model, &sets, options, &mut Console)?;
    Ok(List::from_values(fits.iter().map(|fit| reply::fit(fit, X.ncols()))))
}

extendr_module! {
    mod exclude;
    fn ffi_exclude;
}
