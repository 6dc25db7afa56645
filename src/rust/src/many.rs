//! Entry point of `fastlmm_fit()` for many responses.

use crate::console::Console;
use crate::failure::Reply;
use crate::{reply, view};
use extendr_api::prelude::*;
use fastlmm_core::lmm::fit::Options;
use fastlmm_core::lmm::many::{Request, fit_many};

/// Fit each column of Y, missing cells allowed.
/// @noRd
#[extendr]
#[allow(clippy::too_many_arguments)] // one data set, as R holds it
fn ffi_fit_many(
    Y: RMatrix<f64>,
    X: RMatrix<f64>,
    weights: &[f64],
    effect: List,
    method: &str,
    effects: bool,
    threads: i32,
    tolerance: Rfloat,
) -> Reply<List> {
    view::same_length("X", X.nrows(), Y.nrows())?;
    view::same_length("weights", weights.len(), Y.nrows())?;
    let held = view::effect(&effect)?;
    let model = held.model(view::matrix(&X), weights)?;
    let options = Options {
        method: view::method(method)?,
        threads: view::count(threads, "threads")?,
        tolerance: view::optional(tolerance),
    };
    let request = Request {
        options,
        effects,
        floored: false,
    };
    let found = fit_many(view::matrix(&Y), &model, request, &mut Console)?;
    Ok(reply::many(&found, X.ncols()))
}

extendr_module! {
    mod many;
    fn ffi_fit_many;
}
