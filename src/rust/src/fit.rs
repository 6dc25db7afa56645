//! Entry point of `fastlmm_fit()`.

use crate::console::Console;
use crate::failure::Reply;
use crate::{reply, view};
use extendr_api::prelude::*;
use fastlmm_core::lmm::fit::{Options, fit};
use fastlmm_core::rotation::Model;

/// Fit one response.
/// @noRd
#[extendr]
#[allow(clippy::too_many_arguments)] // one data set, as R holds it
fn ffi_fit(
    y: &[f64],
    X: RMatrix<f64>,
    weights: &[f64],
    z: &[f64],
    group: &[i32],
    K: Robj,
    form: &str,
    index: &[i32],
    method: &str,
    threads: i32,
    tolerance: Rfloat,
) -> Reply<List> {
    let values = view::Values::new(&K, form)?;
    let kernel = values.kernel()?;
    let group = view::indices(group, index.len(), "group")?;
    let index = view::indices(index, values.rows(index.len()), "index")?;
    for (what, length) in [
        ("X", X.nrows()),
        ("weights", weights.len()),
        ("z", z.len()),
        ("group", group.len()),
    ] {
        view::same_length(what, length, y.len())?;
    }
    let model = Model {
        y,
        x: view::matrix(&X),
        weights,
        z,
        group: &group,
        kernel,
        index: &index,
    };
    let options = Options {
        method: view::method(method)?,
        threads: view::count(threads, "threads")?,
        tolerance: view::optional(tolerance),
    };
    Ok(reply::fit(&fit(&model, options, &mut Console)?, X.ncols()))
}

extendr_module! {
    mod fit;
    fn ffi_fit;
}
