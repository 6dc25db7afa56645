//! Entry point of the standard errors of `predict()` and `ranef()`.

use crate::failure::Reply;
use crate::view;
use extendr_api::prelude::*;
use fastlmm_core::lmm::predict::{Fitted, Targets, variance};

/// Variance of predictions.
/// @noRd
#[extendr]
#[allow(clippy::too_many_arguments)] // a fit and its targets, as R holds them
fn ffi_variance(
    K: RMatrix<f64>,
    factor: bool,
    index: &[i32],
    gram: &[f64],
    cross: RMatrix<f64>,
    sigma2: f64,
    sigma2_e: f64,
    vcov: RMatrix<f64>,
    K_new: RMatrix<f64>,
    k_new: &[f64],
    X_new: RMatrix<f64>,
    threads: i32,
) -> Reply<Vec<f64>> {
    let index = view::indices(index, if K.nrows() == 0 { index.len() } else { K.nrows() }, "index")?;
    for (what, length, expected) in [
        ("gram", gram.len(), index.len()),
        ("rows of cross", cross.nrows(), index.len()),
        ("columns of X_new", X_new.ncols(), cross.ncols()),
        ("vcov", vcov.nrows(), cross.ncols()),
        (
            "columns of K_new",
            K_new.ncols(),
            if factor { K.ncols() } else { index.len() },
        ),
        ("rows of K_new", K_new.nrows(), k_new.len()),
        ("rows of X_new", X_new.nrows(), k_new.len()),
    ] {
        view::same_length(what, length, expected)?;
    }
    let (cross, vcov) = (view::matrix(&cross), view::matrix(&vcov));
    let fitted = Fitted {
        kernel: view::kernel(&K, factor),
        index: &index,
        gram,
        cross,
        sigma2,
        sigma2_e,
        vcov,
    };
    let targets = Targets {
        x: view::matrix(&X_new),
        k: view::matrix(&K_new),
        prior: k_new,
    };
    Ok(variance(&fitted, &targets, view::count(threads, "threads")?)?)
}

extendr_module! {
    mod predict;
    fn ffi_variance;
}
